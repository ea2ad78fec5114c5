import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.utils._python_dispatch import TorchDispatchMode

from metarl_gan.adversarial_game import AdversarialGame
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import override
from metarl_gan.discriminator import Discriminator, judged_inputs
from metarl_gan.generator import over_rows
from metarl_gan.generator_config import DiscriminatorConfig
from metarl_gan.generators.energy_score import SOFTNESS
from metarl_gan.layers import perceptron
from metarl_gan.transition_space import TransitionSpace
from tests.agents.toys import stream
from tests.metarl_gan.toys import linears

Objective = Literal["non_saturating", "hinge", "wgan_gp", "cramer"]
OBJECTIVES = ["non_saturating", "hinge", "wgan_gp"]
LINE = spaces.Box(-np.inf, np.inf, (1,), np.float32)
SPACE = TransitionSpace(LINE, LINE, residual=True)
SIZE = 5  # of a transition: state, action, change, reward, terminated


def game_of(objective: Objective = "non_saturating", **changes):
    """A game in double precision, and its discriminator; linear unless `hidden_sizes` are given."""
    linear = DiscriminatorConfig(hidden_sizes=(), spectral_norm=False)
    config = replace(linear, objective=objective, **changes)
    torch.manual_seed(0)
    discriminator = Discriminator(SPACE, 1, config).double()
    return AdversarialGame(discriminator, config), discriminator


def judging_by_change(objective: Objective = "non_saturating", **changes):
    """A game whose discriminator's logit is the (sum of the) change of state."""
    game, discriminator = game_of(objective, **changes)
    (layer,) = linears(discriminator)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 2::SIZE] = 1.0
        layer.bias.zero_()
    return game, discriminator


def rows_of(changes):
    """Rows `[tasks, rows, 5]` of given changes of state, all else 0."""
    changes = torch.as_tensor(changes, dtype=torch.float64).unsqueeze(-1)
    nothing = torch.zeros_like(changes)
    return judged_inputs(nothing, nothing, changes, nothing, nothing)


