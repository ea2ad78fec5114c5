"""Reports: figures by hand, exact round trips, whole files or none."""

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from metarl_gan import fidelity_report, report_files
from metarl_gan.fidelity_tensorboard import write_fidelity
from metarl_gan.reports import AdaptationReport, ArmComparison, FidelityReport, ReportError
from metarl_gan.statistics import interquartile_mean
from metarl_gan.transition_report import Terminations, TransitionFidelity


def adaptation(arm="generated", *, shift=0.0, ids=None, seed=0, **changes) -> AdaptationReport:
    rng = np.random.default_rng(1)
    returns = rng.normal(scale=30.0, size=(12, 1)) + np.array([-40.0, -20.0, -15.0]) + shift
    fields: dict[str, Any] = {
        "family": "point-goal",
        "arm": arm,
        "split": "test",
        "seed": seed,
        "task_ids": ids or tuple(f"point-goal/x={i}" for i in range(12)),
        "returns": returns,
        "floors": {"zero_action": -39.7, "random": -60.7},
        "reference": -0.5,
        "training_real_steps": 1000,
        "evaluation_real_steps": 300,
        "command": "metarl-gan evaluate runs/demo",
    }
    return AdaptationReport(**(fields | changes))


def fidelity(**changes) -> FidelityReport:
    fields: dict[str, Any] = {
        "family": "point-goal",
        "split": "test",
        "seed": 0,
        "episodes": 1,
        "reference_episodes": 300,
        "task_ids": ("a", "b", "c"),
        "cosines": {"generated": [0.9, 0.8, 0.7], "real": [0.5, np.nan, 0.3]},
        "held_out_errors": {"next_state": [0.01, 0.02], "reward": [0.1], "terminated": 0.0},
        "generated_share": [1.0, 0.5, 0.0],
    }
    return FidelityReport(**(fields | changes))


def test_shapes_and_values_by_column():
    report = adaptation()
    assert report.episodes == 2
    assert report.iqm.shape == (3,)
    assert report.interval.shape == (3, 2)
    assert report.iqm[1] == pytest.approx(float(interquartile_mean(report.returns[:, 1])))
    assert report.cvar[0] == pytest.approx(np.sort(report.returns[:, 0])[:2].mean())
    assert (report.interval[:, 0] < report.iqm).all()
    assert (report.iqm < report.interval[:, 1]).all()


def test_returns_cannot_be_changed_from_outside():
    values = np.zeros((2, 2))
    report = adaptation(ids=("a", "b"), returns=values)
    values[:] = 7.0
    assert report.returns.max() == 0.0
    with pytest.raises(ValueError, match="read-only"):
        report.returns[0, 0] = 1.0


def test_improvement_and_difference_are_paired_by_task():
    ours, theirs = adaptation(shift=1.0), adaptation("real only")
    # Tasks differ by 30 (sd), yet every task improves by exactly 20 and gains exactly 1.
    assert ours.improvement_interval(1).low == pytest.approx(20.0)
    assert ours.improvement_interval(1).high == pytest.approx(20.0)
    assert ours.difference_interval(theirs, 2).estimate == pytest.approx(1.0)
    assert ours.difference_interval(theirs, 2).excludes(0.0)


def test_tasks_are_paired_by_id_when_one_arm_dropped_some():
    theirs = adaptation("real only")
    ours = adaptation(
        shift=1.0,
        ids=theirs.task_ids[3:],
        returns=theirs.returns[3:] + 1.0,
        dropped_tasks=theirs.task_ids[:3],
    )
    assert ours.difference_interval(theirs, 1).high == pytest.approx(1.0)


def test_repeated_task_ids_pair_in_order():
    ids = ("forward", "backward") * 6
    ours, theirs = adaptation(ids=ids, shift=2.0), adaptation("real only", ids=ids)
    assert ours.difference_interval(theirs, 1).low == pytest.approx(2.0)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"ids": tuple(f"other-{i}" for i in range(12))}])
