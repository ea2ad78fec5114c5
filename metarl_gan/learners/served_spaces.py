"""Which meta-learners serve which action spaces: asked before anything is built."""

import gymnasium
from gymnasium import spaces

from metarl_gan.config import LearnerConfig
from metarl_gan.config_error import ConfigError

ANY = ("maml", "fomaml", "reptile")
CONTINUOUS = ("context_sac",)
SB3_ANY = ("PPO", "A2C")
SB3_CONTINUOUS = ("SAC", "TD3")
SB3_DISCRETE = ("DQN",)


def learners_for(action_space: gymnasium.Space) -> tuple[str, ...]:
    """The learners that serve an action space, by the settings that choose them.

    What squashes its actions into the space (SAC, TD3) needs one with finite bounds.
    """
    own: tuple[str, ...] = ANY
    # Stable-Baselines3 has no policies for actions of several parts.
    inner: tuple[str, ...] = ()
    if isinstance(action_space, spaces.Box | spaces.Discrete):
        inner += SB3_ANY
    if isinstance(action_space, spaces.Discrete):
        inner += SB3_DISCRETE
    elif isinstance(action_space, spaces.Box) and action_space.is_bounded():
        own += CONTINUOUS
        inner += SB3_CONTINUOUS
    return (*own, *(_through_sb3(algorithm) for algorithm in inner))


def require_served(learner: LearnerConfig, action_space: gymnasium.Space) -> None:
    """Raise `ConfigError`, with the list of those that can, if a learner serves no such actions."""
    name: str = learner.algorithm
    if name == "sb3_reptile":
        name = _through_sb3(learner.sb3_algorithm)
    served = learners_for(action_space)
    if name not in served:
        raise ConfigError(
            f"learner.algorithm is {name}, which does not serve the action space {action_space}; "
            f"those that do: {', '.join(served)}"
        )


def _through_sb3(algorithm: str) -> str:
    return f"sb3_reptile (learner.sb3_algorithm={algorithm})"
