"""What every generator must do, whatever its networks."""

import pytest
import torch

from metarl_gan.generator import Generator, over_rows
from tests.agents.toys import stream
from tests.metarl_gan.generators import toys

kinds = pytest.mark.parametrize("kind", toys.KINDS)


class Recorder(Generator):
    """Says what it was asked."""

    def __init__(self):
        super().__init__(toys.space(states=2, actions=1), 2, 1)

    noise_size, reward_noise_size = 2, 1

    def transition(self, weights, inputs):
        return inputs, inputs[..., :1]

    def rewards(self, weights, states, actions, changes, encoding, noise):
        return torch.cat([states, actions, changes, encoding, noise], dim=-1)

    def losses(self, weights, rows, encoding, stream):
        raise NotImplementedError


def encodings(batch, n_rows, dtype=torch.float32):
    return torch.randn(batch, n_rows, toys.ENCODING, generator=stream(3), dtype=dtype)


def everything(generator, weights, rows, encoding, noise):
    """All that a generator can be asked, by name."""
    asked = (rows.states, rows.actions, rows.changes, encoding)
    return {
        **vars(toys.generate(generator, weights, rows, encoding, noise)),
        "real_rewards": generator.rewards(weights, *asked, noise[..., generator.noise_size :]),
        **{
            f"{n}_loss": v for n, v in vars(generator.losses(weights, rows, encoding, None)).items()
        },
    }


def test_generate_lays_inputs_side_by_side_and_splits_the_noise():
    parts = [torch.tensor([[numbers]]) for numbers in ([1.0, 2], [3.0], [4.0, 5], [6.0, 7, 8])]
    generated = Recorder().generate({}, *parts)
    assert generated.changes.flatten().tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert generated.rewards.flatten().tolist() == [1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 4, 5, 8]
    assert generated.terminated_logits.flatten().tolist() == [1]
    # A known change is what the reward is asked about; what is generated stays.
    known = Recorder().generate({}, *parts, known_changes=torch.tensor([[[9.0]]]))
    assert torch.equal(known.changes, generated.changes)
    assert known.rewards.flatten().tolist() == [1, 2, 3, 9, 4, 5, 8]


def test_over_rows_repeats_encodings():
    assert over_rows(torch.tensor([[1.0], [2.0]]), 3).tolist() == [[[1.0]] * 3, [[2.0]] * 3]


@kinds
@pytest.mark.parametrize("hidden_sizes", [(), (8,), (8, 6)])
def test_shapes(kind, hidden_sizes):
    generator = toys.make(kind, members=2, hidden_sizes=hidden_sizes)
    rows, noise = toys.random_rows(2, 5), toys.noise_for(generator, 2, 5)
    found = everything(generator, generator.weights(), rows, encodings(2, 5), noise)
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "changes": (2, 5, toys.STATES),
        "rewards": (2, 5, 1),
        "terminated_logits": (2, 5, 1),
        "real_rewards": (2, 5, 1),
        "state_loss": (2, 5),
        "reward_loss": (2, 5),
        "terminated_loss": (2, 5),
    }
    assert generator.n_members == 2
    assert all(len(value) == 2 for value in generator.weights().values())


@kinds
def test_members_know_nothing_of_each_other(kind):
    generator = toys.make(kind, members=3)
    rows, noise = toys.random_rows(3, 5), toys.noise_for(generator, 3, 5)
    weights = generator.weights()
    before = everything(generator, weights, rows, encodings(3, 5), noise)
    changed = {name: value.clone() for name, value in weights.items()}
    for value in changed.values():
        value[1] += 0.1
    after = everything(generator, changed, rows, encodings(3, 5), noise)
    for name, value in before.items():
        same = (value == after[name]).flatten(1)
        assert same[[0, 2]].all(), name
        assert not same[1].any(), name


@kinds
def test_members_start_different(kind):
    generator = toys.make(kind, members=2)
    rows, noise = toys.random_rows(1, 5), toys.noise_for(generator, 1, 5)
    weights = generator.weights()
    first, second = ({name: value[i : i + 1] for name, value in weights.items()} for i in range(2))
    ours = everything(generator, first, rows, encodings(1, 5), noise)
    theirs = everything(generator, second, rows, encodings(1, 5), noise)
    assert not any(torch.equal(ours[name], theirs[name]) for name in ours)


