"""The report of an ablation, on made-up results: fairness, numbers, tables."""

import json

import pytest

from metarl_gan import cli
from metarl_gan.ablation.report import grids, save_report, verdict
from metarl_gan.ablation.results import differences_in_cost, read_results
from metarl_gan.ablation.summary import AblationSummary
from metarl_gan.report_files import ReportError
from tests.metarl_gan.ablation import made_up as ablations
from tests.metarl_gan.ablation.made_up import made_up


@pytest.fixture
def two_arms(tmp_path):
    return ablations.two_arms(tmp_path)


def gains(summary, arm):
    """The estimates of the difference to `none`, by real episodes."""
    [difference] = [found.difference for found in summary.arms if found.name == arm]
    assert difference
    return [interval.estimate for interval in difference]


def test_equal_cost_is_fair(two_arms):
    made_up(two_arms, "simulator", 0, [[-20.0, -5.0]] * 4, generator_updates=0)
    summary, _ = save_report(two_arms)
    assert summary.fair
    assert verdict(summary).startswith("A fair comparison")
    assert "equal updates of it (25)" in verdict(summary)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"real_steps": 2500}, "gan, seed 1: 2,500 real steps, others 2,400"),
        ({"outer_steps": 9}, "gan, seed 1: 9 outer steps, others 8"),
        ({"generator_updates": 24}, "gan, seed 1: 24 generator updates, others 25"),
        (
            {"settings": {"learner.outer_lr": 0.5}},
            "gan, seed 1: learner.outer_lr is 0.5, in none 0.001",
        ),
    ],
)
def test_unequal_cost_is_not_fair_and_the_arm_is_named(two_arms, changes, line):
    # Further arms say which of two unequal ones is the odd one out.
    for arm in ("ensemble", "diffusion"):
        made_up(two_arms, arm, 1, [[-20.0, -5.0]] * 4)
    made_up(two_arms, "gan", 1, [[-20.0, -5.0]] * 4, **changes)
    assert differences_in_cost(read_results(two_arms)) == (line,)


def test_what_is_not_fair_is_not_called_so(two_arms):
    made_up(two_arms, "gan", 1, [[-20.0, -5.0]] * 4, real_steps=2500)
    summary, files = save_report(two_arms)
    assert not summary.fair
    table = files["md"].read_text()
    assert table.startswith("NOT a fair comparison")
    assert "- gan, seed 1: 2,500 real steps" in table
    assert json.loads(files["json"].read_text())["fair"] is False


def test_numbers_by_hand(two_arms):
    summary, files = save_report(two_arms)
    none, gan = summary.arms
    assert (none.name, gan.name, summary.tasks) == ("none", "gan", 4)
    # Over 8 runs × tasks: the middle four of -10 -9 -9 -8 -8 -7 -7 -6.
    assert none.returns[1].estimate == pytest.approx(-8.0)
    # Differences 1 2 3 6 and 3 4 5 8: the middle four are 3 3 4 5.
    assert gains(summary, "gan") == [0.0, pytest.approx(3.75)]
    assert gan.difference
    assert gan.difference[1].low >= 1.0
    assert none.difference is None
    assert none.over_none is None
    # Pairs of seeds per task: gan -8 -7 (+gain) against none -9 -10 and so on: always better.
    assert gan.over_none == (0.5, 1.0)
    assert none.over_gan == (0.5, 0.0)
    assert gan.real_only
    assert gan.real_only[1].estimate == pytest.approx(gan.returns[1].estimate - 1.0)
    assert none.real_only is None
    assert gan.cosines == {"generated": pytest.approx(0.55)}
    assert (gan.share, gan.training_share, gan.training_seconds) == (0.75, 0.5, 10.5)
    stored = json.loads(files["json"].read_text())["arms"][1]
    assert stored["difference"][1]["estimate"] == pytest.approx(3.75)


def test_a_task_that_one_evaluation_dropped_is_left_out_of_all(two_arms):
    path = two_arms / "gan" / "seed-1.json"
    content = json.loads(path.read_text())
    for report in content["reports"].values():
        report["dropped_tasks"] = [report["task_ids"].pop(0)]
        report["returns"].pop(0)
    path.write_text(json.dumps(content))
    summary, _ = save_report(two_arms)
    assert (summary.tasks, summary.dropped) == (3, 1)
    # Differences 2 3 6 and 4 5 8, one cut off each end: 3 4 5 6.
    assert gains(summary, "gan")[1] == pytest.approx(4.5)


def test_the_tables_show_what_the_summary_holds(two_arms):
    made_up(two_arms, "gan", 1, [[-20.0, -5.0]] * 4, simulator_steps=600)
    summary = AblationSummary.of(read_results(two_arms))
    returns, comparisons, fidelities, costs = grids(summary)
    assert [row[0] for row in returns.rows] == ["none", "gan", "gan, same agent, real only"]
    assert comparisons.header == ("arm", "difference to none", "P(> none)", "P(> gan)")
    assert comparisons.rows[0] == ("none, after 1 real episode", "–", "–", "0.00")
    assert comparisons.rows[1][1].startswith("+")
    assert fidelities.header == ("arm", "generated", "share", "share in training")
    assert fidelities.rows == (("none", "–", "–", "50%"), ("gan", "0.55", "75%", "50%"))
    assert dict(zip(costs.header, costs.rows[1], strict=True)) == {
        "arm": "gan",
        "real steps": "2,400",
        "outer steps": "8",
        "generator updates": "25",
        "simulator steps": "300",
        "seconds": "10",
    }
    assert "| gan | 2,400 |" in costs.as_markdown()


def test_what_is_missing_is_said(two_arms):
    (two_arms / "gan" / "seed-1.json").unlink()
    summary, _ = save_report(two_arms)
    assert summary.missing == ("gan has no result of seed 1",)
    assert gains(summary, "gan")[1] == pytest.approx(2.5)
    (two_arms / "none" / "seed-1.json").unlink()
    assert "One seed only" in verdict(save_report(two_arms)[0])


def test_report_makes_the_files_again_from_the_results_alone(two_arms, capsys):
    first = {path: path.read_bytes() for path in save_report(two_arms)[1].values()}
    for path in first:
        path.unlink()
    assert cli.main(["ablate", "--report", str(two_arms)]) == 0
    assert {path: path.read_bytes() for path in first} == first
    assert "P(> none)" in capsys.readouterr().out


def test_other_files_are_refused(two_arms):
    (two_arms / "gan" / "seed-1.json").write_text('{"kind": "ablation-job"}')
    with pytest.raises(ReportError, match=r"seed-1\.json is no whole result"):
        save_report(two_arms)
