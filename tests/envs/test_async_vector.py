"""Environments in other processes: the numbers of `SyncTaskVectorEnv`, whatever dies on the way."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metarl_gan.envs import (
    FamilyError,
    SyncTaskVectorEnv,
    Uniform,
)
from metarl_gan.envs.stepping import crew as crew_module
from metarl_gan.envs.stepping import worker_process
from metarl_gan.envs.stepping.async_vector import AsyncTaskVectorEnv
from metarl_gan.envs.stepping.worker_rows import spread
from tests.envs.breaking import (
    Breaking,
    BreakingFamily,
    Contagious,
    Homebound,
    Outsider,
    Remembering,
    Slow,
    Stroll,
)
from tests.envs.toys import Choosy, Fragile, Haphazard, family_of

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 0.5
BREAKING = BreakingFamily()


@pytest.fixture
def open_async():
    """Makes vector environments, and closes them."""
    opened = []

    def make(family, tasks, envs_per_task=1, *, processes=1, step_timeout_s=20.0):
        limits = {"processes": processes, "step_timeout_s": step_timeout_s}
        opened.append(AsyncTaskVectorEnv(family, tasks, envs_per_task, **limits))
        return opened[-1]

    yield make
    for venv in opened:
        venv.close()


def pids(venv: Any) -> list[int]:
    return [crew.process._process.pid for crew in venv._rows._crews if crew.process is not None]


def is_there(pid: int) -> bool:
    """Whether there is such a process that is not just waiting to be buried."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def random_actions(venv, rng):
    if venv.single_action_space.shape == ():
        return rng.integers(0, venv.single_action_space.n, venv.num_envs)
    return rng.uniform(-1.2, 1.2, venv.action_space.shape).astype(np.float32)


def play(venv, steps=8, seed=3, broken=()):
    """Everything that `steps` steps after a reset return, but of the rows `broken`."""
    rng = np.random.default_rng(0)
    sound = np.setdiff1d(np.arange(venv.num_envs), list(broken))
    observation, info = venv.reset(seed=seed)
    seen, failures = [observation[sound]], dict(info.get("failures", {}))
    assert np.isnan(observation[list(failures)]).all()
    for _ in range(steps):
        *arrays, info = venv.step(random_actions(venv, rng))
        seen += [array[sound] for array in arrays]
        failures |= info.get("failures", {})
    return seen, failures


def assert_same(ours, theirs):
    for left, right in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("env_class", [Stroll, Choosy])
def test_numbers_are_those_of_sync(open_async, env_class):
    family = family_of(env_class, horizon=9)
    tasks = family.sample(3, seed=0)
    pair = SyncTaskVectorEnv(family, tasks, 2), open_async(family, tasks, 2, processes=2)
    seen = []
    for venv in pair:
        rng, arrays = np.random.default_rng(1), [venv.reset(seed=4)[0]]
        for time_step in range(40):
            *reached, info = venv.step(random_actions(venv, rng))
            arrays += [*reached, info["stepped"]]
            over = reached[2] | reached[3]
            if over.any():
                # Every second time with a seed, so that row 5 is that of a single environment's 9.
                seed = time_step if time_step % 2 else None
                arrays.append(venv.reset(seed=seed, options={"reset_mask": over})[0])
        venv.set_tasks(tasks[::-1])
        arrays += play(venv)[0]
        seen.append(arrays)
    assert_same(*seen)
    single = family.make(tasks[2]).reset(seed=4 + 5)[0]
    np.testing.assert_array_equal(seen[0][0][5], single)
    assert len({array.tobytes() for array in seen[0]}) > 40


def test_what_an_exception_leaves_is_what_it_leaves_in_sync(open_async):
    family = family_of(Fragile, {"scale": Uniform(0.5, 3.0)})
    tasks = [family.task(scale=scale) for scale in (0.5, 1.5, 2.5)]
    ours, theirs = open_async(family, tasks), SyncTaskVectorEnv(family, tasks)
    for seed in range(2):
        seen, failures = play(ours, seed=seed)
        others, other_failures = play(theirs, seed=seed)
        assert_same(seen, others)
        assert failures == other_failures
    assert failures[1].startswith(
        f"step of task {tasks[1].id!r}, environment 1: RuntimeError: motor burnt\nTraceback"
    )
    assert sorted(failures) == [1, 2]


