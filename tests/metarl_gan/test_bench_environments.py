"""What `bench envs` times is the same work for all, and it closes what it opened."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metarl_gan import bench_environments, bench_timing
from metarl_gan.bench_timing import Alternative, time_in_turns
from metarl_gan.envs import FamilyError, make_family
from tests.envs.gears import gears


@pytest.mark.parametrize("name", ["hopper-physics", "cartpole-physics", "point-goal"])
def test_every_way_steps_the_family(name, monkeypatch):
    monkeypatch.setattr(bench_environments, "PER_PROCESSOR", 1)
    monkeypatch.setattr(bench_environments, "available_processors", lambda: 2)
    monkeypatch.setattr(bench_timing, "MIN_ROUNDS", 1)
    family, before = make_family(name), threading.active_count()
    found = bench_environments.measure_environments(family, seconds=0.0, n_envs=3, n_steps=4)
    names = [timing.name for timing in found.timings]
    for backend in ("native", "sync", "async"):
        assert f"metarl-gan {backend} × 3" in names
    for other in ("Gymnasium Sync × 3", "Stable-Baselines3 Dummy × 3"):
        assert other in names
    assert any(name.startswith("Gymnasium Async") for name in names)
    assert any(name.startswith("Stable-Baselines3 Subproc") for name in names)
    physics = [timing for timing in found.timings if timing.name.startswith("mj_step")]
    assert len(physics) == (2 if name == "hopper-physics" else 0)
    assert len(found.ratios) == 1 + len(physics)
    assert all(timing.transitions % 4 == 0 for timing in found.timings)
    assert threading.active_count() == before


def test_environments_that_end_are_reset_within_the_step():
    """Each call steps every environment, as those of the others do."""
    family = make_family("cartpole-physics")
    entrant = bench_environments._ours(family, "native", 5)
    actions = bench_environments._actions(family.action_space, 60, 5)
    entrant.reset()
    for row in actions:
        entrant.step_all(row)
    entrant.close()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_processor_time_of_children_counts():
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    code = f"{burn}\nprint('done', flush=True)\ninput()"
    children = []

    def work():
        pipe = subprocess.PIPE
        child = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"

    try:
        alternative = Alternative(name="child", transitions=1, work=work)
        [timing] = time_in_turns([alternative], seconds=0.0, min_rounds=1)
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert 0.25 < timing.cpu_seconds[0] < 3


def test_actions_of_several_parts_are_refused():
    with pytest.raises(FamilyError, match="gears-tuple has the actions Tuple"):
        bench_environments.measure_environments(gears(), seconds=0.1)
