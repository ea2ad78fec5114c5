"""Plans of comparisons: which methods, seeds and settings, and what is refused at the start."""

import shlex
from pathlib import Path

import pytest

from metarl_gan import cli
from metarl_gan.cli_options import CompareOptions, parse
from metarl_gan.comparison.choices import MethodChoice, choose_methods, parse_method
from metarl_gan.comparison.command import plan_of
from metarl_gan.comparison.jobs import ComparisonJob, EvaluationPlan
from metarl_gan.comparison.plan import as_seeds, read_seeds
from metarl_gan.config import ConfigError
from metarl_gan.methods import registry
from metarl_gan.methods.method import Method
from metarl_gan.methods.registry import MethodEntry
from tests.metarl_gan.comparison.made_up import FAMILY, tiny_plan


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["10"], tuple(range(10))),
        (["1"], (0,)),
        (["0", "3", "4"], (0, 3, 4)),
        (["0,3,4"], (0, 3, 4)),
        (["3,"], (3,)),
    ],
)
def test_seeds_as_numbers_or_as_how_many(words, seeds):
    assert read_seeds(words) == seeds
    assert read_seeds([as_seeds(seeds)]) == seeds


def test_methods_by_commas_or_spaces_with_settings_of_their_own():
    wide = parse_method(["maml", "policy.hidden-sizes=64,64"])
    quick = parse_method(["quick=reptile", "learner.inner_steps=1"])
    chosen = choose_methods(["reptile,maml", "fomaml"], [wide, quick])
    assert [choice.name for choice in chosen] == ["reptile", "maml", "fomaml", "quick"]
    assert chosen[1].overrides == {"policy.hidden_sizes": "64,64"}
    assert (chosen[3].method, chosen[3].overrides) == ("reptile", {"learner.inner_steps": "1"})


def test_jobs_hold_all_settings_and_go_by_seeds():
    jobs = tiny_plan().jobs(Path("o"), Path("r"))
    assert [(job.choice.name, job.seed) for job in jobs] == [
        ("maml", 0),
        ("reptile-no-generator", 0),
        ("maml", 1),
        ("reptile-no-generator", 1),
    ]
    assert jobs[0].settings["learner.algorithm"] == "maml"
    assert jobs[0].settings["policy.hidden_sizes"] == [8]
    assert (jobs[2].run, jobs[2].result) == (Path("r/maml/seed-1"), Path("o/maml/seed-1.json"))
    assert jobs[0].threads == 1


def test_a_job_is_written_and_read_back(tmp_path):
    for job in tiny_plan().jobs(tmp_path, tmp_path / "runs"):
        assert ComparisonJob.read(job.write()) == job


class Picky(Method):
    """Serves nothing."""

    def __init__(self, name, overrides, preset):
        self._name = name

    @property
    def name(self):
        return self._name

    def settings(self, family):
        return {"choosy": True}

    def objection(self, family):
        return f"it wants {family.name} to be a pond"

    def train(self, family, *, seed, max_real_steps, folder):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny_plan(seeds=()), "seeds is []"),
        (lambda: tiny_plan(seeds=(3, 3)), "each once"),
        (lambda: read_seeds(["three"]), "seeds is 'three'; give how many"),
        (lambda: tiny_plan(methods=()), "name one or more of maml"),
        (lambda: tiny_plan(methods=choose_methods(["maml,maml"])), "each once"),
        (lambda: tiny_plan(budget_real_steps=0), "budget_real_steps is 0"),
        (lambda: tiny_plan(baseline="rl3"), "baseline is 'rl3'; it must be one of ['maml', "),
        (lambda: EvaluationPlan(tasks=0), "tasks is 0"),
        (lambda: EvaluationPlan(scored_episodes=0), "scored_episodes is 0"),
        (lambda: MethodChoice(name="../x", method="maml"), "letters, digits"),
        (lambda: parse_method(["maml", "x"]), "--method maml x: expected setting=value"),
        (lambda: choose_methods([], [parse_method(["maml", "seed=1"])] * 2), "at once"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": choose_methods(["mamal"])}, "unknown method 'mamal'; did you mean maml"),
        ({"methods": [parse_method(["maml", "learner.inner_step=1"])]}, "nearest: learner.inner_s"),
        ({"preset": "fast"}, "preset is 'fast'"),
        ({"evaluation": EvaluationPlan(split="validation")}, "split is 'validation'"),
        ({"budget_real_steps": 47}, "budget_real_steps is 47; maml takes 48 at least on walk"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_anything_starts(changes, message, tmp_path):
    with pytest.raises(ConfigError) as error:
        tiny_plan(**changes).jobs(tmp_path, tmp_path / "runs")
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_method_that_cannot_serve_the_family_is_refused_with_those_that_can(monkeypatch):
    entries = {
        name: registry.METHODS[name] for name in ("maml-no-generator", "reptile-no-generator")
    }
    entries["picky"] = MethodEntry(
        summary="wants a pond", home="tests.metarl_gan.comparison.test_plan:Picky"
    )
    monkeypatch.setattr(registry, "METHODS", entries)
    monkeypatch.setattr("metarl_gan.comparison.plan.METHODS", entries)
    plan = tiny_plan(methods=(*tiny_plan().methods, MethodChoice(name="picky", method="picky")))
    with pytest.raises(ConfigError) as error:
        plan.jobs(Path("o"), Path("r"))
    assert str(error.value).splitlines() == [
        "picky cannot serve walk: it wants walk to be a pond",
        "those that can: maml-no-generator, reptile-no-generator",
    ]


def test_the_command_of_a_plan_asks_for_that_plan():
    own = (
        *choose_methods(["fomaml"], [parse_method(["new=maml", "policy.hidden_sizes=8,4"])]),
        *tiny_plan().methods,
    )
    plan = tiny_plan(
        methods=own,
        seeds=(4, 2),
        baseline="new",
        thresholds=(-3.5, -1.0),
        evaluation=EvaluationPlan(split="train", tasks=7, episodes=2, seed=3, scored_episodes=4),
    )
    words = shlex.split(plan.command("the out"))
    assert words[:2] == ["metarl-gan", "compare"]
    options = parse(CompareOptions, "compare", words[2:])
    assert plan_of(options) == (plan, Path("the out"))


WHOLE = ["--family", FAMILY, "--budget-real-steps", "100", "--out", "o"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--methods", "maml"], "--family and --budget-real-steps and --out needed"),
        (["--family", "f", "--out", "o"], "--budget-real-steps needed"),
        (WHOLE, "methods is []; name one or more"),
        ([*WHOLE, "--methods", "mamal"], "did you mean maml"),
        ([*WHOLE, "--methods", "maml", "--seeds", "-"], "seeds is '-'"),
        ([*WHOLE, "--methods", "maml", "--baseline", "x"], "baseline is 'x'"),
        (["--report", "o", "--tasks", "3"], "give it alone"),
        (["--report", "nowhere"], "nowhere holds no results of a comparison"),
        (["--list-methods", "--tasks", "3"], "give it alone"),
        (["--budget-real-step", "3"], "nearest: --budget-real-steps"),
    ],
)
def test_a_mistake_is_one_message_and_code_2(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", *args]) == cli.MISTAKE
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_methods_are_listed(capsys):
    assert cli.main(["compare", "--list-methods", "--family", FAMILY]) == 0
    shown = capsys.readouterr().out
    assert "reptile-no-generator" in shown
    assert "first-order MAML" in shown
