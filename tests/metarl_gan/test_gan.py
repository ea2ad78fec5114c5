from dataclasses import replace

import pytest
import torch

from metarl_gan.generator_adaptation import Layout, anchor_losses, weighted
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.transition_space import Rows
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan.toys import (
    layers,
    point_goal,
    small_config,
    small_gan,
    well_trained_gan,
)

FIELDS = ("next_state", "reward", "terminated")


def flat_rows(gan, batch):
    return Rows(
        **{name: value.flatten(1, 2) for name, value in vars(gan.space.rows(batch)).items()}
    )


def prepared(batch, **changes):
    gan = small_gan(small_config(**changes))
    gan.space.update(batch)
    gan.average()
    return gan


def test_an_encoding_does_not_depend_on_the_order_of_its_context():
    batch = random_episodes((3, 2, 8))
    gan = prepared(batch)
    rows = flat_rows(gan, batch)
    order = torch.randperm(16, generator=stream())
    shuffled = Rows(**{name: value[:, order] for name, value in vars(rows).items()})
    expected = gan.encoded(rows).encoding
    torch.testing.assert_close(gan.encoded(shuffled).encoding, expected, rtol=1e-5, atol=1e-6)
    assert expected.shape == (3, 3)
    assert expected.abs().max() < 1


def test_an_encoding_sees_valid_rows_only_and_every_field_of_them():
    batch = random_episodes((3, 2, 8))
    gan = prepared(batch)
    rows = flat_rows(gan, batch)
    expected = gan.encoded(rows).encoding
    invalid = ~rows.valid.unsqueeze(-1)
    fields = ("states", "actions", "changes", "rewards", "terminated")
    spoilt = {name: getattr(rows, name).masked_fill(invalid, 50.0) for name in fields}
    found = gan.encoded(Rows(**spoilt, valid=rows.valid)).encoding
    torch.testing.assert_close(found, expected)
    for name in fields:
        changed = Rows(**{**vars(rows), name: getattr(rows, name) + 1.0})
        assert (gan.encoded(changed).encoding - expected).abs().max() > 1e-4, name


@pytest.mark.parametrize("n_valid", [0, 5, 6])
def test_of_too_few_rows_nothing_is_said(n_valid):
    # min_context is 3: half of six rows is the least to infer from.
    batch = random_episodes((2, 2, 8))
    valid = torch.zeros_like(batch.valid)
    valid[0, 1, :n_valid] = True
    valid[1] = True
    context = prepared(batch).infer(type(batch)(**{**vars(batch), "valid": valid}), stream())
    for name in FIELDS:
        error = getattr(context.errors, name)
        assert error.isinf().tolist() == [n_valid < 6, False]
    assert torch.isfinite(context.encoding).all()


def test_inference_is_repeatable_and_of_each_task_alone():
    batch = random_episodes((3, 2, 8))
    gan = prepared(batch)
    first, second = (gan.infer(batch, stream(1)) for _ in range(2))
    assert torch.equal(first.encoding, second.encoding)
    assert torch.equal(first.errors.reward, second.errors.reward)
    for task in range(3):
        # All rows of a task enter its encoding, in whatever order.
        alone = gan.infer(batch.select(task), stream(2))
        torch.testing.assert_close(alone.encoding[0], first.encoding[task], rtol=1e-3, atol=1e-3)


def test_errors_are_on_rows_that_the_encoding_has_not_seen():
    batch = random_episodes((1, 2, 8))
    gan = prepared(batch)
    encoded, tested = [], []
    take_in, errors = gan.take_in, gan.errors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            gan, "take_in", lambda rows, *rest: encoded.append(rows) or take_in(rows, *rest)
        )
        patch.setattr(gan, "errors", lambda rows, *rest: tested.append(rows) or errors(rows, *rest))
        gan.infer(batch, stream())

    def rewards(rows):
        return set(rows.rewards[rows.valid].flatten().tolist())

    half, everything = sorted(map(rewards, encoded), key=len)
    # Once with what was refined on the half, once with what was not.
    others, again = map(rewards, tested)
    assert others == again
    assert (len(half), len(others), len(everything)) == (6, 6, 12)
    assert not half & others
    assert half | others == everything


