"""Settings of baselines that were found better for a family, on validation tasks of it.

`docs/baselines.md` says what was tried. Families that are not listed get the defaults.
"""

from collections.abc import Mapping

ByFamily = Mapping[str, Mapping[str, object]]
"""By family, settings by dotted name."""

RL2: ByFamily = {}
ORACLE_PPO: ByFamily = {}
ORACLE_SAC: ByFamily = {}
SCRATCH_PPO: ByFamily = {}
SCRATCH_SAC: ByFamily = {}
FINE_TUNED: ByFamily = {}