def some(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


NO_ENCODING = torch.zeros(2, 1, dtype=torch.float64)
REAL, GENERATED = [[2.0, 0.5], [-1.0, 3.0]], [[-2.0, 0.0], [1.5, -0.5]]


def softplus(x):
    return math.log1p(math.exp(x))


def test_non_saturating_by_hand():
    game, _ = judging_by_change()
    losses = game.discriminator_loss(rows_of(REAL), rows_of(GENERATED), NO_ENCODING, stream())
    real = sum(softplus(-x) for x in (2.0, 0.5, -1.0, 3.0)) / 4
    generated = sum(softplus(x) for x in (-2.0, 0.0, 1.5, -0.5)) / 4
    assert losses["discriminator_loss"].item() == pytest.approx(real + generated)
    found = game.generator_loss(rows_of(REAL), rows_of(GENERATED), NO_ENCODING)
    expected = sum(softplus(-x) for x in (-2.0, 0.0, 1.5, -0.5)) / 4
    assert found["generator_loss"].item() == pytest.approx(expected)


def test_hinge_by_hand():
    game, _ = judging_by_change("hinge")
    losses = game.discriminator_loss(rows_of(REAL), rows_of(GENERATED), NO_ENCODING, stream())
    # 1 - logit of real, 1 + logit of generated, where positive.
    assert losses["discriminator_loss"].item() == pytest.approx(2.5 / 4 + (1.0 + 2.5 + 0.5) / 4)
    found = game.generator_loss(rows_of(REAL), rows_of(GENERATED), NO_ENCODING)
    assert found["generator_loss"].item() == pytest.approx(0.25)


def test_wgan_gp_by_hand():
    # The slope is 3 everywhere.
    game, discriminator = judging_by_change("wgan_gp", gradient_penalty=0.5)
    with torch.no_grad():
        linears(discriminator)[0].weight.mul_(3.0)
    losses = game.discriminator_loss(rows_of(REAL), rows_of(GENERATED), NO_ENCODING, stream())
    assert losses["gradient_penalty"].item() == pytest.approx((3.0 - 1.0) ** 2)
    distance = 3.0 * (-0.25 - 1.125)
    assert losses["discriminator_loss"].item() == pytest.approx(distance + 0.5 * 4.0)
    found = game.generator_loss(rows_of(REAL), rows_of(GENERATED), NO_ENCODING)
    assert found["generator_loss"].item() == pytest.approx(3.0 * 0.25)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_penalties_of_a_linear_discriminator_are_known(objective):
    game, discriminator = game_of(objective, packing=2, r1_weight=0.6, gradient_penalty=0.7)
    losses = game.discriminator_loss(some(3, 4, SIZE), some(3, 4, SIZE), some(3, 1), stream())
    slope = linears(discriminator)[0].weight[0, : 2 * SIZE].norm()
    torch.testing.assert_close(losses["r1"], slope**2)
    loss = losses["discriminator_loss"] - 0.3 * losses["r1"]
    if objective == "wgan_gp":
        torch.testing.assert_close(losses["gradient_penalty"], (slope - 1.0) ** 2)
        loss = loss - 0.7 * losses["gradient_penalty"]
    plain, other = game_of(objective, packing=2, r1_weight=0.0, gradient_penalty=0.0)
    other.load_state_dict(discriminator.state_dict())
    expected = plain.discriminator_loss(some(3, 4, SIZE), some(3, 4, SIZE), some(3, 1), stream())
    torch.testing.assert_close(loss, expected["discriminator_loss"])
    assert "r1" not in expected


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_of_the_discriminators_loss_are_those_of_finite_differences(objective):
    game, discriminator = game_of(objective, hidden_sizes=(6,), packing=2, r1_weight=0.6)
    real, generated, encoding = some(3, 4, SIZE), some(3, 4, SIZE, seed=1), some(3, 1, seed=2)
    weight = linears(discriminator)[0].weight

    def loss():
        return game.discriminator_loss(real, generated, encoding, stream())["discriminator_loss"]

    (gradient,) = torch.autograd.grad(loss(), [weight])
    direction, step = some(*weight.shape, seed=3), 1e-5
    sides = []
    for sign in (1.0, -2.0):
        with torch.no_grad():
            weight.add_(direction, alpha=sign * step)
        sides.append(loss().item())
    difference = (sides[0] - sides[1]) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_generators_gradient_flows_to_rows_alone(objective):
    game, discriminator = game_of(objective, hidden_sizes=(6,), feature_matching=0.5)
    rows_alone(game, discriminator)


def test_cramers_gradient_flows_to_rows_alone():
    rows_alone(*game_of("cramer", hidden_sizes=(6,)))


def rows_alone(game, discriminator):
    n_rows = 4 * game.n_draws
    real, generated = some(3, 4, SIZE), some(3, n_rows, SIZE, seed=1).requires_grad_()
    encoding = some(3, 1, seed=2).requires_grad_()

    def loss(generated):
        return game.generator_loss(real, generated, encoding)["generator_loss"]

    (gradient,) = torch.autograd.grad(loss(generated), [generated])
    assert gradient.abs().max() > 0
    loss(generated).backward()
    # What the discriminator is told of the task is not the generator's to spoil.
    assert encoding.grad is None
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert all(parameter.requires_grad for parameter in discriminator.parameters())
    assert torch.autograd.gradcheck(loss, [generated])


def test_cramer_by_hand():
    # Without hidden layers, features are what is judged: rows of which only the change is not 0.
    game, _ = game_of("cramer", hidden_sizes=())
    encoding = torch.zeros(1, 1, dtype=torch.float64)
    real, first, second = [[2.0, 0.0]], [[1.0, 3.0]], [[-1.0, 3.0]]
    drawn = torch.cat([rows_of(first), rows_of(second)], dim=1)

    def far(x, y):
        return math.sqrt((x - y) ** 2 + SOFTNESS**2) - SOFTNESS

    found = game.generator_loss(rows_of(real), drawn, encoding)["generator_loss"]
    scores = [
        (far(2, 1) + far(2, -1)) / 2 - far(1, -1) / 2,
        (far(0, 3) + far(0, 3)) / 2 - far(3, 3) / 2,
    ]
    assert found.item() == pytest.approx(sum(scores) / 2)
    found = game.discriminator_loss(rows_of(real), drawn, encoding, stream())
    judged_real = [far(2, -1) - far(2, 0), far(0, 3) - far(0, 0)]
    judged_first = [far(1, -1) - far(1, 0), far(3, 3) - far(3, 0)]
    expected = sum(judged_first) / 2 - sum(judged_real) / 2
    assert found["discriminator_loss"].item() == pytest.approx(expected)


def test_draws_are_packed_one_by_one():
    game, _ = game_of("cramer", hidden_sizes=(), packing=2)
    encoding = torch.zeros(1, 1, dtype=torch.float64)
    real, first, second = (
        rows_of([changes]) for changes in ([0.0, 0, 9], [3.0, 4, 9], [0.0, 0, 9])
    )
    found = game.generator_loss(real, torch.cat([first, second], dim=1), encoding)
    # The one pack of the first draw is 5 off the real one and the second's, which are alike.
    five = math.sqrt(25 + SOFTNESS**2) - SOFTNESS
    assert found["generator_loss"].item() == pytest.approx(five / 2 - five / 2)
    found = game.generator_loss(real, torch.cat([first, first], dim=1), encoding)
    assert found["generator_loss"].item() == pytest.approx(five)


def test_outcomes_as_they_are_distributed_cost_least_whatever_the_discriminator_looks_at():
    """And not those of all conditions together, with which a game on single rows is content."""
    encoding = torch.tensor(
        [[1.0], [-1.0]], dtype=torch.float64
    )  # what happens in these is certain
    real = rows_of([[1.0] * 400, [-1.0] * 400])
    by_chance = torch.where(some(2, 800, seed=3) > 0, 1.0, -1.0)  # as often as in both together
    for seed in range(5):
        game, discriminator = game_of("cramer", hidden_sizes=(6,))
        with torch.no_grad():
            for number, weight in enumerate(discriminator.parameters()):
                weight.copy_(some(*weight.shape, seed=10 * seed + number))
        truth = torch.cat([real, real], dim=1)
        costs = [
            game.generator_loss(real, drawn, encoding)["generator_loss"].item()
            for drawn in (truth, rows_of(by_chance))
        ]
        assert costs[0] < costs[1]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_discriminators_loss_leaves_the_generator_alone(objective):
    game, discriminator = game_of(objective, hidden_sizes=(6,), r1_weight=1.0)
    real, generated = some(3, 4, SIZE).requires_grad_(), some(3, 4, SIZE, seed=1).requires_grad_()
    encoding = some(3, 1, seed=2).requires_grad_()
    losses = game.discriminator_loss(real, generated, encoding, stream())
    weights = [layer.weight for layer in linears(discriminator)]
    gradients = torch.autograd.grad(losses["discriminator_loss"], weights, retain_graph=True)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    losses["discriminator_loss"].backward()
    assert all(tensor.grad is None for tensor in (real, generated, encoding))


def test_features_are_matched_task_by_task():
    # A linear discriminator's features are its inputs: encoding last, the same for both.
    game, _ = judging_by_change(feature_matching=0.1)
    real = torch.stack([rows_of([[1.0, 3.0]])[0], rows_of([[0.0, 0.0]])[0]])
    generated = torch.stack([rows_of([[1.0, 1.0]])[0], rows_of([[5.0, 1.0]])[0]])
    losses = game.generator_loss(real, generated, NO_ENCODING)
    # The means differ by 1 and by 3; over both tasks together they would differ by 1 only.
    assert losses["feature_distance"].item() == pytest.approx((1.0 + 9.0) / 2)
    expected = losses["adversarial_loss"].item() + 0.1 * 5.0
    assert losses["generator_loss"].item() == pytest.approx(expected)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_accuracies_tell_a_dead_discriminator_from_a_live_one(objective):
    game, discriminator = judging_by_change(objective)
    real, generated = rows_of([[4.0, 4.5], [3.0, 2.0]]), rows_of([[-1.0, 2.5], [-2.0, -0.5]])

    def accuracies():
        losses = game.discriminator_loss(real, generated, NO_ENCODING, stream())
        return losses["real_accuracy"].item(), losses["generated_accuracy"].item()

    # Halfway between the means of wgan_gp, 3.375 and -0.25, lies 1.5625.
    assert accuracies() == (1.0, 0.75)
    layer = linears(discriminator)[0]
    with torch.no_grad():
        layer.bias.add_(3.25)
    # A critic has no zero.
    assert accuracies() == ((1.0, 0.75) if objective == "wgan_gp" else (1.0, 0.0))
    with torch.no_grad():
        layer.weight.zero_()
    assert sum(accuracies()) <= 1.0


def test_penalised_points_come_from_the_stream_alone():
    game, _ = game_of("wgan_gp", hidden_sizes=(6,))

    def penalty(seed):
        losses = game.discriminator_loss(
            some(3, 4, SIZE), some(3, 4, SIZE, seed=1), some(3, 1), stream(seed)
        )
        return losses["gradient_penalty"].item()

    assert penalty(0) == penalty(0) != penalty(1)
    with pytest.raises(ValueError, match=r"got 3 and 4 packs"):
        game.discriminator_loss(some(3, 4, SIZE), some(3, 3, SIZE), some(3, 1), stream())


def test_judging_leaves_spectral_norms_as_they_are():
    game, discriminator = game_of(hidden_sizes=(6,), spectral_norm=True)
    rows, encoding = some(3, 4, SIZE), some(3, 1)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    game.acceptance(rows, encoding)
    game.density_ratio(rows, encoding)
    game.generator_loss(rows, rows, encoding)
    assert discriminator.training
    assert all(value.equal(before[name]) for name, value in discriminator.state_dict().items())


def test_density_ratios_by_hand():
    encoding = NO_ENCODING[:1]
    game, _ = judging_by_change()
    found = game.density_ratio(rows_of([[math.log(0.5), 0.0, math.log(4.0)]]), encoding)
    torch.testing.assert_close(found, torch.tensor([[0.5, 1.0, 4.0]], dtype=torch.float64))
    packs, _ = judging_by_change(packing=2)
    # The packs of rows 0 and 1, 1 and 2, 2 and 0 have the logits 1, 5, 4, shared by their rows.
    found = packs.density_ratio(rows_of([[0.0, 1.0, 4.0]]), encoding).log()
    torch.testing.assert_close(found, torch.tensor([[1.25, 1.5, 2.25]], dtype=torch.float64))
    critic, _ = judging_by_change("wgan_gp")
    for offset in (0.0, 1000.0):
        found = critic.density_ratio(rows_of([[offset, offset - 1, offset + 2]]), encoding).log()
        torch.testing.assert_close(found, torch.tensor([[0.0, -1.0, 2.0]], dtype=torch.float64))


def test_acceptance_is_the_ratio_to_the_best_row_where_most_are_good():
    game, _ = judging_by_change()
    ratios = torch.tensor([[0.2, 0.8, 0.6, 1.0, 0.9], [2.0, 4.0, 3.0, 1.0, 4.0]]).double()
    found = game.acceptance(rows_of(ratios.log()), NO_ENCODING)
    expected = ratios / ratios.amax(-1, keepdim=True)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_acceptance_is_ordered_and_one_for_the_best_of_each_task(objective):
    game, _ = game_of(objective, hidden_sizes=(6,))
    rows, encoding = 5 * some(4, 20, SIZE), some(4, 1)
    ratios, accepted = game.density_ratio(rows, encoding), game.acceptance(rows, encoding)
    assert accepted.shape == (4, 20)
    assert accepted.argsort(-1).equal(ratios.argsort(-1))
    torch.testing.assert_close(accepted.amax(-1), torch.ones(4).double(), rtol=0.0, atol=1e-5)
    assert accepted.min() >= 0.0
    assert accepted.max() <= 1.0


def test_one_outstanding_row_does_not_reject_all_others():
    game, _ = judging_by_change()
    found = game.acceptance(rows_of([[0.0, 0.1, -0.1, 0.2, 12.0]]), NO_ENCODING[:1])[0]
    assert found[4].item() == pytest.approx(1.0, abs=1e-5)
    assert found[1].item() == pytest.approx(0.5, abs=1e-3)
    assert found[:4].tolist() == pytest.approx([0.475, 0.5, 0.450, 0.525], abs=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_without_a_difference_everything_is_accepted(objective):
    game, _ = judging_by_change(objective)
    for constant in (0.0, 700.0, -700.0, math.nan):
        found = game.acceptance(rows_of([[constant] * 4]), NO_ENCODING[:1])
        torch.testing.assert_close(found, torch.ones(1, 4).double(), rtol=0.0, atol=1e-5)


def test_a_judgement_that_is_no_number_is_the_worst():
    game, _ = judging_by_change()
    found = game.acceptance(rows_of([[1.0, math.nan, 1.0, -math.inf, 1.0]]), NO_ENCODING[:1])[0]
    assert found.tolist() == pytest.approx([1, 0, 1, 0, 1], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"augmentation.rejection": True},
            r"'cramer' judges none by itself: take 'non_saturating'",
        ),
        ({"discriminator.feature_matching": 0.5}, r"feature_matching is 0\.5 .* leave it out"),
    ],
)
def test_what_cramer_has_no_answer_to_is_refused(settings, match):
    with pytest.raises(ConfigError, match=match):
        override(Config(), {"discriminator.objective": "cramer", **settings})


