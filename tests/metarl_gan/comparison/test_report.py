"""The report of a comparison, on made-up results: numbers by hand, files, what is missing."""

import csv
import json

import matplotlib.image
import numpy as np
import pytest

from metarl_gan import cli
from metarl_gan.comparison.figure import comparison_figure
from metarl_gan.comparison.report import grids, save_report, summarise, verdict
from metarl_gan.comparison.results import Expected
from metarl_gan.comparison.scale import scale_of
from metarl_gan.config import ConfigError
from metarl_gan.report_files import ReportError
from tests.metarl_gan.comparison import made_up


@pytest.fixture
def two_methods(tmp_path):
    return made_up.two_methods(tmp_path)


def test_numbers_by_hand(two_methods):
    summary, _ = summarise(two_methods)
    a, b = summary.methods
    assert (summary.family, summary.tasks, summary.baseline, summary.episodes) == (
        "fake",
        4,
        "a",
        1,
    )
    # Over 8 seeds × tasks: the middle four of -10 -9 -9 -8 -8 -7 -7 -6.
    assert a.returns[1].estimate == pytest.approx(-8.0)
    assert a.scores
    assert (a.scores[0].estimate, a.scores[1].estimate) == (0.0, pytest.approx(0.6))
    # b: -8 -6 -4 0 and -7 -5 -3 1. By tasks -7.5 -5.5 -3.5 0.5: the worst quarter is the first.
    assert b.cvar[1].estimate == pytest.approx(-7.5)
    # Differences 1 2 3 6 and 3 4 5 8: the middle four are 3 3 4 5.
    assert b.difference
    assert b.difference[1].estimate == pytest.approx(3.75)
    # -8 -7 against -9 -10, and so on: b always wins; before adaptation all are equal.
    assert b.improvement
    assert [chance.estimate for chance in b.improvement] == [0.5, 1.0]
    assert a.difference is None
    assert a.improvement is None
    # Scores of a: 0.5 0.55 0.55 0.6 0.6 0.65 0.65 0.7.
    above = float(np.interp(0.575, a.profile.x, a.profile.values))
    assert above == pytest.approx(5 / 8)
    assert a.profile.x.tolist() == b.profile.x.tolist()


def test_thresholds_are_met_in_real_steps_and_seconds(two_methods):
    # On the scale of -20 to 0: -15, -10, -5. Seed 0 gets to -12 and -8, seed 1 to -12 and -9.
    quarter, half, most = summarise(two_methods)[0].methods[0].reached
    assert (quarter.threshold, quarter.real_steps, quarter.seconds) == (-15.0, 500, 50)
    assert (half.threshold, half.real_steps, half.seeds) == (-10.0, 900, 2)
    assert (most.threshold, most.real_steps, most.seeds) == (-5.0, None, 0)
    summary, _ = summarise(two_methods, thresholds=(-8.5,))
    [found] = summary.methods[0].reached
    assert (found.seeds, found.of, found.real_steps) == (1, 2, None)
    times = grids(summary)[2]
    assert times.header == ("method", "real steps to -8.5", "times fewer", "seconds")
    assert times.rows == (("a", "– (1/2)", "–", "–"), ("b", "– (0/2)", "–", "–"))


def test_real_steps_are_held_against_the_baseline(tmp_path):
    for name, first in (("a", 600), ("b", 200)):
        curve = [(first, -4.0), (800, -4.0)]
        made_up.made_up(tmp_path, name, 0, np.zeros((4, 2)), curve=curve)
    made_up.made_up(tmp_path, "c", 0, np.zeros((4, 2)))
    made_up.made_up(tmp_path, "d", 0, np.zeros((4, 2)), curve=[(800, -9.0)])
    summary, _ = summarise(tmp_path, thresholds=(-5.0, -1.0))
    a, b, c, _ = summary.methods
    # Nothing to hold against itself, nor where nothing is learnt beforehand.
    assert (a.sooner, c.sooner) == (None, None)
    assert b.sooner
    assert b.sooner[0]
    assert b.sooner[0].ratio.estimate == 3.0
    assert b.sooner[1] is None
    times = grids(summary)[2]
    assert times.rows[1][2] == "3.00 [3.00, 3.00]"
    # Who never comes there is no number of times sooner.
    assert times.rows[3][2] == "–"


