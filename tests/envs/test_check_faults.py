"""Every fault that check_family is to find, one family for each, and what is said of it."""

import re
import threading
from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl_gan.envs import ParametricFamily, Uniform, check_family
from metarl_gan.envs.checks import other_process
from metarl_gan.envs.checks.check import FamilyCheckError
from tests.envs import broken, toys
from tests.envs.broken import PlainFamily
from tests.envs.toys import SCALES, Walk, family_of


def found(family) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The problems and the warnings."""
    try:
        report = check_family(family)
    except FamilyCheckError as error:
        return error.problems, error.warnings
    return (), report.warnings


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda: family_of(toys.Pixels), r"\(4, 4\).* is not supported; give a 1-D Box"),
        (
            lambda: family_of(broken.Unruly),
            "Gymnasium's check_env of Unruly/scale=.*random number gen",
        ),
        (lambda: family_of(broken.Deaf), "play identically: the same observations and rewards"),
        (lambda: family_of(broken.Deaf), "parameter 'scale' changes nothing: 0.5 and 2 give"),
        (lambda: family_of(broken.Blunt), r"tasks Blunt/\S+ and Blunt/\S+ .*play identically"),
        (
            lambda: family_of(toys.Forgetful),
            r"reset\(\) changes the task: after it, scale is 5\.0 .*draws none and puts no",
        ),
        (
            lambda: family_of(broken.Redrawing),
            r"reset\(\) changes the task: after it, scale is \S+ in an environment of Redrawing/",
        ),
        (
            lambda: family_of(broken.Worn),
            r"Worn/\S+ plays differently after another reset, from step 1: observation\[1\]",
        ),
        (broken.Growing, r"observation_space of plain/scale=\S+ is Box\(.*\(3,\).*same spaces"),
        (
            lambda: PlainFamily(env=broken.Mistyped),
            "float64, while the space is float32.*np.float32",
        ),
        (broken.Overlapping, "splits 'train' and 'test' overlap: 100 of 100 tasks, e.g. plain/"),
        (broken.Renamed, r"overlap: 100 of 100.*-test, which is plain/scale=\S+-train by its"),
        (broken.Repeating, r"sample\(100, split='train'\) gives only 25 different tasks"),
        (broken.Stubborn, r"sample\(split='test'\) gives the same tasks for every seed"),
        (broken.GlobalDraws, r"sample\(split='train'\) depends on the global state of random or"),
        (broken.FreshDraws, r"sample\(split='train', seed=0\) gives other tasks each time"),
        (
            lambda: family_of(broken.SharedDice),
            r"episode of SharedDice/\S+ depends on the global state .*step 0: observation\[1\]",
        ),
        (
            lambda: family_of(toys.Haphazard),
            r"Haphazard/\S+ differ under one seed.*from step 0: observation\[1\].*self.np_random",
        ),
        (lambda: family_of(toys.Poisoned), r"observation\[0\] is nan at step 4 in a random episo"),
        (lambda: family_of(broken.Overpaid), "the reward is inf at step 4 in a random episode of"),
        (
            lambda: family_of(toys.Outside),
            r"observation\[1\] is -\S+ at step \d+ in a random .* of Outside/.*outside of .*\[0, 3",
        ),
        (
            lambda: family_of(toys.Fragile, {"scale": Uniform(1.1, 1.9)}),
            "RuntimeError: motor burnt, raised in Fragile/scale=",
        ),
        (toys.Endless, r"no end after 10 steps, the horizon.*TimeLimit\(env, 10\)"),
        (lambda: family_of(Walk, broken.UNUSED), "parameter 'unused' changes nothing: 0 and 1 gi"),
        (
            broken.OneForAll,
            r"make and make_vec\(backend='native'\) disagree on row 2, .*; the row plays plain/",
        ),
        (broken.InStep, r"disagree on row 1, .*; it starts as row 0 does; row i must play"),
        (broken.Restless, "environments that have ended go on"),
        (broken.Retuning, r"backend 'sync': after set_tasks, plain/\S+ differs from one made anew"),
    ],
)
def test_each_fault_is_a_problem(family, message):
    problems, _ = found(family())
    assert any(re.search(message, text) for text in problems), problems


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda: family_of(broken.Leaky), r"observation\[2\] tells the task.* is \S+ in Leaky/"),
        (
            lambda: family_of(broken.Bearing, {"goal": Uniform(-1.0, 1.0)}),
            "the observation tells the task: goal of the descriptor can be computed",
        ),
        (
            lambda: family_of(broken.Doubtful, broken.UNUSED),
            "parameter 'unused' changes next to nothing: by 1e-09 at most",
        ),
        (
            lambda: family_of(broken.FarAway),
            "parameter 'scale' was not seen to change anything.*none of which met a reward",
        ),
        (broken.Nameless, "different tasks have equal descriptors: plain/"),
        (broken.Early, "no time limit was seen.*the longest after 4 of 10 steps.*TimeLimit"),
        (broken.Hasty, "plain/.* is truncated after 6 steps; the horizon is 10"),
    ],
)
def test_what_may_be_meant_is_a_warning(family, message):
    problems, warnings = found(family())
    assert problems == ()
    assert any(re.search(message, text) for text in warnings), warnings


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda: PlainFamily(env=broken.Hashed), "plain/.* plays differently in another process"),
        (broken.HashedDraws, r"another process draws other tasks from sample\(split='train', seed"),
    ],
)
def test_what_differs_between_processes_is_a_problem(family, message):
    problems, _ = found(family())
    assert any(re.search(message, text) for text in problems), problems


def test_what_cannot_be_sent_to_another_process_is_told():
    lock = threading.Lock()

    def make(scale):
        with lock:
            return Walk(scale)

    problems, warnings = found(ParametricFamily(make, SCALES, horizon=10))
    assert any("cannot be sent to other processes" in text for text in problems)
    assert any("could not be tried in another process: make cannot be se" in t for t in warnings)


def test_environments_that_a_script_registered_are_known_elsewhere():
    """Also where the script itself is not run again."""
    make: Any = Walk
    gymnasium.register("ScriptedWalk-v0", make)
    try:
        family = ParametricFamily("ScriptedWalk-v0", SCALES, horizon=10)
        assert found(family) == ((), ())
    finally:
        del gymnasium.registry["ScriptedWalk-v0"]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("env", "unused"),
    [
        (broken.Distant, Uniform(0.0, 1.0)),
        (broken.Turning, Uniform(0.0, 2 * np.pi)),
        (broken.Rougher, Uniform(0.1, 0.9)),
    ],
)
def test_parameters_that_rarely_matter_are_not_accused(env, unused):
    family = family_of(env, {"scale": Uniform(0.5, 2.0), "unused": unused}, horizon=30)
    assert found(family) == ((), ())


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("env", [broken.Needle, broken.DearNeedle])
def test_tasks_of_a_sparse_reward_need_not_all_be_told_apart(env):
    """Some goals are met, some are not: neither a fault nor worth a warning."""
    assert found(family_of(env, {"scale": Uniform(-40.0, 40.0)}, horizon=20)) == ((), ())


@pytest.mark.usefixtures("in_this_process")
def test_rows_of_one_task_need_not_start_differently():
    """An environment whose start is no chance has nothing to report."""
    assert found(family_of(toys.Choosy))[0] == ()


@pytest.mark.usefixtures("in_this_process")
def test_a_family_that_observes_where_it_is_leaks_nothing():
    """Of a goal, the position tells nothing."""

    class Homing(broken.Bearing):
        def observation(self):
            return super().observation()[:1].repeat(2)

    assert found(family_of(Homing, {"goal": Uniform(-1.0, 1.0)})) == ((), ())


@pytest.mark.parametrize(("own", "other"), [(None, "1"), ("0", "1"), ("1", "2")])
def test_the_other_process_hashes_differently(monkeypatch, own, other):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    if own is not None:
        monkeypatch.setenv("PYTHONHASHSEED", own)
    assert other_process._environment()["PYTHONHASHSEED"] == other
