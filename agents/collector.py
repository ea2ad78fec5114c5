"""The collector: the only place that steps a real environment."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.player import Player, PolicyPlayer
from metarl_gan.agents.policy import Policy
from metarl_gan.envs.action_format import DiscreteActions
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.transitions import Transitions

MOST_NAMED = 5
"""Most tasks that an error names."""


@dataclass(frozen=True, kw_only=True)
class DroppedTask:
    """A task whose environment broke: what was seen, and where.

    The first line of `reason` says all that fits in one; others are the environment's traceback.
    """

    task_id: str
    reason: str

    @property
    def summary(self) -> str:
        """The first line of the reason."""
        return self.reason.partition("\n")[0]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Real episodes of the tasks that stayed healthy.

    `batch` holds only those tasks, in order; `kept` are their indices in the vector
    environment. `real_steps` counts every step taken, those of dropped tasks included.
    `success`, bool `[tasks, envs]`, says of each episode of `batch` whether its environment said
    in any step that the task is solved; `None` if no environment says such things.
    """

    batch: Transitions
    kept: Tensor
    real_steps: int
    dropped: tuple[DroppedTask, ...]
    success: Tensor | None = None


class AllTasksDroppedError(RuntimeError):
    """Every task of a batch broke; the message lists what was seen of some, and all of one.

    `real_steps` were taken nevertheless.
    """

    def __init__(self, dropped: tuple[DroppedTask, ...], real_steps: int) -> None:
        lines = [f"{task.task_id}: {task.summary}" for task in dropped[:MOST_NAMED]]
        if len(dropped) > MOST_NAMED:
            lines.append(f"and {len(dropped) - MOST_NAMED} more")
        traceback = dropped[0].reason.partition("\n")[2]
        listed = "\n".join(f"  {line}" for line in lines)
        super().__init__(f"every task of the batch was dropped:\n{listed}\n{traceback}".rstrip())
        self.dropped = dropped
        self.real_steps = real_steps


def collect(
    venv: TaskVectorEnv,
    policy: Policy,
    parameters: Parameters,
    generator: torch.Generator,
    *,
    seed: int,
    deterministic: bool = False,
) -> Collection:
    """Play one episode in every environment of `venv`, all tasks together.

    `parameters` have a leading task axis. Environments that end early stay as they are and
    cost nothing. Tasks that return a value that is not finite are dropped and reported.
    Raises `AllTasksDroppedError` if none is left.
    """
    with torch.no_grad():
        player = PolicyPlayer(venv, policy, parameters, generator, deterministic=deterministic)
    return play(venv, player, seed=seed, device=generator.device)


def play(
    venv: TaskVectorEnv, player: Player, *, seed: int, device: torch.device | str = "cpu"
) -> Collection:
    """As `collect`, with whatever `player` does; the record lies on `device`."""
    recorder = _Recorder(venv)
    observations, info = venv.reset(seed=seed)
    recorder.start(observations, info)
    with torch.no_grad():
        while recorder.running:
            actions, log_probs = player.act(observations)
            active = recorder.active
            observations, rewards, terminated, truncated, info = venv.step(actions)
            player.hear(rewards, terminated | truncated, active)
            recorder.note_failures(info)
            recorder.note_success(info)
            recorder.add(actions, log_probs, observations, rewards, terminated, truncated)
    return recorder.finish(torch.device(device))


