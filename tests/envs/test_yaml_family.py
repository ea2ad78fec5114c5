"""Families from YAML files: what they become, and what is said of mistakes."""

import os

import gymnasium
import numpy as np
import pytest

from metarl_gan.envs import (
    Choice,
    DiskRadius,
    FamilyError,
    LogUniform,
    Uniform,
    Union,
    check_family,
    make_family,
)
from metarl_gan.envs.registry import lasting_reference
from tests.envs.toys import Walk, family_of

NOT_CALLABLE = 3

PENDULUM = """
name: heavy-pendulum
env: Pendulum-v1
horizon: 100
parameters:
  g: {uniform: [5, 15], unit: m/s^2}
  m: {log_uniform: [5e-1, 2.0], unit: kg}
  max_torque: {choice: [1.5, 2.0], unit: N m}
splits:
  test: {}
  ood:
    g: {union: [{uniform: [2, 4]}, {uniform: [16, 18]}], unit: m/s^2}
floors: {zero_action: -600, random: -6.1e2}
"""


def walk(scale, length=1000.0):
    return Walk(scale, length)


def modal(mode, scale):
    return Walk(scale)


def louder(env, gain):
    return gymnasium.wrappers.TransformReward(env, lambda reward: reward * gain)


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="my-walk.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write_file


def test_every_key_reaches_the_family(write):
    family = make_family(write(PENDULUM))
    assert (family.name, family.horizon, family.splits) == (
        "heavy-pendulum",
        100,
        ("train", "test", "ood"),
    )
    assert family.parameters == {
        "g": Uniform(5.0, 15.0, unit="m/s^2"),
        "m": LogUniform(0.5, 2.0, unit="kg"),
        "max_torque": Choice([1.5, 2.0], unit="N m"),
    }
    gaps = Union([Uniform(2.0, 4.0, unit="m/s^2"), Uniform(16.0, 18.0, unit="m/s^2")])
    assert family.task_space.ranges("ood")["g"] == gaps
    assert family.floors == {"zero_action": -600.0, "random": -610.0}
    [task] = family.sample(1, split="ood", seed=0)
    assert family.make(task).get_wrapper_attr("g") == task.parameters["g"]


def test_a_callable_and_a_wrapper_are_imported(write):
    text = f"""
env: {__name__}:walk
wrapper: {__name__}:louder
horizon: 10
parameters:
  scale: {{uniform: [0.5, 2]}}
  wrapper.gain: {{disk_radius: [1, 3]}}
splits: [train]
"""
    family = make_family(write(text))
    assert family.name == "my-walk"
    assert family.splits == ("train",)
    assert family.parameters["wrapper.gain"] == DiskRadius(1.0, 3.0)
    env = family.make(family.task(**{"scale": 2.0, "wrapper.gain": 3.0}))
    env.reset(seed=0)
    assert env.step(np.array([0.5], np.float32))[1] == pytest.approx(3.0)


def test_the_front_door_takes_files(write):
    assert check_family(write(PENDULUM)).family == "heavy-pendulum"


def test_a_named_family_with_options(write):
    family = make_family(write("family: point-sparse\noptions: {horizon: 20}"))
    assert (family.name, family.horizon) == ("point-sparse", 20)
    assert make_family(write("family: point-goal", "x.yml")).name == "point-goal"
    assert make_family(write(f"family: {__name__}:FAMILY")).name == "walk"


FAMILY = family_of(Walk, name="walk")


def test_what_is_quoted_is_a_name(write):
    text = f"""
env: {__name__}:modal
horizon: 10
parameters:
  mode: {{choice: ["1e-3", "on"]}}
  scale: {{choice: [1e-3, 2]}}
"""
    family = make_family(write(text))
    assert family.parameters == {"mode": Choice(["1e-3", "on"]), "scale": Choice([1e-3, 2])}


def test_a_path_lasts_when_the_working_folder_changes(write, tmp_path, monkeypatch):
    path = write(PENDULUM)
    monkeypatch.chdir(tmp_path)
    lasting = lasting_reference("my-walk.yaml")
    assert lasting == os.path.realpath(path)
    monkeypatch.chdir("/")
    assert make_family(lasting).name == "heavy-pendulum"
    assert lasting_reference("point-goal") == "point-goal"
    assert lasting_reference("package.module:attribute") == "package.module:attribute"