def test_errors_by_hand():
    """A generator that says 0 for all: errors are the mean squares of the rows."""
    batch = random_episodes((2, 2, 8))
    gan = prepared(batch, generator={"hidden_sizes": ()})
    with torch.no_grad():
        for parameter in gan.imagining.parameters():
            parameter.zero_()
    rows = flat_rows(gan, batch)
    errors = gan.errors(rows, gan.encoded(rows), stream())
    for task in range(2):
        valid = rows.valid[task]
        assert errors.reward[task] == pytest.approx(
            rows.rewards[task, valid].square().mean().item(), rel=1e-5
        )
        assert errors.next_state[task] == pytest.approx(
            rows.changes[task, valid].square().mean().item(), rel=1e-5
        )
        # The probability is one half throughout; one of twelve rows ends: variance 11 / 144.
        assert errors.terminated[task] == pytest.approx(0.25 / (11 / 144), rel=1e-5)


def test_the_worst_error_counts():
    errors = HeldOutErrors(
        next_state=torch.tensor([0.1, 0.5, 0.1, torch.nan]),
        reward=torch.tensor([0.3, 0.2, 0.1, 0.0]),
        terminated=torch.tensor([0.2, 0.1, torch.inf, 0.0]),
    )
    assert errors.worst.tolist() == pytest.approx([0.3, 0.5, torch.inf, torch.nan], nan_ok=True)
    hidden = errors.infinite_where(torch.tensor([True, False, False, False]))
    assert hidden.worst[0].isinf()
    assert hidden.worst[1] == 0.5


def test_means_of_errors_leave_out_tasks_of_which_nothing_can_be_said():
    errors = HeldOutErrors(
        next_state=torch.tensor([0.1, 7.0, 0.3]),
        reward=torch.tensor([0.2, 7.0, 0.4]),
        terminated=torch.tensor([0.0, 7.0, 1.0]),
    )
    known = errors.infinite_where(torch.tensor([False, True, False])).means()
    assert known == pytest.approx({"next_state": 0.2, "reward": 0.3, "terminated": 0.5})
    assert errors.infinite_where(torch.tensor([True] * 3)).means() == {}
    broken = replace(errors, reward=torch.tensor([torch.nan, 7.0, 0.4]))
    assert broken.means()["reward"] != broken.means()["reward"]


def test_inversion_fits_the_rows_and_leaves_the_weights_alone():
    gan, test = well_trained_gan(), point_goal(40, "test")
    rows = flat_rows(gan, test.batches[0].take_envs(slice(0, 1)))
    plain = gan.encoded(rows)
    weights = {name: value.clone() for name, value in gan.state_dict().items()}
    refined = gan.take_in(rows)
    before, after = (gan.errors(rows, e, stream()).reward for e in (plain, refined))
    assert after.mean() < 0.8 * before.mean()
    assert (after <= before + 0.02).all()
    assert refined.encoding.abs().max() <= 1.0
    assert not refined.encoding.requires_grad
    for name, value in gan.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert all(parameter.grad is None for parameter in gan.imagining.parameters())


def test_without_inversion_the_encoding_is_the_encoders():
    batch = random_episodes((2, 2, 8))
    gan = prepared(batch, generator={"adaptation": "none"})
    rows = flat_rows(gan, batch)
    assert torch.equal(gan.take_in(rows).encoding, gan.encoded(rows).encoding)


def test_the_average_starts_at_the_weights_and_follows_them_slowly():
    gan = small_gan(small_config(adversarial={"ema_decay": 0.75}))
    assert not gan.trained
    gan.average()
    assert gan.trained
    (weight, _), (average, _) = (
        layers(network.dynamics)[0] for network in (gan.generator, gan.imagining)
    )
    assert torch.equal(weight, average)
    start = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    gan.average()
    torch.testing.assert_close(average.detach(), start + 0.25)


def test_rewards_are_judged_at_the_real_change_of_state():
    """A change that is generated wrong costs the state's error alone."""
    batch = random_episodes((2, 2, 8))
    gan = prepared(batch, generator={"hidden_sizes": ()})
    rows = flat_rows(gan, batch)
    before = gan.errors(rows, gan.encoded(rows), stream())
    (_, bias), *_ = layers(gan.imagining.dynamics)
    with torch.no_grad():
        bias.add_(3.0)
    after = gan.errors(rows, gan.encoded(rows), stream())
    torch.testing.assert_close(after.reward, before.reward)
    assert (after.next_state > before.next_state + 1.0).all()


def with_elites(batch, **changes):
    """A GAN of three members of which two imagine."""
    return prepared(batch, generator={"members": 3, "elites": 2, **changes})


