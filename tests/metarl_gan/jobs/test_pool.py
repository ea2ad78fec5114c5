"""Jobs as processes: so many at a time, failures apart, and an end to all of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from metarl_gan.jobs import pool
from metarl_gan.jobs.pool import Work, run_all


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A module that the pool can run: what it does is its argument, as Python."""
    (tmp_path / "obey.py").write_text("import sys\nexec(sys.argv[1])\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, code):
        return Work(name=name, module="obey", argument=code, log=tmp_path / "logs" / name)

    return make


def test_a_failed_job_is_reported_and_the_others_go_on(worker, tmp_path):
    said: list[str] = []
    touch = "import pathlib; pathlib.Path({!r}).touch()"
    work = [
        worker("bad", "print('hopeless'); sys.exit(3)"),
        *(worker(f"good{i}", touch.format(str(tmp_path / f"{i}"))) for i in range(3)),
    ]
    [failure] = run_all(work, 2, said.append)
    assert (failure.work.name, failure.code, failure.tail) == ("bad", 3, "hopeless")
    assert all((tmp_path / f"{i}").exists() for i in range(3))
    assert sum(line.startswith("start") for line in said) == 4
    assert any("FAILED bad" in line for line in said)


def test_no_more_processes_than_asked_for_of_one_thread_each(worker, tmp_path):
    code = (
        "import os, pathlib, time; at = time.time(); time.sleep(0.3); "
        f"pathlib.Path({str(tmp_path)!r}, sys.argv[0][-1] + str(at)).write_text("
        "f\"{at} {time.time()} {os.environ['OMP_NUM_THREADS']}\")"
    )
    assert run_all([worker(f"w{i}", code) for i in range(2)], 1, lambda _: None) == ()
    spans = sorted(path.read_text().split() for path in tmp_path.glob("y*"))
    assert len(spans) == 2
    assert float(spans[0][1]) <= float(spans[1][0])
    assert {threads for *_, threads in spans} == {"1"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all(worker, tmp_path, number):
    code = (
        "import os, pathlib, time; "
        f"pathlib.Path({str(tmp_path)!r}, f'pid{{os.getpid()}}').touch(); time.sleep(60)"
    )

    def interrupt():
        while len(list(tmp_path.glob("pid*"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match=f"stopped by {number.name}; the same command"):
        run_all([worker(f"w{i}", code) for i in range(3)], 2, lambda _: None)
    thread.join()
    assert time.monotonic() - started < 30  # they are asked to end, not waited for
    for path in tmp_path.glob("pid*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name[3:]), 0)


def test_a_process_that_does_not_end_is_killed(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "PATIENCE_SECONDS", 0.2)
    code = (
        "import signal, time, pathlib; signal.signal(15, signal.SIG_IGN); "
        f"pathlib.Path({str(tmp_path / 'deaf')!r}).touch(); time.sleep(60)"
    )

    def interrupt():
        while not (tmp_path / "deaf").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_all([worker("deaf", code)], 1, lambda _: None)
    assert time.monotonic() - started < 30


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_jobs_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "child.py").write_text(
        "import os, pathlib, time\n"
        "from metarl_gan.jobs.pool import end_with_parent\n"
        "end_with_parent()\n"
        "pathlib.Path(__file__).with_name(f'pid{os.getpid()}').touch()\n"
        "time.sleep(60)\n"
    )
    start = "import subprocess, sys; subprocess.run([sys.executable, sys.argv[1]])"
    with subprocess.Popen([sys.executable, "-c", start, str(tmp_path / "child.py")]) as parent:
        while not list(tmp_path.glob("pid*")):
            time.sleep(0.02)
        parent.kill()
    [child] = (int(path.name[3:]) for path in tmp_path.glob("pid*"))
    deadline = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    """Also False for one that ended and of which nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
