import pytest

from metarl_gan.envs import FamilyError, Uniform, check_family
from tests.envs.toys import (
    Choosy,
    Endless,
    Forgetful,
    Fragile,
    Haphazard,
    Outside,
    Pixels,
    Poisoned,
    Walk,
    family_of,
)


@pytest.mark.parametrize("env", [Walk, Choosy])
def test_a_sound_family_passes_and_is_reported(env):
    report = check_family(family_of(env))
    assert report.family == env.__name__
    assert len(report.checks) == 7
    assert report.parameter_effects["scale"] > 0.1
    assert "7 checks passed" in str(report)
    assert "parameter scale" in str(report)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda: family_of(Pixels), r"\(4, 4\).* is not supported"),
        (lambda: family_of(Forgetful), "reset.. must keep the task"),
        (lambda: family_of(Haphazard), "differ under one seed"),
        (lambda: family_of(Poisoned), "NaN or infinity at step 4"),
        (lambda: family_of(Outside), "observations leave"),
        (lambda: family_of(Fragile, {"scale": Uniform(1.1, 1.9)}), "motor burnt"),
        (Endless, "no end after 10 steps, the horizon.*TimeLimit"),
        (
            lambda: family_of(Walk, {"scale": Uniform(0.5, 2.0), "unused": Uniform(0.0, 1.0)}),
            "parameter 'unused' changes nothing",
        ),
    ],
)
def test_each_fault_is_found(family, message):
    with pytest.raises(FamilyError, match=message):
        check_family(family())


def test_all_problems_are_listed_at_once():
    family = family_of(Poisoned, {"scale": Uniform(0.5, 2.0), "unused": Uniform(0.0, 1.0)})
    with pytest.raises(FamilyError) as raised:
        check_family(family)
    text = str(raised.value)
    assert "'Poisoned' has" in text
    assert "NaN" in text
    assert "'unused' changes nothing" in text
    assert "'scale' changes nothing" not in text


def test_a_family_can_be_given_by_name():
    assert check_family("point-goal").family == "point-goal"
    with pytest.raises(FamilyError, match="did you mean"):
        check_family("point-gaol")
