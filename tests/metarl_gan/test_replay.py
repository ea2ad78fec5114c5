import pytest
import torch

from metarl_gan.replay import Replay
from tests.agents.toys import episodes, stream

CPU = torch.device("cpu")


def marked(*marks, n_steps=6, lengths=None):
    """A batch whose every number is its episode's mark: `marks` per task, a list of episodes.

    Actions are the time, so that rows of an episode can be told apart.
    """
    values = torch.tensor([list(row) for row in marks], dtype=torch.float32)
    rewards = values.unsqueeze(-1).expand(-1, -1, n_steps).contiguous()
    time = torch.arange(n_steps, dtype=torch.float32).expand_as(rewards)
    valid = time < (n_steps if lengths is None else torch.tensor(lengths).unsqueeze(-1))
    return episodes(
        rewards.unsqueeze(-1).expand(-1, -1, -1, 2),
        rewards,
        actions=time.unsqueeze(-1),
        next_observations=rewards.unsqueeze(-1).expand(-1, -1, -1, 2) + 0.5,
        valid=valid,
    )


def stored(replay, task_id):
    """The marks that the replay holds of a task."""
    slot = replay.task_ids.index(task_id)
    drawn = replay.tensors()
    kept = drawn["lengths"][slot] > 0
    rewards = drawn["rewards"][slot][kept]
    assert (rewards == rewards[:, :1]).all()
    assert torch.equal(drawn["observations"][slot][kept][..., 0], rewards)
    assert torch.equal(drawn["next_observations"][slot][kept][..., 0], rewards + 0.5)
    return sorted(rewards[:, 0].tolist())


def filled(n_tasks=5, n_episodes=3, **options):
    """Task `t` has the episodes `10 t`, `10 t + 1`, …"""
    replay = Replay(10, 4, CPU)
    marks = [[10.0 * task + e for e in range(n_episodes)] for task in range(n_tasks)]
    replay.add([f"task {task}" for task in range(n_tasks)], marked(*marks, **options))
    return replay


