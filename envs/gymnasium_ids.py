"""Families as Gymnasium's environments: `gymnasium.make("metarl_gan/PointGoal-v0", task=...)`."""

import re

import gymnasium

from metarl_gan.envs.errors import FamilyError

NAMESPACE = "metarl_gan"


def gymnasium_id(name: str) -> str:
    """The id by which Gymnasium knows a registered family.

    >>> gymnasium_id("half-cheetah-velocity")
    'metarl_gan/HalfCheetahVelocity-v0'

    Raises `FamilyError` for a name without a letter or digit.
    """
    words = [word for word in re.split(r"[\W_]+", name) if word]
    if not words:
        raise FamilyError(f"family name {name!r}: give one with a letter or a digit")
    return f"{NAMESPACE}/{''.join(word[0].upper() + word[1:] for word in words)}-v0"


def register_gymnasium_id(name: str) -> str:
    """Make a registered family known to Gymnasium, and return its id there.

    `register_family` does this. The family is made when the first environment is. See
    `FamilyEnv` for what `gymnasium.make` takes.

    Raises `FamilyError` where the id is that of a family of another name.
    """
    found = gymnasium_id(name)
    known = gymnasium.registry.get(found)
    if known is None:
        gymnasium.register(
            found,
            entry_point=f"{__package__}.gymnasium_env:make_family_env",
            kwargs={"family": name},
        )
    elif known.kwargs.get("family") != name:
        raise FamilyError(
            f"family name {name!r}: Gymnasium's id of it, {found!r}, is taken by "
            f"{known.kwargs.get('family')!r}; give another name"
        )
    return found
