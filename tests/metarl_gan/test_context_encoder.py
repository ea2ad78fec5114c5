import copy
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import AveragedModel

from metarl_gan.context_encoder import ContextEncoder, Posterior
from metarl_gan.generator_config import EncoderConfig
from metarl_gan.layers import perceptron
from metarl_gan.poolings import (
    MAX_LOG_STD,
    AttentionPooling,
    ProductPooling,
    bounded_log_std,
    product_of_gaussians,
)
from metarl_gan.transition_space import Rows, TransitionSpace
from tests.agents.toys import stream

POOLINGS = ("mean", "attention", "product")
FIELDS = {"states": 3, "actions": 2, "changes": 3, "rewards": 1, "terminated": 1}
VARIANTS = [
    pytest.param({"pooling": pooling, "posterior": posterior}, id=f"{pooling}-{kind}")
    for pooling in POOLINGS
    for posterior, kind in ((False, "point"), (True, "posterior"))
]
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def encoder(*, descriptor_size=0, hidden_sizes=(16, 10), seed=0, **variant):
    """A fresh encoder to encodings of size 4, in eval mode and with statistics of a few tasks."""
    observations, actions = (spaces.Box(-np.inf, np.inf, (n,), np.float32) for n in (3, 2))
    space = TransitionSpace(observations, actions, residual=True)
    config = EncoderConfig(encoding_size=4, hidden_sizes=hidden_sizes, **variant)
    torch.manual_seed(seed)
    module = ContextEncoder(space, config, descriptor_size)
    if not config.descriptor:
        for number in range(20):
            module(context(8, 6, seed=number))
    return module.eval()


def context(*shape, seed=0):
    """Random rows, all valid: `shape` is `(..., rows)`; tasks differ by more than rows do."""
    rng = stream(seed)
    fields = {
        name: torch.randn(*shape[:-1], 1, size, generator=rng)
        + torch.randn(*shape, size, generator=rng)
        for name, size in FIELDS.items()
    }
    return Rows(**fields, valid=torch.ones(shape, dtype=torch.bool))


def change(rows, function):
    return Rows(**{name: function(value) for name, value in vars(rows).items()})


def same(actual, expected, *, tolerance=1e-5):
    torch.testing.assert_close(actual.mean, expected.mean, rtol=tolerance, atol=tolerance)
    assert (actual.log_std is None) == (expected.log_std is None)
    if expected.log_std is not None:
        torch.testing.assert_close(actual.log_std, expected.log_std, rtol=tolerance, atol=tolerance)


@every_variant
def test_the_order_of_a_context_says_nothing(variant):
    rows, module = context(3, 7), encoder(**variant)
    order = torch.randperm(7, generator=stream())
    assert not torch.equal(order, torch.arange(7))
    same(module(change(rows, lambda value: value[:, order])), module(rows))


@every_variant
@pytest.mark.parametrize("garbage", [50.0, math.nan, math.inf])
def test_invalid_rows_say_nothing(variant, garbage):
    rows, module = context(3, 7), encoder(**variant)
    padding = {name: torch.full((3, 4, size), garbage) for name, size in FIELDS.items()}
    padded = {name: torch.cat([value, getattr(rows, name)], 1) for name, value in padding.items()}
    valid = torch.cat([torch.zeros(3, 4, dtype=torch.bool), rows.valid], 1)
    padded_rows = Rows(**padded, valid=valid)
    same(module(padded_rows), module(rows))
    module.train()
    drawn = module(padded_rows).sample(stream())
    gradients = torch.autograd.grad(drawn.square().sum(), list(module.parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_context_twice_is_the_context(pooling):
    rows, module = context(3, 7), encoder(pooling=pooling)
    twice = change(rows, lambda value: torch.cat([value, value], 1))
    same(module(twice), module(rows))


@every_variant
def test_every_field_of_a_valid_row_counts(variant):
    rows, module = context(3, 7), encoder(**variant)
    expected = module(rows).mean
    for name in FIELDS:
        changed = {**vars(rows), name: getattr(rows, name).clone()}
        changed[name][1, 4] += 1.0
        difference = (module(Rows(**changed)).mean - expected).abs().amax(-1)
        assert difference[1] > 1e-4, name
        assert difference[0] == difference[2] == 0.0, name


@every_variant
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5,), (2, 3, 4)])
def test_any_number_of_rows_and_any_leading_axes(variant, shape):
    rows, module = context(*shape), encoder(**variant)
    posterior = module(rows)
    assert posterior.encoding.shape == (*shape[:-1], 4)
    assert posterior.sample(stream()).shape == (*shape[:-1], 4)
    assert posterior.divergence().shape == shape[:-1]
    assert posterior.encoding.abs().max() < 1
    flat = module(
        change(rows, lambda value: value.reshape(-1, shape[-1], *value.shape[len(shape) :]))
    )
    torch.testing.assert_close(posterior.mean.reshape(-1, 4), flat.mean)


