"""An algorithm of Stable-Baselines3 as an inner learner: its networks, its `train`, our data."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import polyak_update
from torch import Tensor

from metarl_gan.agents.global_streams import global_streams
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import LOG_STD_RANGE
from metarl_gan.agents.sb3 import MODULES, SpacesOnly, log_nothing
from metarl_gan.agents.sb3_actors import actor_parameters, with_actor, without_actor

ALGORITHMS: Mapping[str, type[BaseAlgorithm]] = {
    "PPO": PPO,
    "A2C": A2C,
    "SAC": SAC,
    "TD3": TD3,
    "DQN": DQN,
}
OTHERS = "others."
ENTROPY_WEIGHT = "others.log_ent_coef"
HELD = ("policy", "env", "device", "seed", "policy_kwargs", "_init_setup_model", "verbose")
"""Arguments that are not the user's to give."""


@dataclass(frozen=True, kw_only=True)
class Sb3Settings:
    """How an algorithm is made. `options` are further arguments of its own, by name."""

    algorithm: str
    hidden_sizes: tuple[int, ...]
    activation: str
    learning_rate: float
    discount: float
    batch_size: int
    n_updates: int
    gae_lambda: float = 0.95
    entropy_bonus: float = 0.0
    initial_std: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def on_policy(self) -> bool:
        """Whether it learns from rollouts of its present policy alone."""
        return issubclass(ALGORITHMS[self.algorithm], OnPolicyAlgorithm)

    def arguments(self) -> dict[str, Any]:
        """Arguments of the algorithm.

        Raises `ValueError` for options that it does not take.
        """
        known = inspect.signature(ALGORITHMS[self.algorithm]).parameters
        free = sorted(set(known) - set(HELD))
        if unknown := [name for name in self.options if name not in free]:
            raise ValueError(
                f"{self.algorithm} of Stable-Baselines3 takes no {unknown[0]!r} here; it takes "
                f"{', '.join(free)}"
            )
        wanted = {
            "learning_rate": self.learning_rate,
            "gamma": self.discount,
            "batch_size": self.batch_size,
            "n_epochs": self.n_updates,
            "n_steps": 2 * self.batch_size,  # PPO asks that a batch fits in; nothing is collected
            "gae_lambda": self.gae_lambda,
            "buffer_size": 1,  # the data brings its own
        }
        if self.on_policy:
            wanted["ent_coef"] = self.entropy_bonus
        else:
            del wanted["n_steps"]
        return {name: v for name, v in wanted.items() if name in known} | dict(self.options)