@pytest.mark.parametrize(
    ("kind", "way", "where"),
    [
        *((SyncTaskVectorEnv, "raise", where) for where in ("make", "reset", "step")),
        (SyncTaskVectorEnv, "leave", "step"),
        (AsyncTaskVectorEnv, "raise", "make"),
        (AsyncTaskVectorEnv, "leave", "step"),
    ],
)
def test_a_failure_is_reported_once_and_tried_again(kind, way, where):
    tasks = [BREAKING.task(scale=1.0, way=said, where=where) for said in ("none", way)]
    venv = kind(BREAKING, tasks, **({} if kind is SyncTaskVectorEnv else {"processes": 1}))
    _, failures = play(venv)
    assert list(failures) == [1]
    assert failures[1].startswith(f"{where} of task {tasks[1].id!r}, environment 1: ")
    assert "break_down" in failures[1]
    # As before, not because it is broken already: it was made anew.
    _, again = play(venv)
    assert list(again) == [1]
    assert again[1].partition("\n")[0] == failures[1].partition("\n")[0]
    venv.set_tasks(tasks[:1] * 2)
    assert play(venv)[1] == {}
    venv.close()


def test_what_cannot_be_made_is_tried_once_per_reset(monkeypatch):
    tasks = [BREAKING.task(scale=1.0, way=way, where="make") for way in ("none", "raise")]
    monkeypatch.setattr(Breaking, "made", 0)
    venv = SyncTaskVectorEnv(BREAKING, tasks)
    made = [Breaking.made]
    for _ in range(3):
        assert list(venv.reset(seed=0)[1]["failures"]) == [1]
        made.append(Breaking.made)
    assert made == [2, 2, 3, 4]


DEATHS = {
    "segfault": "killed by SIGSEGV",
    "exit": "ended with exit code 3",
    "kill": "killed by SIGKILL",
    "hang": "no answer within 0.5 s",
}


@pytest.mark.parametrize(
    ("way", "where"),
    [*((way, "step") for way in DEATHS), ("hang", "reset"), ("exit", "make")],
)
def test_a_worker_that_dies_or_hangs_costs_one_environment(open_async, monkeypatch, way, where):
    if where != "step":
        monkeypatch.setattr(worker_process, "PATIENCE", 1.0)
    ways = ("none", "none", way, "none")
    tasks = [BREAKING.task(scale=0.5 + i / 4, way=w, where=where) for i, w in enumerate(ways)]
    # The culprit is between its neighbours in the one worker.
    venv = open_async(BREAKING, tasks, step_timeout_s=TIMEOUT_S)
    before = pids(venv)
    seen, failures = play(venv, broken=[2])
    assert list(failures) == [2]
    assert where == "make" or not any(is_there(pid) for pid in before)
    first_line, _, stack = failures[2].partition("\n")
    assert first_line.startswith(f"{where} of task {tasks[2].id!r}, environment 2: ")
    assert DEATHS[way] in first_line
    if way in ("segfault", "hang"):
        assert "breaking.py" in stack
        assert "in break_down" in stack
        assert "in step" in stack or where != "step"
        assert "worker.py" not in stack

    healthy = [BREAKING.task(scale=0.5 + i / 4, way="none", where=where) for i in range(4)]
    sync = SyncTaskVectorEnv(BREAKING, healthy)
    assert_same(seen, play(sync, broken=[2])[0])
    if way == "exit":
        # It is made anew, fails again, and does no more harm than before.
        assert list(play(venv, steps=3, seed=8)[1]) == [2]
        venv.set_tasks(healthy)
        seen, failures = play(venv)
        assert failures == {}
        assert_same(seen, play(sync)[0])


