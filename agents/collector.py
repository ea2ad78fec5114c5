"""The collector: the only place that steps a real environment."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.envs.transitions import Transitions
from metarl_gan.envs.vector import TaskVectorEnv


@dataclass(frozen=True, kw_only=True)
class DroppedTask:
    """A task whose environment broke: what was seen, and where."""

    task_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Real episodes of the tasks that stayed healthy.

    `batch` holds only those tasks, in order; `kept` are their indices in the vector
    environment. `real_steps` counts every step taken, those of dropped tasks included.
    """

    batch: Transitions
    kept: Tensor
    real_steps: int
    dropped: tuple[DroppedTask, ...]


class AllTasksDroppedError(RuntimeError):
    """Every task of a batch broke; the message lists what was seen of each."""


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
    recorder = _Recorder(venv)
    observations, _ = venv.reset(seed=seed)
    recorder.start(observations)
    device = generator.device
    shape = (len(venv.tasks), venv.envs_per_task, -1)
    while recorder.running:
        rows = torch.as_tensor(observations, device=device).view(shape)
        with torch.no_grad():
            if deterministic:
                actions = policy.mode(parameters, rows)
                log_probs = torch.zeros(actions.shape[:2], device=device)
            else:
                actions, log_probs = policy.sample(parameters, rows, generator)
        flat = actions.flatten(0, 1).cpu().numpy()
        observations, rewards, terminated, truncated, info = venv.step(flat)
        recorder.add(flat, log_probs, observations, rewards, terminated, truncated)
        recorder.note_failures(info)
    return recorder.finish(device)


class _Recorder:
    """Preallocated arrays `[envs, time, ...]` that an episode per environment is written to."""

    def __init__(self, venv: TaskVectorEnv) -> None:
        self._venv = venv
        n, horizon = venv.num_envs, venv.horizon
        obs_shape = venv.single_observation_space.shape or ()
        action_space = venv.single_action_space
        self.observations = np.zeros((n, horizon + 1, *obs_shape), np.float32)
        # Where an episode ended, the next row's observation is not its successor's start.
        self.next_observations = np.zeros((n, horizon, *obs_shape), np.float32)
        discrete = action_space.dtype is not None and np.issubdtype(action_space.dtype, np.integer)
        self.actions = np.zeros(
            (n, horizon, *(action_space.shape or ())), np.int64 if discrete else np.float32
        )
        self.rewards = np.zeros((n, horizon), np.float32)
        self.log_probs = np.zeros((n, horizon), np.float32)
        self.terminated = np.zeros((n, horizon), bool)
        self.truncated = np.zeros((n, horizon), bool)
        self.valid = np.zeros((n, horizon), bool)
        self.failures: dict[int, str] = {}
        self._active = np.ones(n, bool)
        self._time = 0

    @property
    def running(self) -> bool:
        return self._time < self._venv.horizon and bool(self._active.any())

    def start(self, observations: np.ndarray) -> None:
        self.observations[:, 0] = observations

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
        self.actions[:, time] = actions
        self.log_probs[:, time] = log_probs.flatten().cpu().numpy()
        self.next_observations[:, time] = observations
        self.observations[:, time + 1] = observations
        self.rewards[:, time] = rewards
        self.valid[:, time] = self._active
        self.terminated[:, time] = terminated & self._active
        self.truncated[:, time] = truncated & self._active
        self._active &= ~(terminated | truncated)
        self._time += 1

    def note_failures(self, info: dict) -> None:
        for index, text in info.get("failures", {}).items():
            self.failures.setdefault(int(index), text)

    def finish(self, device: torch.device) -> Collection:
        healthy, dropped = self._health()
        if not healthy.any():
            reasons = "; ".join(f"{task.task_id}: {task.reason}" for task in dropped)
            raise AllTasksDroppedError(f"every task of the batch was dropped: {reasons}")
        kept = torch.as_tensor(np.flatnonzero(healthy))
        return Collection(
            batch=self._transitions(kept, device),
            kept=kept,
            real_steps=int(self.valid.sum()),
            dropped=dropped,
        )

    def _transitions(self, kept: Tensor, device: torch.device) -> Transitions:
        def tasks_first(array: np.ndarray) -> Tensor:
            shape = (len(self._venv.tasks), self._venv.envs_per_task)
            tensor = torch.from_numpy(array.reshape(*shape, *array.shape[1:]))
            # A copy only where a task was dropped: the arrays are not used again.
            return (tensor if len(kept) == shape[0] else tensor[kept]).to(device)

        valid = tasks_first(self.valid)
        return Transitions(
            observations=tasks_first(self.observations[:, :-1]),
            actions=tasks_first(self.actions),
            rewards=tasks_first(self.rewards),
            next_observations=tasks_first(self.next_observations),
            terminated=tasks_first(self.terminated),
            truncated=tasks_first(self.truncated),
            valid=valid,
            log_probs=tasks_first(self.log_probs),
            generated=torch.zeros_like(valid),
        )

    def _health(self) -> tuple[np.ndarray, tuple[DroppedTask, ...]]:
        """Which tasks gave finite numbers throughout, and what was wrong with the others."""
        bad_step = ~np.isfinite(self.rewards) | ~np.isfinite(self.next_observations).all(-1)
        bad_step &= self.valid
        bad_start = ~np.isfinite(self.observations[:, 0]).all(-1)
        bad_env = np.asarray(bad_step.any(-1) | bad_start)
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
            return f"the environment raised {self.failures[env]}"
        if not np.isfinite(self.observations[env, 0]).all():
            return f"reset returned the observation {self.observations[env, 0]}"
        finite = np.isfinite(self.rewards[env]) & np.isfinite(self.next_observations[env]).all(-1)
        time = int(np.argmax(~finite & self.valid[env]))
        return (
            f"step {time} returned reward {self.rewards[env, time]} and observation "
            f"{self.next_observations[env, time]}"
        )
