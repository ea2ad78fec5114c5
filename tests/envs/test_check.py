"""What check_family reports; one fault after the other is in test_check_faults.py."""

import random
import time
from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl_gan.envs import FamilyError, ParametricFamily, Uniform, check_family
from metarl_gan.envs.checks.check import FamilyCheckError
from tests.envs.broken import UNUSED, Batched, Leaky, Overlapping, Slow
from tests.envs.toys import Choosy, Fragile, Poisoned, Walk, family_of

PARTS = 15


@pytest.mark.parametrize("env", [Walk, Choosy])
def test_a_sound_family_passes_without_a_remark(env):
    report = check_family(family_of(env))
    assert report.family == env.__name__
    assert (report.warnings, report.skipped) == ((), ())
    assert len(report.checks) == PARTS
    assert report.parameter_effects["scale"] > 0.1
    assert str(report).startswith(f"{env.__name__}: {PARTS} checks passed\n")
    assert "parameter scale" in str(report)


@pytest.mark.usefixtures("in_this_process")
def test_a_sound_family_with_native_stepping_passes():
    assert check_family(Batched()).warnings == ()


@pytest.mark.usefixtures("in_this_process")
def test_all_problems_are_listed_at_once():
    family = Overlapping(UNUSED, env=Poisoned)
    with pytest.raises(FamilyCheckError) as raised:
        check_family(family)
    text = str(raised.value)
    assert text.startswith(f"family 'plain' has {len(raised.value.problems)} problem(s):\n  1. ")
    assert "splits 'train' and 'test' overlap: 100 of 100 tasks" in text
    assert "observation[0] is nan at step 4" in text
    assert "'unused' changes nothing" in text
    assert "'scale' changes nothing" not in text
    assert isinstance(raised.value, FamilyError)


@pytest.mark.usefixtures("in_this_process")
def test_warnings_are_shown_but_do_not_fail():
    report = check_family(family_of(Leaky))
    assert len(report.warnings) == 1
    assert "checks passed, 1 warning(s)" in str(report)
    assert "\n  warning: observation[2] tells the task" in str(report)


@pytest.mark.usefixtures("in_this_process")
def test_warnings_are_listed_beside_problems():
    with pytest.raises(FamilyCheckError, match=r"'unused' changes nothing") as raised:
        check_family(family_of(Leaky, UNUSED))
    assert "warning: observation[2] tells the task" in str(raised.value)


@pytest.mark.usefixtures("in_this_process")
def test_what_breaks_many_checks_is_said_once():
    with pytest.raises(FamilyCheckError) as raised:
        check_family(family_of(Fragile, {"scale": Uniform(1.1, 1.9)}))
    problems = [text for text in raised.value.problems if "motor burnt" in text]
    assert len(problems) < 3  # check_env tells of it in its own words
    assert any(
        text.startswith("RuntimeError: motor burnt, raised in Fragile/scale=") for text in problems
    )
    assert "(toys.py, line " in str(raised.value)


@pytest.mark.usefixtures("in_this_process")
def test_a_slow_environment_is_not_waited_for():
    began = time.monotonic()
    report = check_family(family_of(Slow, horizon=200), seconds=2.0)
    assert time.monotonic() - began < 4
    assert any(text.startswith("Episodes end at the horizon (200 steps") for text in report.skipped)
    assert "not checked: Episodes end at the horizon" in str(report)
    unknown = "Each declared parameter changes a seeded episode (not known of 'scale': 50 steps"
    assert any(text.startswith(unknown) for text in report.skipped)
    assert report.parameter_effects == {}


@pytest.mark.usefixtures("in_this_process")
def test_global_generators_are_left_as_they_were():
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - this very generator is meant
    expected = random.random(), np.random.uniform()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    check_family(family_of(Walk))
    assert (random.random(), np.random.uniform()) == expected  # noqa: NPY002


def test_a_family_can_be_given_by_name():
    assert check_family("point-goal").family == "point-goal"
    with pytest.raises(FamilyError, match="did you mean"):
        check_family("point-gaol")


@pytest.mark.usefixtures("in_this_process")
def test_a_gravity_that_an_environment_does_not_read_is_found():
    """CARL's Pendulum took a gravity that changed nothing; Gymnasium's reads `g`."""

    def make(gravity):
        env: Any = gymnasium.make("Pendulum-v1").unwrapped
        env.gravity = gravity
        return env

    family = ParametricFamily(make, {"gravity": Uniform(5.0, 15.0)}, horizon=30)
    with pytest.raises(FamilyError, match="parameter 'gravity' changes nothing: 5 and 15 give"):
        check_family(family)