class NothingRead(TorchDispatchMode):
    """Fails where a value is read from the device, which would wait for it."""

    reading = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.name() not in self.reading
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nothing_waits_for_the_device(objective):
    changes = {"spectral_norm": None, "r1_weight": 1.0, "feature_matching": 1.0, "packing": 2}
    game, _ = game_of(objective, hidden_sizes=(6,), **changes)
    cramer, _ = game_of("cramer", hidden_sizes=(6,), r1_weight=1.0, packing=2)
    rows, encoding = some(3, 4, SIZE), some(3, 1)
    with NothingRead():
        drawn = torch.cat([rows, rows], dim=1)
        cramer.discriminator_loss(rows, drawn, encoding, stream())["discriminator_loss"].backward()
        cramer.generator_loss(rows, drawn, encoding)
        game.discriminator_loss(rows, rows, encoding, stream())["discriminator_loss"].backward()
        game.generator_loss(rows, rows, encoding)
        game.density_ratio(rows, encoding)
        game.acceptance(rows, encoding)
        with pytest.raises(AssertionError):
            rows[0, 0, 0].item()


def two_outcomes(shape, encoding, rng):
    """The encoding plus or minus 1, by chance, and a little noise."""
    side = 2.0 * torch.randint(2, shape, generator=rng) - 1.0
    return encoding + side + 0.1 * torch.randn(shape, generator=rng)


