"""A run's metrics on disk, and what a resumed run makes of them."""

import csv
import json

import pytest

from metarl_gan.run_log import CSV_FILE, METRICS_FILE, TENSORBOARD_FOLDER, RunLog, read_metrics


def written(folder, iterations, *, last_iteration=0, **settings):
    log = RunLog(folder, last_iteration=last_iteration, tensorboard=False, **settings)
    for iteration in iterations:
        log.log(iteration, {"real_steps": iteration * 100.0, "return": iteration / 3})
    log.close()


def csv_rows(folder):
    with (folder / CSV_FILE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_jsonl_and_csv_hold_every_digit(tmp_path):
    written(tmp_path / "run", [1, 2])
    assert read_metrics(tmp_path / "run")[1] == {
        "meta_iteration": 2,
        "real_steps": 200.0,
        "return": 2 / 3,
    }
    assert float(csv_rows(tmp_path / "run")[1]["return"]) == 2 / 3


def test_stopping_and_resuming_equals_never_having_stopped(tmp_path):
    written(tmp_path / "whole", range(1, 9))
    # The first run died at iteration 6, the last checkpoint was of iteration 4.
    written(tmp_path / "parts", range(1, 7))
    written(tmp_path / "parts", range(5, 9), last_iteration=4)
    for name in (METRICS_FILE, CSV_FILE):
        assert (tmp_path / "parts" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_a_row_cut_off_in_writing_is_dropped(tmp_path):
    written(tmp_path, [1, 2])
    path = tmp_path / METRICS_FILE
    path.write_text(path.read_text()[:-9])
    written(tmp_path, [2], last_iteration=1)
    assert [row["meta_iteration"] for row in read_metrics(tmp_path)] == [1, 2]


def test_a_new_run_starts_anew(tmp_path):
    written(tmp_path, range(1, 5))
    written(tmp_path, [1])
    assert len(read_metrics(tmp_path)) == len(csv_rows(tmp_path)) == 1


def test_metrics_that_come_later_widen_the_table(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    log.log(1, {"return": -3.0})
    log.log(2, {"return": -2.0, "validation_return": -1.0})
    log.log(3, {"return": float("nan")})
    log.close()
    assert [list(row.values()) for row in csv_rows(tmp_path)] == [
        ["1", "-3.0", ""],
        ["2", "-2.0", "-1.0"],
        ["3", "", ""],
    ]
    assert json.loads((tmp_path / METRICS_FILE).read_text().splitlines()[2])["return"] is None


def test_tensorboard_scalars_resume_where_the_checkpoint_was(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for iterations, last in ((range(1, 7), 0), (range(5, 9), 4)):
        log = RunLog(tmp_path, last_iteration=last)
        for iteration in iterations:
            log.log(iteration, {"return": iteration + 10.0 * (last > 0)})
        log.close()
    events = EventAccumulator(str(tmp_path / TENSORBOARD_FOLDER))
    events.Reload()
    scalars = [(event.step, event.value) for event in events.Scalars("return")]
    assert scalars == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 15), (6, 16), (7, 17), (8, 18)]


def test_an_unwritable_folder_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        RunLog(tmp_path / "file" / "run")
