"""What may serve as a generator's context: real transitions of its family, and enough of them."""

from dataclasses import replace

import torch
from torch import Tensor

from metarl_gan.envs.transitions import Transitions
from metarl_gan.transition_space import TransitionSpace


class ContextError(ValueError):
    """Transitions that a generator cannot take as its context, or no generator to take them."""


def accepted_context(space: TransitionSpace, context: Transitions, min_context: int) -> Transitions:
    """The context `[tasks, episodes, time]`, with nothing left in rows that are not valid.

    Raises `ContextError` unless there are `min_context` valid transitions of every task, real ones
    of the shapes and types of `space`, and finite.
    """
    _require_shapes(space, context)
    if bool((context.generated & context.valid).any()):
        raise ContextError("the context has generated transitions; give real ones only")
    for name in ("observations", "actions", "rewards", "next_observations"):
        _require_finite(name, getattr(context, name), context.valid)
    if (foreign := space.actions.foreign(context.actions[context.valid])) is not None:
        raise ContextError(f"the context has {foreign}: give transitions of that family")
    least = int(context.valid.flatten(1).sum(-1).min())
    if least < min_context:
        raise ContextError(
            f"the context has {least} valid transitions of a task; this generator says nothing "
            f"of fewer than {min_context} (encoder.min_context): give longer or more episodes"
        )
    return _blank_padding(space, context)


def _require_shapes(space: TransitionSpace, context: Transitions) -> None:
    size, discrete = context.observations.shape[-1], context.actions.ndim == 3
    if size != space.state_size:
        raise ContextError(
            f"the context's observations have {size} components; those of this generator's "
            f"family have {space.state_size}: give transitions of that family"
        )
    n_columns = space.actions.n_columns
    if discrete != (n_columns is None):
        given, wanted = ("discrete", "continuous") if discrete else ("continuous", "discrete")
        raise ContextError(
            f"the context's actions are {given}; those of this generator's family are {wanted}: "
            "give transitions of that family"
        )
    if n_columns is not None and context.actions.shape[-1] != n_columns:
        raise ContextError(
            f"the context's actions have {context.actions.shape[-1]} components; those of this "
            f"generator's family have {n_columns}: give transitions of that family"
        )


def _require_finite(name: str, values: Tensor, valid: Tensor) -> None:
    if values.ndim == valid.ndim:
        values = values.unsqueeze(-1)
    broken = (valid & ~torch.isfinite(values).all(-1)).nonzero()
    if len(broken):
        task, episode, time = broken[0].tolist()
        found = values[task, episode, time].tolist()
        raise ContextError(
            f"the context's {name} are {found} at step {time} of episode {episode}; valid rows "
            "must be finite numbers: leave that episode out, or mark those rows as not valid"
        )


def _blank_padding(space: TransitionSpace, context: Transitions) -> Transitions:
    invalid = ~context.valid
    wide = invalid.unsqueeze(-1)
    blank = space.actions.blank.to(context.actions.dtype)
    of_actions = invalid if space.actions.n_columns is None else wide
    return replace(
        context,
        observations=context.observations.masked_fill(wide, 0.0),
        next_observations=context.next_observations.masked_fill(wide, 0.0),
        rewards=context.rewards.masked_fill(invalid, 0.0),
        actions=torch.where(of_actions, blank, context.actions),
    )
