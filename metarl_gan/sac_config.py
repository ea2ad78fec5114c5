"""Settings of context SAC, which learns off-policy from replay and from what is generated."""

from dataclasses import dataclass
from typing import Literal

from metarl_gan.config_error import require


@dataclass(frozen=True, kw_only=True)
class SacConfig:
    """Context SAC: soft actor-critic under encodings of tasks, discounted by `learner.discount`."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    critics: int = 2
    learning_rate: float = 5e-4
    polyak: float = 0.01
    """Share by which the delayed critics follow the critics in an update."""
    batch_size: int = 256
    warm_up_real_steps: int = 10_000
    """Real steps of a fresh policy before the first update."""
    initial_updates: int = 8000
    """Updates when the warm-up ends."""
    updates_per_real_step: float = 2.0
    actor_every: int = 1
    """Updates of the critics to one of policy and temperature."""
    encodings_per_task: int = 4
    """Contexts of each replayed task that it is learnt under, each from one episode."""
    replayed_tasks: int = 300
    """Most tasks of the replay that a meta-iteration learns from, drawn anew in each: inferring
    their contexts again takes time."""
    relabelled_rows: int = 20_000
    """Per iteration: real states and actions of other tasks, with the outcome that the generator
    gives them under a task's encoding."""
    relabel: Literal["outcomes", "rewards"] = "outcomes"
    """What of them the generator gives: next state, reward and end; or the reward alone of the next
    state that really followed, where all tasks move alike and differ in what they reward."""
    branched_rows: int = 20_000
    """Per iteration: transitions of short rollouts of the policy from a task's own real states."""
    branch_steps: int = 3
    generate_every_updates: int = 0
    """Updates after which both kinds of rows are made anew, by the policy as it is then; 0 makes
    them once per meta-iteration."""
    virtual_tasks: int = 0
    """Tasks that nobody played, per iteration: mixtures of three replayed tasks' encodings, for
    which the generator makes rows as it does for real ones."""
    first_log_std: float = 0.0
    """Added to the log standard deviation with which a new task is begun: a policy that is sure of
    the wrong task goes straight to where nothing tells which one it is in."""
    infer_every_steps: int = 0
    """Steps of a task's first episode after which the task is inferred again from what the episode
    has shown so far; 0 waits for its end."""
    task_updates: int = 0
    """Updates of a task's own copy of the networks in imagination, when it adapts."""
    task_batch_size: int = 64
    """Rows per task in such an update."""

    def __post_init__(self) -> None:
        for name in (
            "critics",
            "batch_size",
            "actor_every",
            "encodings_per_task",
            "replayed_tasks",
            "branch_steps",
            "task_batch_size",
        ):
            value = getattr(self, name)
            require(value >= 1, f"sac.{name}", value, "at least 1")
        for name in (
            "warm_up_real_steps",
            "initial_updates",
            "updates_per_real_step",
            "relabelled_rows",
            "branched_rows",
            "generate_every_updates",
            "virtual_tasks",
            "infer_every_steps",
            "task_updates",
        ):
            value = getattr(self, name)
            require(value >= 0, f"sac.{name}", value, "0 or more")
        require(self.learning_rate > 0, "sac.learning_rate", self.learning_rate, "positive")
        require(0 < self.polyak <= 1, "sac.polyak", self.polyak, "above 0 and at most 1")