@kinds
def test_weights_that_adapted_to_tasks_do_as_a_loop_over_tasks(kind):
    generator, n_batch = toys.make(kind, members=2), 6
    weights = {
        name: value.detach().repeat(3, *([1] * (value.ndim - 1)))
        + 0.1 * torch.randn(n_batch, *value.shape[1:], generator=stream(7))
        for name, value in generator.weights().items()
    }
    rows, noise = toys.random_rows(n_batch, 5), toys.noise_for(generator, n_batch, 5)
    together = everything(generator, weights, rows, encodings(n_batch, 5), noise)
    for i in range(n_batch):
        one = slice(i, i + 1)
        alone = everything(
            generator,
            {name: value[one] for name, value in weights.items()},
            rows.index(torch.tensor([i])),
            encodings(n_batch, 5)[one],
            noise[one],
        )
        for name, value in alone.items():
            torch.testing.assert_close(together[name][one], value, rtol=1e-4, atol=1e-5)


@kinds
def test_chance_comes_from_the_stream_alone(kind):
    generator = toys.make(kind)
    rows, encoding, weights = toys.random_rows(1, 6), encodings(1, 6), generator.weights()
    state = torch.get_rng_state()

    def state_losses(rng):
        return generator.losses(weights, rows, encoding, rng).state

    assert torch.equal(state_losses(stream(1)), state_losses(stream(1)))
    assert torch.equal(state_losses(None), state_losses(None))
    # Likelihoods need no chance.
    assert torch.equal(state_losses(stream(1)), state_losses(stream(2))) == (kind == "gaussian")
    assert torch.equal(state_losses(stream(1)), state_losses(None)) == (kind == "gaussian")
    assert torch.equal(torch.get_rng_state(), state)


@kinds
def test_everything_is_differentiable_twice_in_weights_and_encoding(kind):
    generator = toys.make(kind, hidden_sizes=(3,), diffusion_steps=3).double()
    rows = toys.random_rows(1, 3, dtype=torch.float64)
    noise = toys.noise_for(generator, 1, 3, dtype=torch.float64)
    names, values = zip(*generator.weights().items(), strict=True)

    def total(encoding, *weights):
        named = dict(zip(names, weights, strict=True))
        found = everything(generator, named, rows, encoding, noise)
        # No symmetry between what is summed.
        sums = torch.stack([value.sin().sum() for value in found.values()])
        return (sums * torch.arange(1, len(sums) + 1)).sum()

    inputs = (encodings(1, 3, torch.float64).requires_grad_(True), *values)
    assert torch.autograd.gradcheck(total, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(total, inputs, fast_mode=True)
    gradients = torch.autograd.grad(total(*inputs), inputs)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@kinds
def test_networks_compute_in_the_precision_they_are_given(kind):
    generator = toys.make(kind, members=2)
    weights = {name: v.detach() for name, v in generator.weights().items()}
    rows, noise = toys.random_rows(2, 50), toys.noise_for(generator, 2, 50)
    exact = toys.generate(generator, weights, rows, encodings(2, 50), noise)
    low = {name: value.bfloat16() for name, value in weights.items()}
    parts = (rows.states, rows.actions, encodings(2, 50), noise)
    coarse = generator.generate(low, *(part.bfloat16() for part in parts))
    for name, value in vars(coarse).items():
        assert value.dtype == torch.bfloat16
        torch.testing.assert_close(value.float(), getattr(exact, name), rtol=0.05, atol=0.1)


@kinds
def test_a_fitted_generator_knows_rewards(kind):
    rows, encoding = toys.world(500, stream(8))
    generator = toys.fitted(kind)
    noise = toys.noise_for(generator, 1, 500)[..., generator.noise_size :]
    asked = (rows.states, rows.actions, rows.changes, encoding)
    found = generator.rewards(generator.weights(), *asked, noise)
    assert (found - rows.rewards).square().mean() < 0.02


@kinds
@pytest.mark.parametrize("truth", [-0.5, 0.6])
def test_losses_without_a_stream_tell_the_encoding(kind, truth):
    generator, (rows, _) = toys.fitted(kind), toys.world(20, stream(8), truth)
    encoding = torch.zeros(1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([encoding], lr=0.05)
    for _ in range(40):
        losses = generator.losses(generator.weights(), rows, over_rows(encoding, 20), None)
        loss = losses.state.mean() + losses.reward.mean()
        (encoding.grad,) = torch.autograd.grad(loss, [encoding])
        optimiser.step()
    assert encoding.item() == pytest.approx(truth, abs=0.15)
