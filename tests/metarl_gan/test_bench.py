"""Benchmarks: what is timed, and the arithmetic on it. No test depends on how fast anything is."""

import json

import pytest
import torch

from metarl_gan import bench, bench_cases
from metarl_gan.bench_timing import Alternative, Ratio, Spread, Timing, machine, time_in_turns
from metarl_gan.envs import make_family
from metarl_gan.usage import UsageError


def timing(name, wall, *, transitions=10, cpu=None):
    return Timing(
        name=name,
        transitions=transitions,
        torch_threads=1,
        wall_seconds=tuple(wall),
        cpu_seconds=tuple(cpu or wall),
    )


def test_times_are_per_transition():
    measured = timing("a", [0.001, 0.004, 0.002], cpu=[0.002, 0.008, 0.003])
    wall = measured.wall_microseconds
    assert (wall.min, wall.median, wall.max) == pytest.approx((100, 200, 400))
    assert measured.cpu_microseconds.median == pytest.approx(300)
    assert measured.per_second == pytest.approx(5000)


def test_a_ratio_pairs_the_rounds_and_counts_transitions():
    # By rounds 2, 4, 1 times as long; the ratio of the medians would be 3 / 2.
    of = timing("of", [2.0, 4.0, 3.0], cpu=[1.0, 1.0, 1.0])
    to = timing("to", [1.0, 1.0, 3.0], transitions=20, cpu=[2.0, 2.0, 4.0])
    ratio = Ratio.between("r", of=of, to=to)
    # `to` gives twice the transitions in a call, so that each is twice as cheap.
    assert ratio.wall == Spread(min=2.0, median=4.0, max=8.0)
    assert ratio.cpu == Spread(min=0.5, median=1.0, max=1.0)


def test_alternatives_take_turns_with_their_own_threads():
    calls = []

    def work(name):
        return lambda: calls.append((name, torch.get_num_threads()))

    before = torch.get_num_threads()
    timings = time_in_turns(
        [
            Alternative(name="a", transitions=1, work=work("a"), torch_threads=2),
            Alternative(name="b", transitions=1, work=work("b"), torch_threads=1),
        ],
        seconds=0.0,
        min_rounds=3,
    )
    # One round more than is counted: the first warms up.
    assert calls == [("a", 2), ("b", 1)] * 4
    assert [len(one.wall_seconds) for one in timings] == [3, 3]
    assert torch.get_num_threads() == before


def test_threads_are_put_back_after_a_failure():
    before = torch.get_num_threads()
    failing = Alternative(name="a", transitions=1, work=lambda: 1 / 0, torch_threads=before + 1)
    with pytest.raises(ZeroDivisionError):
        time_in_turns([failing], seconds=0.0)
    assert torch.get_num_threads() == before


@pytest.fixture
def one_thread(monkeypatch):
    """Two spinning threads on a busy machine take seconds for what takes milliseconds."""
    monkeypatch.setattr(bench_cases, "_thread_counts", lambda: (1,))


def test_collection_compares_the_same_steps(one_thread):
    family = make_family("point-goal")
    found = bench_cases.measure_collection(family, seconds=0.0, n_tasks=2, envs_per_task=3)
    assert {one.transitions for one in found.timings} == {2 * 3 * family.horizon}
    assert [ratio.of.partition(",")[0] for ratio in found.ratios] == ["collector"] * len(
        found.ratios
    )
    for ratio in found.ratios:
        # Compared at equal numbers of threads.
        assert ratio.of.partition(",")[2] == ratio.to.partition(",")[2]


def test_imagination_is_compared_with_every_way_of_stepping(one_thread):
    family = make_family("point-goal")
    single = family.make(family.sample(1, seed=0)[0])
    found = bench_cases.measure_imagination(family, single, seconds=0.0, n_tasks=2, rollouts=(1, 3))
    stepping = [one.name for one in found.timings if one.name.startswith("stepping")]
    imagining = [one for one in found.timings if one.name.startswith("imagining")]
    assert {one.transitions for one in imagining} == {
        2 * family.horizon,
        2 * 3 * family.horizon,
    }
    assert {(ratio.of, ratio.to) for ratio in found.ratios} == {
        (real, dream.name) for real in stepping for dream in imagining
    }


def test_run_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    found = bench_cases.Findings(
        title="Speed of things",
        timings=[timing("slow", [2.0, 4.0]), timing("fast", [1.0, 1.0])],
        ratios=[Ratio.between("slow / fast", timing("s", [2.0, 4.0]), timing("f", [1.0, 1.0]))],
        target="at least 2",
    )
    asked = []

    def benchmark(family, seconds):
        asked.append((family, seconds))
        return [found]

    monkeypatch.setattr(bench, "BENCHMARKS", {"things": benchmark})
    files = bench.run("all", family="f", seconds=1.5, out=tmp_path)
    assert asked == [("f", 1.5)]
    printed = capsys.readouterr().out
    assert "Speed of things: median [min, max] of 2 rounds" in printed
    assert "× 3.00 [2.00, 4.00]" in printed
    content = json.loads(files["things"].read_text())
    assert files["things"].parent == tmp_path
    assert content["kind"] == "bench-things"
    assert content["command"] == "metarl-gan bench things --family f"
    assert content["findings"][0]["ratios"][0]["wall"] == {"min": 2.0, "median": 3.0, "max": 4.0}
    assert content["findings"][0]["timings"][0]["wall_seconds"] == [2.0, 4.0]


def test_an_unknown_benchmark_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"'imaginatoin'; did you mean 'imagination'"):
        bench.run("imaginatoin")


def test_machine_names_processor_and_versions():
    found = machine()
    assert found["processor"]
    assert isinstance(found["versions"], dict)
    assert "torch" in found["versions"]