@every_variant
def test_without_any_valid_row_outputs_and_gradients_are_finite(variant):
    module = encoder(**variant)
    rows = context(3, 5)
    rows.valid[1] = False
    rows.rewards[1] = math.nan
    posterior = module(rows)
    outputs = (posterior.encoding, posterior.sample(stream()), posterior.divergence())
    assert all(torch.isfinite(value).all() for value in outputs)
    loss = posterior.sample(stream()).square().sum() + posterior.divergence().sum()
    for gradient in torch.autograd.grad(loss, list(module.parameters())):
        assert torch.isfinite(gradient).all()
    # What is said of nothing is no matter of what the padding holds, and no rows are none valid.
    none = context(1, 0)
    same(
        module(none),
        Posterior(
            mean=posterior.mean[1:2],
            log_std=None if posterior.log_std is None else posterior.log_std[1:2],
        ),
    )


@every_variant
def test_in_eval_mode_a_task_depends_on_itself_alone(variant):
    rows, module = context(6, 7), encoder(**variant)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    together = module(rows)
    same(module(rows), together, tolerance=0.0)
    for task in range(6):
        alone = module(change(rows, lambda value, task=task: value[task : task + 1]))
        torch.testing.assert_close(alone.mean, together.mean[task : task + 1])
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_in_training_features_are_standardised_over_tasks():
    """What all tasks share is taken out, however large, and what tells them apart is scaled."""
    module = encoder().train()
    seen = []
    module.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module(context(64, 7))
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(10), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0].var(0, unbiased=False), torch.ones(10), rtol=0.05, atol=0.0)