def train_on_two_outcomes(config, updates):
    """A perceptron of encoding and z, trained by the game alone: `sample(encoding, n_rows)`."""
    torch.manual_seed(0)
    rng, discriminator = stream(1), Discriminator(SPACE, 1, config)
    game, network = AdversarialGame(discriminator, config), perceptron(3, (32, 32), 1)

    def sample(encoding, n_rows):
        noise = torch.randn(len(encoding), n_rows, 2, generator=rng)
        return network(torch.cat([over_rows(encoding, n_rows), noise], dim=-1)).squeeze(-1)

    optimisers = [
        torch.optim.Adam(module.parameters(), lr=3e-3, betas=(0.5, 0.9), fused=True)
        for module in (network, discriminator)
    ]
    for _ in range(updates):
        encoding = 2.0 * torch.rand(16, 1, generator=rng) - 1.0
        real = rows_of(two_outcomes((16, 16), encoding, rng)).float()
        generated = rows_of(sample(encoding, 16)).float()
        loss = game.discriminator_loss(real, generated, encoding, rng)["discriminator_loss"]
        step(optimisers[1], loss)
        step(optimisers[0], game.generator_loss(real, generated, encoding)["generator_loss"])
    return sample


def step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "non_saturating", "packing": 2},
        {"objective": "hinge", "feature_matching": 0.1},
        {"objective": "wgan_gp", "gradient_penalty": 1.0},
    ],
)
def test_what_a_regression_would_average_is_learnt(changes):
    # A regression predicts the encoding itself, 1 from either outcome.
    sample = train_on_two_outcomes(DiscriminatorConfig(hidden_sizes=(32, 32), **changes), 400)
    encoding = torch.tensor([[-0.8], [0.0], [0.8]])
    with torch.no_grad():
        offsets = sample(encoding, 1000) - encoding
    shares = (offsets > 0).float().mean(-1)
    distances = (offsets.abs() - 1.0).abs().mean(-1)
    assert shares.min() > 0.25
    assert shares.max() < 0.75
    assert distances.max() < 0.45
