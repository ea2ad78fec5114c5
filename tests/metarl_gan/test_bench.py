"""Benchmarks: what is timed, and the arithmetic on it. No test depends on how fast anything is."""

import json
import time

import pytest
import torch

from metarl_gan import bench, bench_cases, bench_imagination, bench_timing
from metarl_gan.bench_precision import compare_precisions
from metarl_gan.bench_products import Setting, products
from metarl_gan.bench_timing import Alternative, Ratio, Spread, Timing, machine, time_in_turns
from metarl_gan.envs import make_family
from metarl_gan.usage import UsageError
from tests.metarl_gan.toys import small_config


def timing(name, wall, *, transitions=10, cpu=None, flops=0.0):
    return Timing(
        name=name,
        transitions=transitions,
        torch_threads=1,
        wall_seconds=tuple(wall),
        cpu_seconds=tuple(cpu or wall),
        flops=flops,
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


def test_what_takes_little_time_is_called_several_times_a_round(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def taking(name, seconds):
        def work():
            calls.append(name)
            now[0] += seconds

        return Alternative(name=name, transitions=1, work=work)

    lengths = {"short": 0.02, "long": 0.07, "none": 0.0}
    timings = time_in_turns([taking(*each) for each in lengths.items()], seconds=0.0, min_rounds=2)
    # Once to warm up; then as often as takes 0.05 seconds, but no more than 20 times, and once
    # before, if that is more than one call.
    assert calls == [*lengths, *(["short"] * 4 + ["long"] + ["none"] * 21) * 2]
    for timing, seconds in zip(timings, lengths.values(), strict=True):
        assert timing.wall_seconds == pytest.approx([seconds] * 2)  # of a call


def test_alternatives_take_turns_with_their_own_threads(monkeypatch):
    monkeypatch.setattr(bench_timing, "LEAST_SECONDS", 0.0)
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


def test_collection_compares_the_same_steps():
    family = make_family("point-goal")
    found = bench_cases.measure_collection(
        family, seconds=0.0, n_tasks=2, envs_per_task=3, threads=(1,)
    )
    assert {one.transitions for one in found.timings} == {2 * 3 * family.horizon}
    assert [ratio.of.partition(",")[0] for ratio in found.ratios] == ["collector"] * len(
        found.ratios
    )
    for ratio in found.ratios:
        # Compared at equal numbers of threads.
        assert ratio.of.partition(",")[2] == ratio.to.partition(",")[2]


def test_imagination_is_compared_with_every_way_of_stepping():
    family = make_family("point-goal")
    single = family.make(family.sample(1, seed=0)[0])
    found = bench_imagination.measure_imagination(
        family, single, seconds=0.0, n_tasks=2, rollouts=(1, 3), threads=(1,)
    )
    stepping = [one.name for one in found.timings if one.name.startswith("stepping")]
    imagining = [one for one in found.timings if one.name.startswith("imagining")]
    assert {one.transitions for one in imagining} == {
        2 * family.horizon,
        2 * 3 * family.horizon,
    }
    assert {(ratio.of, ratio.to) for ratio in found.ratios} == {
        (real, dream.name) for real in stepping for dream in imagining
    }


def test_wide_imagination_is_held_against_the_products_of_its_own_layers(monkeypatch):
    monkeypatch.setattr(bench_timing, "MIN_ROUNDS", 1)
    family = make_family("point-goal")
    single = family.make(family.sample(1, seed=0)[0])
    found = bench_imagination.measure_wide_imagination(
        family, single, seconds=0.0, n_tasks=2, rollouts=(3, 5), threads=(1,)
    )
    # Dynamics from state, action, encoding and noise; reward from the change as well; the policy.
    dynamics = (2 + 2 + 8 + 2) * 256 + 256 * 256 + 256 * 3
    reward = (2 + 2 + 2 + 8) * 256 + 256 * 256 + 256
    policy = 2 * 64 + 64 * 64 + 64 * 2
    by_name = {one.name: one for one in found.timings}
    dreams = [one for one in found.timings if one.name.startswith("imagining")]
    assert {one.transitions for one in dreams} == {2 * 3 * 10, 2 * 5 * 10}
    for one in dreams:
        assert one.flops == 2 * (dynamics + reward + policy) * one.transitions
        against = [by_name[ratio.of] for ratio in found.ratios if ratio.to == one.name]
        setting = one.name.partition(",")[2]
        kinds = [other.name.removesuffix("," + setting) for other in against]
        assert kinds[:2] == ["products of 256 × 256", "the layers' products alone"]
        assert kinds[2].startswith("stepping one")
    assert {one.name.partition(", ")[2] for one in dreams} == {
        "float32, 1 thread",
        "bfloat16, 1 thread",
    }


def test_products_count_as_what_would_take_as_many_operations():
    setting = Setting(dtype="bfloat16", threads=2)
    found = products("p", [(3, 4), (4, 5)], 10, 6, 8.0, setting)
    found.work()
    assert found.flops == 2 * 10 * 6 * (12 + 20)
    assert found.transitions == found.flops / 8
    assert found.torch_threads == 2
    assert str(setting) == "bfloat16, 2 threads"


def test_operations_per_second_are_by_the_clock():
    measured = timing("a", [1.0, 4.0, 2.0], cpu=[8.0, 8.0, 8.0], flops=8e9)
    assert measured.gflops == Spread(min=2.0, median=4.0, max=8.0)


def test_bfloat16_imagines_the_same_rollouts_and_nearly_the_same_gradient():
    found = compare_precisions(make_family("point-goal"), small_config(), n_tasks=8, n_rollouts=20)
    same, other, first, last, rewards = found.values()
    assert same.median > 0.99
    assert other.median < 0.9
    # Not the same numbers, but apart by no more than bfloat16's eight bits explain.
    for difference in (first, last, rewards):
        assert 1e-5 < difference.median < 0.05


def test_run_prints_a_table_and_writes_json_and_markdown(tmp_path, monkeypatch, capsys):
    found = bench_cases.Findings(
        title="Speed of things",
        timings=[timing("slow", [2.0, 4.0]), timing("fast", [1.0, 1.0])],
        ratios=[Ratio.between("slow / fast", timing("s", [2.0, 4.0]), timing("f", [1.0, 1.0]))],
        target="at least 2",
        comparisons={"likeness": Spread(min=0.25, median=0.5, max=1.0)},
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
    assert "0.5000 [0.2500, 1.0000]" in printed
    content = json.loads(files["things"].read_text())
    assert files["things"].parent == tmp_path
    markdown = files["things"].with_suffix(".md").read_text()
    assert "| slow / fast | 3.00 [2.00, 4.00] |" in markdown
    assert "| likeness | 0.50 [0.25, 1.00] |" in markdown
    assert content["kind"] == "bench-things"
    assert content["command"] == "metarl-gan bench things --family f"
    assert content["findings"][0]["ratios"][0]["wall"] == {"min": 2.0, "median": 3.0, "max": 4.0}
    assert content["findings"][0]["comparisons"]["likeness"]["median"] == 0.5
    assert content["findings"][0]["timings"][0]["wall_seconds"] == [2.0, 4.0]


def test_an_unknown_benchmark_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"'imaginatoin'; did you mean 'imagination'"):
        bench.run("imaginatoin")


def test_machine_names_processor_and_versions():
    found = machine()
    assert found["processor"]
    assert isinstance(found["versions"], dict)
    assert "torch" in found["versions"]
