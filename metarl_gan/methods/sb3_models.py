"""Models of Stable-Baselines3 from settings."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from gymnasium import spaces

from metarl_gan.config_error import require

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv
    from torch import nn

Activation = Literal["tanh", "relu"]


@dataclass(frozen=True, kw_only=True)
class PpoSettings:
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    learning_rate: float = 1e-3
    anneal: bool = True
    """Let the learning rate fall to 0 in equal steps over the budget."""
    epochs: int = 10
    """Passes over what was collected, per update."""
    minibatches: int = 4
    """Gradient steps per pass."""
    discount: float = 0.97
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy_bonus: float = 0.0
    value_weight: float = 0.5
    max_grad_norm: float = 0.5
    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    initial_log_std: float = -0.7
    """Of continuous actions, in half ranges of the action space."""

    def __post_init__(self) -> None:
        _require_positive(self, "learning_rate", "clip", "max_grad_norm")
        _require_counts(self, "epochs", "minibatches")
        _require_shares(self, "discount", "gae_lambda")


@dataclass(frozen=True, kw_only=True)
class SacSettings:
    """Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905), entropy weight learnt."""

    learning_rate: float = 1e-3
    discount: float = 0.97
    random_steps: int = 100
    """Real steps with random actions, before anything is learnt."""
    batch_size: int = 256
    updates_per_step: float = 1.0
    """Gradient steps per real step."""
    replay_size: int = 200_000
    target_rate: float = 0.005
    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        _require_positive(self, "learning_rate", "updates_per_step", "target_rate")
        _require_counts(self, "batch_size", "replay_size", "random_steps")
        _require_shares(self, "discount")


@dataclass(frozen=True, kw_only=True)
class PpoOrSac(ABC):
    """One of two algorithms, and the settings of each."""

    algorithm: Literal["ppo", "sac"] = "ppo"
    ppo: PpoSettings = field(default_factory=PpoSettings)
    sac: SacSettings = field(default_factory=SacSettings)

    @abstractmethod
    def __post_init__(self) -> None:
        """Refuse what does not go together."""

    @property
    def make_model(self) -> "Callable[[VecEnv, int], BaseAlgorithm]":
        """A fresh model for environments, which learns every so many steps of each."""
        if self.algorithm == "ppo":
            return partial(make_ppo, self.ppo)
        return partial(make_sac, self.sac)

    @property
    def discount(self) -> float:
        """Of the chosen one."""
        return self.ppo.discount if self.algorithm == "ppo" else self.sac.discount

    def objection(self, actions: spaces.Space) -> str | None:
        """Why the chosen one cannot serve these actions; None if it can."""
        from metarl_gan.agents.sb3_actions import sb3_problem

        if problem := sb3_problem(actions):
            return problem
        if self.algorithm == "sac" and not isinstance(actions, spaces.Box):
            return f"SAC needs continuous actions, and these are {actions}"
        return None


def make_ppo(settings: PpoSettings, env: "VecEnv", n_steps: int) -> "BaseAlgorithm":
    """A fresh PPO that learns every `n_steps` steps of each environment."""
    from stable_baselines3 import PPO

    return PPO(
        "MlpPolicy",
        env,
        policy_kwargs=_actor_critic(settings),
        **_ppo_arguments(settings, env, n_steps),
    )


def make_recurrent_ppo(
    settings: PpoSettings, lstm_size: int, env: "VecEnv", n_steps: int
) -> "BaseAlgorithm":
    """A fresh PPO whose actor and critic are recurrent, each with an LSTM before its layers."""
    from sb3_contrib import RecurrentPPO

    return RecurrentPPO(
        "MlpLstmPolicy",
        env,
        policy_kwargs={**_actor_critic(settings), "lstm_hidden_size": lstm_size},
        **_ppo_arguments(settings, env, n_steps),
    )


def make_sac(settings: SacSettings, env: "VecEnv", n_steps: int) -> "BaseAlgorithm":
    """A fresh SAC that learns after every step of all environments; `n_steps` means nothing."""
    from stable_baselines3 import SAC

    return SAC(
        "MlpPolicy",
        env,
        learning_rate=settings.learning_rate,
        gamma=settings.discount,
        learning_starts=settings.random_steps,
        batch_size=settings.batch_size,
        buffer_size=settings.replay_size,
        tau=settings.target_rate,
        train_freq=1,
        gradient_steps=max(1, round(settings.updates_per_step * env.num_envs)),
        policy_kwargs={
            "net_arch": list(settings.hidden_sizes),
            "activation_fn": _module(settings.activation),
        },
        device="cpu",
    )


def _ppo_arguments(settings: PpoSettings, env: "VecEnv", n_steps: int) -> dict:
    rate = settings.learning_rate
    return {
        "learning_rate": (lambda remaining: rate * remaining) if settings.anneal else rate,
        "n_steps": n_steps,
        "batch_size": max(2, n_steps * env.num_envs // settings.minibatches),
        "n_epochs": settings.epochs,
        "gamma": settings.discount,
        "gae_lambda": settings.gae_lambda,
        "clip_range": settings.clip,
        "ent_coef": settings.entropy_bonus,
        "vf_coef": settings.value_weight,
        "max_grad_norm": settings.max_grad_norm,
        "device": "cpu",
    }


def _actor_critic(settings: PpoSettings) -> dict:
    return {
        "net_arch": list(settings.hidden_sizes),
        "activation_fn": _module(settings.activation),
        "log_std_init": settings.initial_log_std,
    }


def _module(activation: Activation) -> "type[nn.Module]":
    from torch import nn

    return {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]


def _require_positive(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(value > 0, name, value, "positive")


def _require_counts(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(value >= 1, name, value, "at least 1")


def _require_shares(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(0 < value <= 1, name, value, "above 0 and at most 1")