def test_arms_of_other_tasks_cannot_be_compared(changes):
    with pytest.raises(ReportError, match="same tasks"):
        adaptation().difference_interval(adaptation("real only", **changes), 1)


def test_contradictions_are_refused():
    with pytest.raises(ReportError, match=r"shape \(12, 3\) for 2 task ids"):
        adaptation(ids=("a", "b"))
    with pytest.raises(ReportError, match=r"returns of b are not finite"):
        adaptation(ids=("a", "b"), returns=np.array([[0.0, 1.0], [np.nan, 1.0]]))
    with pytest.raises(ReportError, match=r"episode is 3.*has 0\.\.2"):
        adaptation().improvement_interval(3)
    with pytest.raises(ReportError, match="own name"):
        ArmComparison(arms=(adaptation(), adaptation()))
    with pytest.raises(ReportError, match="differ in seed"):
        ArmComparison(arms=(adaptation(), adaptation("real only", seed=1)))
    with pytest.raises(ReportError, match=r"real has shape \(2,\); expected \[tasks\] = \(3,\)"):
        fidelity(cosines={"real": [0.1, 0.2]})


def test_adaptation_report_round_trips_exactly(tmp_path):
    report = adaptation(dropped_tasks=("point-goal/x=99",), reference=None)
    files = report.save(tmp_path / "out")
    assert {path.name for path in files.values()} == {
        "adaptation-test.json",
        "adaptation-test.csv",
        "adaptation-test.png",
    }
    for loaded in (AdaptationReport.load(files["json"]), AdaptationReport.load(tmp_path / "out")):
        assert loaded.to_dict() == report.to_dict()


def test_csv_and_png_hold_every_arm(tmp_path):
    comparison = ArmComparison(arms=(adaptation(shift=1.0), adaptation("real only")))
    files = comparison.save(tmp_path)
    rows = list(csv.DictReader(files["csv"].open()))
    assert len(rows) == 2 * 12 * 3
    last = rows[-1]
    assert (last["arm"], last["task"], last["real_episodes"]) == (
        "real only",
        "point-goal/x=11",
        "2",
    )
    assert float(last["return"]) == comparison.arms[1].returns[11, 2]
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert ArmComparison.load(tmp_path).differences() == comparison.differences()
    saved = json.loads(files["json"].read_text())["computed"]["differences"]["generated"]
    assert saved[1]["estimate"] == pytest.approx(1.0)


def test_success_rates_are_saved_where_they_are_known(tmp_path):
    successes = np.zeros((12, 3))
    successes[:6, 1], successes[:3, 2] = 1.0, 0.5
    known, unknown = adaptation(successes=successes), adaptation("real only")
    assert known.success_rate is not None
    assert known.success_rate.tolist() == [0.0, 0.5, 0.125]
    assert known.success_interval is not None
    assert known.success_interval[0].tolist() == [0.0, 0.0]
    assert known.success_interval[1, 0] < 0.5 < known.success_interval[1, 1]
    assert (unknown.success_rate, unknown.success_interval) == (None, None)
    files = ArmComparison(arms=(known, unknown)).save(tmp_path)
    rows = list(csv.DictReader(files["csv"].open()))
    assert [row["success_rate"] for row in rows[:3]] == ["0.0", "1.0", "0.5"]
    assert rows[-1]["success_rate"] == ""
    saved = json.loads(files["json"].read_text())["arms"]
    assert saved[0]["computed"]["success_rate"] == [0.0, 0.5, 0.125]
    assert "success_rate" not in saved[1]["computed"]
    ours, theirs = ArmComparison.load(tmp_path).arms
    assert ours.successes is not None
    assert ours.successes.tolist() == successes.tolist()
    assert theirs.successes is None
    files = unknown.save(tmp_path / "alone")
    assert files["csv"].read_text().startswith("arm,task,real_episodes,return\n")


def test_reports_from_before_success_rates_are_read():
    content = adaptation().to_dict()
    del content["successes"]
    assert AdaptationReport.from_dict(content).successes is None


