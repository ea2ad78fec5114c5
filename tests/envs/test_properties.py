"""What holds for any ranges, splits, seeds, tasks and names, tried on generated cases."""

import itertools
import math
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import yaml
from gymnasium.envs.registration import parse_env_id
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from metarl_gan.envs import (
    Choice,
    DiskRadius,
    FamilyError,
    LogUniform,
    TaskFamily,
    TaskSpace,
    Uniform,
    Union,
    list_families,
    make_family,
    register_family,
    registry,
)
from metarl_gan.envs.checks.trace import play, play_rows
from metarl_gan.envs.gymnasium_ids import gymnasium_id
from metarl_gan.envs.plug_in.yaml_family import family_from_yaml
from metarl_gan.envs.task import parameter_text
from metarl_gan.envs.task_lookup import find_task
from tests.envs.broken import Batched, PlainFamily
from tests.envs.toys import Walk

# Machines may be busy: how long it takes to generate a case says nothing.
few, fewer = (
    settings(
        max_examples=n,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    for n in (40, 15)
)

seeds = st.integers(0, 2**31 - 1)
widths = st.floats(1e-3, 1e3)
units = st.sampled_from(["", "m/s", "kg"])
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@st.composite
def uniforms(draw):
    low = draw(st.floats(-1e3, 1e3))
    return Uniform(low, low + draw(widths), draw(units))


@st.composite
def log_uniforms(draw):
    low = draw(st.floats(1e-3, 1e3))
    return LogUniform(low, low * draw(st.floats(1.01, 100.0)), draw(units))


@st.composite
def disk_radii(draw):
    low = draw(st.floats(0.0, 1e3))
    return DiskRadius(low, low + draw(widths), draw(units))


@st.composite
def unions(draw):
    parts, low, unit = [], draw(st.floats(-1e3, 1e3)), draw(units)
    for _ in range(draw(st.integers(1, 3))):
        parts.append(Uniform(low, low + draw(widths), unit))
        low = parts[-1].high + draw(widths)
    return Union(draw(st.permutations(parts)))


numbers = st.lists(st.floats(-1e3, 1e3).map(lambda x: x + 0.0), min_size=1, max_size=6, unique=True)
whole = st.lists(st.integers(-99999, 99999), min_size=1, max_size=6, unique=True)
names = st.lists(texts | st.just("a=1,b='"), min_size=1, max_size=6, unique=True)
choices = (numbers | whole | names).map(Choice)
continuous = uniforms() | log_uniforms() | disk_radii() | unions()
ranges = continuous | choices


@st.composite
def spaces(draw, of=ranges):
    """Task spaces; where a range is uniform, the ood split has one that is three times as wide."""
    parameters = draw(st.dictionaries(texts, of, min_size=1, max_size=3))
    widened = {
        name: Uniform(2 * range_.low - range_.high, 2 * range_.high - range_.low)
        for name, range_ in parameters.items()
        if isinstance(range_, Uniform)
    }
    overrides = {"ood": widened} if widened else {}
    try:
        return TaskSpace(parameters=parameters, overrides=overrides)
    except FamilyError as error:
        assume("has no task" not in str(error))
        raise


class Imagined(TaskFamily):
    """Has tasks, and nothing to play them in."""

    def __init__(self, space):
        super().__init__(
            name="any",
            task_space=space,
            observation_space=Walk.observation_space,
            action_space=Walk.action_space,
            horizon=10,
        )

    def make(self, task, *, render_mode=None):
        raise NotImplementedError


@few
@given(ranges, seeds)
def test_draws_are_inside_and_normalised_in_order(range_, seed):
    first, second = (
        [range_.sample(rng) for _ in range(5)] for rng in map(np.random.default_rng, (seed, seed))
    )
    assert first == second
    assert all(range_.contains(value) for value in first)
    scaled = [range_.normalise(value) for value in first]
    assert all(-1 - 1e-9 <= value <= 1 + 1e-9 for value in scaled)
    if not isinstance(first[0], str):
        by_value = sorted(range(5), key=lambda place: float(first[place]))
        assert all(
            scaled[left] <= scaled[right] + 1e-9 for left, right in itertools.pairwise(by_value)
        )


@few
@given(continuous)
def test_the_bounds_are_in_the_range_and_become_minus_one_and_one(range_):
    assert range_.contains(range_.low)
    assert range_.contains(range_.high)
    assert range_.normalise(range_.low) == pytest.approx(-1, abs=1e-6)
    assert range_.normalise(range_.high) == pytest.approx(1, abs=1e-6)
    assert not range_.contains(np.nextafter(range_.low, -math.inf))
    assert not range_.contains(np.nextafter(range_.high, math.inf))
    assert not range_.contains("low")


@few
@given(disk_radii(), seeds)
def test_radii_of_a_disk_are_uniform_by_area(range_, seed):
    rng = np.random.default_rng(seed)
    radii = np.array([range_.sample(rng) for _ in range(400)])
    areas = (radii**2 - range_.low**2) / (range_.high**2 - range_.low**2)
    assert abs(areas.mean() - 0.5) < 0.1  # 7 standard errors


@few
@given(unions(), seeds)
def test_a_union_draws_from_its_parts_by_their_length(range_, seed):
    rng = np.random.default_rng(seed)
    values = [range_.sample(rng) for _ in range(400)]
    lengths = np.array([part.length for part in range_.parts])
    shares = [np.mean([part.contains(value) for value in values]) for part in range_.parts]
    assert sum(shares) == pytest.approx(1.0)
    np.testing.assert_allclose(shares, lengths / lengths.sum(), atol=0.16)  # 6 standard errors


@fewer
@given(spaces(), seeds, st.integers(1, 20))
def test_splits_never_overlap_and_depend_on_the_seed_alone(space, seed, n):
    seen: dict[str, str] = {}
    for split in space.splits:
        drawn = space.sample(n, split=split, seed=seed)
        assert drawn == space.sample(n, split=split, seed=seed)
        assert drawn == space.sample(n + 5, split=split, seed=seed)[:n]
        assert all(space.split_of(parameters) == split for parameters in drawn)
        for parameters in drawn + space.sample(n, split=split, seed=seed + 1):
            assert seen.setdefault(parameter_text(parameters), split) == split


@fewer
@given(spaces(uniforms()), seeds)
def test_what_is_out_of_distribution_is_outside_of_train_and_test(space, seed):
    for parameters in space.sample(10, split="ood", seed=seed):
        for split in ("train", "test"):
            inside = (
                range_.contains(parameters[name]) for name, range_ in space.ranges(split).items()
            )
            assert not all(inside)


@fewer
@given(spaces(choices), seeds)
def test_a_finite_split_deals_every_task_before_any_comes_again(space, seed):
    for split in space.splits:
        dealt = [parameter_text(p) for p in space.sample(300, split=split, seed=seed)]
        size = len(set(dealt))
        assert all(
            len(set(dealt[start : start + size])) == size for start in range(0, 300 - size, size)
        )


@few
@given(spaces(), seeds)
def test_a_task_is_found_again_by_its_id_and_by_its_parameters(space, seed):
    family = Imagined(space)
    for split in family.splits:
        for task in family.sample(3, split=split, seed=seed):
            for found in (find_task(family, task.id), find_task(family, task.parameters)):
                assert found == task
                assert found.parameters == task.parameters
                np.testing.assert_array_equal(found.descriptor, task.descriptor)


@few
@given(spaces(), seeds)
def test_ids_are_equal_where_parameters_are_and_descriptors_are_scaled(space, seed):
    family = Imagined(space)
    tasks = family.sample(20, seed=seed)
    for one in tasks:
        assert one.descriptor.shape == (len(space.parameters),)
        assert np.abs(one.descriptor).max() <= 1 + 1e-6
        for other in tasks:
            assert (one == other) == (one.parameters == other.parameters)
            assert hash(one) == hash(other) or one != other


@few
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_numbers_in_ids_are_exact(number):
    assert float(parameter_text({"x": number}).removeprefix("x=")) == number


FAMILIES = {
    "arrays": Batched,
    "loop": PlainFamily,
    "pendulum": lambda: make_family("pendulum-physics"),
}
stepped = st.sampled_from(sorted(FAMILIES))


@fewer
@given(stepped, seeds, st.integers(1, 3), st.integers(1, 3))
def test_rows_play_as_single_environments_of_their_seeds(name, seed, n_tasks, envs_per_task):
    family = FAMILIES[name]()
    tasks = family.sample(n_tasks, seed=seed)
    rows = play_rows(family.make_vec(tasks, envs_per_task), steps=12, seed=seed)
    again = play_rows(family.make_vec(tasks, envs_per_task), steps=12, seed=seed)
    for row, trace in enumerate(rows):
        alone = play(family.make(tasks[row // envs_per_task]), steps=12, seed=seed + row)
        assert trace.first_difference(alone, 1e-6) is None
        assert trace.difference(again[row]) == 0


@fewer
@given(stepped, seeds, st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 5))
def test_resets_of_some_rows_leave_the_others_alone(name, seed, mask, when):
    family = FAMILIES[name]()
    tasks = family.sample(2, seed=seed)
    actions = np.random.default_rng(seed).uniform(-1, 1, (9, 4, 1)).astype(np.float32)

    def observed(interrupted):
        venv = family.make_vec(tasks, 2)
        venv.reset(seed=seed)
        seen = []
        for step, action in enumerate(actions):
            if interrupted and step == when:
                venv.reset(seed=seed + 7, options={"reset_mask": np.array(mask)})
            seen.append(venv.step(action)[0])
        return np.stack(seen)

    plain, interrupted = observed(interrupted=False), observed(interrupted=True)
    untouched = ~np.array(mask)
    np.testing.assert_array_equal(plain[:, untouched], interrupted[:, untouched])


@few
@given(texts)
def test_a_registered_name_is_a_family_and_an_id(name):
    factories, known = dict(registry._factories), dict(gymnasium.registry)
    family = PlainFamily()
    try:
        register_family(name, lambda: family)
    except FamilyError:
        # Refused names change nothing.
        assert (registry._factories, dict(gymnasium.registry)) == (factories, known)
        return
    try:
        assert make_family(name) is family
        assert name in list_families()
        namespace, _, version = parse_env_id(gymnasium_id(name))
        assert (namespace, version) == ("metarl_gan", 0)
        assert gymnasium.make(gymnasium_id(name)).spec is not None
    finally:
        registry._factories.clear()
        registry._factories.update(factories)
        gymnasium.registry.clear()
        gymnasium.registry.update(known)


def as_yaml(range_):
    kinds = {Uniform: "uniform", LogUniform: "log_uniform", DiskRadius: "disk_radius"}
    if isinstance(range_, Choice):
        return {"choice": list(range_.values), "unit": range_.unit}
    if isinstance(range_, Union):
        return {"union": [as_yaml(part) for part in range_.parts]}
    return {kinds[type(range_)]: [range_.low, range_.high], "unit": range_.unit}


@few
@given(range_=continuous | choices, horizon=st.integers(1, 500))
def test_ranges_survive_a_yaml_file(tmp_path_factory, range_, horizon):
    path: Path = tmp_path_factory.getbasetemp() / "family.yaml"
    content = {
        "env": f"{__name__}:anything",
        "horizon": horizon,
        "parameters": {"q": as_yaml(range_)},
        "splits": ["train"],
    }
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    family = family_from_yaml(path, make_family)
    assert family.parameters == {"q": range_}
    assert (family.name, family.horizon) == ("family", horizon)


def anything(q):
    return PlainFamily().make(PlainFamily().task(scale=1.0))
