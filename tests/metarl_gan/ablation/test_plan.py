"""Arms and plans: what differs, what does not, what is refused."""

import shlex
from pathlib import Path

import pytest

from metarl_gan import cli
from metarl_gan.ablation import command
from metarl_gan.ablation.arms import BUILT_IN, DEFAULT_ARMS, Arm, choose_arms, parse_arm
from metarl_gan.ablation.jobs import EvaluationPlan
from metarl_gan.ablation.run import ablate
from metarl_gan.cli_options import AblateOptions, parse_with_settings
from metarl_gan.config import ConfigError
from metarl_gan.config_io import override
from tests.metarl_gan.ablation.made_up import tiny_plan


def test_arms_differ_from_the_common_config_in_their_overrides_alone():
    assert set(DEFAULT_ARMS) < set(BUILT_IN)
    jobs = tiny_plan(arms=tuple(BUILT_IN.values())).jobs(Path("o"), Path("r"))
    common = next(job for job in jobs if job.arm.name == "gan").config
    for job in jobs[: len(BUILT_IN)]:
        assert job.config == override(common, job.arm.overrides)
        assert (job.run, job.result) == (
            Path("r", job.arm.name, "seed-0"),
            Path("o", job.arm.name, "seed-0.json"),
        )
    assert not BUILT_IN["none"].overrides["generated"]
    assert [job.config.seed for job in jobs] == [0] * len(BUILT_IN) + [1] * len(BUILT_IN)


def test_an_arm_wins_over_a_setting_and_a_setting_over_the_preset():
    settings = {"iterations": 7, "generator.members": 2}
    plan = tiny_plan(arms=choose_arms(["gan", "ensemble"]), settings=settings, preset="quick")
    gan, ensemble, *_ = plan.jobs(Path("o"), Path("r"))
    assert (gan.config.iterations, gan.config.generator.members) == (7, 2)
    assert ensemble.config.generator.members == 5


def test_own_arms():
    arm = parse_arm(["wide", "generator.hidden-sizes=64,64", "adversarial.adversarial_weight=-0"])
    assert arm.name == "wide"
    assert arm.overrides["generator.hidden_sizes"] == (64, 64)
    assert [chosen.name for chosen in choose_arms(["none"], [arm])] == ["none", "wide"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choose_arms(["simulater"]), "unknown arm 'simulater'; did you mean 'simulator'"),
        (lambda: choose_arms([], [Arm(name="gan")]), "'gan' is built in"),
        (lambda: parse_arm(["wide"]), "setting=value"),
        (lambda: parse_arm(["wide", "members"]), "wide members: expected setting=value"),
        (lambda: parse_arm(["w", "seed=1"]), "sets seed or family"),
        (lambda: parse_arm(["w", "generator.member=1"]), "nearest: generator.members"),
        (lambda: Arm(name="../x"), "letters, digits"),
        (lambda: tiny_plan(seeds=(3,)), "seeds is [3]; give two or more"),
        (lambda: tiny_plan(seeds=(3, 3)), "each once"),
        (lambda: tiny_plan(arms=()), "arms is []"),
        (lambda: tiny_plan(arms=choose_arms(["gan", "gan"])), "each once"),
        (lambda: tiny_plan(settings={"seed": 1}), "seed cannot be a setting of all arms"),
        (lambda: EvaluationPlan(episodes=0), "episodes is 0"),
        (lambda: ablate(tiny_plan(), "o", jobs=0), "jobs is 0"),
        (
            lambda: ablate(tiny_plan(settings={"generated": False}), "o"),
            "arms none and gan are the same",
        ),
        (
            lambda: ablate(tiny_plan(evaluation=EvaluationPlan(split="validation")), "o"),
            "split is 'validation'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        make()
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_of_a_plan_asks_for_that_plan():
    own = parse_arm(["own", "policy.hidden_sizes=8,4", "augmentation.rejection=true"])
    evaluation = EvaluationPlan(split="train", tasks=7, episodes=2, seed=3, fidelity_tasks=0)
    plan = tiny_plan(
        arms=choose_arms(["none", "shuffled"], [own]), seeds=(4, 2), evaluation=evaluation
    )
    words = shlex.split(plan.command(Path("the out")))
    assert words[:2] == ["metarl-gan", "ablate"]
    options, flags = parse_with_settings(AblateOptions, "ablate", words[2:])
    assert command.plan_of(options, flags) == (plan, Path("the out"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", "o"], "--family is needed"),
        (["--family", "f"], "--out is needed"),
        (["--family", "f", "--out", "o", "--seed", "1"], "give --seeds"),
        (["--family", "f", "--out", "o", "--arms", "gam"], "did you mean 'gan'"),
        (["--family", "f", "--out", "o", "--seeds", "1"], "seeds is [1]"),
        (["--report", "o", "--tasks", "3"], "give it alone"),
        (["--report", "nowhere"], "nowhere holds no results"),
        (["--famly", "f"], "nearest: --family"),
    ],
)
def test_a_mistake_is_one_message_and_code_2(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["ablate", *args]) == cli.MISTAKE
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
