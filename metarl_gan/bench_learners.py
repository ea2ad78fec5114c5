"""Meta-learning beside a sequential loop over tasks; one meta-iteration with all that is in it."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import final

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import GaussianPolicy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows
from metarl_gan.bench_cases import Findings, fresh_components, thread_counts, threads_text
from metarl_gan.bench_sequential import sequential_meta_gradient
from metarl_gan.bench_timing import Alternative, Ratio, Spread, Timing, time_in_turns
from metarl_gan.config import Config, LearnerConfig, SamplerConfig
from metarl_gan.data_augmentation import Mixture
from metarl_gan.envs.family import TaskFamily
from metarl_gan.learners.execution import ExecutionName, Size, make_execution
from metarl_gan.learners.gradient import GradientMetaLearner
from metarl_gan.meta_learner import Adapted, Experience, MetaLearner
from metarl_gan.trainer import Trainer

SIZES = (
    *((20, samples) for samples in (20, 100, 400, 2000, 4000)),
    *((100, samples) for samples in (20, 100, 400, 4000)),
)
"""Tasks, and samples of each."""
N_OBSERVATIONS, N_ACTIONS = 17, 6
"""Of the policy whose meta-gradient is timed: those of a half-cheetah."""
FEW_SAMPLES, MIN_SPEEDUP_OF_FEW = 100, 4.0
MOST_ROWS_AT_ONCE = 100_000
"""Beyond, all tasks at once take gigabytes."""
ITERATION_TASKS, ITERATION_STEPS = 20, 2000
"""Tasks of a meta-iteration, and each task's steps in its support, as many in its query."""

Gradient = Callable[[], dict[str, Tensor]]


class MetaGradients:
    """One second-order meta-gradient of random rows, by whoever computes it."""

    def __init__(self, n_tasks: int, n_samples: int) -> None:
        stream = torch.Generator().manual_seed(0)
        policy = GaussianPolicy(
            gymnasium.spaces.Box(-1.0, 1.0, (N_ACTIONS,), np.float32), N_OBSERVATIONS, (64, 64)
        )
        config = LearnerConfig(inner_steps=1, learn_inner_lr=False)
        self.config = config
        self.learner = GradientMetaLearner(policy, config, stream)
        initial = self.learner.initial_policy(n_tasks)
        self.support, self.query = (
            random_rows(policy, initial, n_samples, stream) for _ in range(2)
        )
        self.size = Size(n_tasks=n_tasks, n_rows=n_samples, width=64)

    def sequential(self) -> dict[str, Tensor]:
        """By the loop over tasks."""
        return sequential_meta_gradient(
            self.learner.parameters,
            self.support,
            self.query,
            inner_lr=self.config.inner_lr,
            inner_clip=self.config.inner_clip,
            outer_clip=self.config.outer_clip,
        )

    def ours(self, name: ExecutionName, n_threads: int) -> Gradient:
        """By the learner, with an execution."""
        execution = make_execution(name, n_threads=n_threads)
        adapted = Adapted(parameters={}, drawn=(MixedRows(real=self.support),))

        def gradient() -> dict[str, Tensor]:
            objective = self.learner.objective(adapted, self.query)
            return execution.gradient(objective.loss, self.learner.learnt, self.size)[1]

        return gradient


def random_rows(
    policy: GaussianPolicy, parameters: Parameters, n_rows: int, stream: torch.Generator
) -> PolicyRows:
    """Random observations and advantages, and what policies of `parameters` do there."""
    n_tasks = len(parameters["log_std"])
    observations = torch.randn(n_tasks, n_rows, policy.n_inputs, generator=stream)
    actions, log_probs = policy.sample(parameters, observations, stream)
    return PolicyRows(
        observations=observations,
        actions=actions,
        log_probs=log_probs,
        advantages=torch.randn(n_tasks, n_rows, generator=stream),
        weights=torch.full((n_tasks, n_rows), 1.0 / n_rows),
        episode_steps=n_rows,
    )


def measure_meta_gradients(
    n_tasks: int, n_samples: int, *, seconds: float, threads: Sequence[int] | None = None
) -> Findings:
    """Time a meta-gradient of `n_tasks`, of `n_samples` each in support and query.

    A transition is a row of either. Ours by `auto`, and for comparison by what it chooses from.
    """
    gradients, counts = MetaGradients(n_tasks, n_samples), threads or thread_counts()
    most = max(counts)
    ways: list[tuple[str, int, Gradient]] = [
        (f"{name}, {threads_text(n)}", n, work)
        for n in counts
        for name, work in (
            ("sequential loop", gradients.sequential),
            ("ours", gradients.ours("auto", n)),
        )
    ]
    ways.append((f"in parts, one by one, of {most}", 1, gradients.ours("looped", most)))
    if n_tasks * n_samples <= MOST_ROWS_AT_ONCE:
        ways.append(("all tasks at once, 1 thread", 1, gradients.ours("batched", 1)))
    alternatives = [
        Alternative(name=name, transitions=2 * n_tasks * n_samples, work=work, torch_threads=n)
        for name, n, work in ways
    ]
    timings = time_in_turns(alternatives, seconds=seconds)
    wanted = f"{MIN_SPEEDUP_OF_FEW:g}" if n_samples <= FEW_SAMPLES else "1"
    return Findings(
        title=f"Meta-gradient of {n_tasks} tasks × {n_samples} samples, one inner step, 2 × 64",
        timings=timings,
        ratios=_speedups(timings[: 2 * len(counts)]),
        target=f"at least {wanted} with {threads_text(most)} against the faster sequential loop",
    )


