"""What worker processes are sent: a family, and what it may need of this process."""

import contextlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import gymnasium
from gymnasium.vector.utils import CloudpickleWrapper

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.stepping.environment_source import EnvironmentSource


@dataclass(frozen=True, kw_only=True)
class Freight:
    """What a worker needs in order to make environments, pickled.

    Attributes:
        family: The family. Classes and functions of a script or a notebook travel whole, so that
            no worker runs the script again.
        specs: Specifications of the environments that Gymnasium did not register itself.
    """

    family: bytes
    specs: Sequence[bytes]

    @classmethod
    def of(cls, family: EnvironmentSource) -> Self:
        """Raises `FamilyError` for a family that cannot be pickled."""
        return cls(family=_pack_family(family), specs=_specs())

    def renewed(self, family: EnvironmentSource) -> Self:
        """The same with the family as it is now. Raises as `of` does."""
        return replace(self, family=_pack_family(family))


def _pack_family(family: EnvironmentSource) -> bytes:
    try:
        return _pack(family)
    except Exception as error:
        raise FamilyError(
            f"{family.name} cannot be sent to other processes ({type(error).__name__}: {error}); "
            'step it in this one with backend="sync"'
        ) from error


def _pack(value: Any) -> bytes:  # noqa: ANN401 - the wrapper, made for functions, takes anything
    return pickle.dumps(CloudpickleWrapper(value))


def _specs() -> list[bytes]:
    packed = []
    for spec in gymnasium.registry.values():
        if not str(spec.entry_point).startswith("gymnasium."):
            # Most families need none of these: what cannot be sent is missed where it is.
            with contextlib.suppress(Exception):
                packed.append(_pack(spec))
    return packed
