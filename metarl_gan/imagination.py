"""Imagination: rollouts of the adapting policy in the generator, all tasks in one batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.envs.stepping.processors import available_processors
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.processor import even_parts, shared_out

STATE_LIMIT_STDS = 8.0
"""How far from the mean of real states an imagined one may go; a runaway rollout stops there."""

ROWS_AT_ONCE = {"cpu": 2048}
"""By kind of device, rows that go through the networks together: on a processor, the activations
of more do not fit in its cache, and imagining takes twice as long."""
MANY_ROWS = 2**18
"""Rows at once on other devices: fewer would not fill them, more would fill their memory."""
SPLIT_ROWS = 1536
"""Rows from which on it pays to give every thread of a processor its part."""


@torch.no_grad()
def imagine(
    gan: ConditionalGAN,
    context: TaskContext,
    policy: Policy,
    parameters: Parameters,
    starts: Tensor,
    n_steps: int,
    stream: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Transitions:
    """Roll the policy of each task out in the generator, from `starts [tasks, rollouts, obs]`.

    The elites share the rollouts of a task. Returns generated transitions `[tasks, rollouts,
    n_steps]`; a rollout that the generator terminates is invalid from then on, and one that
    reaches `n_steps` is truncated. The generator's networks compute in `dtype`, states add up in
    float32. Large batches are imagined part by part, each through all steps, by as many threads as
    torch may use here.
    """
    (n_tasks, n_rollouts), made = starts.shape[:2], dict[str, Tensor]()
    n_threads = torch.get_num_threads() if starts.device.type == "cpu" else 1
    parts = _parts(
        n_tasks,
        n_rollouts,
        n_elites=gan.n_elites,
        most_rows=_rows_at_once(starts),
        n_threads=n_threads,
    )

    @torch.no_grad()  # of a thread alone
    def run(part_and_stream: tuple[_Part, torch.Generator]) -> None:
        part, own = part_and_stream
        of_tasks = {name: value[part.tasks] for name, value in parameters.items()}
        rollouts = _Rollouts(gan, part.of_context(context), starts[part.index], n_steps, own, dtype)
        rollouts.run(policy, of_tasks, own)
        for name, value in rollouts.record().items():
            if name not in made:
                made.setdefault(name, value.new_empty((n_tasks, n_rollouts, *value.shape[2:])))
            made[name][part.index] = value

    with_streams = list(zip(parts, _streams(stream, len(parts)), strict=True))
    shared_out(run, with_streams, min(n_threads, available_processors()))
    return Transitions(**made)


def visited_states(played: Transitions, n_states: int, stream: torch.Generator) -> Tensor:
    """States `[tasks, n_states, obs]` that each task's own episodes `played` went through.

    Branching from another task's states would imagine where this task never goes.
    """
    visited = played.valid.flatten(1).float()
    index = torch.multinomial(visited, n_states, replacement=True, generator=stream)
    tasks = torch.arange(len(index), device=index.device).unsqueeze(-1)
    return played.observations.flatten(1, 2)[tasks, index]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Some rollouts of some tasks."""

    tasks: slice
    rollouts: slice

    @property
    def index(self) -> tuple[slice, slice]:
        """What picks them from `[tasks, rollouts, ...]`."""
        return self.tasks, self.rollouts

    def of_context(self, context: TaskContext) -> TaskContext:
        """What is known of these tasks."""
        n_tasks = len(context.encoding)
        weights = context.weights and {
            name: value.unflatten(0, (-1, n_tasks))[:, self.tasks].flatten(0, 1)
            for name, value in context.weights.items()
        }
        return TaskContext(
            encoding=context.encoding[self.tasks],
            errors=context.errors.select(self.tasks),
            weights=weights,
        )


