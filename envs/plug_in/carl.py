"""CARL's environments: their contexts as tasks. Nothing of CARL is imported until it is asked for.

Source: https://github.com/automl/CARL (carl-bench 1.1).
"""

import difflib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias, TypeGuard

import gymnasium

from metarl_gan.envs.distributions import Choice, Distribution, Uniform
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.plug_in.parametric import ParametricFamily, Splits
from metarl_gan.envs.task import ParameterValue

Context: TypeAlias = Mapping[str, Distribution | Sequence[float]] | Sequence[str] | None

_MOST_CHOICES = 4096


def carl_family(name: str, **options: Any) -> ParametricFamily:  # noqa: ANN401 - context_family's
    """The family of one of CARL's environments, by its name there: "CARLPendulum".

    Takes the options of `context_family`. Raises `FamilyError` where CARL is not installed or has
    no such environment.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of environments whose own requirements are not there
        try:
            module = import_module("carl.envs")
        except ImportError as error:
            raise FamilyError(
                f"'carl/{name}' needs CARL ({error}): pip install --no-deps carl-bench, then "
                "pip install configspace pygame"
            ) from error
    found = getattr(module, name, None)
    if not has_contexts(found):
        known = [known for known in dir(module) if has_contexts(getattr(module, known))]
        near = difflib.get_close_matches(name, known, n=3)
        raise FamilyError(
            f"CARL has no environment {name!r}"
            + (f"; did you mean {near}?" if near else f"; here it has {known}")
        )
    return context_family(found, **options)


def has_contexts(found: object) -> TypeGuard[Callable[..., gymnasium.Env]]:
    """Whether this is a class whose instances take CARL's `contexts`."""
    return isinstance(found, type) and callable(getattr(found, "get_context_features", None))


def context_family(
    environment: Callable[..., gymnasium.Env],
    *,
    context: Context = None,
    horizon: int | None = None,
    name: str | None = None,
    splits: Splits = (),
    wrapper: Callable[..., gymnasium.Env] | None = None,
) -> ParametricFamily:
    """Tasks that differ by context features; the others keep CARL's defaults.

    The context is not observed: an agent has to find out.

    Args:
        environment: One of CARL's classes.
        context: By feature its range, which may be a pair `(low, high)`; or features, which are
            drawn between CARL's bounds; by default all that have finite bounds.
        horizon: Time limit of an episode in steps; the environment's own by default.
        name: The family's name; the class's by default.
        splits: As in `ParametricFamily`.
        wrapper: As in `ParametricFamily`.

    Raises:
        FamilyError: No such feature, a range that leaves its bounds, or bounds that are infinite
            where no range is given.
    """
    make_env = _ContextMaker(environment)
    parameters = _ranges(make_env.name, make_env.features(), context)
    if horizon is None:
        spec = make_env().spec
        horizon = spec.max_episode_steps if spec is not None else None
    if horizon is None:
        raise FamilyError(f"{make_env.name} does not tell its time limit; give horizon=, in steps")
    return ParametricFamily(
        make_env,
        parameters,
        horizon=horizon,
        name=name or make_env.name,
        splits=splits,
        wrapper=wrapper,
    )


class _ContextMaker:
    """Makes an environment of one context, and hides the context from what is observed."""

    def __init__(self, environment: Any) -> None:  # noqa: ANN401 - known by its methods alone
        self._environment = environment
        self.name = environment.__name__

    def __call__(
        self, *, render_mode: str | None = None, **context: ParameterValue
    ) -> gymnasium.Env:
        # CARL's render in "rgb_array", whatever one would like.
        with _quiet():
            contexts = {0: {**self._environment.get_default_context(), **context}}
            env = self._environment(contexts=contexts, obs_context_features=[])
        observed = env.observation_space["obs"]
        return gymnasium.wrappers.TransformObservation(env, _observed, observed)

    def __repr__(self) -> str:
        return self.name

    def features(self) -> dict[str, Any]:
        """CARL's description of each context feature."""
        with _quiet():
            return dict(self._environment.get_context_features())


def _observed(observation: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of the environment
    return observation["obs"]


def _quiet() -> warnings.catch_warnings:
    # ConfigSpace divides by the width of infinite bounds, and says so each time.
    return warnings.catch_warnings(action="ignore", category=RuntimeWarning)


def _ranges(
    name: str,
    features: Mapping[str, Any],
    context: Context,
) -> dict[str, Distribution]:
    unknown = [feature for feature in context or () if feature not in features]
    if unknown:
        raise FamilyError(
            f"{name} has no context features {unknown}; it has {_described(features)}"
        )
    if isinstance(context, Mapping):
        return {feature: _inside(features[feature], range_) for feature, range_ in context.items()}
    bounded = {feature: _bounds(described) for feature, described in features.items()}
    chosen = {
        feature: range_
        for feature, range_ in bounded.items()
        if (range_ is not None if context is None else feature in context)
    }
    found = {feature: range_ for feature, range_ in chosen.items() if range_ is not None}
    if not found or len(found) < len(chosen):
        raise FamilyError(
            f"{name} sets no finite bounds to {sorted(set(chosen) - set(found)) or 'any feature'}; "
            f"say them: context={{'…': Uniform(low, high)}}, out of {_described(features)}"
        )
    return found


def _bounds(feature: Any) -> Distribution | None:  # noqa: ANN401 - ConfigSpace's
    """The range that CARL states for a feature; `None` where that is infinite."""
    choices = getattr(feature, "choices", None)
    if choices is not None:
        return Choice(list(choices))
    low, high = float(feature.lower), float(feature.upper)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    if isinstance(feature.default_value, int) and high - low < _MOST_CHOICES:
        return Choice(list(range(int(low), int(high) + 1)))
    return Uniform(low, high)


def _inside(
    feature: Any,  # noqa: ANN401 - ConfigSpace's
    given: Distribution | Sequence[float],
) -> Distribution:
    """The range that is given, if the feature takes all of it."""
    if isinstance(given, Distribution):
        range_ = given
    elif isinstance(given, Sequence) and len(given) == 2:
        range_ = Uniform(float(given[0]), float(given[1]))
    else:
        raise FamilyError(f"context feature {feature.name!r} is {given!r}; give (low, high)")
    low, high = getattr(feature, "lower", -math.inf), getattr(feature, "upper", math.inf)
    if not (low <= range_.low and range_.high <= high):
        raise FamilyError(
            f"context feature {feature.name!r} lies in {low:g}…{high:g}; {range_} leaves that"
        )
    return range_


def _described(features: Mapping[str, Any]) -> str:
    parts = []
    for name, feature in features.items():
        low, high = getattr(feature, "lower", None), getattr(feature, "upper", None)
        bounds = f"{low:g}…{high:g}" if low is not None else str(list(feature.choices))
        parts.append(f"{name} ({bounds}, default {feature.default_value})")
    return ", ".join(parts)
