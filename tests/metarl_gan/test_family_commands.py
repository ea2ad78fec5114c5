"""`metarl-gan families` and `metarl-gan check`: what they show, and how they fail."""

import io
import re
from importlib.metadata import EntryPoint

import pytest
from rich.console import Console

from metarl_gan.cli import MISTAKE, main
from metarl_gan.envs import Choice, list_families, make_family, registry
from metarl_gan.family_commands import FAULTY
from metarl_gan.family_pages import families_overview, family_page
from tests.envs.toys import Walk, family_of

WALK = family_of(Walk, name="walk")
PENDULUM = "env: Pendulum-v1\nhorizon: 100\nparameters: {g: {uniform: [5, 15], unit: m/s^2}}\n"


def blocks(text: str) -> dict[str, str]:
    """What stands below each family's name."""
    parts = [part.split("\n", maxsplit=1) for part in text.strip().split("\n\n")]
    return {part[0]: part[1] for part in parts if len(part) == 2}


@pytest.mark.parametrize("width", [80, 160])
def test_every_family_is_listed_with_all_that_is_asked_for(width):
    families = {name: make_family(name) for name in list_families()}
    text = families_overview(families, width)
    assert max(map(len, text.splitlines())) <= width
    shown = blocks(text)
    assert list(shown) == list(families)
    for name, family in families.items():
        words = " ".join(shown[name].split())
        assert f"{family.horizon} steps" in words
        assert all(f"{split}:" in words for split in family.splits)
        assert ", ".join(family.backends) in words
        assert family.observation_space.shape is not None
        assert f"observations {family.observation_space.shape[0]}, actions " in words
        assert all(f"{value:g}" in words for value in family.floors.values())
        assert all(range_.unit in words for range_ in family.parameters.values())
        if len(family.parameters) <= 4:
            assert all(parameter in words for parameter in family.parameters)


def test_one_listing_by_hand():
    text = families_overview({"half-cheetah-velocity": make_family("half-cheetah-velocity")}, 80)
    assert text.splitlines() == [
        "half-cheetah-velocity",
        "    train: velocity 0…3 m/s",
        "    test: other tasks of the same ranges",
        "    ood: velocity 3…4 m/s",
        "    200 steps; observations 17, actions 6; native, sync, async",
        "    zero action -300, random -349, reference -44 (per episode)",
    ]


def test_many_parameters_of_one_range_are_summed_up():
    text = families_overview({"walker2d-physics": make_family("walker2d-physics")}, 200)
    assert re.search(r"train: mass_torso, mass_thigh, mass_leg and \d+ more 0.296296…3.375", text)


def test_many_choices_are_summed_up():
    text = families_overview({"drawn": family_of(Walk, {"scale": Choice(range(1, 81))})}, 80)
    assert "train: scale 80 choices from 1 to 80" in text


def test_broken_plug_ins_are_listed_with_the_reason(monkeypatch, capsys):
    points = [
        EntryPoint("whole", f"{__name__}:WALK", registry.ENTRY_POINT_GROUP),
        EntryPoint("broken", "no_such_module:family", registry.ENTRY_POINT_GROUP),
        EntryPoint("crashing", f"{__name__}:crash", registry.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert main(["families"]) == 0
    shown = blocks(capsys.readouterr().out)
    assert "train: scale 0.5…2" in shown["whole"]
    assert "cannot be made: FamilyError: 'no_such_module:family': module" in shown["broken"]
    assert "cannot be made: ZeroDivisionError: division by zero" in shown["crashing"]
    assert "point-goal" in shown


def crash():
    return 1 / 0


def test_one_family_is_described(capsys):
    assert main(["families", "half-cheetah-velocity"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for text in (
        "The planar cheetah runs",
        "- Reward: `-|v_x - velocity|",
        "parameter unit train, test ood",
        "velocity m/s 0…3 3…4",
        "horizon 200 steps",
        "actions 6, in [-1, 1]",
        "metarl-gan train --family half-cheetah-velocity",
        'gymnasium.make("metarl_gan/HalfCheetahVelocity-v0", task=...)',
    ):
        assert text in out


def test_a_page_fits_a_terminal():
    output = io.StringIO()
    page = family_page(
        "walker2d-physics",
        make_family("walker2d-physics"),
        documentation=registry.family_documentation("walker2d-physics"),
        gymnasium_id=None,
        width=80,
    )
    Console(file=output, width=80, force_terminal=True, color_system=None).print(page)
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(
        re.match(r"  mass_torso +of Gymnasium's +0.296296…3.375 +0.19\d+…5.0625", s) for s in lines
    )


def test_a_family_from_a_file_is_described_and_checked(tmp_path, capsys):
    path = tmp_path / "light.yaml"
    path.write_text(PENDULUM)
    assert main(["families", str(path)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"g +m/s\^2 +5…15", out)
    assert "ParametricFamily" not in out
    assert "gymnasium.make" not in out
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.startswith("light: 15 checks passed")


def test_problems_are_listed_with_exit_code_1(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["check", "tests.envs.broken:Overlapping"])
    assert stop.value.code == FAULTY
    captured = capsys.readouterr()
    assert captured.out.startswith("family 'plain' has 1 problem(s):\n  1. splits 'train' and 'tes")
    assert captured.err == ""


def test_warnings_do_not_fail(capsys):
    assert main(["check", "tests.envs.broken:Early", "--seconds", "20"]) == 0
    assert "\n  warning: no time limit was seen" in capsys.readouterr().out


def test_what_is_no_family_is_a_mistake(capsys):
    for command in ("check", "families"):
        assert main([command, "point-gaol"]) == MISTAKE
        assert "did you mean 'point-goal'" in capsys.readouterr().err
