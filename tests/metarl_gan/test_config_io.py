"""Settings by dotted name: one validation for mappings, files and flags."""

import math
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import (
    Layer,
    dump_json,
    dump_yaml,
    from_plain,
    nearest_names,
    override,
    read_config_file,
    resolve,
    setting_types,
    to_plain,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    low: float = 0.0
    high: float = 1.0
    sizes: tuple[int, ...] = (64, 64)
    window: tuple[int, float] = (3, 0.5)
    mode: Literal["none", "fast"] = "fast"

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(f"inner.low ({self.low}) must be below inner.high ({self.high})")


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int = 5
    limit: int | None = None
    name: str = "a"
    flag: bool = True
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("name", "given_value", "expected"),
    [
        ("steps", "3", 3),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", "12", 12),
        ("name", "3", "3"),
        ("flag", "false", False),
        ("flag", "ON", True),
        ("inner.low", "-1e-3", -0.001),
        ("inner.low", -2, -2.0),
        ("inner.sizes", "32,16", (32, 16)),
        ("inner.sizes", "(32, 16)", (32, 16)),
        ("inner.sizes", [8], (8,)),
        ("inner.sizes", "8", (8,)),
        ("inner.sizes", "[]", ()),
        ("inner.window", "4 0.25", (4, 0.25)),
        ("inner.mode", "none", "none"),
    ],
)
def test_values_are_read_by_the_type_of_the_setting(name, given_value, expected):
    value = override(Outer(), {name: given_value})
    for part in name.split("."):
        value = getattr(value, part)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("steps", "three", "a whole number"),
        ("steps", 3.0, "a whole number"),
        ("steps", True, "a whole number"),
        ("limit", "many", "a whole number or none"),
        ("name", 3, "a text"),
        ("flag", 1, "true or false"),
        ("flag", "maybe", "true or false"),
        ("inner.low", "nan", "a number"),
        ("inner.low", math.inf, "a number"),
        ("inner.low", False, "a number"),
        ("inner.sizes", 64, "a list, each item a whole number"),
        ("inner.sizes", [64, "x"], "a list, each item a whole number"),
        ("inner.window", [1, 2.0, 3.0], "2 values: a whole number, a number"),
        ("inner.mode", "slow", "one of none, fast"),
        ("inner.mode", None, "one of none, fast"),
    ],
)
def test_a_wrong_type_names_value_source_and_what_is_expected(name, value, expected):
    with pytest.raises(ConfigError) as caught:
        override(Outer(), {name: value}, source="my.yaml")
    assert str(caught.value) == f"{name} is {value!r} (from my.yaml); expected {expected}"


def test_an_unknown_name_gets_the_nearest_valid_ones():
    with pytest.raises(
        ConfigError, match=r"unknown setting 'stepz' \(from flags\); nearest: steps"
    ):
        override(Outer(), {"stepz": 1}, source="flags")
    with pytest.raises(ConfigError, match=r"nearest: inner\.mode"):
        override(Outer(), {"mode": "fast"})
    with pytest.raises(ConfigError, match=r"there are: steps, limit, name, flag, inner\.low"):
        override(Outer(), {"qqqq": 1})
    assert nearest_names("learner.inner_step", list(setting_types(Config)))[0] == (
        "learner.inner_steps"
    )


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        override(Outer(), {"stepz": 1, "flag": 3, "inner": 4})
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("inner is 4 (from overrides); it is a group of settings: set inner.")


def test_nested_dotted_hyphenated_and_dataclass_forms_are_one():
    expected = Outer(inner=Inner(low=0.25))
    for form in (
        {"inner.low": 0.25},
        {"inner": {"low": 0.25}},
        {"inner": Inner(low=0.25)},
    ):
        assert override(Outer(), form) == expected
    assert override(Config(), {"learner.inner-steps": 3}).learner.inner_steps == 3
    with pytest.raises(ConfigError, match=r"inner\.low is given twice"):
        override(Outer(), {"inner.low": 0.1, "inner": {"low": 0.2}})


def test_only_the_result_is_validated():
    # Each override alone contradicts the other setting's default.
    assert override(Outer(), {"inner.low": 5.0, "inner.high": 6.0}).inner.low == 5.0
    file = Layer(source="file", values={"inner.low": 5.0})
    assert resolve(Outer(), file, Layer(source="flags", values={"inner.high": 9})).inner.high == 9
    with pytest.raises(ConfigError, match=r"inner\.low \(5\.0\) must be below"):
        resolve(Outer(), file)


def test_flags_win_over_file_and_file_over_preset(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("steps: 2\ninner:\n  low: 1e-3\n  high: 2\nname: file\n")
    preset = Outer(steps=1, name="preset", flag=False)
    config = resolve(preset, read_config_file(path), Layer(source="flags", values={"steps": "3"}))
    assert config == Outer(steps=3, name="file", flag=False, inner=Inner(low=0.001, high=2.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [", "cannot be parsed"),
        ("- 3", "must map settings to values"),
        ("steps: 1\nsteps: 2", r"'steps' \(again in line 2\) twice"),
        ("inner:\n  low: 1\n  low: 2", r"'low' \(again in line 3\) twice"),
        ("!!python/object/apply:os.getcwd []", "cannot be parsed"),
        ("name: !!python/name:os.getcwd", "cannot be parsed"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config_file(path)
    assert str(path) in str(caught.value)


def test_a_repeated_json_key_is_refused_too(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"inner": {"low": 1, "low": 2}}')
    with pytest.raises(ConfigError, match="gives 'low' twice"):
        read_config_file(path)


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read config file .*none\.yaml: No such file"):
        read_config_file(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert resolve(Outer(), read_config_file(tmp_path / "empty.yaml")) == Outer()


@given(
    st.builds(
        Outer,
        steps=st.integers(),
        limit=st.none() | st.integers(),
        # Control characters and lone surrogates have no place in a YAML stream.
        name=st.text(st.characters(exclude_categories=["Cs", "Cc"])),
        flag=st.booleans(),
        inner=st.builds(
            Inner,
            low=st.floats(-1e9, 0.0, exclude_max=True),
            high=st.floats(1e-300, 1e300),
            sizes=st.lists(st.integers(1, 999)).map(tuple),
        ),
    )
)
def test_yaml_and_json_round_trips_are_exact(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("round")
    for name, text in {"a.yaml": dump_yaml(config), "a.json": dump_json(config)}.items():
        (folder / name).write_text(text, encoding="utf-8")
        layer = read_config_file(folder / name)
        assert from_plain(Outer, layer.values, layer.source) == config


def test_the_whole_config_round_trips():
    config = override(
        Config(), {"learner.outer_lr": 3e-05, "max_real_steps": 10, "policy.hidden_sizes": "8,4"}
    )
    assert from_plain(Config, to_plain(config), "test") == config
    assert config.policy.hidden_sizes == (8, 4)