@final
class Sb3Inner:
    """A model of Stable-Baselines3 that is set to given weights, trained, and read out again.

    It sees standardised observations, and actions in [-1, 1] or numbered from 0: what a policy
    of ours computes between its two scales. All weights are its state, critics and targets too.

    Raises `ValueError` for options that the algorithm does not take or refuses.
    """

    def __init__(
        self, settings: Sb3Settings, n_inputs: int, n_actions: int, *, discrete: bool
    ) -> None:
        self.settings = settings
        observations = spaces.Box(-np.inf, np.inf, (n_inputs,), np.float32)
        actions: gymnasium.Space = spaces.Box(-1.0, 1.0, (n_actions,), np.float32)
        if discrete:
            actions = spaces.Discrete(n_actions)
        try:
            self.model = ALGORITHMS[settings.algorithm](
                "MlpPolicy",
                SpacesOnly(observations, actions),
                device="cpu",
                policy_kwargs=_policy_arguments(settings),
                **settings.arguments(),
            )
        except (TypeError, AssertionError) as error:
            raise ValueError(
                f"{settings.algorithm} of Stable-Baselines3 refuses its settings: {error}"
            ) from error
        log_nothing(self.model)
        self.observation_space, self.action_space = observations, actions

    def state(self) -> dict[str, Tensor]:
        """A copy of all weights: the actor's under our names, the rest beside."""
        algorithm, state = self.settings.algorithm, self.model.policy.state_dict()
        weights = actor_parameters(state, algorithm)
        others = {OTHERS + name: v for name, v in without_actor(state, algorithm).items()}
        if self._entropy_weight is not None:
            others[ENTROPY_WEIGHT] = self._entropy_weight
        return {name: value.detach().clone() for name, value in (weights | others).items()}

    @torch.no_grad()
    def begin(self, state: Parameters) -> None:
        """Start from given weights, with optimisers that remember nothing."""
        algorithm, model = self.settings.algorithm, self.model
        own = model.policy.state_dict()
        others = {name: state[OTHERS + name] for name in without_actor(own, algorithm)}
        model.policy.load_state_dict(with_actor({**own, **others}, state, algorithm))
        if self._entropy_weight is not None:
            self._entropy_weight.copy_(state[ENTROPY_WEIGHT])
        for optimiser in self._optimisers():
            optimiser.state.clear()
        model._n_updates = 0  # noqa: SLF001 - TD3 counts by it when its actor learns

    def train(self, buffer: RolloutBuffer | ReplayBuffer, seed: int) -> dict[str, float]:
        """Stable-Baselines3's own `train` on what `buffer` holds; what it logs.

        DQN's target network takes the weights from before. Everything random follows `seed`.
        """
        model = self.model
        with global_streams(seed):
            if isinstance(model, OnPolicyAlgorithm):
                assert isinstance(buffer, RolloutBuffer)
                model.rollout_buffer = buffer
                # A2C makes one gradient step of all rows; PPO counts its epochs itself.
                for _ in range(self.settings.n_updates if isinstance(model, A2C) else 1):
                    model.train()
            elif isinstance(model, OffPolicyAlgorithm):
                assert isinstance(buffer, ReplayBuffer)
                if isinstance(model, DQN):
                    polyak_update(model.q_net.parameters(), model.q_net_target.parameters(), 1.0)
                model.replay_buffer = buffer
                model.train(self.settings.n_updates, self.settings.batch_size)
            self._keep_within_range()
        return {name: float(v) for name, v in model.logger.name_to_value.items()}

    @torch.no_grad()
    def values(self, observations: Tensor) -> Tensor:
        """What the critic of PPO or A2C says states `[..., n_inputs]` are worth, `[...]`."""
        policy = self.model.policy
        assert isinstance(policy, ActorCriticPolicy)
        return policy.predict_values(observations.flatten(0, -2)).view(observations.shape[:-1])

    @torch.no_grad()
    def log_probs(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-probabilities `[rows]` of actions under the present policy of PPO or A2C."""
        policy = self.model.policy
        assert isinstance(policy, ActorCriticPolicy)
        return policy.evaluate_actions(observations, actions)[1]

    @torch.no_grad()
    def _keep_within_range(self) -> None:
        """Our policy acts with a bounded standard deviation: beyond, they would differ."""
        policy = self.model.policy
        if isinstance(policy, ActorCriticPolicy) and isinstance(self.action_space, spaces.Box):
            policy.log_std.clamp_(*LOG_STD_RANGE)

    @property
    def _entropy_weight(self) -> Tensor | None:
        """The logarithm of SAC's entropy weight, if that is learnt."""
        return self.model.log_ent_coef if isinstance(self.model, SAC) else None

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        model = self.model
        if isinstance(model, OnPolicyAlgorithm | DQN):
            return [model.policy.optimizer]
        assert isinstance(model, SAC | TD3)
        found = [model.actor.optimizer, model.critic.optimizer]
        if isinstance(model, SAC) and model.ent_coef_optimizer is not None:
            found.append(model.ent_coef_optimizer)
        return found


def _policy_arguments(settings: Sb3Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "net_arch": list(settings.hidden_sizes),
        "activation_fn": MODULES[settings.activation],
    }
    if settings.on_policy:
        log_std = math.log(settings.initial_std)
        arguments["log_std_init"] = min(max(log_std, LOG_STD_RANGE[0]), LOG_STD_RANGE[1])
    return arguments
