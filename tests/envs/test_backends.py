"""Which backend steps a family, and that the numbers do not tell."""

import threading
from typing import Any

import numpy as np
import pytest

from metarl_gan.envs import FamilyError, ParametricFamily, make_family
from metarl_gan.envs.stepping import auto_vector
from metarl_gan.envs.stepping.async_vector import AsyncTaskVectorEnv
from metarl_gan.envs.stepping.auto_vector import AutoTaskVectorEnv, workers_pay
from metarl_gan.envs.stepping.backends import Stepping
from metarl_gan.envs.stepping.step_clock import StepClock, step_clock
from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv
from tests.envs.breaking import Slow, Stroll
from tests.envs.toys import SCALES, family_of

HORIZON = 12


@pytest.fixture(autouse=True)
def two_processors(monkeypatch):
    monkeypatch.setattr(auto_vector, "available_processors", lambda: 2)


def slow():
    """2 ms a step: eight times what pays for four environments."""
    return ParametricFamily(
        lambda scale: Slow(scale, 2e-3), SCALES, horizon=HORIZON, name="slow", splits=("train",)
    )


def play(venv, seed=None):
    """An episode of zeros: everything that came back."""
    seen = [venv.reset(seed=seed)[0]]
    for _ in range(HORIZON):
        *arrays, _ = venv.step(np.zeros(venv.action_space.shape, np.float32))
        seen += arrays
    return seen


def test_the_backend_asked_for_is_made():
    family = family_of(Stroll)
    tasks = family.sample(2, seed=0)
    for backend, kind in {
        "auto": AutoTaskVectorEnv,
        "sync": SyncTaskVectorEnv,
        "async": AsyncTaskVectorEnv,
    }.items():
        venv = family.make_vec(tasks, backend=backend)
        assert type(venv) is kind
        venv.close()
    native = make_family("point-goal")
    tasks = native.sample(2, seed=0)
    assert type(native.make_vec(tasks)) is type(native.make_vec(tasks, backend="native"))
    assert type(native.make_vec(tasks, backend="sync")) is SyncTaskVectorEnv
    with pytest.raises(FamilyError, match=r"'native'; give one of \['auto', 'sync', 'async'\]"):
        family.make_vec(family.sample(2, seed=0), backend="native")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("backend", "asinc", "did you mean 'async'"),
        ("step_timeout_s", 0.0, "above 0"),
        ("processes", 0, "at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, value, said):
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(FamilyError, match=f"{setting} is {value!r}.*{said}"):
        Stepping(**settings)
    family = family_of(Stroll)
    with pytest.raises(FamilyError, match=said):
        family.make_vec(family.sample(1, seed=0), **settings)


def test_settings_reach_the_workers():
    family = family_of(Stroll)
    venv: Any = family.make_vec(
        family.sample(3, seed=0), backend="async", processes=3, step_timeout_s=7.0
    )
    assert [crew.rows for crew in venv._rows._crews] == [range(1), range(1, 2), range(2, 3)]
    assert venv._rows._company.step_timeout_s == 7.0
    venv.close()


def test_workers_pay_by_hand(monkeypatch):
    monkeypatch.setattr(auto_vector, "WORKER_S", 3e-4)
    monkeypatch.setattr(auto_vector, "MARGIN", 2.0)
    # Two workers for four environments cost 2 · 0.6 ms and save half of four steps.
    assert workers_pay(0.61e-3, 4, 2)
    assert not workers_pay(0.59e-3, 4, 2)
    # Four cost 2 · 1.2 ms and save three quarters.
    assert workers_pay(0.81e-3, 4, 16)
    assert not workers_pay(0.79e-3, 4, 16)
    assert not workers_pay(10.0, 1, 16)
    assert not workers_pay(10.0, 4, 1)


def test_a_clock_tells_the_median_once_it_has_seen_enough():
    clock = StepClock()
    for seconds in range(9):
        clock.add(seconds)
    assert clock.seconds is None
    clock.add(1000)
    assert clock.seconds == 4.5
    family, other = family_of(Stroll), family_of(Stroll)
    assert step_clock(family) is step_clock(family)
    assert step_clock(family) is not step_clock(other)


@pytest.mark.parametrize("moment", ["set_tasks", "reset"])
def test_auto_moves_a_slow_family_between_episodes(moment):
    family = slow()
    tasks = family.sample(4, seed=0)
    venv: Any = family.make_vec(tasks)
    sync = SyncTaskVectorEnv(family, tasks)
    assert_same(play(venv, seed=1), play(sync, seed=1))
    # Nothing that an episode without a seed goes on from is left behind.
    assert_same(play(venv), play(sync))
    assert venv.backend == "sync"
    if moment == "set_tasks":
        venv.set_tasks(tasks[::-1])
        sync.set_tasks(tasks[::-1])
        assert venv.backend == "async"
    assert_same(play(venv, seed=2), play(sync, seed=2))
    assert venv.backend == "async"
    # What is known of the family holds for the next ones from the start.
    other: Any = family.make_vec(tasks, 2)
    assert other.backend == "async"
    for made in (venv, other):
        made.close()


def assert_same(ours, theirs):
    for left, right in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(left, right)


def moved(family, n_tasks=4, **settings):
    """Where environments are in their second episode."""
    venv: Any = family.make_vec(family.sample(n_tasks, seed=0), **settings)
    play(venv, seed=1)
    venv.reset(seed=2)
    backend = venv.backend
    venv.close()
    return backend


def test_auto_keeps_here_what_would_gain_nothing(monkeypatch):
    assert moved(family_of(Stroll, horizon=HORIZON)) == "sync"
    assert moved(slow(), n_tasks=1) == "sync"
    assert moved(slow(), processes=1) == "sync"
    assert moved(slow(), backend="sync") == "sync"
    lock = threading.Lock()
    stuck = ParametricFamily(
        lambda scale: Slow(scale, 2e-3 if lock else 0.0), SCALES, horizon=HORIZON
    )
    assert moved(stuck) == "sync"
    monkeypatch.setattr(auto_vector, "available_processors", lambda: 1)
    assert moved(slow()) == "sync"


def test_auto_spends_no_step_to_find_out(monkeypatch):
    steps, step = [], Stroll.step

    def counted(env, action):
        steps.append(action)
        return step(env, action)

    monkeypatch.setattr(Stroll, "step", counted)
    family = family_of(Stroll, horizon=HORIZON)
    venv = family.make_vec(family.sample(3, seed=0))
    taken = 0
    for seed in range(3):
        venv.reset(seed=seed)
        for _ in range(HORIZON):
            taken += venv.step(np.zeros((3, 1), np.float32))[-1]["stepped"].sum()
    assert len(steps) == taken


def test_auto_with_an_environment_that_breaks():
    def fragile(scale):
        if scale > 1.9:
            raise OSError("no such model")
        return Slow(scale, 2e-3)

    family = ParametricFamily(fragile, SCALES, horizon=HORIZON, splits=("train",))
    tasks = [family.task(scale=scale) for scale in (0.5, 0.6, 1.95)]
    venv: Any = family.make_vec(tasks)
    for _ in range(2):
        _, info = venv.reset(seed=0)
        assert list(info["failures"]) == [2]
        assert "no such model" in info["failures"][2]
        for _ in range(HORIZON):
            venv.step(np.zeros((3, 1), np.float32))
        venv.set_tasks(tasks)
    assert venv.backend == "async"
    venv.close()