@pytest.mark.parametrize("n_episodes", [2, 3, 4])
def test_context_and_targets_are_of_one_task_and_never_of_one_episode(n_episodes):
    drawn = filled(n_episodes=n_episodes).sample(200, 7, 9, stream())
    context, targets = drawn.context.rewards[:, 0], drawn.targets.rewards[:, 0]
    assert context.shape == (200, 7)
    assert targets.shape == (200, 9)
    # The context is one episode.
    assert (context == context[:, :1]).all()
    # Targets are other episodes of the same task, all of those.
    assert (context[:, :1] != targets).all()
    assert torch.equal(context // 10, (context[:, :1] // 10).expand_as(context))
    assert torch.equal(targets // 10, (context[:, :1] // 10).expand_as(targets))
    assert len(targets.unique()) == 5 * n_episodes
    assert len(context.unique()) == 5 * n_episodes


def test_strangers_are_rows_of_any_task():
    drawn = filled().sample(50, 20, 3, stream())
    strangers = drawn.strangers.rewards[:, 0]
    assert strangers.shape == (50, 20)
    assert all(len((row // 10).unique()) > 1 for row in strangers)


def test_rows_are_whole_and_only_valid_ones_are_drawn():
    lengths = [[2, 5, 1]] * 5
    drawn = filled(lengths=lengths).sample(300, 8, 8, stream())
    for part in (drawn.context, drawn.targets, drawn.strangers):
        rewards, times = part.rewards[:, 0], part.actions[:, 0, :, 0]
        assert torch.equal(part.observations[:, 0, :, 1], rewards)
        assert torch.equal(part.next_observations[:, 0, :, 1], rewards + 0.5)
        for episode, length in enumerate(lengths[0]):
            seen = times[rewards % 10 == episode]
            assert seen.unique().tolist() == list(range(length))
        assert part.valid.all()
        assert not part.generated.any()


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
def test_windows_are_consecutive_steps_of_one_episode(steps):
    lengths = [[2, 5, 1, 6]] * 5
    drawn = filled(n_episodes=4, lengths=lengths).sample(300, 8, 7, stream(), window_steps=steps)
    targets = drawn.targets
    assert targets.rewards.shape == (300, 1, 7 * steps)
    rewards, times, valid = (
        value.view(300, 7, steps)
        for value in (targets.rewards[:, 0], targets.actions[:, 0, :, 0], targets.valid[:, 0])
    )
    context = drawn.context.rewards[:, :1, 0, None]
    assert ((rewards // 10 == context // 10) & (rewards != context))[valid].all()
    for episode, length in enumerate(lengths[0]):
        of_episode = (rewards[..., 0] % 10) == episode
        found, whole = times[of_episode], valid[of_episode]
        # As many rows as there are; what the episode does not fill is not valid.
        inside = min(steps, length)
        assert whole[:, :inside].all()
        assert not whole[:, inside:].any()
        assert (rewards[of_episode] % 10 == episode)[whole].all()
        first = found[:, :1]
        assert torch.equal(found[:, :inside], first + torch.arange(inside))
        assert first.unique().tolist() == list(range(max(length - steps, 0) + 1))
    # Contexts and strangers are single steps, all of them valid.
    assert drawn.context.valid.all()
    assert drawn.strangers.valid.all()
    assert drawn.context.rewards.shape == (300, 1, 8)


def test_sampling_is_repeatable():
    replay = filled()
    first, second = (replay.sample(20, 5, 5, stream(3)).targets for _ in range(2))
    assert torch.equal(first.rewards, second.rewards)
    assert torch.equal(first.actions, second.actions)


def test_tasks_with_a_single_episode_wait_for_their_second():
    replay = filled(n_episodes=1)
    assert not replay.ready
    with pytest.raises(ValueError, match="different episodes"):
        replay.sample(2, 2, 2, stream())
    replay.add(["task 3"], marked([31.0]))
    assert replay.ready
    drawn = replay.sample(50, 2, 2, stream())
    assert set(drawn.context.rewards.unique().tolist()) == {30.0, 31.0}


def test_a_task_keeps_its_latest_episodes_and_may_come_again():
    replay = Replay(2, 3, CPU)
    replay.add(["a", "b"], marked([1.0, 2.0], [11.0, 12.0]))
    replay.add(["b"], marked([13.0, 14.0]))
    assert stored(replay, "a") == [1.0, 2.0]
    assert stored(replay, "b") == [12.0, 13.0, 14.0]
    assert len(replay) == 2


def test_the_oldest_task_makes_room():
    replay = Replay(2, 3, CPU)
    replay.add(["a", "b"], marked([1.0, 2.0, 3.0], [11.0, 12.0, 13.0]))
    replay.add(["c"], marked([21.0, 22.0]))
    assert len(replay) == 2
    assert replay.task_ids == ["c", "b"]
    # Nothing of the evicted task is left, although it had more episodes.
    assert stored(replay, "c") == [21.0, 22.0]
    drawn = replay.sample(100, 3, 3, stream())
    assert set(drawn.targets.rewards.unique().tolist()) == {11.0, 12.0, 13.0, 21.0, 22.0}
    replay.add(["a"], marked([4.0, 5.0]))
    assert replay.task_ids == ["c", "a"]
    assert stored(replay, "a") == [4.0, 5.0]


def test_a_task_that_is_in_a_batch_twice_and_more_episodes_than_fit():
    replay = Replay(2, 3, CPU)
    replay.add(["a", "b", "a"], marked([1.0, 2.0], [11.0, 12.0], [3.0, 4.0]))
    assert stored(replay, "a") == [2.0, 3.0, 4.0]
    assert stored(replay, "b") == [11.0, 12.0]
    replay.add(["b"], marked([13.0, 14.0, 15.0, 16.0, 17.0]))
    assert stored(replay, "b") == [15.0, 16.0, 17.0]


def test_few_tasks_share_the_room_of_many():
    replay = Replay(4, 3, CPU)  # room for twelve episodes
    replay.add(["a"], marked([float(n) for n in range(10)]))
    assert stored(replay, "a") == [float(n) for n in range(10)]
    replay.add(["a"], marked([10.0, 11.0, 12.0]))
    assert stored(replay, "a") == [float(n) for n in range(1, 13)]
    # A second task takes half, a third one makes four slots of it.
    replay.add(["b", "a"], marked([21.0, 22.0], [13.0, 14.0]))
    assert stored(replay, "a") == [9.0, 10.0, 11.0, 12.0, 13.0, 14.0]
    assert stored(replay, "b") == [21.0, 22.0]
    replay.add(["c"], marked([31.0, 32.0]))
    assert stored(replay, "a") == [12.0, 13.0, 14.0]
    assert stored(replay, "b") == [21.0, 22.0]
    assert stored(replay, "c") == [31.0, 32.0]
    # The ring goes on where it was: the oldest makes room.
    replay.add(["a", "b"], marked([15.0, 16.0], [23.0, 24.0]))
    assert stored(replay, "a") == [14.0, 15.0, 16.0]
    assert stored(replay, "b") == [22.0, 23.0, 24.0]
    drawn = replay.sample(200, 3, 3, stream())
    assert set(drawn.targets.rewards.unique().tolist()) == {
        *(14.0, 15.0, 16.0),
        *(22.0, 23.0, 24.0),
        *(31.0, 32.0),
    }


def test_a_ring_that_has_come_round_is_moved_oldest_first():
    replay = Replay(2, 3, CPU)
    replay.add(["a"], marked([float(n) for n in range(8)]))  # six places, two written twice
    replay.add(["b"], marked([21.0, 22.0]))
    assert stored(replay, "a") == [5.0, 6.0, 7.0]
    assert stored(replay, "b") == [21.0, 22.0]
    replay.add(["a"], marked([8.0, 9.0]))
    assert stored(replay, "a") == [7.0, 8.0, 9.0]


def test_checkpoints_hold_no_empty_places():
    replay = Replay(1000, 4, CPU)
    replay.add(["a", "b"], marked([1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]))
    assert replay.tensors()["rewards"].shape[:2] == (2, 5)
    assert replay.stored().rewards.shape[:2] == (2, 5)


def test_a_batch_of_more_tasks_than_fit_keeps_the_last_ones():
    replay = Replay(2, 4, CPU)
    replay.add(["a"], marked([1.0, 2.0]))
    replay.add(["a", "b", "c", "d"], marked([3.0, 4.0], [11.0, 12.0], [21.0, 22.0], [31.0, 32.0]))
    assert sorted(task_id for task_id in replay.task_ids if task_id) == ["c", "d"]
    assert stored(replay, "c") == [21.0, 22.0]
    assert stored(replay, "d") == [31.0, 32.0]


def test_generated_rows_are_refused():
    batch = marked([1.0, 2.0])
    generated = batch.generated.clone()
    generated[0, 1, 3] = True
    with pytest.raises(ValueError, match="real transitions only"):
        filled().add(["a"], type(batch)(**{**vars(batch), "generated": generated}))


@pytest.mark.parametrize("n_tasks", [0, 1, 3, 10])
def test_restoring_continues_as_if_never_stopped(n_tasks):
    replay, other = Replay(4, 3, CPU), Replay(4, 3, CPU)
    for task in range(n_tasks):
        replay.add([f"task {task}"], marked([10.0 * task, 10.0 * task + 1]))
    tensors = {name: value.clone() for name, value in replay.tensors().items()}
    other.restore(tensors, replay.counters())
    for one in (replay, other):
        one.add(["task 1", "new"], marked([15.0, 16.0], [101.0, 102.0]))
    assert replay.task_ids == other.task_ids
    assert replay.counters() == other.counters()
    for name, value in replay.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name
    first, second = (one.sample(50, 5, 5, stream()) for one in (replay, other))
    assert torch.equal(first.context.rewards, second.context.rewards)
    assert torch.equal(first.targets.actions, second.targets.actions)


def test_discrete_actions_are_kept_as_integers():
    replay = Replay(4, 3, CPU)
    batch = marked([1.0, 2.0])
    choices = batch.actions.squeeze(-1).long()
    replay.add(["a"], type(batch)(**{**vars(batch), "actions": choices}))
    drawn = replay.sample(3, 4, 4, stream())
    assert drawn.targets.actions.dtype == torch.int64
    assert drawn.targets.actions.shape == (3, 1, 4)


def test_descriptors_go_with_their_tasks():
    replay = Replay(2, 4, CPU, descriptor_size=1)
    described = torch.tensor([[1.0], [2.0]])
    replay.add(["a", "b"], marked([1.0, 2.0], [11.0, 12.0]), described)
    drawn = replay.sample(50, 2, 2, stream())
    assert torch.equal(drawn.descriptors[:, 0], 1 + drawn.context.rewards[:, 0, 0] // 10)
    # More tasks than fit: those that stay keep their own.
    replay.add(
        ["c", "d", "e"],
        marked([21.0, 22.0], [31.0, 32.0], [41.0, 42.0]),
        torch.tensor([[3.0], [4.0], [5.0]]),
    )
    drawn = replay.sample(50, 2, 2, stream())
    assert set(drawn.descriptors.flatten().tolist()) == {4.0, 5.0}
    assert torch.equal(drawn.descriptors[:, 0], 1 + drawn.context.rewards[:, 0, 0] // 10)
    other = Replay(2, 4, CPU, descriptor_size=1)
    other.restore(replay.tensors(), replay.counters())
    assert torch.equal(other.descriptors, replay.descriptors)