def test_what_no_seed_leads_to_is_lost_with_its_worker(open_async):
    tasks = [BREAKING.task(scale=1.0, way=way, where="step") for way in ("none", "exit", "none")]
    venv = open_async(BREAKING, tasks)
    venv.reset(seed=0)
    venv.reset(options={"reset_mask": np.array([True, False, False])})
    for _ in range(3):
        observation, _, _, truncated, info = venv.step(np.zeros((3, 1), np.float32))
    failures = info["failures"]
    assert sorted(failures) == [0, 1]
    assert tasks[0].id in failures[0]
    for words in ("lost with the worker", "task 'breaking", "exit code 3", "without a seed"):
        assert words in failures[0].partition("\n")[0]
    assert np.isnan(observation).all(axis=1).tolist() == truncated.tolist() == [True, True, False]


def test_what_is_to_be_reset_anyway_is_not_lost(open_async):
    tasks = [BREAKING.task(scale=1.0, way=way, where="reset") for way in ("none", "exit", "none")]
    venv = open_async(BREAKING, tasks)
    for seed in (None, 3):
        observation, info = venv.reset(seed=seed)
        assert list(info["failures"]) == [1]
        assert np.isnan(observation).all(axis=1).tolist() == [False, True, False]
        venv.step(np.zeros((3, 1), np.float32))


def test_what_its_seed_does_not_lead_to_is_lost_with_its_worker(open_async):
    def one_of_three(scale):
        return Haphazard(scale) if scale < 1 else Breaking(scale, "exit" if scale > 1.5 else "none")

    family = family_of(one_of_three)
    tasks = [family.task(scale=scale) for scale in (0.5, 2.0, 1.2)]
    _, failures = play(open_async(family, tasks))
    assert sorted(failures) == [0, 1]
    assert "lost with the worker" in failures[0].partition("\n")[0]
    assert "another observation" in failures[0].partition("\n")[0]


def test_a_second_death_while_catching_up(open_async, tmp_path):
    mark = str(tmp_path / "mark")
    family = family_of(lambda scale: Contagious(scale, mark), horizon=9)
    tasks = [family.task(scale=scale) for scale in (0.6, 1.2, 2.0, 0.7)]
    seen, failures = play(open_async(family, tasks), broken=[1, 2])
    assert "exit code 3" in failures.pop(2)
    assert "exit code 4" in failures.pop(1)
    assert failures == {}
    (tmp_path / "mark").unlink()
    sound = SyncTaskVectorEnv(family, [tasks[0]] * 3 + [tasks[3]])
    assert_same(seen, play(sound, broken=[1, 2])[0])


def test_a_worker_that_always_dies_is_given_up_until_the_next_reset(open_async, monkeypatch):
    monkeypatch.setattr(crew_module, "MAX_RESTARTS", 1)
    tasks = [BREAKING.task(scale=1.0, way=way, where="step") for way in ["exit"] * 4 + ["none"]]
    venv = open_async(BREAKING, tasks)
    for seed in range(2):
        _, failures = play(venv, seed=seed)
        assert sorted(failures) == [0, 1, 2, 3, 4]
        assert "exit code 3" in failures[1].partition("\n")[0]
        assert "too often since the last reset" in failures[4].partition("\n")[0]
    assert pids(venv) == []
    venv.set_tasks(tasks[4:] * 5)
    assert play(venv)[1] == {}


def test_a_worker_that_is_killed_between_calls_costs_nothing(open_async):
    family = family_of(Stroll, horizon=9)
    tasks = family.sample(4, seed=0)
    venv, rng = open_async(family, tasks, processes=2), np.random.default_rng(0)
    seen = [venv.reset(seed=3)[0]]
    for count in range(8):
        if count == 3:
            os.kill(pids(venv)[1], signal.SIGKILL)
            with pytest.warns(RuntimeWarning, match="SIGKILL"):
                *arrays, info = venv.step(random_actions(venv, rng))
        else:
            *arrays, info = venv.step(random_actions(venv, rng))
        assert "failures" not in info
        seen += arrays
    assert_same(seen, play(SyncTaskVectorEnv(family, tasks))[0])