def _speedups(timings: Sequence[Timing]) -> list[Ratio]:
    """Each of ours against the sequential loop with the number of threads that suits it best."""
    loop = min(timings[::2], key=lambda timing: timing.wall_microseconds.median)
    return [Ratio.between(f"{loop.name} / {ours.name}", of=loop, to=ours) for ours in timings[1::2]]


def measure_iteration(
    family: TaskFamily,
    *,
    seconds: float,
    most_seconds: float | None = None,
    n_tasks: int = ITERATION_TASKS,
    n_steps: int = ITERATION_STEPS,
    threads: Sequence[int] | None = None,
) -> Findings:
    """Time meta-iterations of the trainer, without generated data, and the phases of each.

    Support and query are as many episodes per task as `n_steps` take; MAML with one inner step,
    and the outer steps of the default config. `most_seconds` is what one is asked to take at most.
    """
    counts, n_episodes = threads or thread_counts(), max(1, n_steps // family.horizon)
    watched = [_WatchedTrainer(family, n_tasks, n_episodes, n) for n in counts]
    alternatives = [
        Alternative(
            name=f"meta-iteration, {threads_text(n)}",
            transitions=2 * n_tasks * n_episodes * family.horizon,
            work=trainer.iterate,
            torch_threads=n,
        )
        for n, trainer in zip(counts, watched, strict=True)
    ]
    timings = time_in_turns(alternatives, seconds=seconds)
    spent: dict[str, Spread] = {}
    for n, timing, trainer in zip(counts, timings, watched, strict=True):
        trainer.close()
        spent |= _seconds_spent(timing, trainer, threads_text(n), most_seconds)
    return Findings(
        title=f"Meta-iteration on {family.name}: {n_tasks} tasks × {n_episodes} episodes × "
        f"{family.horizon} steps of support, and of query",
        timings=timings,
        ratios=(),
        comparisons=spent,
    )


def _seconds_spent(
    timing: Timing, trainer: "_WatchedTrainer", threads: str, most: float | None
) -> dict[str, Spread]:
    target = "" if most is None else f" (target: at most {most:g})"
    return {
        f"seconds, {threads}: all{target}": Spread.of(timing.wall_seconds),
        **{
            # The first was to warm up.
            f"seconds, {threads}: {phase}": Spread.of(seconds[1:])
            for phase, seconds in trainer.phases.items()
        },
    }


@final
class _WatchedTrainer:
    """A trainer, and the seconds that each phase of its meta-iterations took."""

    def __init__(self, family: TaskFamily, n_tasks: int, n_episodes: int, n_threads: int) -> None:
        config = Config(
            device="cpu",
            generated=False,
            torch_threads=n_threads,
            sampler=SamplerConfig(
                tasks_per_batch=n_tasks, support_episodes=n_episodes, query_episodes=n_episodes
            ),
            learner=LearnerConfig(inner_steps=1),
        )
        self.phases: dict[str, list[float]] = defaultdict(list)
        self._since = 0.0
        self._trainer = Trainer(fresh_components(family, config), family)
        self._trainer.meta_learner = _WatchedLearner(self._trainer.meta_learner, self.ended)
        self.close = self._trainer.close

    def iterate(self) -> None:
        """One meta-iteration."""
        self._since = time.perf_counter()
        self._trainer.meta_iteration()
        self.ended("everything else")

    def ended(self, phase: str) -> None:
        """Count the time since the last phase ended as that of this one."""
        now = time.perf_counter()
        self.phases[phase].append(now - self._since)
        self._since = now


@final
class _WatchedLearner(MetaLearner):
    """A meta-learner that says when what it is called for, and what was before, has ended."""

    def __init__(self, learner: MetaLearner, ended: Callable[[str], None]) -> None:
        self.policy, self._learner, self._ended = learner.policy, learner, ended

    def initial_policy(self, n_tasks: int) -> dict[str, Tensor]:
        return self._learner.initial_policy(n_tasks)

    def adapt(self, mixture: Mixture, n_tasks: int) -> Adapted:
        self._ended("collecting the support, and its advantages")
        adapted = self._learner.adapt(mixture, n_tasks)
        self._ended("adapting")
        return adapted

    def update(self, experience: Experience, stream: torch.Generator) -> dict[str, float]:
        self._ended("collecting the query")
        losses = self._learner.update(experience, stream)
        self._ended("advantages of the query, and the outer update")
        return losses

    def tensors(self) -> dict[str, Tensor]:
        return self._learner.tensors()

    def restore(self, tensors: Parameters) -> None:
        self._learner.restore(tensors)
