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


def _with_discounts(setting: str, found: ByFamily) -> ByFamily:
    """What was found for families, with their discounts as `setting`."""
    discounts = {family: {setting: discount} for family, discount in DISCOUNTS.items()}
    return {
        family: {**discounts.get(family, {}), **found.get(family, {})}
        for family in {**discounts, **found}
    }


RL2 = _with_discounts(
    "ppo.discount",
    {
        "cartpole-physics": {"ppo.learning_rate": 3e-3},
        "half-cheetah-velocity": {"ppo.learning_rate": 3e-3},
    },
)
ORACLE_PPO = _with_discounts(
    "ppo.discount",
    {"point-goal": {"ppo.learning_rate": 1e-3, "ppo.epochs": 20}},
)
FINE_TUNED = _with_discounts(
    "discount",
    {
        "cartpole-physics": {"tasks_per_batch": 10},
        "half-cheetah-velocity": {"tasks_per_batch": 10},
    },
)
SCRATCH_PPO = _with_discounts("ppo.discount", {})
ORACLE_SAC = SCRATCH_SAC = _with_discounts("sac.discount", {})