def _parts(
    n_tasks: int, n_rollouts: int, *, n_elites: int, most_rows: int, n_threads: int
) -> list[_Part]:
    """All tasks and rollouts, with every elite in its turn in each part.

    Of whole tasks, evenly many, as many parts for every thread; of one task where its rollouts
    are more than `most_rows`.
    """
    of_a_task = -(-n_rollouts // most_rows)
    rollouts = -(-n_rollouts // of_a_task // n_elites) * n_elites
    n_rows = n_tasks * n_rollouts
    wanted = -(-n_rows // most_rows)
    if n_rows >= SPLIT_ROWS:
        wanted = -(-wanted // n_threads) * n_threads
    return [
        _Part(tasks=tasks, rollouts=slice(rollout, rollout + rollouts))
        for tasks in even_parts(n_tasks, min(n_tasks, wanted))
        for rollout in range(0, n_rollouts, rollouts)
    ]


def _rows_at_once(like: Tensor) -> int:
    return ROWS_AT_ONCE.get(like.device.type, MANY_ROWS)


def _streams(stream: torch.Generator, n_parts: int) -> list[torch.Generator]:
    """One for each part, so that nothing depends on which is computed first."""
    if n_parts == 1 or stream.device.type != "cpu":
        return [stream] * n_parts
    seeds = torch.randint(2**62, (n_parts,), generator=stream).tolist()
    return [torch.Generator().manual_seed(seed) for seed in seeds]


class _Rollouts:
    """Rollouts in the making; tensors `[time, batch, rows, ...]`, as the networks take them.

    Within a step, rows lie elite by elite, task by task: the same memory is `[elites, tasks *
    rollouts, ...]` to networks that tasks share, and `[elites * tasks, rollouts, ...]` to policies
    and to networks that adapted to tasks. Step by step only that is computed which the next step
    needs. What the dynamics network takes lies side by side in `inputs`: states, actions,
    encoding, noise.
    """

    def __init__(
        self,
        gan: ConditionalGAN,
        context: TaskContext,
        starts: Tensor,
        n_steps: int,
        stream: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        self._gan, self._generator, space = gan, gan.imagining, gan.space
        self._n_rollouts, elites = starts.shape[1], gan.n_elites
        weights = context.weights or gan.elite_weights()
        self._weights = {name: value.to(dtype) for name, value in weights.items()}
        starts = _by_elite(starts, elites)
        n_batch = len(next(iter(weights.values())))
        self._tasks_and_rollouts = starts.shape[:2]
        leading = (n_steps, n_batch, starts.shape[0] * starts.shape[1] // n_batch)
        like = {"device": starts.device, "generator": stream}
        noise = torch.randn((*leading, self._generator.noise_size), **like)
        self._reward_noise = torch.randn((*leading, self._generator.reward_noise_size), **like)
        self._chance = torch.rand(leading, **like)
        encoding = context.encoding.repeat(elites, 1).unsqueeze(1).expand(-1, starts.shape[1], -1)
        self._encoding = encoding.reshape(1, *leading[1:], -1).expand(n_steps, -1, -1, -1)
        known_later = starts.new_empty((*leading, space.state_size + space.action_size))
        self._inputs = torch.cat([known_later, self._encoding, noise], dim=-1).to(dtype)
        self._observations = starts.new_empty((n_steps + 1, *leading[1:], space.state_size))
        self._observations[0] = starts.view(self._observations.shape[1:])
        self._changes = starts.new_empty((*leading, space.state_size))
        self._terminated_logits = starts.new_empty((*leading, 1))
        self._actions: list[Tensor] = []
        self._log_probs: list[Tensor] = []

    def run(self, policy: Policy, parameters: Parameters, stream: torch.Generator) -> None:
        """Take all steps."""
        space, elites = self._gan.space, self._gan.n_elites
        act = policy.sampler({name: _repeated(v, elites) for name, v in parameters.items()})
        limit = STATE_LIMIT_STDS * space.state.std
        low, high = space.state.mean - limit, space.state.mean + limit
        states, acts, _ = self._parts(self._inputs)
        # Unbound at once: to index all of these by time in the loop takes as long as a layer.
        stored = (self._inputs, states, acts, self._changes, self._terminated_logits)
        by_time = zip(*(tensor.unbind() for tensor in stored), strict=True)
        reached = self._observations.unbind()
        seen = self._by_task(self._observations).unbind()
        for time, (inputs, states, acts, changes, logits) in enumerate(by_time):
            actions, log_probs = act(seen[time], stream)
            states.copy_(space.state.normalise(reached[time]))
            acts.copy_(space.encode_actions(actions).view(acts.shape))
            change, logit = self._generator.transition(self._weights, inputs)
            changes.copy_(change)
            logits.copy_(logit)
            torch.clamp(space.next_states(reached[time], changes), low, high, out=reached[time + 1])
            self._actions.append(actions)
            self._log_probs.append(log_probs)

    def record(self) -> dict[str, Tensor]:
        """The fields of the transitions, `[tasks, rollouts, time, ...]`: views of this memory."""
        ends = self._chance < torch.sigmoid(self._terminated_logits).squeeze(-1)
        valid = ends.cumsum(0) - ends.long() == 0
        truncated = torch.zeros_like(valid)
        truncated[-1] = valid[-1] & ~ends[-1]
        steps = {
            "observations": self._observations[:-1],
            "rewards": self._rewards(),
            "next_observations": self._observations[1:],
            "terminated": ends & valid,
            "truncated": truncated,
            "valid": valid,
            "generated": torch.ones_like(valid),
        }
        fields = {name: self._by_task(value) for name, value in steps.items()}
        fields |= {"actions": torch.stack(self._actions), "log_probs": torch.stack(self._log_probs)}
        return {name: self._tasks_first(value) for name, value in fields.items()}

    def _by_task(self, values: Tensor) -> Tensor:
        """The same memory as `[time, elites * tasks, rollouts, ...]`."""
        return values.view(values.shape[0], *self._tasks_and_rollouts, *values.shape[3:])

    def _tasks_first(self, values: Tensor) -> Tensor:
        """From `[time, elites * tasks, rollouts, ...]` to `[tasks, rollouts, time, ...]`."""
        elites = self._gan.n_elites
        apart = values.unflatten(1, (elites, values.shape[1] // elites))
        return apart.movedim((2, 3, 1, 0), (0, 1, 2, 3)).flatten(1, 2)[:, : self._n_rollouts]

    def _parts(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States, actions, and what is known from the beginning."""
        states, actions = self._gan.space.state_size, self._gan.space.action_size
        first, second, rest = inputs.split(
            [states, actions, inputs.shape[-1] - states - actions], dim=-1
        )
        return first, second, rest

    def _rewards(self) -> Tensor:
        """Rewards `[time, batch, rows]` in the environment's units."""
        steps_at_once = max(1, _rows_at_once(self._chance) // self._chance[0].numel())
        dtype = self._inputs.dtype
        states, actions, _ = self._parts(self._inputs)
        fields = (states, actions, self._changes, self._encoding, self._reward_noise)
        parts = zip(*(field.split(steps_at_once) for field in fields), strict=True)
        rewards = [
            self._generator.rewards(self._weights, *(_rows(field).to(dtype) for field in part))
            .unflatten(1, (len(part[0]), -1))
            .movedim(1, 0)
            for part in parts
        ]
        normalised = torch.cat(rewards).to(self._changes.dtype)
        return self._gan.space.reward.denormalise(normalised).squeeze(-1)


def _rows(field: Tensor) -> Tensor:
    """From `[time, batch, rows, size]` to `[batch, time * rows, size]`."""
    return field.movedim(0, 1).flatten(1, 2)


def _by_elite(starts: Tensor, n_elites: int) -> Tensor:
    """From `[tasks, rollouts, obs]` to `[elites * tasks, rollouts of each, obs]`, filled up."""
    if n_elites == 1:
        return starts.contiguous()
    missing = -starts.shape[1] % n_elites
    filled = torch.cat([starts, starts[:, :1].expand(-1, missing, -1)], dim=1)
    return filled.unflatten(1, (-1, n_elites)).movedim(2, 0).flatten(0, 1)


def _repeated(value: Tensor, times: int) -> Tensor:
    return value if times == 1 else value.repeat(times, *([1] * (value.ndim - 1)))
