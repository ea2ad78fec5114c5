"""What an off-policy learner learns from: flat rows, real or generated, each with its encoding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policy import Policy
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.imagination import imagine, visited_states


@dataclass(frozen=True, kw_only=True)
class FlatRows:
    """Transitions side by side: `[rows, size]`, rewards and continuations `[rows]`.

    `task [rows]` is the index of the task that they are of, and `context [rows]` that of the
    encoding they were generated under: real rows have -1 and go with any of their task's.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    continues: Tensor
    task: Tensor
    context: Tensor

    def __len__(self) -> int:
        return len(self.rewards)

    def take(self, index: Tensor) -> "FlatRows":
        """The rows of an index."""
        return FlatRows(**{name: value[index] for name, value in vars(self).items()})

    @staticmethod
    def join(parts: Sequence["FlatRows"]) -> "FlatRows":
        """One after the other."""
        names = vars(parts[0])
        return FlatRows(**{name: torch.cat([vars(part)[name] for part in parts]) for name in names})


def real_rows(stored: Transitions) -> FlatRows:
    """All valid transitions of `stored [tasks, episodes, time]`."""
    return _flattened(stored, -1)


def branched(
    gan: ConditionalGAN,
    contexts: Sequence[TaskContext],
    policy: Policy,
    parameters: Parameters,
    stored: Transitions,
    n_rows: int,
    n_steps: int,
    stream: torch.Generator,
) -> FlatRows:
    """Some `n_rows` transitions of rollouts from real states of the tasks themselves.

    Each task is imagined under each of its `contexts`; `parameters` are shared by all tasks and
    have a leading axis of length 1 (Janner et al. 2019, "When to trust your model").
    """
    n_tasks = stored.n_tasks
    n_rollouts = max(1, n_rows // (n_tasks * n_steps * len(contexts)))
    made = []
    for number, context in enumerate(contexts):
        own = {name: value.expand(n_tasks, *value.shape[1:]) for name, value in parameters.items()}
        own |= {"encoding": context.encoding}
        starts = visited_states(stored, n_rollouts, stream)
        rollouts = imagine(gan, context, policy, own, starts, n_steps, stream)
        made.append(_flattened(rollouts, number))
    return FlatRows.join(made)


def relabelled(
    gan: ConditionalGAN,
    contexts: Sequence[TaskContext],
    stored: Transitions,
    n_rows: int,
    stream: torch.Generator,
    *,
    rewards_only: bool = False,
) -> FlatRows:
    """Real states and actions of any task, with what each task would make of them: `n_rows` or so.

    Hindsight across tasks: where to look is learnt from all, what comes of it is the task's own.
    With `rewards_only` that is the reward; what follows is what really did.
    """
    real, n_tasks, space = real_rows(stored), stored.n_tasks, gan.space
    n_each = max(1, n_rows // (n_tasks * len(contexts)))
    made = []
    for number, context in enumerate(contexts):
        index = torch.randint(
            len(real), (n_tasks, n_each), generator=stream, device=real.rewards.device
        )
        source = real.take(index)
        states = space.state.normalise(source.observations)
        actions = space.encode_actions(source.actions)
        if rewards_only:
            change = space.raw_change(source.observations, source.next_observations)
            rewards = gan.rewards(context, states, actions, space.change.normalise(change), stream)
            outcome = {}
        else:
            generated = gan.generate(context, states, actions, stream)
            chance = torch.rand(index.shape, generator=stream, device=index.device)
            ends = chance < torch.sigmoid(generated.terminated_logits).squeeze(-1)
            rewards = generated.rewards
            outcome = {
                "next_observations": space.next_states(source.observations, generated.changes),
                "continues": (~ends).to(source.rewards.dtype),
            }
        batch = replace(
            source,
            rewards=space.reward.denormalise(rewards).squeeze(-1),
            **outcome,
            task=torch.arange(n_tasks, device=index.device).unsqueeze(-1).expand_as(index),
            context=torch.full_like(index, number),
        )
        made.append(FlatRows(**{name: value.flatten(0, 1) for name, value in vars(batch).items()}))
    return FlatRows.join(made)


def _flattened(batch: Transitions, context: int) -> FlatRows:
    valid = batch.valid
    task = torch.arange(batch.n_tasks, device=valid.device).view(-1, 1, 1).expand_as(valid)[valid]
    return FlatRows(
        observations=batch.observations[valid],
        actions=batch.actions[valid],
        rewards=batch.rewards[valid],
        next_observations=batch.next_observations[valid],
        continues=(~batch.terminated[valid]).to(batch.rewards.dtype),
        task=task,
        context=torch.full_like(task, context),
    )
