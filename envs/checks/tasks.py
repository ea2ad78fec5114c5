"""Checks of what a family draws: which tasks, and that only the seed decides."""

import numpy as np

from metarl_gan.envs.checks.findings import N_DRAWN, Findings, OutOfTimeError
from metarl_gan.envs.checks.other_process import OtherProcessError
from metarl_gan.envs.checks.trace import seed_global_generators
from metarl_gan.envs.task import Task

_FEW_TASKS = 20  # enough to see whether two draws are the same
_FEW = 0.75  # fewer distinct tasks than this share of what independent draws give are suspicious
_ROUNDING = 1e-6


def check_draws(findings: Findings) -> None:
    """Every split draws its tasks from the seed alone, and from all that it has."""
    for split in findings.family.splits:
        tasks = findings.drawn(split)
        if len(tasks) != N_DRAWN:
            findings.problem(
                f"sample({N_DRAWN}, split={split!r}) gives {len(tasks)} tasks",
                mend="give as many as asked for, repeated where the split has fewer",
            )
        if _depends_on_more_than_the_seed(findings, split):
            continue
        _check_repetition(findings, split, tasks)
        _check_descriptors(findings, split, tasks)


def check_splits(findings: Findings) -> None:
    """No task is in two splits."""
    family = findings.family
    drawn = {split: findings.drawn(split) for split in family.splits}
    for other in family.splits:
        for split in family.splits[: family.splits.index(other)]:
            known = {_what_it_is(task): task for task in drawn[split]}
            shared = [task for task in drawn[other] if _what_it_is(task) in known]
            if shared:
                twin = known[_what_it_is(shared[0])]
                findings.problem(
                    f"splits {split!r} and {other!r} overlap: {len(shared)} of {N_DRAWN} tasks, "
                    f"e.g. {shared[0].id}"
                    + ("" if twin == shared[0] else f", which is {twin.id} by its parameters"),
                    mend="keep them apart, or results on held-out tasks are of no worth: ranges "
                    "that do not meet, or TaskSpace, which divides a range by a hash",
                )


def check_other_process(findings: Findings) -> None:
    """Another process draws the same tasks and plays them the same."""
    if findings.elsewhere is None:
        return
    try:
        seen = findings.elsewhere.answer(timeout_s=max(1.0, findings.clock.left()))
    except TimeoutError as error:
        raise OutOfTimeError(str(error)) from error
    except OtherProcessError as error:
        findings.warn(
            f"the family could not be tried in another process: {error}",
            mend="environments cannot be stepped in worker processes before it can",
        )
        return
    for split, ids in seen.ids.items():
        here = [task.id for task in findings.drawn(split)]
        if here != ids:
            place = next(
                i for i, pair in enumerate(zip(here, ids, strict=True)) if len({*pair}) > 1
            )
            findings.problem(
                f"another process draws other tasks from sample(split={split!r}, "
                f"seed={findings.seed}): task {place} is {ids[place]} there and {here[place]} here",
                mend="use no hash() and no order of a set, which differ between processes: "
                "hashlib and sorted() do not",
            )
            return
    [task] = findings.tasks(1)
    gap = findings.play(task).first_difference(seen.trace, _ROUNDING)
    if gap and findings.reproducible:
        findings.problem(
            f"{task.id} plays differently in another process, from {gap}",
            mend="let an environment depend on its task and seed alone, and on no hash() or order "
            "of a set",
        )


def _depends_on_more_than_the_seed(findings: Findings, split: str) -> bool:
    def drawn(global_seed: int) -> list[Task]:
        seed_global_generators(global_seed)
        return findings.family.sample(_FEW_TASKS, split=split, seed=findings.seed)

    one = drawn(1)
    if one == drawn(2) and one == drawn(1):
        return False
    if one == drawn(1):
        findings.problem(
            f"sample(split={split!r}) depends on the global state of random or np.random: worker "
            "processes that inherit one state draw the same tasks",
            mend="draw from np.random.default_rng(seed) alone",
        )
    else:
        findings.problem(
            f"sample(split={split!r}, seed={findings.seed}) gives other tasks each time",
            mend="draw from np.random.default_rng(seed) alone",
        )
    return True


def _check_repetition(findings: Findings, split: str, tasks: list[Task]) -> None:
    other = findings.family.sample(len(tasks), split=split, seed=findings.seed + 1)
    distinct = set(tasks)
    if len(distinct) > 1 and other == tasks:
        findings.problem(
            f"sample(split={split!r}) gives the same tasks for every seed: workers of different "
            "seeds would play the same ones",
            mend="draw from np.random.default_rng(seed)",
        )
        return
    everything = distinct.union(other)
    n = len(everything)
    expected = n * (1.0 - (1.0 - 1.0 / n) ** len(tasks))
    if len(distinct) < _FEW * expected:
        findings.problem(
            f"sample({len(tasks)}, split={split!r}) gives only {len(distinct)} different tasks, "
            f"while another seed gives others ({n} in all): several environments "
            "would play the same task",
            mend="draw every task of a call independently, or deal all before any comes again",
        )


def _check_descriptors(findings: Findings, split: str, tasks: list[Task]) -> None:
    foreign = [task for task in tasks if task.family != findings.family.name]
    if foreign:
        findings.problem(
            f"task {foreign[0].id} says that it is of family {foreign[0].family!r}",
            mend=f"make it with family={findings.family.name!r}",
        )
    sizes = {task.descriptor.shape for task in tasks}
    if len(sizes) > 1:
        findings.problem(
            f"descriptors of split {split!r} have different shapes: {sorted(sizes)}",
            mend="give every task a descriptor of the same length",
        )
        return
    by_descriptor = {task.descriptor.tobytes(): task for task in tasks}
    if len(by_descriptor) < len(set(tasks)):
        twin = next(task for task in tasks if by_descriptor[task.descriptor.tobytes()] != task)
        findings.warn(
            f"different tasks have equal descriptors: {twin.id} and "
            f"{by_descriptor[twin.descriptor.tobytes()].id}, {np.round(twin.descriptor, 4)}",
            mend="describe what differs, if a descriptor is to tell tasks apart",
        )


def _what_it_is(task: Task) -> tuple:
    return tuple(sorted(task.parameters.items()))
