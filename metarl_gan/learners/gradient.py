"""Meta-learners by policy gradient: MAML, its first-order variant, and Reptile."""

from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows
from metarl_gan.config import LearnerConfig
from metarl_gan.data_augmentation import MixedData, Mixture
from metarl_gan.dreams import policy_rows
from metarl_gan.learners.execution import Execution, make_execution
from metarl_gan.learners.inner_loop import InnerLoop, initial_step_sizes, step_sizes_of
from metarl_gan.learners.meta_objective import PARAMETERS, STEP_SIZES, MetaObjective, size_of
from metarl_gan.learners.outer_steps import ClippedSteps, Interpolation, OuterStep
from metarl_gan.learners.trust_region import TrustRegionStep
from metarl_gan.meta_learner import Adapted, Experience, MetaLearner


@final
class GradientMetaLearner(MetaLearner):
    """MAML (Finn et al. 2017), its first-order variant, and Reptile (Nichol et al. 2018).

    All tasks adapt together. How the outer loop moves what is learnt, the initial parameters and
    the step sizes of the inner loop, is the business of an `OuterStep`. At most `n_threads` threads
    share the tasks.
    """

    def __init__(
        self,
        policy: Policy,
        config: LearnerConfig,
        generator: torch.Generator,
        n_threads: int = 1,
    ) -> None:
        self.policy = policy
        self.config = config
        self.parameters = {
            name: value.requires_grad_(True)
            for name, value in policy.initial_parameters(generator).items()
        }
        learns_sizes = config.learn_inner_lr and config.algorithm != "reptile"
        self.step_sizes = {
            name: value.requires_grad_(learns_sizes)
            for name, value in initial_step_sizes(config, self.parameters).items()
        }
        self.loop = InnerLoop.of(policy, config)
        self.execution = make_execution(
            config.execution, n_threads=n_threads, device=generator.device
        )
        self._outer_step = _outer_step(config, self.learnt, self.execution)

    @property
    def learnt(self) -> dict[str, Tensor]:
        """What the inner loop is a function of, without a task axis, by prefixed names."""
        return {
            **{PARAMETERS + name: value for name, value in self.parameters.items()},
            **{STEP_SIZES + name: value for name, value in self.step_sizes.items()},
        }

    def initial_policy(self, n_tasks: int) -> dict[str, Tensor]:
        detached = {name: value.detach() for name, value in self.parameters.items()}
        return expand_over_tasks(detached, n_tasks)

    def adapt(self, mixture: Mixture, n_tasks: int) -> Adapted:
        return self.inner_loop(mixture.data, n_tasks)

    def update(self, experience: Experience, stream: torch.Generator) -> dict[str, float]:
        return self.outer_loop(experience.adapted, policy_rows(experience.query, self.config))

    @torch.no_grad()
    def inner_loop(self, mixed: MixedData, n_tasks: int) -> Adapted:
        """Take `inner_steps` steps per task, each on what `mixed` draws under the policy so far."""
        parameters = self.initial_policy(n_tasks)
        step_sizes = step_sizes_of(self.config, self.step_sizes)
        drawn = []
        for _ in range(self.config.inner_steps):
            rows = mixed.draw(parameters)
            parameters = self._inner_step(parameters, step_sizes, rows)
            drawn.append(rows)
        return Adapted(parameters=parameters, drawn=tuple(drawn))

    def _inner_step(
        self, parameters: Parameters, step_sizes: Parameters, rows: MixedRows
    ) -> dict[str, Tensor]:
        def step(tasks: slice) -> dict[str, Tensor]:
            own = {name: value[tasks] for name, value in parameters.items()}
            return self.loop.step(own, step_sizes, rows.select(tasks))

        return self.execution.per_task(step, size_of(self.policy, [rows]))

    def outer_loop(self, adapted: Adapted, query: PolicyRows) -> dict[str, float]:
        """Move the initial parameters so that adapting from them does better on `query`."""
        objective = self.objective(adapted, query)
        return self._outer_step.take(objective, self.learnt, adapted.parameters)

    def objective(self, adapted: Adapted, query: PolicyRows) -> MetaObjective:
        """What an outer update learns from, as a function of `learnt`."""
        return MetaObjective(loop=self.loop, config=self.config, drawn=adapted.drawn, query=query)

    def tensors(self) -> dict[str, Tensor]:
        learnt = {name: value.detach() for name, value in self.learnt.items()}
        return learnt | self._outer_step.tensors()

    @torch.no_grad()
    def restore(self, tensors: Parameters) -> None:
        for name, value in self.learnt.items():
            value.copy_(tensors[name])
        kept = {name: v for name, v in tensors.items() if name not in self.learnt}
        self._outer_step.restore(kept)


def _outer_step(config: LearnerConfig, learnt: Parameters, execution: Execution) -> OuterStep:
    if config.algorithm == "reptile":
        return Interpolation(config)
    if config.outer == "trust_region":
        return TrustRegionStep(config)
    return ClippedSteps(config, learnt, execution)
