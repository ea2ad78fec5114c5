"""Inversion, and generators that take gradient steps on a task's real rows."""

from dataclasses import replace

import pytest
import torch

from metarl_gan.generator import Generator, RowLosses
from metarl_gan.generator_adaptation import (
    AnchorWeights,
    Layout,
    adapted_weights,
    anchor_losses,
    descend,
    invert,
    spread_out,
    weighted,
)
from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.generators.make import make_generator
from metarl_gan.transition_space import Rows, TransitionSpace
from tests.agents.toys import stream
from tests.metarl_gan.toys import BOX, OBSERVATIONS, small_config

ANCHOR = AnchorWeights(state=1.0, reward=8.0, terminated=2.0)
VALUES = (10.0 * torch.arange(2)[:, None] + torch.arange(3))[..., None]


@pytest.mark.parametrize(
    ("n_members", "adapted", "expected"),
    [
        (1, False, [[0, 1, 2, 10, 11, 12]]),
        (1, True, [[0, 1, 2], [10, 11, 12]]),
        (2, False, [[0, 1, 2, 10, 11, 12]] * 2),
        (2, True, [[0, 1, 2], [10, 11, 12]] * 2),
    ],
)
def test_every_member_gets_all_rows(n_members, adapted, expected):
    layout = Layout(n_members=n_members, n_tasks=2, adapted=adapted)
    spread = layout.spread(VALUES)
    assert spread.squeeze(-1).tolist() == expected
    gathered = layout.gather(spread)
    assert gathered.shape == (n_members, 2, 3, 1)
    assert all(torch.equal(of_member, VALUES) for of_member in gathered)
    # And without a last axis.
    assert torch.equal(layout.gather(spread.squeeze(-1)), gathered.squeeze(-1))


def some_rows(n_tasks, n_rows, *, dtype=torch.float32, seed=0):
    rng = stream(seed)

    def normal(size):
        return torch.randn(n_tasks, n_rows, size, generator=rng, dtype=dtype)

    valid = torch.ones(n_tasks, n_rows, dtype=torch.bool)
    valid[0, -2:] = False
    return Rows(
        states=normal(3),
        actions=normal(2),
        changes=normal(3),
        rewards=normal(1),
        terminated=(normal(1) > 1).to(dtype),
        valid=valid,
    )


def a_generator(*, dtype=torch.float32, **settings):
    config = small_config(generator={"hidden_sizes": (4,), **settings})
    space = TransitionSpace(OBSERVATIONS, BOX, residual=True)
    torch.manual_seed(0)
    generator = make_generator(space, config).to(dtype)
    return generator, {name: value.detach() for name, value in generator.weights().items()}


def encodings(n_tasks, dtype=torch.float32):
    return torch.tanh(torch.randn(n_tasks, 3, generator=stream(9), dtype=dtype))


def of_task(rows, task):
    return Rows(**{name: value[task : task + 1] for name, value in vars(rows).items()})


def loss_of(generator, weights, encoding, rows, *, adapted, n_members=1):
    """Weighted loss `[members, tasks]`."""
    layout = Layout(n_members=n_members, n_tasks=len(encoding), adapted=adapted)
    return weighted(anchor_losses(generator, weights, encoding, rows, layout, None), ANCHOR)


@pytest.mark.parametrize("kind", ["gan", "ensemble", "diffusion"])
def test_anchor_losses_are_means_over_the_valid_rows_of_each_member_and_task(kind):
    generator, weights = a_generator(kind=kind, members=2)
    rows, encoding = some_rows(3, 6), encodings(3)
    if kind == "diffusion":  # a row's fixed noise is that of its place
        rows, encoding = (of_task(rows, 0), encoding[:1])
    layout = Layout(n_members=2, n_tasks=len(encoding), adapted=False)
    found = anchor_losses(generator, weights, encoding, rows, layout, None)
    for member in range(2):
        for task in range(len(encoding)):
            n_valid = int(rows.valid[task].sum())
            own = Rows(**{n: v[task : task + 1, :n_valid] for n, v in vars(rows).items()})
            spread = encoding[task].expand(1, n_valid, -1)
            alone = {name: value[[member]] for name, value in weights.items()}
            losses = generator.losses(alone, own, spread, None)
            for name, value in vars(losses).items():
                torch.testing.assert_close(found[name][member, task], value.mean())
    by_hand = found["state"] + 8.0 * found["reward"] + 2.0 * found["terminated"]
    torch.testing.assert_close(weighted(found, ANCHOR), by_hand)


CONFIG = GeneratorConfig(inversion_steps=15, inversion_lr=0.05)


