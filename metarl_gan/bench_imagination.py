"""Imagination beside real steps, and beside the matrix products that its networks consist of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl_gan.bench_cases import (
    ENVS_PER_TASK,
    N_TASKS,
    Findings,
    fresh_components,
    thread_counts,
)
from metarl_gan.bench_products import DTYPES, Setting, products
from metarl_gan.bench_timing import Alternative, Ratio, Timing, time_in_turns
from metarl_gan.components import Components
from metarl_gan.config import Config, GeneratorConfig
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.imagination import ROWS_AT_ONCE, imagine

MANY_ROLLOUTS = 100
MIN_SPEED_UP = 5.0
"""Target: how many times faster imagining a transition is than stepping for it."""
WIDE = (256, 256)
"""Hidden sizes of the generator that is held against matrix products."""
WIDE_ROLLOUTS = (500, 1600)
"""Rollouts per task of it: with all tasks, 10k and 32k rows."""
WIDE_STEPS = 10
MIN_ROOFLINE = 0.4
"""Target: what share of the speed of float32 products it reaches in float32."""
PRODUCT_ROWS, PRODUCT_WIDTH = 1024, 256
"""Of the one product that stands for what the machine can do: about the fastest there is."""


@dataclass(frozen=True, kw_only=True)
class _Case:
    """Networks and tasks to imagine with; `n_steps` at a time from `start [obs]`."""

    gan: ConditionalGAN
    components: Components
    n_tasks: int
    n_steps: int
    start: Tensor

    @classmethod
    def of(cls, components: Components, venv: TaskVectorEnv, n_steps: int) -> "_Case":
        """All tasks of `venv`, from a state that it starts in."""
        assert components.gan is not None  # neither config does without
        return cls(
            gan=components.gan,
            components=components,
            n_tasks=len(venv.tasks),
            n_steps=n_steps,
            start=torch.from_numpy(venv.reset(seed=0)[0][0].copy()),
        )

    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of every layer that a transition goes through."""
        policy = self.components.meta_learner.initial_policy(1)
        both = (*self.gan.elite_weights().items(), *policy.items())
        return [(v.shape[-2], v.shape[-1]) for name, v in both if "weight" in name]

    def flops(self) -> float:
        """Per transition, of dynamics, reward and policy: their products alone."""
        return 2.0 * sum(n_in * n_out for n_in, n_out in self.layers())

    def imagining(self, n_rollouts: int, setting: Setting) -> Alternative:
        """`n_rollouts` of each task, with an encoding of zeros."""
        parameters = self.components.meta_learner.initial_policy(self.n_tasks)
        unknown = torch.zeros(self.n_tasks)
        context = TaskContext(
            encoding=torch.zeros(self.n_tasks, self.components.config.encoder.encoding_size),
            errors=HeldOutErrors(next_state=unknown, reward=unknown, terminated=unknown),
        )
        starts = self.start.expand(self.n_tasks, n_rollouts, -1)
        policy, dtype = self.components.policy, DTYPES[setting.dtype]

        def dream() -> None:
            stream = torch.Generator().manual_seed(0)
            imagine(self.gan, context, policy, parameters, starts, self.n_steps, stream, dtype)

        transitions = self.n_tasks * n_rollouts * self.n_steps
        return Alternative(
            name=f"imagining {self.n_tasks} × {n_rollouts} rollouts, {setting}",
            transitions=transitions,
            work=dream,
            torch_threads=setting.threads,
            flops=transitions * self.flops(),
        )

    def products(self, n_rows: int, setting: Setting) -> Alternative:
        """The layers' products for about `n_rows` rows, as many at once as imagination takes."""
        at_once = min(ROWS_AT_ONCE["cpu"], n_rows)
        repeats = max(1, n_rows // at_once)
        name = f"the layers' products alone, {setting}"
        return products(name, self.layers(), at_once, repeats, self.flops(), setting)

    def best_products(self, n_rows: int, setting: Setting) -> Alternative:
        """As much of a fast product as transitions of about `n_rows` rows take."""
        layer = (PRODUCT_WIDTH, PRODUCT_WIDTH)
        of_one = 2.0 * PRODUCT_ROWS * PRODUCT_WIDTH**2
        repeats = max(1, round(n_rows * self.flops() / of_one))
        name = f"products of {PRODUCT_WIDTH} × {PRODUCT_WIDTH}, {setting}"
        return products(name, [layer], PRODUCT_ROWS, repeats, self.flops(), setting)


def measure_imagination(
    family: TaskFamily,
    single: gymnasium.Env,
    *,
    seconds: float,
    n_tasks: int = N_TASKS,
    rollouts: Sequence[int] | None = None,
    threads: Sequence[int] | None = None,
) -> Findings:
    """Time imagined transitions and real steps: of one environment, and of our vector one.

    Rollouts per task are those of the default config and `MANY_ROLLOUTS` if not given; torch
    takes one thread and as many as there are processors unless `threads` are given.
    """
    components = fresh_components(family)
    venv = family.make_vec(family.sample(n_tasks, split="train", seed=0), ENVS_PER_TASK)
    case = _Case.of(components, venv, family.horizon)
    sizes = rollouts or (components.config.augmentation.rollouts_per_task, MANY_ROLLOUTS)
    real = _real_steps(family, single, venv)
    settings = [Setting(dtype="float32", threads=count) for count in threads or thread_counts()]
    imagined = [case.imagining(size, setting) for setting in settings for size in sizes]
    timings = time_in_turns([*real, *imagined], seconds=seconds)
    venv.close()
    return Findings(
        title=f"Imagination on {family.name}, {family.horizon} steps, default networks",
        timings=timings,
        ratios=_against(timings[: len(real)], timings[len(real) :]),
        target=f"at least {MIN_SPEED_UP:g} against {real[0].name}",
    )


def measure_wide_imagination(
    family: TaskFamily,
    single: gymnasium.Env,
    *,
    seconds: float,
    n_tasks: int = N_TASKS,
    rollouts: Sequence[int] = WIDE_ROLLOUTS,
    threads: Sequence[int] | None = None,
) -> Findings:
    """Time imagination by wide networks, in both precisions, and what their products take alone.

    A ratio to products is the share of their speed that imagination reaches: of the products of
    the very layers of dynamics, reward and policy, and of as many operations in the one product
    that the machine is fastest at.
    """
    components = fresh_components(family, wide_config())
    venv = family.make_vec(family.sample(n_tasks, split="train", seed=0), ENVS_PER_TASK)
    case = _Case.of(components, venv, WIDE_STEPS)
    real = _real_steps(family, single, venv)
    settings = [
        Setting(dtype=dtype, threads=count)
        for count in threads or thread_counts()
        for dtype in DTYPES
    ]
    n_rows = n_tasks * max(rollouts)
    groups = [
        [
            case.best_products(n_rows, setting),
            case.products(n_rows, setting),
            *(case.imagining(size, setting) for size in rollouts),
        ]
        for setting in settings
    ]
    timings = time_in_turns([*real, *(one for group in groups for one in group)], seconds=seconds)
    venv.close()
    return Findings(
        title=f"Imagination on {family.name}, {WIDE_STEPS} steps, generator of "
        f"{' × '.join(map(str, WIDE))}: {case.flops() / 1e3:.0f} kFLOP per transition",
        timings=timings,
        ratios=_wide_ratios(timings, len(real), len(groups[0])),
        target=f"at least {MIN_ROOFLINE:g} of products in float32",
    )


def wide_config(updates: int = 0) -> Config:
    """The default config with a wide generator, whose first iteration takes `updates`."""
    config = Config(device="cpu", generator=GeneratorConfig(hidden_sizes=WIDE))
    return replace(config, adversarial=replace(config.adversarial, initial_updates=updates))


def _wide_ratios(timings: Sequence[Timing], n_real: int, group: int) -> list[Ratio]:
    """Of the imagining ones of each group to its two kinds of products, and to one environment."""
    ratios = list[Ratio]()
    for first in range(n_real, len(timings), group):
        best, own, *imagined = timings[first : first + group]
        ratios += _against([best, own, timings[0]], imagined)
    return ratios


def _against(others: Sequence[Timing], imagined: Sequence[Timing]) -> list[Ratio]:
    return [
        # What follows the comma is the setting, which products share with the imagining ones.
        Ratio.between(f"{other.name.partition(',')[0]} / {dream.name}", of=other, to=dream)
        for dream in imagined
        for other in others
    ]


def _real_steps(
    family: TaskFamily, single: gymnasium.Env, venv: TaskVectorEnv
) -> tuple[Alternative, Alternative]:
    """One environment, and our vector one."""
    return _stepping(single, family.horizon), _vector_stepping(venv)


def _stepping(env: gymnasium.Env, n_steps: int) -> Alternative:
    actions = _drawn_actions(env.action_space, n_steps)

    def step() -> None:
        env.reset(seed=0)
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    name = env.spec.id if env.spec else "environment"
    return Alternative(name=f"stepping one {name}", transitions=n_steps, work=step)


def _vector_stepping(venv: TaskVectorEnv) -> Alternative:
    actions = _drawn_actions(venv.action_space, venv.horizon)

    def step() -> None:
        venv.reset(seed=0)
        for row in actions:
            venv.step(row)

    return Alternative(
        name=f"stepping {venv.num_envs} together",
        transitions=venv.horizon * venv.num_envs,
        work=step,
    )


def _drawn_actions(space: gymnasium.Space, n_steps: int) -> list[np.ndarray]:
    space.seed(0)
    return [space.sample() for _ in range(n_steps)]
