import dataclasses
from typing import Any, cast

import pytest
import torch

from metarl_gan.envs import Transitions


def record(tasks=2, envs=3, time=4, obs=5, act=2, *, start=0.0, discrete=False):
    shape = (tasks, envs, time)
    count = start + torch.arange(tasks * envs * time, dtype=torch.float32).reshape(shape)
    flags = torch.zeros(shape, dtype=torch.bool)
    return Transitions(
        observations=count[..., None].expand(*shape, obs).clone(),
        actions=torch.zeros(shape, dtype=torch.int64) if discrete else torch.zeros(*shape, act),
        rewards=count,
        next_observations=count[..., None].expand(*shape, obs) + 1,
        terminated=flags,
        truncated=flags.clone(),
        valid=~flags,
        log_probs=-count,
        generated=flags.clone(),
    )


def test_returns_sum_valid_rewards_only():
    batch = record(tasks=1, envs=2, time=3)
    valid = torch.tensor([[[True, True, False], [True, True, True]]])
    batch = dataclasses.replace(batch, valid=valid)
    assert batch.returns().tolist() == [[0.0 + 1.0, 3.0 + 4.0 + 5.0]]
    assert batch.n_valid() == 5
    assert batch.n_tasks == 1


def test_select_keeps_the_task_axis():
    batch = record()
    assert batch.select(1).rewards.shape == (1, 3, 4)
    assert torch.equal(batch.select(-1).rewards[0], batch.rewards[1])
    assert torch.equal(batch.select(torch.tensor([1, 0])).rewards, batch.rewards.flip(0))
    assert batch.select(slice(0, 1)).observations.shape == (1, 3, 4, 5)
    with pytest.raises(IndexError, match="task 2 of 2"):
        batch.select(2)


def test_take_envs_and_cat_are_inverse():
    batch = record()
    parts = [batch.take_envs(slice(0, 1)), batch.take_envs(slice(1, 3))]
    joined = Transitions.cat(parts, dim="envs")
    for field in dataclasses.fields(Transitions):
        assert torch.equal(getattr(joined, field.name), getattr(batch, field.name))
    stacked = Transitions.cat([batch.select(0), batch.select(1)], dim="tasks")
    assert torch.equal(stacked.next_observations, batch.next_observations)


def test_the_first_steps_are_episodes_that_a_time_limit_cut():
    batch = record(tasks=1, envs=4, time=4)
    flags = torch.zeros(1, 4, 4, dtype=torch.bool)
    valid, terminated, truncated = (flags.clone() for _ in range(3))
    # Episode 0 lasts four steps, 1 is over with the second, 2 with the first, 3 with the third.
    for episode, length in enumerate((4, 2, 1, 3)):
        valid[0, episode, :length] = True
        (truncated if episode == 0 else terminated)[0, episode, length - 1] = True
    batch = dataclasses.replace(batch, valid=valid, terminated=terminated, truncated=truncated)
    cut = batch.first_steps(2)
    assert cut.valid[0].tolist() == [[True, True], [True, True], [True, False], [True, True]]
    assert cut.terminated[0].tolist() == [
        [False, False],
        [False, True],
        [True, False],
        [False, False],
    ]
    assert cut.truncated[0].tolist() == [[False, True]] + [[False, False]] * 2 + [[False, True]]
    assert torch.equal(cut.rewards, batch.rewards[:, :, :2])
    # The batch itself stays, and so does one that is short enough.
    assert torch.equal(batch.truncated, truncated)
    for n_steps in (4, 9):
        for field in dataclasses.fields(Transitions):
            same = getattr(batch.first_steps(n_steps), field.name)
            assert torch.equal(same, getattr(batch, field.name))


def test_cat_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="observations have shapes"):
        Transitions.cat([record(time=4), record(time=3)], dim="envs")
    with pytest.raises(ValueError, match="'time'"):
        Transitions.cat([record()], dim=cast("Any", "time"))
    with pytest.raises(ValueError, match="0 parts"):
        Transitions.cat([], dim="envs")


def test_to_moves_every_field():
    moved = record().to("meta")
    assert all(getattr(moved, f.name).device.type == "meta" for f in dataclasses.fields(moved))


def test_discrete_actions_have_no_last_axis():
    assert record(discrete=True).actions.shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"actions .*int64"):
        dataclasses.replace(record(), actions=torch.zeros(2, 3, 4, 1, dtype=torch.int64))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("observations", torch.zeros(2, 3, 4)),
        ("next_observations", torch.zeros(2, 3, 4, 6)),
        ("rewards", torch.zeros(2, 3, 5)),
        ("log_probs", torch.zeros(2, 3)),
        ("valid", torch.zeros(2, 3, 4)),
        ("generated", torch.zeros(2, 3, 1, dtype=torch.bool)),
        ("actions", torch.zeros(2, 3, 5, 2)),
        ("actions", torch.zeros(2, 3, 4)),
    ],
)
def test_a_wrong_shape_or_type_names_the_field(name, tensor):
    with pytest.raises(ValueError, match=f"{name} have"):
        dataclasses.replace(record(), **{name: tensor})
