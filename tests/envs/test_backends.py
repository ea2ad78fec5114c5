"""Which backend steps a family, and that the numbers do not tell."""

import threading
from typing import Any

import numpy as np
import pytest

from metarl_gan.envs import FamilyError, ParametricFamily, make_family
from metarl_gan.envs.stepping import auto_vector
from metarl_gan.envs.stepping.async_vector import AsyncTaskVectorEnv
from metarl_gan.envs.stepping.auto_vector import AutoTaskVectorEnv, saved_by
from metarl_gan.envs.stepping.backends import Stepping
from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv
from tests.envs.breaking import Slow, Stroll
from tests.envs.toys import SCALES, family_of

HORIZON = 12


@pytest.fixture(autouse=True)
def two_processors_that_start_workers_fast(monkeypatch):
    monkeypatch.setattr(auto_vector, "available_processors", lambda: 2)
    # Of an episode of four slow environments two workers save some 35 ms.
    monkeypatch.setattr(auto_vector, "START_S", 0.02)


def slow():
    """2 ms a step."""
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


def test_what_workers_save_by_hand(monkeypatch):
    monkeypatch.setattr(auto_vector, "WORKER_S", 3e-4)
    # Two do it in half the time, and cost 0.6 ms themselves.
    assert saved_by(2, 0.1) == pytest.approx(0.05 - 0.0006)
    assert saved_by(4, 0.1) == pytest.approx(0.075 - 0.0012)
    assert saved_by(2, 0.001) < 0
    assert saved_by(1, 100.0) < 0


def test_auto_moves_no_sooner_than_starting_workers_has_been_lost(monkeypatch):
    monkeypatch.setattr(auto_vector, "START_S", 0.1)
    family = slow()
    venv: Any = family.make_vec(family.sample(4, seed=0))
    backends = []
    for seed in range(6):
        play(venv, seed=seed)
        backends.append(venv.backend)
    venv.close()
    # Some 35 ms are lost per episode; on a busy machine more.
    assert backends[0] == "sync"
    assert backends[-1] == "async"


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
    venv.close()


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