@pytest.mark.parametrize("members", [1, 2])
def test_inversion_lowers_what_it_minimises_and_stays_within_bounds(members):
    generator, weights = a_generator(members=members, hidden_sizes=(16,))
    rows, encoding = some_rows(3, 12), encodings(3)
    refined = invert(generator, weights, encoding, rows, CONFIG)
    layout = Layout(n_members=members, n_tasks=3, adapted=False)
    before, after = (
        anchor_losses(generator, weights, e, rows, layout, None) for e in (encoding, refined)
    )
    wanted = [0.5 * losses["state"] + losses["reward"] for losses in (before, after)]
    assert (wanted[1].mean(0) < wanted[0].mean(0) - 1e-3).all()
    assert refined.abs().max() <= 1.0
    assert not refined.requires_grad


def test_inversion_of_a_task_does_not_depend_on_the_batch():
    generator, weights = a_generator(members=2)
    rows, encoding = some_rows(3, 12), encodings(3)
    together = invert(generator, weights, encoding, rows, CONFIG)
    for task in range(3):
        alone = invert(generator, weights, encoding[[task]], of_task(rows, task), CONFIG)
        torch.testing.assert_close(alone[0], together[task], rtol=1e-3, atol=1e-3)


def test_rows_are_spread_evenly_over_the_valid_ones():
    """Six of 12 valid rows: every other one; six of nine: 0, 1, 3, 4, 6, 7; of four: all."""
    numbers = torch.arange(16.0).expand(3, 16)
    valid = torch.zeros(3, 16, dtype=torch.bool)
    valid[0, 2:14] = valid[1, :9] = valid[2, [3, 5, 9, 15]] = True
    fields = {name: numbers.unsqueeze(-1) for name in ("states", "actions", "changes")}
    rows = Rows(**fields, rewards=fields["states"], terminated=fields["states"], valid=valid)
    found = spread_out(rows, 6)
    assert found.valid.sum(-1).tolist() == [6, 6, 4]
    assert found.states[0].flatten().tolist() == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    assert found.states[1].flatten().tolist() == [0.0, 1.0, 3.0, 4.0, 6.0, 7.0]
    assert found.states[2].flatten().tolist()[:4] == [3.0, 5.0, 9.0, 15.0]


def test_inversion_looks_at_as_many_rows_as_it_is_told_to():
    generator, weights = a_generator()
    rows, encoding = some_rows(3, 12), encodings(3)
    rows = replace(rows, valid=torch.ones(3, 12, dtype=torch.bool))
    config = replace(CONFIG, inversion_rows=6)
    found = invert(generator, weights, encoding, rows, config)
    every_other = Rows(**{name: value[:, ::2] for name, value in vars(rows).items()})
    torch.testing.assert_close(found, invert(generator, weights, encoding, every_other, CONFIG))
    enough = invert(generator, weights, encoding, rows, replace(CONFIG, inversion_rows=12))
    assert torch.equal(enough, invert(generator, weights, encoding, rows, CONFIG))


class TwoKinds(Generator):
    """Explains a task by its encoding `e` at a cost of `(|e| - 0.5)²` and, on the wrong side, 1.

    The side is the sign of a row's reward. From one side to the other no gradient leads: the cost
    rises towards 0 from either.
    """

    noise_size = 0

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.encoding_size, self.n_members = 1, 1

    def transition(self, weights, inputs):
        raise NotImplementedError

    def rewards(self, weights, states, actions, changes, encoding, noise):
        raise NotImplementedError

    def losses(self, weights, rows, encoding, stream):
        wrong = (encoding.sign() != rows.rewards.sign()).float()
        cost = ((encoding.abs() - 0.5).square() + wrong).squeeze(-1)
        return RowLosses(state=0.0 * cost, reward=cost, terminated=0.0 * cost)


def test_inversion_changes_sides_if_it_may_start_elsewhere():
    shape = (2, 3, 1)
    side = torch.tensor([1.0, -1.0]).view(2, 1, 1).expand(shape)
    zeros = torch.zeros(shape)
    rows = Rows(
        states=zeros,
        actions=zeros,
        changes=zeros,
        rewards=side,
        terminated=zeros,
        valid=torch.ones(shape[:2], dtype=torch.bool),
    )
    encoding, weights = torch.tensor([[0.3], [0.3]]), {"w": torch.zeros(1, 1)}
    config = {"inversion_steps": 40, "inversion_lr": 0.05}
    stuck = invert(TwoKinds(), weights, encoding, rows, GeneratorConfig(**config))
    torch.testing.assert_close(stuck, torch.tensor([[0.5], [0.5]]), atol=0.02, rtol=0)
    found = invert(
        TwoKinds(), weights, encoding, rows, GeneratorConfig(**config, inversion_starts=4)
    )
    torch.testing.assert_close(found, torch.tensor([[0.5], [-0.5]]), atol=0.02, rtol=0)
    # Of the points -1, 0, 0.5 and -0.5 the first task takes 0.5, which costs nothing.
    assert found[0] == 0.5