def test_success_rates_that_make_no_sense_are_refused():
    with pytest.raises(ReportError, match=r"successes have shape \(12, 2\)"):
        adaptation(successes=np.zeros((12, 2)))
    with pytest.raises(ReportError, match=r"lie in 2.0…2.0; expected shares"):
        adaptation(successes=np.full((12, 3), 2.0))


def test_fidelity_report_means_and_round_trip(tmp_path):
    report = fidelity()
    assert report.gradient_cosine == pytest.approx({"generated": 0.8, "real": 0.4})
    assert report.mean_generated_share == pytest.approx(0.5)
    text = report.save(tmp_path)["json"].read_text()
    assert "NaN" not in text
    assert json.loads(text)["cosines"]["real"] == [0.5, None, 0.3]
    loaded = FidelityReport.load(tmp_path)
    assert loaded.gradient_cosine == report.gradient_cosine
    np.testing.assert_array_equal(loaded.cosines["real"], report.cosines["real"])
    np.testing.assert_array_equal(loaded.held_out_errors["next_state"], [0.01, 0.02])


def transitions(**changes) -> TransitionFidelity:
    fields: dict[str, Any] = {
        "episodes": 20,
        "change_errors": [0.25, 0.75],
        "k_steps": (1, 5),
        "component_errors": [[0.1, 0.3], [1.0, 2.0]],
        "state_errors": [[0.1, 0.2, 0.3], [1.0, np.nan, 2.0]],
        "reward_errors": [[0.0, 0.1, 0.2], [np.nan, np.nan, np.nan]],
        "terminations": Terminations(
            transitions=100, real=0, predicted=2, expected=1.5, precision=0.0, recall=np.nan
        ),
        "energy_distances": [0.1, -0.05, 0.1],
        "energy_p_values": [0.01, 0.5, 0.2],
        "energy_p_value": 0.02,
        "densities": [1.0, 0.5, 0.0],
        "coverages": [0.9, 0.6, 0.0],
        "expected_coverage": 0.97,
    }
    return TransitionFidelity(**(fields | changes))


@pytest.fixture
def no_figure(monkeypatch):
    """Drawing takes a second, and what is saved beside the figure none."""
    monkeypatch.setattr(fidelity_report, "write_figure", lambda path, _figure: path)


def test_what_was_measured_of_transitions_round_trips(tmp_path, no_figure):
    specific = {"generated": np.array([0.5, 0.25, np.nan]), "real": np.array([0.1, 0.2, 0.3])}
    report = fidelity(transitions=transitions(), task_specific_cosines=specific, meta_iterations=7)
    files = report.save(tmp_path)
    assert "NaN" not in files["json"].read_text()
    loaded = FidelityReport.load(tmp_path)
    assert loaded.task_specific_cosine == pytest.approx({"generated": 0.375, "real": 0.2})
    assert loaded.meta_iterations == 7
    ours, theirs = report.transitions, loaded.transitions
    assert ours is not None
    assert theirs is not None
    assert theirs.k_steps == (1, 5)
    np.testing.assert_equal(theirs.to_dict(), ours.to_dict())
    np.testing.assert_equal(loaded.scalars(), report.scalars())


def test_a_fidelity_report_in_single_numbers():
    found = fidelity(transitions=transitions()).scalars()
    shown = {
        "gradient_cosine/generated": 0.8,
        "held_out_error/next_state": 0.015,
        "transitions/change_error": 0.5,
        "transitions/state_error/1_steps": 0.2,
        "transitions/state_error/5_steps": 1.5,
        "transitions/terminal_precision": 0.0,
        "transitions/energy_p_value": 0.02,
        "transitions/energy_distance": 0.05,
        "transitions/coverage": 0.5,
        "generated_share": 0.5,
    }
    assert {name: found[name] for name in shown} == pytest.approx(shown)
    assert np.isnan(found["transitions/reward_error/5_steps"])
    assert np.isnan(found["transitions/terminal_recall"])