@pytest.mark.parametrize(
    ("floors", "reference", "zero"),
    [
        ({"random": -30.0, "zero_action": -20.0}, 0.0, -20.0),
        ({"random": 10.0}, 500.0, 10.0),
        ({"random": 10.0}, None, None),
        ({}, 500.0, None),
        ({"zero_action": 1.0}, 1.0, None),
    ],
)
def test_scale_of_a_family(floors, reference, zero):
    scale = scale_of(floors, reference)
    assert (scale and scale.zero) == zero
    if scale is not None:
        assert scale.score(np.array([scale.zero, scale.reference])).tolist() == [0.0, 1.0]


def test_without_a_scale_there_are_returns_alone(tmp_path):
    made_up.two_methods(tmp_path, floors={}, reference=None)
    summary, _ = summarise(tmp_path)
    assert summary.scale is None
    assert summary.methods[0].scores is None
    assert len(grids(summary)) == 3  # no times
    assert "normalised" not in grids(summary)[1].header[1]


def test_the_files_hold_the_numbers_and_the_command(two_methods):
    Expected(jobs=(("b", 0), ("a", 0)), baseline="b", command="metarl-gan compare --x").save(
        two_methods
    )
    summary, files = save_report(two_methods)
    assert [method.name for method in summary.methods] == ["b", "a"]  # the plan's order
    stored = json.loads(files["json"].read_text())
    assert (stored["kind"], stored["fair"]) == ("comparison-summary", True)
    assert stored["command"] == "metarl-gan compare --x"
    assert stored["methods"][1]["difference"][1]["estimate"] == pytest.approx(-3.75)
    assert "`metarl-gan compare --x`" in files["md"].read_text()
    first, *rows = files["csv"].read_text().splitlines()
    assert first == "# metarl-gan compare --x"
    read = list(csv.DictReader(rows))
    assert len(read) == 2 * 2 * 4 * 2
    assert read[1] == {
        "method": "b",
        "seed": "0",
        "task": "t0",
        "real_episodes": "1",
        "return": "-8.0",
        "normalised_score": "0.6",
    }
    assert files["learning"].read_text().splitlines()[2] == "a,0,500,50.0,-12.0"
    assert b"metarl-gan compare --x" in files["png"].read_bytes()
    assert matplotlib.image.imread(files["png"]).shape[0] > 600


def test_the_tables_show_what_the_summary_holds(two_methods):
    summary, _ = summarise(two_methods)
    returns, comparisons, times, costs = grids(summary)
    assert returns.header == ("method", "before", "after 1 real episode")
    assert comparisons.header == (
        "method",
        "normalised score (IQM)",
        "CVaR, worst 25% of tasks",
        "difference to a",
        "P(> a)",
    )
    assert comparisons.rows[0][3:] == ("–", "–")
    assert comparisons.rows[1][3].startswith("+3.75 [")
    assert comparisons.rows[1][4].startswith("1.00 [")
    assert times.rows[0][1:7] == ("500 (2/2)", "–", "50", "900 (2/2)", "–", "90")
    assert costs.rows[0] == ("a", "990", "50", "60", "10", "30")
    assert "Every method had 1,000 real steps" in verdict(summary)


