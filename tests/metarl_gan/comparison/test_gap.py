"""The gap between two evaluations of the same agents, on made-up results: numbers by hand."""

import json

import numpy as np
import pytest

from metarl_gan import cli
from metarl_gan.comparison.gap import GapSummary
from metarl_gan.report_files import ReportError
from tests.metarl_gan.comparison import made_up

AFTER = np.array([-9.0, -8.0, -7.0, -6.0])


def evaluated(folder, split, returns, **changes):
    """Two seeds of each method; after one episode the second has 1 more than the first."""
    for method, after in returns.items():
        for seed in (0, 1):
            rows = np.stack([np.full(4, -20.0), after + seed], axis=1)
            made_up.made_up(folder, method, seed, rows, split=split, **changes)
    return folder


@pytest.fixture
def both(tmp_path):
    """Within, a and b are alike; out of distribution a loses 10 and b 4."""
    return (
        evaluated(tmp_path / "ood", "ood", {"a": AFTER - 10.0, "b": AFTER - 4.0}),
        evaluated(tmp_path / "test", "test", {"a": AFTER, "b": AFTER}),
    )


def test_the_gap_by_hand(both):
    a, b = GapSummary.of(*both).methods
    # Of -9 -8 -8 -7 -7 -6 -6 -5 the middle four are -8 -7 -7 -6.
    assert [a.there.estimate, a.here.estimate, a.gap.estimate] == pytest.approx([-7, -17, 10])
    assert [b.there.estimate, b.here.estimate, b.gap.estimate] == pytest.approx([-7, -11, 4])
    assert (a.smaller, b.smaller and b.smaller.estimate) == (None, pytest.approx(6.0))


def test_intervals_are_of_both_evaluations(both):
    a, b = GapSummary.of(*both).methods
    # Drawn apart from each other, two of a width of up to 1 each differ by up to 1 more or less.
    assert b.smaller
    for one in (a.gap, b.gap, b.smaller):
        assert one.low < one.estimate - 0.2
        assert one.high > one.estimate + 0.2
        assert one.high - one.low < 2.0 * (1 + (one is b.smaller))
    width = a.gap.high - a.gap.low
    assert width > a.here.high - a.here.low


def test_the_baseline_may_be_another(both):
    a, b = GapSummary.of(*both, baseline="b").methods
    assert (a.smaller and a.smaller.estimate, b.smaller) == (pytest.approx(-6.0), None)


def test_the_command_writes_what_it_shows(both, capsys):
    ood, test = map(str, both)
    assert cli.main(["compare", "--report", ood, "--gap-to", test]) == 0
    shown = capsys.readouterr().out
    assert "smaller than of a by" in shown
    written = json.loads((both[0] / "gap.json").read_text())
    assert (written["here"], written["there"]) == ("ood", "test")
    assert written["methods"][1]["gap"]["estimate"] == pytest.approx(4.0)
    header = (both[0] / "gap.md").read_text().splitlines()[2]
    assert header == "| method | test | ood | gap | smaller than of a by |"


def test_other_agents_are_refused(both, tmp_path):
    ood, test = both
    with pytest.raises(ReportError, match="are both of the split 'test'"):
        GapSummary.of(test, test)
    other = evaluated(tmp_path / "other", "ood", {"a": AFTER, "b": AFTER}, inner_steps=2)
    with pytest.raises(
        ReportError, match=r"another settings.learner.inner_steps in .*not the same"
    ):
        GapSummary.of(other, test)
    made_up.made_up(tmp_path / "longer", "a", 0, np.zeros((4, 3)), split="ood")
    made_up.made_up(tmp_path / "short", "a", 0, np.zeros((4, 2)))
    with pytest.raises(ReportError, match=r"has 2 real episodes and .* 1; evaluate both with"):
        GapSummary.of(tmp_path / "longer", tmp_path / "short")
    (ood / "b" / "seed-1.json").unlink()
    with pytest.raises(ReportError, match=r"only one of .* has b with seed 1"):
        GapSummary.of(ood, test)


def test_a_gap_needs_a_report(both, capsys):
    assert cli.main(["compare", "--gap-to", str(both[1])]) == 2
    assert "--gap-to goes with --report DIR" in capsys.readouterr().err
