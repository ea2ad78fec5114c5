"""The space of a family's tasks: parameter ranges per split, and splits that never overlap."""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from metarl_gan.envs.distributions import Choice, Distribution
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.task import ParameterValue, Task, parameter_text

SPLITS = ("train", "test", "ood")
_BUCKETS = 5  # one parameter draw in five is a test task
_MAX_DRAWS = 10_000
_MAX_DECK = 4096  # larger finite spaces are drawn from like continuous ones


@dataclass(frozen=True, kw_only=True)
class TaskSpace:
    """Which tasks a family has, and which split each belongs to.

    A parameter draw belongs to exactly one split, decided by the parameters alone:

    - inside the ranges of both train and test: by a stable hash of the parameters, one in five
      is a test task (for finite spaces: the fifth of the choices with the lowest hashes);
    - inside only one of them: to that one;
    - inside the `ood` ranges and neither of the others: out of distribution.

    Attributes:
        parameters: The ranges by parameter name, for every split that has none of its own.
        overrides: Ranges that differ in a split, e.g. `{"ood": {"v": Uniform(2.5, 3.0)}}`.
            Parameters not named there keep the range of `parameters`.
        splits: The splits that exist; by default `("train", "test")` and those overridden, but
            only `("train",)` for a space of a single task.
        describe: The descriptor, float32 `[n]`, of parameters; by default each parameter's place
            in its train range.

    Raises:
        FamilyError: An unknown split or parameter, or a split that has no task.
    """

    parameters: Mapping[str, Distribution]
    overrides: Mapping[str, Mapping[str, Distribution]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    describe: Callable[[Mapping[str, ParameterValue]], np.ndarray] | None = field(
        default=None, repr=False, compare=False
    )
    _test_deck: frozenset[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.splits or self._default_splits()
        _require_known(given, SPLITS, "split")
        _require_known(self.overrides, given, "split with ranges of its own")
        for ranges in self.overrides.values():
            _require_known(ranges, self.parameters, "parameter")
        if "train" not in given:
            raise FamilyError(f"splits are {given}; a family needs at least 'train'")
        if not self.parameters:
            raise FamilyError("a family needs at least one parameter; declare a range for each")
        for name, range_ in self.parameters.items():
            if not isinstance(range_, Distribution):
                raise FamilyError(
                    f"parameter {name!r} is {range_!r}; give a Distribution, e.g. Uniform"
                )
        object.__setattr__(self, "splits", tuple(name for name in SPLITS if name in given))
        object.__setattr__(self, "_test_deck", self._find_test_deck())
        for split in self.splits:
            next(self._draws(split, np.random.default_rng(0)))

    def _default_splits(self) -> tuple[str, ...]:
        ranges = self.parameters.values()
        lonely = all(isinstance(range_, Choice) and len(range_.values) == 1 for range_ in ranges)
        return ("train",) if lonely else ("train", "test", *self.overrides)

    def ranges(self, split: str) -> Mapping[str, Distribution]:
        """The parameter ranges of `split`. Raises `FamilyError` if it does not exist."""
        if split not in self.splits:
            raise FamilyError(
                f"split {split!r} does not exist here; this family has {list(self.splits)}"
                + (
                    ": all its tasks are train tasks, so use split='train'"
                    if self.splits == ("train",)
                    else ""
                )
            )
        return {**self.parameters, **self.overrides.get(split, {})}

    def split_of(self, parameters: Mapping[str, ParameterValue]) -> str | None:
        """The split that a task with these parameters belongs to, `None` if to none."""
        inside = {split for split in self.splits if self._contains(split, parameters)}
        if {"train", "test"} <= inside:
            return "test" if self._is_test(parameters) else "train"
        return next((split for split in self.splits if split in inside), None)

    def sample(self, n: int, *, split: str, seed: int) -> list[dict[str, ParameterValue]]:
        """Parameters of `n` tasks; the first ones do not depend on `n`.

        Finite spaces are dealt like shuffled decks: every task once before any comes again.
        """
        if n < 1 or seed < 0:
            raise FamilyError(f"asked for {n} tasks with seed {seed}; n must be ≥ 1, seed ≥ 0")
        self.ranges(split)
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        return list(itertools.islice(self._draws(split, rng), n))

    def task(self, family: str, parameters: Mapping[str, ParameterValue]) -> Task:
        """The task of `family` with exactly these parameters, drawn or chosen.

        Raises `FamilyError` unless every declared parameter is given, and no other.
        """
        _require_known(parameters, self.parameters, "parameter")
        missing = [name for name in self.parameters if name not in parameters]
        if missing:
            raise FamilyError(f"parameters {missing} are missing; give {list(self.parameters)}")
        ordered = {name: parameters[name] for name in self.parameters}
        return Task(
            family=family,
            parameters=ordered,
            id=f"{family}/{parameter_text(ordered)}",
            descriptor=(self.describe or self._places)(ordered),
        )

    def _places(self, parameters: Mapping[str, ParameterValue]) -> np.ndarray:
        # The train ranges scale every split, so that one descriptor means one task.
        ranges = self.ranges("train")
        places = [range_.normalise(parameters[name]) for name, range_ in ranges.items()]
        return np.array(places, dtype=np.float32)

    def _contains(self, split: str, parameters: Mapping[str, ParameterValue]) -> bool:
        return all(range_.contains(parameters[name]) for name, range_ in self.ranges(split).items())

    def _draws(self, split: str, rng: np.random.Generator) -> Iterator[dict[str, ParameterValue]]:
        deck = self._deck(split)
        if deck is not None:
            cards = [card for card in deck if self.split_of(card) == split]
            if not cards:
                raise FamilyError(self._empty(split))
            while True:
                yield from (cards[index] for index in rng.permutation(len(cards)))
        while True:
            yield self._draw(split, rng)

    def _draw(self, split: str, rng: np.random.Generator) -> dict[str, ParameterValue]:
        ranges = self.ranges(split)
        for _ in range(_MAX_DRAWS):
            parameters = {name: range_.sample(rng) for name, range_ in ranges.items()}
            if self.split_of(parameters) == split:
                return parameters
        raise FamilyError(self._empty(split))

    def _empty(self, split: str) -> str:
        return (
            f"split {split!r} has no task that is not in another split; give it ranges that "
            f"reach beyond the others, or leave it out of splits={list(self.splits)}"
        )

    def _deck(self, split: str) -> list[dict[str, ParameterValue]] | None:
        """Every combination of choices of `split`, `None` if there are too many."""
        ranges = self.ranges(split)
        choices = [range_.values for range_ in ranges.values() if isinstance(range_, Choice)]
        if len(choices) < len(ranges) or math.prod(len(values) for values in choices) > _MAX_DECK:
            return None
        return [dict(zip(ranges, values, strict=True)) for values in itertools.product(*choices)]

    def _find_test_deck(self) -> frozenset[str] | None:
        """Of finite spaces, the combinations open to train and test that are test tasks."""
        deck = self._deck("train") if "test" in self.splits else None
        if deck is None:
            return None
        shared = [parameter_text(card) for card in deck if self._contains("test", card)]
        shared.sort(key=_stable_hash)
        return frozenset(shared[: max(1, len(shared) // _BUCKETS)])

    def _is_test(self, parameters: Mapping[str, ParameterValue]) -> bool:
        text = parameter_text({name: parameters[name] for name in self.parameters})
        if self._test_deck is not None:
            return text in self._test_deck
        return _stable_hash(text) % _BUCKETS == 0


def _stable_hash(text: str) -> int:
    # Python's own hash of a str differs between processes.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _require_known(names: Mapping | tuple, allowed: Mapping | tuple, what: str) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise FamilyError(f"unknown {what} {unknown}; allowed are {list(allowed)}")
