"""Reptile over an algorithm of Stable-Baselines3: the inner loop is the algorithm's own `train`."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from metarl_gan.agents.exploring_policies import EpsilonGreedyPolicy, NoisyActorPolicy
from metarl_gan.agents.global_streams import global_streams
from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.agents.policies import CategoricalPolicy, GaussianPolicy, Policy
from metarl_gan.agents.returns import discounted_returns
from metarl_gan.agents.sb3_inner import Sb3Inner, Sb3Settings
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy
from metarl_gan.config import Config
from metarl_gan.config_error import ConfigError
from metarl_gan.data_augmentation import Mixture
from metarl_gan.envs.transitions import Transitions
from metarl_gan.learners.inner_scale import InnerScale
from metarl_gan.learners.sb3_memory import make_memory
from metarl_gan.meta_learner import Adapted, Experience, MetaLearner
from metarl_gan.normaliser import MIN_STD, RunningNormaliser
from metarl_gan.streams import Streams


@final
class Sb3Reptile(MetaLearner):
    """Reptile (Nichol et al. 2018) whose inner learner is an algorithm of Stable-Baselines3.

    Each task starts from the same weights, critics and target networks included, and optimisers
    that remember nothing. In each of `inner_steps`, all tasks imagine together under the policies
    so far; then, task by task, the algorithm's own `train` learns from the real support and from
    what was imagined, in the task's share. No real step is taken. The outer update goes
    `reptile_step` of the way to the mean of where the tasks end, once they have learnt from the
    query, too.

    Raises `ConfigError` for options that the algorithm does not take or refuses.
    """

    def __init__(self, policy: Policy, config: Config, stream: torch.Generator) -> None:
        self.policy, self.config = policy, config.learner
        self._device, self._run_seed = stream.device, config.seed
        self._settings = _settings(config)
        seed = torch.randint(2**31 - 1, (), generator=stream, device=stream.device)
        # One learner for each task, made when first needed: its optimisers last an adaptation.
        self._learners = [_make_inner(self._settings, policy, int(seed))]
        state = self._learners[0].state()
        self.parameters = {name: value.to(self._device) for name, value in state.items()}
        self._updates = torch.zeros((), dtype=torch.long)
        self._returns = RunningNormaliser(1)

    def initial_policy(self, n_tasks: int) -> dict[str, Tensor]:
        parameters = dict(self.parameters)
        if isinstance(self.policy, SquashedGaussianPolicy):
            parameters["encoding"] = torch.zeros(0, device=self._device)
        return expand_over_tasks(parameters, n_tasks)

    def adapt(self, mixture: Mixture, n_tasks: int) -> Adapted:
        parameters, scale = self.initial_policy(n_tasks), self._scale(mixture.support)
        learners, shares = self._begin(parameters, n_tasks), mixture.share.tolist()
        support = scale.apply(mixture.support)
        memories = [make_memory(*pair) for pair in zip(learners, shares, strict=True)]
        for task, memory in enumerate(memories):
            memory.add_real(support.select(task))
        for step in range(self.config.inner_steps):
            imagined = None
            if mixture.dream is not None:
                imagined = scale.apply(mixture.dream.rollouts(parameters))
            for task, (learner, memory) in enumerate(zip(learners, memories, strict=True)):
                if imagined is not None and shares[task] > 0:
                    memory.add_generated(imagined.select(task))
                learner.train(memory.buffer(), self._seed(f"inner-{task}-{step}"))
            parameters = parameters | self._stacked(learners)
        return Adapted(parameters=parameters)

    def update(self, experience: Experience, stream: torch.Generator) -> dict[str, float]:
        scale, n_tasks = self._scale(experience.support), experience.query.n_tasks
        learners = self._begin(experience.adapted.parameters, n_tasks)
        support, query = scale.apply(experience.support), scale.apply(experience.query)
        logged = []
        for task, learner in enumerate(learners):
            memory = make_memory(learner, share=0.0)
            if not self._settings.on_policy:
                memory.add_real(support.select(task))
            memory.add_real(query.select(task))
            logged.append(learner.train(memory.buffer(), self._seed(f"outer-{task}")))
        ends = self._stacked(learners)
        distance = self._interpolate({name: value.mean(0) for name, value in ends.items()})
        self._observe_returns([experience.support, experience.query])
        self._updates += 1
        return {"reptile_distance": distance, **_mean_losses(logged)}

    def tensors(self) -> dict[str, Tensor]:
        return {
            **{f"parameters.{name}": value for name, value in self.parameters.items()},
            **{f"returns.{name}": value for name, value in self._returns.state_dict().items()},
            "updates": self._updates,
        }

    def restore(self, tensors: Parameters) -> None:
        for name, value in self.parameters.items():
            value.copy_(tensors[f"parameters.{name}"])
        self._returns.load_state_dict(with_prefix(tensors, "returns."))
        self._updates.copy_(tensors["updates"])

    def _begin(self, parameters: Parameters, n_tasks: int) -> list[Sb3Inner]:
        """A learner for each task, which starts from `parameters [tasks, ...]`."""
        while len(self._learners) < n_tasks:
            self._learners.append(_make_inner(self._settings, self.policy, seed=0))
        learners = self._learners[:n_tasks]
        for task, learner in enumerate(learners):
            learner.begin({name: value[task].cpu() for name, value in parameters.items()})
        return learners

    def _stacked(self, learners: Sequence[Sb3Inner]) -> dict[str, Tensor]:
        """Weights of all learners, `[tasks, ...]`."""
        states = [learner.state() for learner in learners]
        return {
            name: torch.stack([state[name] for state in states]).to(self._device)
            for name in states[0]
        }

    def _interpolate(self, ends: Parameters) -> float:
        """Go part of the way to `ends`, and say how long the way is."""
        squares = 0.0
        for name, value in self.parameters.items():
            squares += float((ends[name] - value).square().sum())
            value.lerp_(ends[name], self.config.reptile_step)
        return math.sqrt(squares)

    def _scale(self, support: Transitions) -> InnerScale:
        policy = self.policy
        continuous = isinstance(policy, GaussianPolicy | SquashedGaussianPolicy | NoisyActorPolicy)
        discrete = isinstance(policy, CategoricalPolicy | EpsilonGreedyPolicy)
        return InnerScale(
            policy=policy,
            box=policy.scale() if continuous else None,
            first_action=policy.start if discrete else 0,
            clip_actions=not self._settings.on_policy,
            reward_std=self._reward_std(support) if self.config.sb3_scale_rewards else 1.0,
        )

    def _reward_std(self, support: Transitions) -> float:
        """Of discounted returns so far; before any were learnt from, of those of the support.

        Critics that learnt from rewards of another scale would have to unlearn it.
        """
        returns = self._returns
        if not bool(returns.count > 0):
            returns = RunningNormaliser(1)
            returns.update(self._discounted(support))
        std = float(returns.std)
        return std if std > MIN_STD else 1.0

    def _observe_returns(self, batches: Sequence[Transitions]) -> None:
        for batch in batches:
            self._returns.update(self._discounted(batch))

    def _discounted(self, batch: Transitions) -> Tensor:
        """What follows each valid step, `[rows, 1]`."""
        returns = discounted_returns(batch.rewards, batch.valid, self.config.discount)
        return returns[batch.valid].unsqueeze(-1).cpu()

    def _seed(self, name: str) -> int:
        return Streams(self._run_seed).integer(f"sb3-{name}", int(self._updates))


def _settings(config: Config) -> Sb3Settings:
    learner, policy = config.learner, config.policy
    return Sb3Settings(
        algorithm=learner.sb3_algorithm,
        hidden_sizes=policy.hidden_sizes,
        activation=policy.activation,
        learning_rate=learner.sb3_lr,
        discount=learner.discount,
        batch_size=learner.sb3_batch_size,
        n_updates=learner.sb3_updates,
        gae_lambda=learner.gae_lambda,
        entropy_bonus=learner.entropy_bonus,
        initial_std=policy.initial_std,
        options=_options(learner.sb3_options),
    )


def _options(texts: Sequence[str]) -> dict[str, Any]:
    """Options from `name=value`; values are read as JSON, and as text if they are none."""
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(
                f"learner.sb3_options has {text!r}; give name=value, such as clip_range=0.1"
            )
        try:
            options[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            options[name.strip()] = value.strip()
    return options


def _make_inner(settings: Sb3Settings, policy: Policy, seed: int) -> Sb3Inner:
    discrete = isinstance(policy, CategoricalPolicy | EpsilonGreedyPolicy)
    own = GaussianPolicy | SquashedGaussianPolicy | NoisyActorPolicy
    assert discrete or isinstance(policy, own)
    with global_streams(seed):
        try:
            return Sb3Inner(settings, policy.n_inputs, policy.n_actions, discrete=discrete)
        except ValueError as error:
            raise ConfigError(f"learner.sb3_options: {error}") from error


def _mean_losses(logged: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over tasks of the losses that the algorithm logged, by its own names."""
    prefix = "train/"
    return {
        f"inner_{name.removeprefix(prefix)}": sum(each[name] for each in logged) / len(logged)
        for name in logged[0]
        if name.startswith(prefix) and name.endswith("loss")
    }