def test_fidelity_reports_of_earlier_versions_are_read(tmp_path, no_figure):
    path = fidelity(transitions=transitions()).save(tmp_path)["json"]
    content = json.loads(path.read_text())
    for name in ("transitions", "task_specific_cosines", "meta_iterations", "drop_reasons"):
        del content[name]
    path.write_text(json.dumps(content))
    loaded = FidelityReport.load(path)
    assert loaded.transitions is None
    assert loaded.task_specific_cosine == {}
    assert len(loaded.figure().axes) == 2
    assert len(fidelity(transitions=transitions()).figure().axes) == 5


def test_transitions_that_contradict_themselves_are_refused(tmp_path, no_figure):
    with pytest.raises(ReportError, match=r"state_errors has shape \(1, 3\); expected \(2, 3\)"):
        transitions(state_errors=[[0.1, 0.2, 0.3]])
    with pytest.raises(ReportError, match=r"component_errors has shape \(2, 1\)"):
        transitions(component_errors=[[0.1], [0.2]])
    with pytest.raises(ReportError, match=r"transitions: coverages has shape \(3,\)"):
        fidelity(
            transitions=transitions(),
            task_ids=("a", "b"),
            cosines={},
            generated_share=[1.0, 0.5],
        )
    path = fidelity(transitions=transitions()).save(tmp_path)["json"]
    content = json.loads(path.read_text())
    del content["transitions"]["coverages"]
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match="fidelity of transitions lacks coverages"):
        FidelityReport.load(path)


def test_a_figure_of_extremes_is_drawn():
    """One task, nothing known, nothing right: still a figure."""
    unknown = np.full((2, 1), np.nan)
    found = transitions(
        state_errors=unknown,
        reward_errors=unknown,
        component_errors=np.full((2, 2), np.nan),
        energy_distances=[np.nan],
        energy_p_values=[np.nan],
        densities=[np.nan],
        coverages=[np.nan],
        expected_coverage=np.nan,
    )
    report = fidelity(
        task_ids=("a",),
        cosines={"generated": [np.nan], "other_task": [np.nan]},
        held_out_errors={"reward": [np.inf]},
        generated_share=[0.0],
        transitions=found,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report.figure().canvas.draw()


def test_fidelity_is_written_for_tensorboard(tmp_path):
    report = fidelity(transitions=transitions(), meta_iterations=12)
    folder = write_fidelity(report, tmp_path)
    assert folder.parent == tmp_path / "tensorboard", "not among the files of the run itself"
    written = EventAccumulator(str(folder)).Reload()
    [event] = written.Scalars("fidelity_test/gradient_cosine/generated")
    assert event.step == 12
    assert event.value == pytest.approx(0.8)
    assert written.Tags()["images"] == ["fidelity_test"]
    with pytest.raises(KeyError):
        written.Scalars("fidelity_test/transitions/terminal_recall")  # not a number


def test_a_failing_write_leaves_the_former_file(tmp_path, monkeypatch):
    path = report_files.write_json(tmp_path / "r.json", {"value": 1})

    def fail(*_args) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report_files.write_json(path, {"value": 2})
    assert json.loads(path.read_text()) == {"value": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_reports_are_named(tmp_path):
    with pytest.raises(ReportError, match="no report at"):
        AdaptationReport.load(tmp_path / "missing.json")
    with pytest.raises(ReportError, match="holds 0 files"):
        AdaptationReport.load(tmp_path)
    (tmp_path / "adaptation-test.json").write_text('{"kind": "adap')
    with pytest.raises(ReportError, match="is not a JSON file"):
        AdaptationReport.load(tmp_path)
    fidelity().save(tmp_path)
    with pytest.raises(ReportError, match="kind 'fidelity'; expected 'adaptation'"):
        AdaptationReport.load(tmp_path / "fidelity-test.json")


def test_json_safe_refuses_what_json_cannot_hold():
    assert report_files.json_safe({"a": np.float32(1.5), "b": (float("inf"), np.int64(2))}) == {
        "a": 1.5,
        "b": [None, 2],
    }
    with pytest.raises(TypeError, match="no place in a JSON report"):
        report_files.json_safe({"a": object()})