def test_the_table_shows_some_of_many_episodes_and_the_csv_all(tmp_path):
    for method in "ab":
        made_up.made_up(tmp_path, method, 0, np.arange(26.0) + np.zeros((4, 1)))
    summary, _ = save_report(tmp_path)
    returns = grids(summary)[0]
    shown = (1, 2, 3, 5, 10, 20, 25)
    assert returns.header[2] == "after 1 real episode"
    assert [int(name.split()[1]) for name in returns.header[2:]] == list(shown)
    assert [float(cell.split()[0]) for cell in returns.rows[0][1:]] == [0, *shown]
    lines = (tmp_path / "returns.csv").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not line.startswith("#")]) == 1 + 2 * 4 * 26
    # The axis has whole numbers only, and so few that they do not run into each other.
    ticks = comparison_figure(summary).axes[0].get_xticks()
    assert len(ticks) < 13
    assert all(tick == round(tick) for tick in ticks)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"budget": 2000}, "there are several budgets of real steps: 1,000; 2,000"),
        ({"real_steps": 1001}, "c, seed 1: took 1,001 real steps, 1,000 were allowed"),
        ({"inner_steps": 2}, "c: seeds 0 and 1 differ in settings.learner.inner_steps"),
    ],
)
def test_what_is_unequal_is_not_called_fair(two_methods, change, line):
    made_up.made_up(two_methods, "c", 0, [[-20.0, -5.0]] * 4)
    made_up.made_up(two_methods, "c", 1, [[-20.0, -5.0]] * 4, **change)
    summary, _ = summarise(two_methods)
    assert line in summary.unequal
    assert verdict(summary).startswith("NOT a fair comparison:\n- ")
    assert not summary.as_json()["fair"]


def test_what_is_missing_is_named(two_methods):
    Expected(jobs=(("a", 0), ("a", 2), ("rl2", 0), ("rl2", 1))).save(two_methods)
    (two_methods / "b" / "seed-1.json").unlink()
    summary, _ = summarise(two_methods)
    assert summary.missing == (
        "a has no result of seed 2",
        "b has no result of seed 1",
        "rl2 has no result of seed 0, 1",
    )
    assert "Incomplete: rl2 has no result of seed 0, 1." in verdict(summary)


def test_a_budget_that_was_not_spent_is_told(two_methods):
    made_up.made_up(two_methods, "lazy", 0, [[-20.0, -5.0]] * 4, real_steps=300)
    assert "lazy spent 30% of its budget" in verdict(summarise(two_methods)[0])


def test_one_seed_and_different_numbers_of_seeds(tmp_path):
    made_up.made_up(tmp_path, "a", 0, [[-9.0], [-8.0]])
    summary, _ = summarise(tmp_path)
    assert "One seed only" in verdict(summary)
    made_up.made_up(tmp_path, "b", 1, [[-7.0], [-8.0]])
    _, b = summarise(tmp_path)[0].methods
    assert b.difference is None  # no seed in common
    assert b.improvement
    assert b.improvement[0].estimate == 0.75


def test_only_what_was_evaluated_alike_is_compared(two_methods):
    made_up.made_up(two_methods, "c", 0, [[-20.0, -5.0, -5.0]] * 4)
    with pytest.raises(ReportError, match=r"\[1, 2\] real episodes"):
        summarise(two_methods)
    (two_methods / "c" / "seed-0.json").write_text('{"kind": "comparison-job"}')
    with pytest.raises(ReportError, match=r"seed-0\.json is no whole result"):
        summarise(two_methods)


def test_report_makes_the_files_again_from_the_results_alone(two_methods, capsys):
    first = {path: path.read_bytes() for path in save_report(two_methods)[1].values()}
    for path in first:
        path.unlink()
    assert cli.main(["compare", "--report", str(two_methods)]) == 0
    assert {path: path.read_bytes() for path in first} == first
    assert "P(> a)" in capsys.readouterr().out
    other = ["--report", str(two_methods), "--baseline", "b", "--thresholds", "-11"]
    assert cli.main(["compare", *other]) == 0
    shown = capsys.readouterr().out
    assert "P(> b)" in shown
    assert "real steps to -11" in shown
    with pytest.raises(ConfigError, match="baseline is 'c'; it must be one of a, b"):
        summarise(two_methods, baseline="c")


def test_the_figure_has_every_method_in_every_panel(two_methods):
    summary, _ = summarise(two_methods)
    figure = comparison_figure(summary)
    adaptation, profiles, learning, chances = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert len(profiles.lines) == 2
    after = np.asarray(adaptation.lines[1].get_ydata(), dtype=float)[1]
    assert after == pytest.approx(summary.methods[1].returns[1].estimate)
    assert len(learning.lines) == 1 + 3  # b learns nothing; three thresholds
    assert [label.get_text() for label in chances.get_yticklabels()] == ["b"]
