"""The scales that Stable-Baselines3 learns on within a meta-learner."""

from dataclasses import dataclass, replace

from torch import Tensor

from metarl_gan.agents.policies import Policy
from metarl_gan.envs.transitions import Transitions


@dataclass(frozen=True, kw_only=True)
class InnerScale:
    """What an inner learner sees of transitions.

    Observations as `policy` standardises them; actions in half ranges about the middle of their
    space, `box` (middle and half range, `[act]` each), or numbered from 0 if they are discrete and
    begin at `first_action`; rewards divided by `reward_std`.
    """

    policy: Policy
    box: tuple[Tensor, Tensor] | None
    first_action: int
    clip_actions: bool
    reward_std: float

    def apply(self, batch: Transitions) -> Transitions:
        """A batch on these scales, on the processor."""
        batch = batch.to("cpu")
        return replace(
            batch,
            observations=self._observations(batch.observations),
            next_observations=self._observations(batch.next_observations),
            actions=self._actions(batch.actions),
            rewards=batch.rewards / self.reward_std,
        )

    def _observations(self, observations: Tensor) -> Tensor:
        scale = self.policy.observation_scale()
        if scale is None:
            return observations
        mean, std = (value.cpu() for value in scale)
        return (observations - mean) / std

    def _actions(self, actions: Tensor) -> Tensor:
        if self.box is None:
            return actions - self.first_action
        middle, half_range = (value.cpu() for value in self.box)
        scaled = (actions - middle) / half_range
        return scaled.clamp(-1.0, 1.0) if self.clip_actions else scaled
