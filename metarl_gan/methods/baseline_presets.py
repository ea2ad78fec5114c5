"""Settings of baselines that suit a family better than their defaults.

`docs/baselines.md` says which were measured. Families that are not listed get the defaults.
"""

from collections.abc import Mapping

ByFamily = Mapping[str, Mapping[str, object]]
"""By family, settings by dotted name."""

DISCOUNTS: Mapping[str, float] = {
    "pendulum-physics": 0.95,
    "cartpole-physics": 0.99,
    "acrobot-physics": 0.99,
    "half-cheetah-velocity": 0.99,
    "half-cheetah-direction": 0.99,
}
"""How far ahead a family makes one look: a swing, or as long as the pole is up and the run goes."""


def _discounted(setting: str) -> ByFamily:
    return {family: {setting: discount} for family, discount in DISCOUNTS.items()}


RL2 = ORACLE_PPO = SCRATCH_PPO = _discounted("ppo.discount")
ORACLE_SAC = SCRATCH_SAC = _discounted("sac.discount")
FINE_TUNED = _discounted("discount")
