import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.transition_space import MAX_STARTS, TransitionSpace
from tests.agents.toys import episodes, random_episodes, stream
from tests.metarl_gan.toys import BOX, CHOICE, OBSERVATIONS


def space_of(action_space=BOX, *, residual=True):
    return TransitionSpace(OBSERVATIONS, action_space, residual=residual)


def test_continuous_actions_are_what_the_environment_acts_on_in_unit_scale():
    # The space is [-2, 2] x [0, 4].
    actions = torch.tensor([[0.0, 2.0], [-2.0, 4.0], [1.0, 1.0], [-50.0, 50.0]])
    found = space_of().encode_actions(actions)
    expected = [[0.0, 0.0], [-1.0, 1.0], [0.5, -0.5], [-1.0, 1.0]]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (-1.0, np.inf), (-np.inf, 3.0)])
def test_actions_without_bounds_keep_their_scale_and_are_clipped_where_there_is_one(low, high):
    space = space_of(spaces.Box(low, high, (1,), np.float32))
    found = space.encode_actions(torch.tensor([[-7.0], [0.5], [7.0]]))
    assert found.flatten().tolist() == [max(-7.0, low), 0.5, min(7.0, high)]


def test_discrete_actions_are_one_hot_from_the_start_of_their_space():
    found = space_of(CHOICE).encode_actions(torch.tensor([[2, 5], [3, 4]]))
    assert found.shape == (2, 2, 4)
    assert found.argmax(-1).tolist() == [[0, 3], [1, 2]]
    assert found.sum() == 4
    assert found.dtype == torch.float32


def test_actions_of_several_parts_are_continuous_components_and_then_choices():
    space = space_of(spaces.Tuple([spaces.Discrete(3, start=5), BOX, spaces.Discrete(2)]))
    actions = torch.tensor([[[5.0, 1.0, 1.0, 1.0]], [[7.0, -50.0, 50.0, 0.0]]])
    found = space.encode_actions(actions)
    assert space.action_size == 7
    assert found.tolist() == [[[0.5, -0.5, 1, 0, 0, 0, 1]], [[-1, 1, 0, 0, 1, 1, 0]]]


def test_choices_alone_are_one_hot_side_by_side():
    space = space_of(spaces.MultiDiscrete([2, 3], start=[0, -1]))
    found = space.encode_actions(torch.tensor([[1.0, -1.0], [0.0, 1.0]]))
    assert found.tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]


@pytest.mark.parametrize("action_space", [CHOICE, spaces.Tuple([CHOICE, BOX])])
def test_rows_after_an_episode_hold_no_choice_and_break_nothing(action_space):
    """A replay fills up with zeros, and these choices start at 2."""
    space = space_of(action_space)
    columns = space.actions.n_columns
    none = torch.zeros(4, dtype=torch.int64) if columns is None else torch.zeros(4, columns)
    assert space.encode_actions(none)[:, -4:].sum() == 0


@pytest.mark.parametrize("residual", [True, False])
def test_next_states_come_back_from_their_normalised_targets(residual):
    space, batch = space_of(residual=residual), random_episodes((3, 2, 8))
    space.update(batch)
    rows = space.rows(batch)
    found = space.next_states(batch.observations, rows.changes)
    torch.testing.assert_close(found, batch.next_observations, rtol=1e-4, atol=1e-5)
    target = batch.next_observations - batch.observations if residual else batch.next_observations
    torch.testing.assert_close(space.change.denormalise(rows.changes), target)


def test_statistics_are_of_valid_rows_and_of_each_quantity_alone():
    space, batch = space_of(), random_episodes((3, 2, 8))
    space.update(batch)
    valid = batch.valid
    assert not valid.all()
    torch.testing.assert_close(space.state.mean, batch.observations[valid].mean(0))
    torch.testing.assert_close(space.reward.mean, batch.rewards[valid].mean().view(1))
    changes = (batch.next_observations - batch.observations)[valid]
    torch.testing.assert_close(space.change.std, changes.std(0, unbiased=False))
    rows = space.rows(batch)
    for values in (rows.states, rows.changes, rows.rewards):
        torch.testing.assert_close(
            values[valid].std(0, unbiased=False),
            torch.ones(values.shape[-1]),
            rtol=1e-4,
            atol=0.0,
        )
    assert rows.rewards.shape == rows.terminated.shape == (3, 2, 8, 1)
    assert rows.terminated.sum() == batch.terminated.sum() == 3
    assert torch.equal(rows.valid, valid)


def starting_at(numbers):
    observations = torch.as_tensor(numbers).float().view(1, -1, 1, 1).expand(-1, -1, 2, 3)
    return episodes(
        observations,
        torch.zeros(observations.shape[:3]),
        actions=torch.zeros((*observations.shape[:3], 2)),
    )


def test_starts_are_a_ring_of_the_latest_initial_states():
    space = space_of()
    space.update(starting_at(range(10)))
    drawn = space.draw_starts((4, 50), stream())
    assert drawn.shape == (4, 50, 3)
    assert drawn[..., 0].unique().tolist() == list(range(10))
    space.update(starting_at(range(100, 100 + MAX_STARTS)))
    assert space.n_starts == 10 + MAX_STARTS
    assert space.starts[:, 0].min() == 100
    space.update(starting_at([7.0]))
    assert (space.starts[:, 0] == 7).sum() == 1
    assert space.starts[10, 0] == 7


def test_a_batch_larger_than_the_ring_is_no_trouble():
    space = space_of()
    space.update(starting_at(range(2 * MAX_STARTS)))
    assert len(space.draw_starts((1, 2000), stream())[..., 0].unique()) > MAX_STARTS * 0.9


def test_statistics_and_starts_travel_in_the_state_dictionary():
    space, other = space_of(), space_of()
    space.update(random_episodes((3, 2, 8)))
    other.load_state_dict(space.state_dict())
    batch = random_episodes((2, 2, 8), seed=1)
    for name, value in vars(space.rows(batch)).items():
        assert torch.equal(value, getattr(other.rows(batch), name))
    assert torch.equal(space.draw_starts((5,), stream()), other.draw_starts((5,), stream()))


@pytest.mark.parametrize(
    ("observation_space", "action_space", "problem"),
    [
        (spaces.Box(0, 1, (2, 2)), BOX, "1-D Box"),
        (spaces.Discrete(2), BOX, "1-D Box"),
        (OBSERVATIONS, spaces.MultiBinary(2), "neither Box nor Discrete"),
    ],
)
def test_other_spaces_are_refused(observation_space, action_space, problem):
    with pytest.raises(ValueError, match=problem):
        TransitionSpace(observation_space, action_space, residual=True)
