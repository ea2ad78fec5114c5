import torch

from metarl_gan.streams import Streams


def numbers(streams, name, index=0):
    return torch.rand(5, generator=streams.torch(name, index)).tolist()


def test_a_stream_depends_on_seed_name_and_index_alone():
    first, second = Streams(7), Streams(7)
    numbers(second, "query")
    numbers(second, "support", 1)
    assert numbers(first, "support", 3) == numbers(second, "support", 3)
    # Asking again starts again: the state of all randomness is the counters.
    assert numbers(first, "support", 3) == numbers(first, "support", 3)


def test_streams_differ_by_seed_by_name_and_by_index():
    found = [
        numbers(Streams(seed), name, index)
        for seed in (0, 1)
        for name in ("support", "query")
        for index in (0, 1)
    ]
    assert len({tuple(draws) for draws in found}) == len(found)


def test_integers_are_seeds_and_stay_what_they_are_between_processes_and_versions():
    integers = [Streams(0).integer("support", index) for index in range(200)]
    assert all(0 <= value < 2**31 for value in integers)
    assert len(set(integers)) == 200
    # A resumed run needs the very same ones.
    assert integers[:3] == [148212876, 597910030, 2028182323]


def test_no_global_randomness_is_touched():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    numbers(Streams(1), "support")
    assert torch.equal(torch.get_rng_state(), state)