def test_mean_pooling_by_hand():
    rows, module = context(3, 7), encoder(pooling="mean")
    rows.valid[:, 5:] = False
    inputs = torch.cat([getattr(rows, name) for name in FIELDS], -1)[:, :5]
    norm = module.standardise
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean = module.embed(inputs).mean(1)
    standardised = (mean - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(module(rows).encoding, torch.tanh(module.head(standardised)))


def test_the_mean_encoder_starts_from_two_plain_perceptrons():
    module = encoder(pooling="mean", seed=5)
    torch.manual_seed(5)
    embed, head = perceptron(10, (16, 10), 10), perceptron(10, (10,), 4)
    for actual, expected in ((module.embed, embed), (module.head, head)):
        for mine, plain in zip(actual.parameters(), expected.parameters(), strict=True):
            assert torch.equal(mine, plain)


def attention(queries):
    """Attention pooling of embeddings of size 2 whose projections change nothing."""
    pooling = AttentionPooling(2, n_heads=len(queries))
    with torch.no_grad():
        pooling.queries.copy_(torch.tensor(queries).reshape(pooling.queries.shape))
        for linear in (pooling.keys, pooling.values, pooling.mix):
            linear.weight.copy_(torch.eye(2))
            linear.bias.zero_()
    return pooling


def test_attention_of_one_query_by_hand():
    # Scores q.k / sqrt(2): log 3, 0; the third row would win if it were seen.
    embedded = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    valid = torch.tensor([[True, True, False]])
    pooled = attention([[math.sqrt(2) * math.log(3), 0.0]])
    torch.testing.assert_close(pooled(embedded, valid), torch.tensor([[0.75, 0.25]]))


def test_each_head_of_attention_has_a_query_of_its_own():
    # Heads of size 1: the first weighs the rows 3 : 1 by their first number, the second 1 : 7.
    embedded = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    pooled = attention([math.log(3), math.log(7)])(embedded, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(pooled, torch.tensor([[0.75, 0.875]]))


def test_a_product_of_gaussians_by_hand():
    # Precisions 1 and 4: together 5, and the mean is (1 * 3 + 4 * 8) / 5. The last row is invalid.
    mean = torch.tensor([[[3.0], [8.0], [math.pi]]])
    log_std = torch.tensor([[[0.0], [-math.log(2.0)], [-9.0]]])
    valid = torch.tensor([[True, True, False]])
    product_mean, product_log_std = product_of_gaussians(mean, log_std, valid)
    torch.testing.assert_close(product_mean, torch.tensor([[7.0]]))
    torch.testing.assert_close(product_log_std, torch.tensor([[-0.5 * math.log(5.0)]]))


def test_a_product_of_gaussians_is_their_densities_product():
    rng = stream()
    mean, log_std = (torch.randn(6, 1, generator=rng, dtype=torch.float64) for _ in range(2))
    product_mean, product_log_std = product_of_gaussians(mean, log_std, torch.ones(6) > 0)
    grid = torch.linspace(-5, 5, 50, dtype=torch.float64)
    factors = torch.distributions.Normal(mean, log_std.exp()).log_prob(grid).sum(0)
    product = torch.distributions.Normal(product_mean, product_log_std.exp()).log_prob(grid)
    constant = factors - product
    torch.testing.assert_close(constant, constant[:1].expand(50))


def test_a_product_of_gaussians_is_safe_at_its_limits():
    log_std = torch.tensor([60.0, 60.0, -60.0]).reshape(3, 1, 1).expand(3, 4, 1).requires_grad_()
    valid = torch.tensor([True, False, True])[:, None].expand(3, 4)
    mean, product = product_of_gaussians(torch.full((3, 4, 1), 2.0), log_std, valid)
    torch.testing.assert_close(mean.flatten(), torch.tensor([2.0, 0.0, 2.0]))
    half = 0.5 * math.log(4)
    torch.testing.assert_close(product.flatten(), torch.tensor([60.0 - half, 0.0, -60.0 - half]))
    (gradient,) = torch.autograd.grad((mean + product).sum(), log_std)
    assert torch.isfinite(gradient).all()


def test_product_pooling_weighs_rows_by_how_sure_they_are():
    pooling = ProductPooling(1)
    with torch.no_grad():
        # A row's mean is itself; its log standard deviation is its own negative, bounded.
        pooling.factors.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        pooling.factors.bias.zero_()
    rows = torch.tensor([[[0.0], [1.0], [9.0]]])
    pooled = pooling(rows, torch.tensor([[True, True, False]]))
    precision = math.exp(2.0 * 5.0 * math.tanh(1.0 / 5.0))
    torch.testing.assert_close(pooled, torch.tensor([[precision / (1.0 + precision)]]))


def test_a_log_std_is_bounded_and_keeps_its_gradient():
    raw = torch.tensor([-15.0, -0.01, 0.0, 0.01, 15.0], requires_grad=True)
    bounded = bounded_log_std(raw)
    torch.testing.assert_close(bounded[1:4], raw[1:4], rtol=1e-5, atol=0.0)
    assert bounded.abs().max() < MAX_LOG_STD
    (gradient,) = torch.autograd.grad(bounded.sum(), raw)
    assert gradient.min() > 0


def test_the_divergence_from_a_standard_normal_by_hand():
    # 0 for itself; (4 + 9 - 1) / 2 - log 2 for mean 3 and standard deviation 2.
    mean = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    log_std = torch.tensor([[0.0, 0.0], [math.log(2.0), 0.0]])
    posterior = Posterior(mean=mean, log_std=log_std)
    expected = torch.tensor([0.0, 6.0 - math.log(2.0)])
    torch.testing.assert_close(posterior.divergence(), expected)
    normals = torch.distributions.Normal(mean, log_std.exp())
    standard = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    library = torch.distributions.kl_divergence(normals, standard).sum(-1)
    torch.testing.assert_close(posterior.divergence(), library)
    assert Posterior(mean=mean, log_std=None).divergence().tolist() == [0.0, 0.0]


def test_samples_of_a_posterior_have_its_statistics():
    mean, std = torch.tensor([0.5, -1.0]), torch.tensor([0.1, 0.5])
    posterior = Posterior(mean=mean.expand(20_000, 2), log_std=std.log().expand(20_000, 2))
    drawn = posterior.sample(stream())
    assert drawn.abs().max() < 1
    torch.testing.assert_close(torch.atanh(drawn).mean(0), mean, rtol=0.0, atol=0.02)
    torch.testing.assert_close(torch.atanh(drawn).std(0), std, rtol=0.03, atol=0.0)
    torch.testing.assert_close(posterior.encoding[0], torch.tanh(mean))
    assert torch.equal(posterior.sample(stream()), drawn)
    assert not torch.equal(posterior.sample(stream(1)), drawn)


def test_gradients_flow_through_a_sample():
    mean = torch.tensor([0.5, -1.0], requires_grad=True)
    log_std = torch.tensor([-1.0, 0.2], requires_grad=True)
    drawn = Posterior(mean=mean, log_std=log_std).sample(stream())
    of_mean, of_log_std = torch.autograd.grad(drawn.sum(), [mean, log_std])
    slope = 1.0 - drawn.square()
    torch.testing.assert_close(of_mean, slope)
    torch.testing.assert_close(of_log_std, slope * (torch.atanh(drawn) - mean))


def test_a_point_is_its_own_sample_and_draws_nothing():
    posterior, rng = Posterior(mean=torch.tensor([0.5, -1.0]), log_std=None), stream()
    assert torch.equal(posterior.sample(rng), posterior.encoding)
    assert torch.equal(rng.get_state(), stream().get_state())


def with_descriptor(pooling="mean", **changes):
    return encoder(pooling=pooling, descriptor=True, descriptor_size=2, **changes)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_descriptor_is_seen_by_its_own_task_in_its_own_scale(pooling):
    rows, descriptors = context(3, 7), torch.randn(3, 2, generator=stream())
    module, rescaled = with_descriptor(pooling), with_descriptor(pooling)
    module.observe_descriptors(descriptors)
    rescaled.observe_descriptors(1000.0 * descriptors + 50.0)
    expected = module(rows, descriptors)
    same(rescaled(rows, 1000.0 * descriptors + 50.0), expected, tolerance=1e-3)
    changed = descriptors.clone()
    changed[1, 0] += 1.0
    difference = (module(rows, changed).mean - expected.mean).abs().amax(-1)
    assert difference[1] > 1e-4
    assert difference[0] == difference[2] == 0.0


def test_a_descriptor_that_is_not_wanted_is_ignored():
    rows, module = context(3, 7), encoder(descriptor_size=2)
    module.observe_descriptors(torch.ones(3, 2))
    same(module(rows, torch.ones(3, 2)), module(rows), tolerance=0.0)
    assert not any("descriptor" in name for name in module.state_dict())


@pytest.mark.parametrize(
    ("descriptors", "given"),
    [
        (None, "missing"),
        (torch.ones(3, 5), r"of shape \(3, 5\)"),
        (torch.ones(1, 2), r"of shape \(1, 2\)"),
        (torch.ones(2), r"of shape \(2,\)"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_refused(descriptors, given):
    message = rf"descriptors are {given}, .* shape \(3, 2\): pass those of the tasks"
    with pytest.raises(ValueError, match=message):
        with_descriptor()(context(3, 7), descriptors)


def test_observed_descriptors_must_fit_and_tasks_must_have_them():
    with pytest.raises(ValueError, match=r"of shape \(3, 5\), .* shape \(3, 2\)"):
        with_descriptor().observe_descriptors(torch.ones(3, 5))
    with pytest.raises(ValueError, match=r"no descriptor: set encoder\.descriptor to false"):
        encoder(descriptor=True)


@every_variant
@pytest.mark.parametrize("descriptor", [False, True])
def test_copies_averages_and_state_dictionaries_are_the_encoder(variant, descriptor):
    rows, descriptors = context(3, 7), torch.randn(3, 2, generator=stream())
    variant = {**variant, "descriptor": descriptor, "descriptor_size": 2}
    module = encoder(**variant)
    module.observe_descriptors(descriptors)
    expected = module(rows, descriptors)
    averaged = AveragedModel(encoder(seed=1, **variant)).eval()
    averaged.update_parameters(module)
    loaded = encoder(seed=1, **variant)
    loaded.load_state_dict(module.state_dict())
    for other in (copy.deepcopy(module), averaged, loaded):
        same(other(rows, descriptors), expected, tolerance=0.0)


@pytest.mark.parametrize("hidden_sizes", [(), (5,), (3, 1)])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_any_width_will_do(pooling, hidden_sizes):
    module = encoder(pooling=pooling, hidden_sizes=hidden_sizes)
    assert module(context(3, 7)).encoding.shape == (3, 4)


def tasks_that_differ_in_reward(rng):
    """Rows `[32, 20]` whose reward is the inner product of the state and the task's goal."""
    goals = 2.0 * torch.rand(32, 2, generator=rng) - 1.0
    rows = context(32, 20, seed=int(torch.randint(10**6, (), generator=rng)))
    rewards = (rows.states[..., :2] * goals.unsqueeze(1)).sum(-1, keepdim=True)
    return goals, Rows(**{**vars(rows), "rewards": rewards})


@pytest.mark.parametrize("variant", [VARIANTS[0], *VARIANTS[3:]])
def test_variants_learn_to_tell_tasks_apart(variant):
    module, rng = encoder(hidden_sizes=(32, 32), **variant).train(), stream(4)
    goal_of = nn.Linear(4, 2)
    parameters = [*module.parameters(), *goal_of.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-2, fused=True)
    for _ in range(150):
        goals, rows = tasks_that_differ_in_reward(rng)
        posterior = module(rows)
        loss = (
            mse_loss(goal_of(posterior.sample(rng)), goals) + 1e-3 * posterior.divergence().mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    goals, rows = tasks_that_differ_in_reward(rng)
    error = mse_loss(goal_of(module.eval()(rows).encoding), goals) / goals.var()
    assert error < 0.3
