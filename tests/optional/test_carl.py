"""CARL's environments as families, with the package itself: `make test-carl`."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metarl_gan
from metarl_gan.envs import FamilyError, Uniform, check_family, make_family
from tests.metarl_gan import tiny

pytest.importorskip("carl", reason="CARL is not installed here; `make test-carl` installs it")

ROOT = Path(__file__).parents[2]
G = {"g": Uniform(5.0, 15.0, unit="m/s^2")}


def rewards(family, **context) -> np.ndarray:
    env = family.make(family.task(**context))
    env.reset(seed=0)
    return np.array([env.step(np.ones(1, np.float32))[1] for _ in range(50)])


def test_context_features_become_parameters_that_nobody_observes():
    family = make_family("carl/CARLPendulum", context={**G, "m": Uniform(0.5, 2.0)})
    assert family.name == "CARLPendulum"
    assert family.horizon == 200
    assert list(family.parameters) == ["g", "m"]
    assert family.observation_space.shape == (3,)
    env: Any = family.make(family.task(g=7.0, m=1.5))
    for _ in range(3):  # reset keeps the task
        observation, _ = env.reset(seed=0)
        assert (env.unwrapped.g, env.unwrapped.m, env.unwrapped.l) == (7.0, 1.5, 1.0)
        assert family.observation_space.contains(observation)
    check_family(family)


def test_the_class_serves_as_its_name_does():
    from carl.envs import CARLPendulum  # type: ignore[import-not-found]

    by_class = make_family(CARLPendulum, context=G, horizon=20, name="pendulum")
    assert (by_class.name, by_class.horizon) == ("pendulum", 20)
    by_name = make_family("carl/CARLPendulum", context={"g": (5, 15)})
    assert rewards(by_class, g=6.0)[:20].tolist() == rewards(by_name, g=6.0)[:20].tolist()


def test_bounds_of_carl_are_the_ranges_where_none_are_given():
    family = make_family("carl/CARLCartPole")
    assert family.parameters["masscart"] == Uniform(0.1, 10.0)
    assert "gravity" not in family.parameters  # without a bound
    assert list(make_family("carl/CARLCartPole", context=["length"]).parameters) == ["length"]
    check_family(make_family("carl/CARLCartPole", context=["length", "force_mag"]))


def test_the_gravity_of_carls_pendulum_does_nothing_and_is_found_out():
    family = make_family("carl/CARLPendulum", context={**G, "gravity": Uniform(5.0, 15.0)})
    low, high = (rewards(family, g=10.0, gravity=gravity) for gravity in (5.0, 15.0))
    assert np.abs(low - high).max() == 0
    assert np.abs(low - rewards(family, g=12.0, gravity=5.0)).max() > 0.1
    with pytest.raises(FamilyError, match=r"'gravity'") as raised:
        check_family(family)
    assert "'g'" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("carl/CARLPendulm", {}, r"did you mean \['CARLPendulum'"),
        ("carl/CARLPendulum", {}, r"no finite bounds to any feature.*g \(0…inf, default 10"),
        ("carl/CARLPendulum", {"context": ["g"]}, r"no finite bounds to \['g'\]"),
        (
            "carl/CARLPendulum",
            {"context": {"gee": Uniform(1, 2)}},
            r"no context features \['gee'\]",
        ),
        ("carl/CARLPendulum", {"context": {"m": Uniform(-1, 2)}}, "lies in 1e-06…inf"),
        ("carl/CARLPendulum", {"context": {"m": [1]}}, r"'m' is \[1\]; give \(low, high\)"),
    ],
)
def test_what_is_not_there_is_refused(name, options, message):
    with pytest.raises(FamilyError, match=message):
        make_family(name, **options)


def test_carl_is_trained_on_and_evaluated(tmp_path):
    family = make_family("carl/CARLPendulum", context=G)
    config = tiny.tiny_config(family="CARLPendulum", iterations=3)
    agent = metarl_gan.train(family, config, out=tmp_path / "run", progress=False)
    assert agent.real_steps >= 3 * 4 * 2 * 200
    report = metarl_gan.evaluate(agent, family, split="test", tasks=4, episodes=1)
    assert report.returns.shape == (4, 2)
    assert np.isfinite(report.returns).all()
    assert report.successes is None


def test_what_the_page_says_runs():
    text = (ROOT / "docs" / "plug-in-adapters.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python carl\n(.*?)```", text, flags=re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "plug-in-adapters.md", "exec"), {"__name__": "page"})
