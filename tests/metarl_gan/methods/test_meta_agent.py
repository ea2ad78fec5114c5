"""Our agents as methods: settings, budgets, honest accounting, learning curves."""

import pytest

from metarl_gan import presets
from metarl_gan.agents.collector import play
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import flat, to_plain
from metarl_gan.methods.meta_agent import learning_curve
from metarl_gan.methods.registry import make_method
from metarl_gan.run_log import RunLog
from tests.metarl_gan import tiny
from tests.metarl_gan.counting import require_honest_accounting

SETTINGS = {k: v for k, v in tiny.TINY.items() if k not in {"family", "iterations"}}
BUDGET = 150


SAC = {"sac.hidden_sizes": (8,), "sac.warm_up_real_steps": 20, "sac.initial_updates": 2}


@pytest.mark.parametrize(
    ("name", "family", "own"),
    [
        ("maml", tiny.walk, {}),
        ("reptile-no-generator", tiny.steer, {}),
        ("context-sac-no-generator", tiny.walk, SAC),
        ("sb3-reptile-dqn-no-generator", tiny.steer, {}),
    ],
)
def test_every_step_is_counted_and_none_beyond_the_budget(name, family, own, tmp_path):
    method = make_method(name, {**SETTINGS, **own})
    trained = require_honest_accounting(method, family(), tmp_path / "run", max_real_steps=BUDGET)
    # Another meta-iteration might have gone beyond: one takes up to 4 × 2 × 6 steps.
    assert trained.real_steps > BUDGET - 2 * 48
    *_, last = trained.learning_curve
    assert last.real_steps == trained.real_steps  # the end of a budget is validated
    assert last.seconds == pytest.approx(trained.training_seconds)


def test_a_method_that_takes_more_than_it_says_is_found_out(tmp_path, monkeypatch):
    def forgetful(*args, **kwargs):
        collection = play(*args, **kwargs)
        object.__setattr__(collection, "real_steps", collection.real_steps - 1)
        return collection

    monkeypatch.setattr("metarl_gan.trainer.play", forgetful)
    with pytest.raises(AssertionError):
        require_honest_accounting(
            make_method("maml-no-generator", SETTINGS),
            tiny.walk(),
            tmp_path / "run",
            max_real_steps=BUDGET,
        )


def test_an_interrupted_run_goes_on_to_the_same(tmp_path, monkeypatch):
    family, method = tiny.walk(), make_method("maml-no-generator", SETTINGS)
    whole = method.train(family, seed=3, max_real_steps=BUDGET, folder=tmp_path / "whole")
    iterate = "metarl_gan.training_run.Trainer.meta_iteration"
    with monkeypatch.context() as patch:
        patch.setattr(iterate, stop)
        with pytest.raises(KeyboardInterrupt):
            method.train(family, seed=3, max_real_steps=BUDGET, folder=tmp_path / "parts")
    parts = method.train(family, seed=3, max_real_steps=BUDGET, folder=tmp_path / "parts")
    tasks = family.sample(2, split="test", seed=0)
    ours, theirs = (
        trained.adaptation_curve(tasks, 1, seed=0, scored_episodes=1).returns
        for trained in (parts, whole)
    )
    assert (ours == theirs).all()
    assert parts.real_steps == whole.real_steps


def stop(*_args):
    raise KeyboardInterrupt


def test_settings_are_all_but_seed_budget_and_family():
    family = tiny.walk()
    settings = make_method("fomaml", {"learner.inner_steps": "3"}).settings(family)
    known = flat(to_plain(Config()))
    assert set(known) - set(settings) == {"family", "seed", "max_real_steps", "iterations"}
    assert settings["learner.algorithm"] == "fomaml"
    assert settings["learner.inner_steps"] == 3
    assert "iterations" in make_method("maml", {"iterations": 3}).settings(family)


def test_presets_are_those_of_the_family(monkeypatch):
    monkeypatch.setitem(presets.BY_FAMILY, "walk", {"default": {"learner.inner_steps": 9}})
    assert make_method("maml").settings(tiny.walk())["learner.inner_steps"] == 9
    overridden = make_method("maml", {"learner.inner_steps": 4})
    assert overridden.settings(tiny.walk())["learner.inner_steps"] == 4
    assert make_method("maml", preset="quick").settings(tiny.walk())["learner.inner_steps"] != 9


def test_without_a_generator_it_is_the_same_agent():
    ours, theirs = (
        make_method(name).settings(tiny.walk()) for name in ("reptile", "reptile-no-generator")
    )
    assert {name for name in ours if ours[name] != theirs[name]} == {"generated"}


def test_the_least_budget_is_that_of_one_meta_iteration(tmp_path):
    family, method = tiny.walk(), make_method("maml-no-generator", SETTINGS)
    assert method.least_real_steps(family) == 4 * (1 + 1) * 6
    with pytest.raises(ConfigError, match="max_real_steps is 47"):
        method.train(family, seed=0, max_real_steps=47, folder=tmp_path / "run")


def test_a_simulator_is_no_competitor():
    objection = make_method("maml", {"generator.kind": "simulator"}).objection(tiny.walk())
    assert "steps the true environment" in str(objection)


def test_learning_curve_by_hand(tmp_path):
    """20 steps at 10 per second, then 30 at 5, 10 at 10: validated after the first and third."""
    log = RunLog(tmp_path, tensorboard=False)
    rows = [(20, 10.0, -3.0), (50, 5.0, None), (60, 10.0, -1.0)]
    for number, (steps, rate, score) in enumerate(rows, start=1):
        row = {"real_steps": float(steps), "real_steps_per_second": rate}
        log.log(number, row if score is None else {**row, "validation_return": score})
    first, second = learning_curve(tmp_path)
    assert (first.real_steps, first.seconds, first.validation_return) == (20, 2.0, -3.0)
    assert (second.real_steps, second.seconds, second.validation_return) == (60, 9.0, -1.0)