class _Recorder:
    """Preallocated arrays `[time, envs, ...]`: a step writes one contiguous row of each."""

    def __init__(self, venv: TaskVectorEnv) -> None:
        self._venv = venv
        leading = (venv.horizon, venv.num_envs)
        obs_shape = venv.single_observation_space.shape or ()
        # One array for both: an environment that ended stays where it is, so that what a step
        # reached is always the next row's observation.
        self.observations = np.zeros((venv.horizon + 1, venv.num_envs, *obs_shape), np.float32)
        discrete = isinstance(venv.action_format, DiscreteActions)
        self.actions = np.empty(
            (*leading, *venv.action_format.shape), np.int64 if discrete else np.float32
        )
        self.actions[:] = venv.action_format.blank
        self.rewards = np.zeros(leading, np.float32)
        self.log_probs: list[Tensor] = []
        self.terminated = np.zeros(leading, bool)
        self.truncated = np.zeros(leading, bool)
        self.valid = np.zeros(leading, bool)
        self.failures: dict[int, str] = {}
        self.success: np.ndarray | None = None
        self._active = np.ones(venv.num_envs, bool)
        self._time = 0

    @property
    def running(self) -> bool:
        return self._time < self._venv.horizon and bool(self._active.any())

    @property
    def active(self) -> np.ndarray:
        """Bool `[envs]`: whose episode goes on."""
        return self._active.copy()

    def start(self, observations: np.ndarray, info: dict) -> None:
        self.observations[0] = observations
        for index, text in info.get("failures", {}).items():
            self.failures[int(index)] = f"the environment failed in {text}"
            # It never began: what it answers to steps costs nothing.
            self._active[int(index)] = False

    def add(
        self,
        actions: np.ndarray,
        log_probs: Tensor,
        observations: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        time = self._time
        self.actions[time] = actions
        self.log_probs.append(log_probs)
        self.observations[time + 1] = observations
        self.rewards[time] = rewards
        self.valid[time] = self._active
        self.terminated[time] = terminated & self._active
        self.truncated[time] = truncated & self._active
        self._active &= ~(terminated | truncated)
        self._time += 1

    def note_failures(self, info: dict) -> None:
        for index, text in info.get("failures", {}).items():
            place = f"at step {self._time} the environment failed in {text}"
            self.failures.setdefault(int(index), place)

    def note_success(self, info: dict) -> None:
        told = info.get("success")
        if told is not None:
            self.success = told if self.success is None else self.success | told

    def finish(self, device: torch.device) -> Collection:
        healthy, dropped = self._health()
        real_steps = int(self.valid.sum())
        if not healthy.any():
            raise AllTasksDroppedError(dropped, real_steps)
        kept = torch.as_tensor(np.flatnonzero(healthy))
        return Collection(
            batch=self._transitions(kept, device),
            kept=kept,
            real_steps=real_steps,
            dropped=dropped,
            success=self._success(kept),
        )

    def _success(self, kept: Tensor) -> Tensor | None:
        if self.success is None:
            return None
        shape = (len(self._venv.tasks), self._venv.envs_per_task)
        return torch.from_numpy(self.success).view(shape)[kept]

    def _transitions(self, kept: Tensor, device: torch.device) -> Transitions:
        shape = (-1, len(self._venv.tasks), self._venv.envs_per_task)

        def tasks_first(steps: Tensor) -> Tensor:
            tensor = steps.view(*shape, *steps.shape[2:]).movedim(0, 2)
            # Indexing copies, too, so that only where all tasks are kept a copy is needed.
            whole = len(kept) == shape[1]
            return tensor.contiguous() if whole else tensor[kept.to(device)].contiguous()

        def recorded(array: np.ndarray) -> Tensor:
            return tasks_first(torch.from_numpy(array).to(device))

        log_probs = torch.zeros(self.rewards.shape, device=device)
        torch.stack([step.flatten() for step in self.log_probs], out=log_probs[: self._time])
        valid = recorded(self.valid)
        return Transitions(
            observations=recorded(self.observations[:-1]),
            actions=recorded(self.actions),
            rewards=recorded(self.rewards),
            next_observations=recorded(self.observations[1:]),
            terminated=recorded(self.terminated),
            truncated=recorded(self.truncated),
            valid=valid,
            log_probs=tasks_first(log_probs),
            generated=torch.zeros_like(valid),
        )

    def _health(self) -> tuple[np.ndarray, tuple[DroppedTask, ...]]:
        """Which tasks gave finite numbers throughout, and what was wrong with the others."""
        bad_step = ~np.isfinite(self.rewards) | ~np.isfinite(self.observations[1:]).all(-1)
        bad_step &= self.valid
        bad_start = ~np.isfinite(self.observations[0]).all(-1)
        bad_env = np.asarray(bad_step.any(0) | bad_start)
        bad_env[list(self.failures)] = True
        per_task = bad_env.reshape(len(self._venv.tasks), self._venv.envs_per_task)
        dropped = tuple(
            DroppedTask(
                task_id=self._venv.tasks[task].id,
                reason=self._describe(task * self._venv.envs_per_task + int(row.argmax())),
            )
            for task, row in enumerate(per_task)
            if row.any()
        )
        return np.asarray(~per_task.any(-1)), dropped

    def _describe(self, env: int) -> str:
        if env in self.failures:
            return self.failures[env]
        rewards, reached = self.rewards[:, env], self.observations[1:, env]
        if not np.isfinite(self.observations[0, env]).all():
            return f"reset returned the observation {self.observations[0, env]}"
        finite = np.isfinite(rewards) & np.isfinite(reached).all(-1)
        time = int(np.argmax(~finite & self.valid[:, env]))
        return f"step {time} returned reward {rewards[time]} and observation {reached[time]}"