def test_workers_that_do_not_start_again_are_tried_at_the_next_reset(
    open_async, monkeypatch, recwarn
):
    monkeypatch.setattr(crew_module, "MAX_RESTARTS", 2)
    family = family_of(Stroll, horizon=9)
    tasks = family.sample(3, seed=0)
    venv = open_async(family, tasks)
    venv.reset(seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(worker_process, "_BEGIN", "raise SystemExit(5)")
        os.kill(pids(venv)[0], signal.SIGKILL)
        *_, info = venv.step(np.zeros((3, 1), np.float32))
        assert sorted(info["failures"]) == [0, 1, 2]
        assert "lost with its worker (its worker process ended with exit" in info["failures"][0]
        assert sorted(play(venv)[1]) == [0, 1, 2]
    told = " ".join(str(warning.message) for warning in recwarn)
    assert "killed by SIGKILL" in told
    assert "exit code 5" in told
    seen, failures = play(venv)
    assert failures == {}
    assert_same(seen, play(SyncTaskVectorEnv(family, tasks))[0])


def test_time_is_limited_per_step_not_per_call_and_longer_for_resets(open_async):
    family = family_of(lambda scale: Slow(scale, 0.15, 0.5 if scale > 1.5 else 0.0))
    tasks = [family.task(scale=scale) for scale in (0.5, 0.6, 0.7, 1.6)]
    venv = open_async(family, tasks, step_timeout_s=0.4)
    assert play(venv, steps=1)[1] == {}


def test_signals_are_for_the_parent(open_async):
    family = family_of(Stroll, horizon=9)
    venv = open_async(family, family.sample(2, seed=0))
    for pid in pids(venv):
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    before = pids(venv)
    assert play(venv)[1] == {}
    assert pids(venv) == before


def test_a_listener_who_was_interrupted_gets_the_next_answer(open_async, monkeypatch):
    family = family_of(Stroll, horizon=9)
    tasks = family.sample(3, seed=0)
    venv = open_async(family, tasks, processes=2)
    venv.reset(seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(worker_process.WorkerProcess, "_wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            venv.step(np.ones((3, 1), np.float32))
    assert_same(play(venv)[0], play(SyncTaskVectorEnv(family, tasks))[0])


def interrupted(_):
    raise KeyboardInterrupt


def test_each_worker_has_one_thread_and_neighbours_share_one(open_async):
    family = family_of(Outsider)
    venv = open_async(family, family.sample(3, seed=0), 4, processes=3)
    processes, threads = venv.reset(seed=0)[0].T
    assert set(threads) == {1.0}
    assert len(set(processes)) == 3
    for task in processes.reshape(3, 4):
        assert len(set(task)) == 1
    assert os.getpid() not in processes


def test_rows_are_spread():
    cases = {
        (8, 4, 2): [(0, 4), (4, 8)],
        (12, 4, 2): [(0, 6), (6, 12)],
        (14, 4, 3): [(0, 4), (4, 9), (9, 14)],
        (3, 1, 16): [(0, 1), (1, 2), (2, 3)],
        (15, 3, 4): [(0, 3), (3, 7), (7, 11), (11, 15)],
        (10, 2, 4): [(0, 2), (2, 4), (4, 7), (7, 10)],
        (5, 5, 1): [(0, 5)],
    }
    for (n_rows, envs_per_task, processes), expected in cases.items():
        shares = spread(n_rows, envs_per_task, processes)
        assert [(share.start, share.stop) for share in shares] == expected, shares


def test_families_that_learn_of_tasks_later(open_async):
    family = Remembering()
    venv = open_async(family, family.sample(2, seed=0))
    assert play(venv)[1] == {}
    venv.set_tasks(family.sample(2, seed=1))
    assert play(venv)[1] == {}


def test_what_cannot_travel_is_said():
    lock = threading.Lock()
    stuck = family_of(lambda scale: Stroll(scale if lock else 0.0))
    with pytest.raises(FamilyError, match=r'cannot be sent.*cannot pickle.*backend="sync"'):
        AsyncTaskVectorEnv(stuck, stuck.sample(2, seed=0))
    family = Homebound()
    with pytest.raises(FamilyError, match=r'cannot be loaded.*homework.*backend="sync"'):
        AsyncTaskVectorEnv(family, family.sample(2, seed=0))
    nothing = [BREAKING.task(scale=1.0, way="raise", where="make")] * 2
    with pytest.raises(FamilyError, match=r"no environment of 'breaking'.*motor burnt") as caught:
        AsyncTaskVectorEnv(BREAKING, nothing)
    assert "break_down" in caught.value.__notes__[0]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_nothing_is_left_when_closed():
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    family = family_of(Stroll, horizon=9)
    gc.collect()
    before = descriptors()
    venv = AsyncTaskVectorEnv(family, family.sample(3, seed=0), processes=2)
    dead = BREAKING.task(scale=1.0, way="exit", where="step")
    other = AsyncTaskVectorEnv(BREAKING, [dead] * 2, processes=2)
    play(other)
    workers = pids(venv) + pids(other)
    assert len(workers) == 4
    started = time.monotonic()
    venv.close()
    venv.close()
    other.close()
    assert time.monotonic() - started < 3.0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)  # buried, too
    del venv, other  # and with them what is mapped
    assert descriptors() == before
    forgotten: Any = AsyncTaskVectorEnv(family, family.sample(2, seed=0), processes=1)
    [pid] = pids(forgotten)
    del forgotten
    assert not is_there(pid)


SCRIPT = """
import os, sys, gymnasium, numpy as np
from gymnasium import spaces
from metarl_gan.envs import ParametricFamily, Uniform

print("running", __name__, flush=True)

class Mine(gymnasium.Env):
    observation_space = spaces.Box(-9, 9, (1,), np.float32)
    action_space = spaces.Discrete(2)
    def __init__(self, speed=1.0):
        self.speed = speed
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform()
        return np.array([self.x], np.float32), {}
    def step(self, action):
        while STUCK and action:
            pass
        self.x += self.speed * float(action)
        return np.array([self.x], np.float32), 0.0, False, False, {}

STUCK = len(sys.argv) > 1
gymnasium.register("Mine-v0", Mine)
ranges = {"speed": Uniform(0.0, 1.0)}
for family in (
    ParametricFamily("Mine-v0", ranges, horizon=5),
    ParametricFamily(lambda speed: Mine(speed), ranges, horizon=5, name="lambda"),
):
    reached = []
    for backend in ("sync", "async"):
        venv = family.make_vec(family.sample(3, seed=0), backend=backend, processes=2)
        venv.reset(seed=1)
        if STUCK and backend == "async":
            print(*(crew.process._process.pid for crew in venv._rows._crews), flush=True)
        reached.append(venv.step(np.array([1 if STUCK and backend == "async" else 0] * 3))[0])
    assert np.array_equal(*reached), reached
    print(*(crew.process._process.pid for crew in venv._rows._crews))
print("done")
"""


def script(tmp_path, *arguments):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_script_needs_no_guard_and_no_close(tmp_path):
    out, err = script(tmp_path).communicate(timeout=60)
    lines = out.splitlines()
    assert err == ""
    assert (lines[0], lines[-1], len(lines)) == ("running __main__", "done", 4)
    workers = [int(pid) for line in lines[1:3] for pid in line.split()]
    assert len(workers) == 4
    assert not any(is_there(pid) for pid in workers)


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path):
    parent = script(tmp_path, "stuck")
    assert parent.stdout is not None
    assert "running" in parent.stdout.readline()
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(is_there(pid) for pid in workers)
    parent.kill()
    parent.communicate(timeout=60)
    assert until(lambda: not any(is_there(pid) for pid in workers))