GOOD = "env: Pendulum-v1\nhorizon: 10\nparameters: {g: {uniform: [5, 15]}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "horizn: 3", "horizn: unknown; nearest: horizon"),
        (GOOD + "zzz: 3", "zzz: unknown; there are env, parameters, horizon, name"),
        ("env: Pendulum-v1", "parameters, horizon: missing; give env, parameters, horizon"),
        (GOOD + "horizon: 20", r"cannot be parsed: 'horizon' is given twice, again in line 4"),
        ("[1, 2]", "must map names to values"),
        ("", "must map names to values"),
        ("1: 2", "must map names to values"),
        ("a: [", "cannot be parsed: .*line 1"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be parsed: could not determine a con"),
        (GOOD.replace("10", "0"), "horizon is 0"),
        (GOOD.replace("10", "ten"), "horizon is 'ten'"),
        (GOOD.replace("uniform", "unifrom"), r"parameters\.g\.unifrom: unknown; nearest: uniform"),
        (GOOD.replace("[5, 15]", "[15, 5]"), r"parameters\.g: Uniform\(.*low < high"),
        (GOOD.replace("[5, 15]", "[5]"), r"parameters\.g\.uniform: is \[5\]; give \[low, high\]"),
        (GOOD.replace("[5, 15]", "[5, b]"), r"parameters\.g\.uniform: is 'b'; give a number"),
        (GOOD.replace("[5, 15]", "5"), r"parameters\.g\.uniform: is 5; give a list"),
        (GOOD.replace("{uniform: [5, 15]}", "5"), r"parameters\.g: is 5; give names with values"),
        (GOOD.replace("{uniform: [5, 15]}", "{unit: m}"), "give one of uniform, log_uniform"),
        (GOOD.replace("uniform: [5, 15]", "choice: [on, off]"), "put yes, no, on and off in quot"),
        (GOOD.replace("uniform: [5, 15]", "choice: []"), r"parameters\.g: Choice.*at least one"),
        (
            GOOD.replace("uniform: [5, 15]", "union: [{choice: [1]}]"),
            r"parameters\.g\.union: is \{'choice': \[1\]\}; give ranges",
        ),
        (GOOD.replace("uniform: [5, 15]", "uniform: [5, 15], unit: 3"), "unit: is 3; give a text"),
        (GOOD.replace("g:", "q:"), "'q'.*has no attribute 'q'"),
        (GOOD.replace("Pendulum-v1", "Pendulum-v99"), "'Pendulum-v99' cannot be made"),
        (GOOD.replace("Pendulum-v1", "no_such_module:x"), "env: 'no_such_module:x': module 'no_s"),
        (GOOD.replace("Pendulum-v1", f"{__name__}:NOT_CALLABLE"), "is 3, which cannot be called"),
        (GOOD + "wrapper: flatten", "wrapper: is 'flatten'; give 'package.module:callable'"),
        (GOOD + "splits: {ood: {m: {uniform: [1, 2]}}}", r"unknown parameter \['m'\]"),
        (GOOD + "splits: {odd: {g: {uniform: [1, 2]}}}", r"unknown split.*'odd'"),
        (GOOD + "splits: {ood: {g: {uniform: 1}}}", r"splits\.ood\.g\.uniform: is 1; give a list"),
        (GOOD + "floors: {random: low}", r"floors\.random: is 'low'; give a number"),
        ("family: point-gaol", "did you mean 'point-goal'"),
        ("family: other.yaml", "family: is 'other.yaml'; give a name or 'module:attribute'"),
        ("family: point-goal\nenv: Pendulum-v1", "env: unknown; there are family, options"),
        ("family: point-goal\noptions: {threads: 2}", r"'threads'; its options are \[\]"),
        ("family: point-goal\noptions: 3", "options: is 3; give names with values"),
    ],
)
def test_mistakes_name_the_file_and_the_key(write, text, message):
    path = write(text)
    with pytest.raises(FamilyError, match=message) as raised:
        make_family(path)
    assert str(raised.value).startswith(path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FamilyError, match=r"family file '.*nothing\.yaml' cannot be read: No such"):
        make_family(str(tmp_path / "nothing.yaml"))


def test_options_belong_into_the_file(write):
    with pytest.raises(FamilyError, match="unexpected keyword argument 'threads'"):
        make_family(write(GOOD), threads=2)
