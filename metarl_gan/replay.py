"""Replay: real episodes by task, from which contexts and targets are drawn apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.envs.transitions import Transitions

FIELDS = ("observations", "actions", "rewards", "next_observations", "terminated", "truncated")


@dataclass(frozen=True, kw_only=True)
class ContextAndTargets:
    """Context rows `[tasks, context]` and target rows `[tasks, targets]` of the same tasks.

    Targets are windows of consecutive steps, laid end to end; what a short episode does not fill
    is not valid. `strangers` are rows of random tasks, as many as the context, for counterfactual
    contexts. `descriptors [tasks, size]` are the tasks'.
    """

    context: Transitions
    targets: Transitions
    strangers: Transitions
    descriptors: Tensor


class Replay:
    """A ring of tasks, each a ring of episodes; storage is allocated with the first episodes.

    There is room for `episodes_per_task` of each of `capacity_tasks`. While tasks are fewer they
    share all of it: a family of two tasks would else forget nearly all that it has played.

    Only real episodes enter. Sampling draws the context from one episode of a task and every
    target from another one: otherwise the encoder learns to copy the episode, and generated
    rollouts ignore the task as soon as they leave it.
    """

    def __init__(
        self,
        capacity_tasks: int,
        episodes_per_task: int,
        device: torch.device,
        descriptor_size: int = 0,
    ) -> None:
        self.capacity_tasks = capacity_tasks
        self.episodes_per_task = episodes_per_task
        self.device = device
        self.task_ids: list[str | None] = [None] * capacity_tasks
        self._slot_of: dict[str, int] = {}
        self._next_slot = 0
        self._storage: dict[str, Tensor] = {}
        self.lengths = torch.zeros(0, 0, dtype=torch.long, device=device)
        """Valid steps of each stored episode, `[slots, places]`; 0 where there is none."""
        self._written = [0] * capacity_tasks
        self.descriptors = torch.zeros(capacity_tasks, descriptor_size, device=device)

    def __len__(self) -> int:
        """Number of tasks with at least one episode."""
        return len(self._slot_of)

    @property
    def ready(self) -> bool:
        """Whether some task has the two episodes that context and targets need."""
        return any(written >= 2 for written in self._written)

    def add(
        self, task_ids: Sequence[str], batch: Transitions, descriptors: Tensor | None = None
    ) -> None:
        """Store every episode of a batch `[tasks, envs, time]`; oldest tasks make room.

        `descriptors [tasks, size]` of the tasks, if they are kept at all.
        """
        if bool(batch.generated.any()):
            raise ValueError("replay holds real transitions only; this batch has generated rows")
        self._make_room(task_ids, batch)
        slots, places, sources = self._places(task_ids, batch.rewards.shape[1])
        for name, storage in self._storage.items():
            episodes = getattr(batch, name).flatten(0, 1).to(self.device)
            storage[slots, places] = episodes[sources]
        lengths = batch.valid.sum(-1).flatten().to(self.device)
        self.lengths[slots, places] = lengths[sources]
        if descriptors is not None and self.descriptors.shape[1]:
            # Of tasks that were evicted within this very batch nothing is kept.
            kept = [row for row, name in enumerate(task_ids) if name in self._slot_of]
            of_tasks = torch.tensor([self._slot_of[task_ids[row]] for row in kept])
            self.descriptors[of_tasks.to(self.device)] = descriptors[kept].to(self.device)

    def sample(
        self,
        n_tasks: int,
        n_context: int,
        n_targets: int,
        generator: torch.Generator,
        *,
        window_steps: int = 1,
        strangers: bool = True,
    ) -> ContextAndTargets:
        """Draw tasks uniformly, with replacement, among those with two episodes or more.

        `n_targets` windows of `window_steps` consecutive steps each; `strangers` only if wanted.
        """
        counts = (self.lengths > 0).sum(-1)
        eligible = torch.nonzero(counts >= 2).squeeze(-1)
        if len(eligible) == 0:
            raise ValueError(
                "no task in the replay has two episodes: context and targets must come from "
                "different episodes of the same task; collect a query episode first"
            )

        def below(limits: Tensor, shape: tuple[int, ...]) -> Tensor:
            uniform = torch.rand(shape, generator=generator, device=self.device)
            return (uniform * limits).long()

        slots = eligible[below(torch.tensor(float(len(eligible))), (n_tasks,))]
        count = counts[slots].unsqueeze(-1)
        context_episode = below(count, (n_tasks, 1))
        offset = 1 + below(count - 1, (n_tasks, n_targets))
        target_episodes = (context_episode + offset) % count
        context_episodes = context_episode.expand(n_tasks, n_context)

        def rows(of: Tensor, episodes: Tensor, steps: int = 1) -> Transitions:
            lengths = self.lengths[of, episodes]
            starts = below((lengths - steps + 1).clamp(min=1), tuple(episodes.shape))
            return self._windows(of.expand_as(episodes), episodes, starts, lengths, steps)

        context = rows(slots.unsqueeze(-1), context_episodes)
        targets = rows(slots.unsqueeze(-1), target_episodes, window_steps)
        limit, n_strangers = torch.tensor(float(len(eligible))), n_context if strangers else 0
        of_others = eligible[below(limit, (n_tasks, n_strangers))]
        others = rows(of_others, below(counts[of_others], (n_tasks, n_strangers)))
        return ContextAndTargets(
            context=context,
            targets=targets,
            strangers=others,
            descriptors=self.descriptors[slots],
        )

    def stored(self) -> Transitions:
        """Every episode of every task, `[tasks, episodes, time]`; without one, not valid."""
        n_tasks, n_places = len(self), self._places_used
        held = {name: storage[:n_tasks, :n_places] for name, storage in self._storage.items()}
        times = torch.arange(self._longest, device=self.device)
        valid = times < self.lengths[:n_tasks, :n_places].unsqueeze(-1)
        return Transitions(
            **held,
            valid=valid,
            log_probs=torch.zeros_like(held["rewards"]),
            generated=torch.zeros_like(valid),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Everything stored, for a checkpoint: what is filled of slots and places only."""
        filled, used = len(self) if self._storage else 0, self._places_used
        tensors = {name: storage[:filled, :used] for name, storage in self._storage.items()}
        if self.descriptors.shape[1]:
            tensors["descriptors"] = self.descriptors[:filled]
        return {**tensors, "lengths": self.lengths[:filled, :used]}

    def counters(self) -> dict[str, object]:
        """What `restore` needs beside the tensors, as JSON values."""
        return {
            "task_ids": [task_id for task_id in self.task_ids if task_id is not None],
            "written": self._written[: len(self)],
            "next_slot": self._next_slot,
            "slots": len(self.lengths),
        }

    def restore(self, tensors: dict[str, Tensor], counters: dict) -> None:
        """Inverse of `tensors` and `counters`. Raises `ValueError` if they disagree."""
        task_ids = counters["task_ids"]
        # Checkpoints of before tasks shared the room had slots for all of them from the start.
        filled, n_slots = len(task_ids), counters.get("slots", self.capacity_tasks)
        used = min(tensors["lengths"].shape[1], self._places_of(n_slots))
        for name, value in tensors.items():
            if name == "descriptors":
                self.descriptors[:filled] = value.to(self.device)
            elif tuple(value.shape[:2]) != (filled, used):
                raise ValueError(
                    f"the replay's {name} has shape {tuple(value.shape)} for {filled} tasks of "
                    f"{used} episodes"
                )
        if filled:
            self._lay_out(n_slots, {name: tensors[name] for name in FIELDS})
            for name in FIELDS:
                self._storage[name][:filled, :used] = tensors[name].to(self.device)
            self.lengths[:filled, :used] = tensors["lengths"].to(self.device)
        self.task_ids[:filled] = task_ids
        self._slot_of = {task_id: slot for slot, task_id in enumerate(task_ids)}
        self._written[:filled] = counters["written"]
        self._next_slot = counters["next_slot"]

    def _make_room(self, task_ids: Sequence[str], batch: Transitions) -> None:
        """Slots for the tasks of a batch, taken from what each of the others may keep."""
        n_slots, new = len(self.lengths), set(task_ids) - set(self._slot_of)
        n_needed = min(len(self) + len(new), self.capacity_tasks)
        if n_needed <= n_slots:
            return
        held, lengths, n_tasks = dict(self._storage), self.lengths, len(self)
        # Doubled, so that tasks that come one by one do not move everything each time.
        n_slots = min(max(n_needed, 2 * n_slots), self.capacity_tasks)
        self._lay_out(n_slots, {name: getattr(batch, name) for name in FIELDS})
        if not n_tasks:
            return
        written, old_places = torch.tensor(self._written[:n_tasks]), lengths.shape[1]
        kept = written.clamp(max=min(old_places, self._n_places)).unsqueeze(-1)
        age = torch.arange(int(kept.max()))
        # The latest episodes, oldest first; a ring goes on where it was.
        places = ((written.unsqueeze(-1) - kept + age) % old_places).to(self.device)
        slots = torch.arange(n_tasks, device=self.device).unsqueeze(-1)
        for name, storage in self._storage.items():
            storage[:n_tasks, : len(age)] = held[name][slots, places]
        # Who has kept fewer than others had no ring come round: the rest is empty, of length 0.
        self.lengths[:n_tasks, : len(age)] = lengths[slots, places]
        self._written[:n_tasks] = kept.squeeze(-1).tolist()

    def _lay_out(self, n_slots: int, like: Mapping[str, Tensor]) -> None:
        """Empty storage for so many tasks, of episodes `like` those of `[tasks, episodes, ...]`."""
        n_places = self._places_of(n_slots)
        for name, value in like.items():
            shape = (n_slots, n_places, *value.shape[2:])
            self._storage[name] = torch.zeros(shape, dtype=value.dtype, device=self.device)
        self.lengths = torch.zeros(n_slots, n_places, dtype=torch.long, device=self.device)

    def _places_of(self, n_slots: int) -> int:
        return self.capacity_tasks * self.episodes_per_task // max(n_slots, 1)

    @property
    def _n_places(self) -> int:
        """Most episodes that a task may keep at present."""
        return self.lengths.shape[1]

    @property
    def _places_used(self) -> int:
        """Places that hold an episode of some task, or would by `episodes_per_task`."""
        most = max(self._written[: len(self)], default=0)
        return min(max(most, self.episodes_per_task), self._n_places)

    def _places(self, task_ids: Sequence[str], n_episodes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Slots and episode places to write, and which episode of the batch goes there.

        Each place comes once. A task that is in a batch twice, or brings more episodes than are
        kept, would else write a place twice, in an order that nobody promises.
        """
        written: dict[tuple[int, int], int] = {}
        for task, task_id in enumerate(task_ids):
            slot = self._slot(task_id)
            if self._written[slot] == 0:
                # What a task evicted within this very batch was to write is void.
                written = {at: source for at, source in written.items() if at[0] != slot}
            for episode in range(n_episodes):
                place = self._written[slot] % self._n_places
                self._written[slot] += 1
                written[slot, place] = task * n_episodes + episode
        slots, places = torch.tensor(list(written), device=self.device).unbind(-1)
        return slots, places, torch.tensor(list(written.values()), device=self.device)

    def _slot(self, task_id: str) -> int:
        if task_id in self._slot_of:
            return self._slot_of[task_id]
        slot = self._next_slot
        self._next_slot = (slot + 1) % self.capacity_tasks
        evicted = self.task_ids[slot]
        if evicted is not None:
            del self._slot_of[evicted]
            self.lengths[slot] = 0
            self._written[slot] = 0
        self.task_ids[slot] = task_id
        self._slot_of[task_id] = slot
        return slot

    def _windows(
        self, slots: Tensor, episodes: Tensor, starts: Tensor, lengths: Tensor, steps: int
    ) -> Transitions:
        """Consecutive rows from those at `starts [tasks, windows]`: `[tasks, 1, rows]`."""
        times = starts.unsqueeze(-1) + torch.arange(steps, device=self.device)
        valid = (times < lengths.unsqueeze(-1)).flatten(1).unsqueeze(1)
        times = times.clamp(max=self._longest - 1).flatten(1)
        slots, episodes = (
            index.repeat_interleave(steps, dim=1) if steps > 1 else index
            for index in (slots, episodes)
        )
        rows = {
            name: storage[slots, episodes, times].unsqueeze(1)
            for name, storage in self._storage.items()
        }
        return Transitions(
            **rows,
            valid=valid,
            log_probs=torch.zeros_like(rows["rewards"]),
            generated=torch.zeros_like(valid),
        )

    @property
    def _longest(self) -> int:
        return self._storage["rewards"].shape[2]