def test_gradient_descent_by_hand():
    """Of `3 w²` from 1 with a step of 0.1: 0.4 of it are left each time."""
    weights = {"w": torch.tensor([1.0, 2.0], requires_grad=True)}

    def loss(current):
        return 3.0 * current["w"].square().sum()

    found = descend(loss, weights, n_steps=2, lr=0.1)
    assert found["w"].tolist() == pytest.approx([0.16, 0.32])
    assert not found["w"].requires_grad
    kept = descend(loss, weights, n_steps=2, lr=0.1, differentiable=True)
    (gradient,) = torch.autograd.grad(kept["w"].sum(), [weights["w"]])
    # d (0.16 w) / d w: the path through both steps.
    assert gradient.tolist() == pytest.approx([0.16, 0.16])


@pytest.mark.parametrize("kind", ["gan", "ensemble"])
def test_an_adapted_generator_is_one_descended_on_the_task_alone(kind):
    generator, weights = a_generator(kind=kind, members=2)
    rows, encoding = some_rows(3, 8), encodings(3)
    config = GeneratorConfig(adaptation_steps=2, adaptation_lr=0.1)
    together = adapted_weights(generator, weights, encoding, rows, config, ANCHOR)
    for member in range(2):
        for task in range(3):
            alone = {name: value[[member]] for name, value in weights.items()}
            for _ in range(2):
                alone = {name: v.requires_grad_(True) for name, v in alone.items()}
                loss = loss_of(
                    generator, alone, encoding[[task]], of_task(rows, task), adapted=True
                ).sum()
                gradients = torch.autograd.grad(loss, list(alone.values()))
                alone = {
                    name: (value - 0.1 * gradient).detach()
                    for (name, value), gradient in zip(alone.items(), gradients, strict=True)
                }
            for name, value in alone.items():
                found = together[name][3 * member + task]
                torch.testing.assert_close(found, value[0], rtol=1e-3, atol=1e-4)


STEP = GeneratorConfig(adaptation_steps=1, adaptation_lr=0.05)
EPSILON = 1e-6


def nudged(weights, name, at, amount):
    moved = weights[name].clone()
    moved.view(-1)[at] += amount
    return {**weights, name: moved}


def places(weights, n=3):
    """Some parameters of each tensor."""
    rng = stream(4)
    return [
        (name, int(at))
        for name, value in weights.items()
        for at in torch.randint(value.numel(), (n,), generator=rng)
    ]


def test_the_inner_step_goes_against_the_slope():
    """In double precision, beside finite differences of the loss that is meant."""
    generator, weights = a_generator(dtype=torch.float64)
    rows, encoding = some_rows(1, 8, dtype=torch.float64), encodings(1, torch.float64)
    ends = adapted_weights(generator, weights, encoding, rows, STEP, ANCHOR)
    for name, at in places(weights):
        up, down = (
            loss_of(generator, nudged(weights, name, at, e), encoding, rows, adapted=True)
            for e in (EPSILON, -EPSILON)
        )
        slope = float(up - down) / (2 * EPSILON)
        step = float((ends[name] - weights[name]).view(-1)[at])
        assert step == pytest.approx(-0.05 * slope, rel=1e-4, abs=1e-9), (name, at)


def test_the_meta_gradient_is_the_slope_of_the_loss_after_the_inner_step():
    """MAML: not the gradient at the adapted weights, but through the step that led there."""
    generator, weights = a_generator(dtype=torch.float64, members=2)
    context, encoding = some_rows(2, 8, dtype=torch.float64), encodings(2, torch.float64)
    targets = some_rows(2, 5, dtype=torch.float64, seed=1)

    def outer(start, *, differentiable=False):
        ends = adapted_weights(
            generator, start, encoding, context, STEP, ANCHOR, differentiable=differentiable
        )
        return loss_of(generator, ends, encoding, targets, adapted=True, n_members=2).sum(), ends

    start = {name: value.clone().requires_grad_(True) for name, value in weights.items()}
    loss, ends = outer(start, differentiable=True)
    gradients = dict(
        zip(start, torch.autograd.grad(loss, list(start.values()), retain_graph=True), strict=True)
    )
    first_order = torch.autograd.grad(loss, list(ends.values()))
    for name, at in places(weights):
        up, down = (float(outer(nudged(weights, name, at, e))[0]) for e in (EPSILON, -EPSILON))
        found = float(gradients[name].view(-1)[at])
        assert found == pytest.approx((up - down) / (2 * EPSILON), rel=1e-4, abs=1e-8), (name, at)
    differences = [
        float((gradient - plain.unflatten(0, (2, 2)).sum(1)).abs().max())
        for gradient, plain in zip(gradients.values(), first_order, strict=True)
    ]
    assert max(differences) > 1e-3