def test_elites_are_the_members_of_least_held_out_error():
    """A member that is spoilt loses its place, once this is seen often enough."""
    batch = random_episodes((2, 2, 8))
    gan = with_elites(batch, hidden_sizes=())
    weight, bias = layers(gan.imagining.reward)[0]
    with torch.no_grad():
        weight.zero_()
        bias.copy_(torch.tensor([[5.0], [0.0], [1.0]]))
    rows = flat_rows(gan, batch)
    gan.compare_members(rows, rows, None)
    assert gan.member_errors.argsort().tolist() == [1, 2, 0]
    elites = gan.elite_weights()
    assert elites["reward.bias_0"].flatten().tolist() == [0.0, 1.0]
    assert {len(value) for value in elites.values()} == {2}
    with torch.no_grad():
        bias[1] = 9.0
    for _ in range(10):
        gan.compare_members(rows, rows, None)
    assert gan.elite_weights()["reward.bias_0"].flatten().tolist() == [1.0, 5.0]


def test_member_errors_are_a_running_mean_by_hand():
    batch = random_episodes((2, 2, 8))
    gan = with_elites(batch)
    rows = flat_rows(gan, batch)
    gan.compare_members(rows, rows, None)
    once = gan.member_errors.clone()
    layout = Layout(n_members=3, n_tasks=2, adapted=False)
    encoding = gan.encoded(rows).encoding
    losses = anchor_losses(gan.imagining, gan.imagining.weights(), encoding, rows, layout, None)
    latest = weighted(losses, gan.anchor).mean(1)
    torch.testing.assert_close(once, 0.2 * latest)
    gan.compare_members(rows, rows, None)
    torch.testing.assert_close(gan.member_errors, 0.8 * once + 0.2 * latest)


def test_where_all_members_imagine_none_is_compared():
    batch = random_episodes((2, 2, 8))
    gan = prepared(batch, generator={"members": 3})
    rows = flat_rows(gan, batch)
    gan.compare_members(rows, rows, None)
    assert gan.member_errors.tolist() == [0.0] * 3
    assert gan.n_elites == 3


@pytest.mark.parametrize("kind", ["gan", "ensemble", "diffusion"])
@pytest.mark.parametrize("adaptation", ["none", "maml", "reptile"])
def test_one_step_is_each_row_s_own_member_under_its_task_s_weights(kind, adaptation):
    batch = random_episodes((2, 2, 8))
    gan = prepared(batch, generator={"kind": kind, "members": 2, "adaptation": adaptation})
    rows = flat_rows(gan, batch)
    context = gan.take_in(rows)
    made = gan.generate(context, rows.states[:, :5], rows.actions[:, :5], stream(3))
    assert (context.weights is None) == (adaptation == "none")
    sizes = gan.imagining.noise_size + gan.imagining.reward_noise_size
    noise = torch.randn((4, 3, sizes) if context.weights else (2, 6, sizes), generator=stream(3))
    for task in range(2):
        for row in range(5):
            member, turn = row % 2, row // 2
            at = (2 * member + task, turn) if context.weights else (member, 3 * task + turn)
            weights = context.weights or gan.elite_weights()
            inputs = (rows.states[task, row], rows.actions[task, row], context.encoding[task])
            alone = gan.imagining.generate(
                {name: value[[at[0]]] for name, value in weights.items()},
                *(value.view(1, 1, -1) for value in (*inputs, noise[at])),
            )
            for name, value in vars(alone).items():
                found = getattr(made, name)[task, row]
                torch.testing.assert_close(found, value.flatten(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("adaptation", ["inversion", "maml", "reptile"])
def test_what_is_inferred_of_a_task_does_not_depend_on_the_batch(adaptation):
    batch = random_episodes((3, 2, 8))
    settings = {"adaptation": adaptation, "members": 2, "adaptation_lr": 0.1}
    gan = prepared(batch, generator=settings)
    together = gan.infer(batch, stream(1))
    plain = gan.encoded(flat_rows(gan, batch)).encoding
    assert torch.allclose(together.encoding, plain, atol=1e-5) == (adaptation != "inversion")
    for task in range(3):
        alone = gan.infer(batch.select(task), stream(2))
        torch.testing.assert_close(alone.encoding[0], together.encoding[task], rtol=1e-3, atol=1e-3)
        for name, value in (alone.weights or {}).items():
            assert together.weights is not None
            own = together.weights[name].unflatten(0, (2, 3))[:, task]
            torch.testing.assert_close(value, own, rtol=1e-3, atol=1e-3)
            assert not torch.equal(own, gan.elite_weights()[name])
