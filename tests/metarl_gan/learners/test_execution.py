"""Whoever computes which tasks: the numbers are those of a plain loop over tasks."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import (
    MixedRows,
    PolicyRows,
    inner_step,
    policy_gradient,
    surrogate_loss,
)
from metarl_gan.learners import execution
from metarl_gan.learners.execution import (
    Batched,
    InParts,
    Size,
    make_execution,
    parts_of,
)
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan.learners.gradient_cases import Given, a_learner

N_TASKS = 5
POLICY = make_policy(
    spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-2, 2, (2,), np.float32), hidden_sizes=(8,)
)
SIZE = Size(n_tasks=N_TASKS, n_rows=12, width=8)
ALL_WAYS = [
    Batched(),
    InParts(n_threads=1, concurrent=False),
    InParts(n_threads=2, concurrent=False),
    InParts(n_threads=2, concurrent=True),
    InParts(n_threads=3, concurrent=True),
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Two tasks are more than a part holds, on a machine with processors for all."""
    monkeypatch.setattr(execution, "PART_VALUES", 12 * 8 * 2 - 1)
    monkeypatch.setattr(execution, "SPLIT_VALUES", 12 * 8 * 2)
    monkeypatch.setattr(execution, "available_processors", lambda: 8)


def rows_of(seed):
    batch = random_episodes((N_TASKS, 2, 6), seed=seed, dtype=torch.float32)
    return PolicyRows.from_transitions(batch, discount=0.9, gae_lambda=0.9)


def shared():
    drawn = POLICY.initial_parameters(stream())
    learnt = {name: (value + 0.1).requires_grad_() for name, value in drawn.items()}
    return {**learnt, "step": torch.tensor(0.3)}


SUPPORT, QUERY = rows_of(1), rows_of(2)


def loss_of(given, tasks):
    """Through one inner step, as part of the mean over all tasks."""
    support, query = SUPPORT.select(tasks), QUERY.select(tasks)
    learnt = {name: value for name, value in given.items() if name != "step"}
    parameters = expand_over_tasks(learnt, len(query.advantages))
    gradient = policy_gradient(POLICY, parameters, MixedRows(real=support), 10.0)
    sizes = dict.fromkeys(parameters, given["step"])
    adapted = inner_step(parameters, gradient, sizes)
    return surrogate_loss(POLICY, adapted, query, 10.0).sum() / N_TASKS


def test_parts_are_even_and_within_bounds(monkeypatch):
    monkeypatch.setattr(execution, "PART_VALUES", 1000)
    monkeypatch.setattr(execution, "SPLIT_VALUES", 700)

    def lengths(n_tasks, n_rows, n_threads):
        parts = parts_of(Size(n_tasks=n_tasks, n_rows=n_rows, width=10), n_threads)
        assert [index for part in parts for index in range(n_tasks)[part]] == list(range(n_tasks))
        return [part.stop - part.start for part in parts]

    assert lengths(6, 11, 2) == [6]  # 660 values: no use in splitting
    assert lengths(6, 12, 1) == [6]  # 720: one thread needs but one part
    assert lengths(6, 12, 2) == [3, 3]
    assert lengths(6, 12, 4) == [1, 2, 1, 2]
    assert lengths(10, 25, 1) == [3, 3, 4]  # 2500: three parts
    assert lengths(10, 25, 2) == [2, 3, 2, 3]  # and four where two threads share them
    assert lengths(3, 1000, 2) == [1, 1, 1]  # a task is never cut
    assert lengths(1, 1000, 2) == [1]


@pytest.mark.parametrize("way", ALL_WAYS)
def test_the_gradient_is_that_of_a_loop_over_tasks(way):
    given = shared()
    total, found = way.gradient(loss_of, given, SIZE)
    losses = [loss_of(given, slice(task, task + 1)) for task in range(N_TASKS)]
    torch.testing.assert_close(total, torch.stack(losses).sum().detach(), rtol=1e-6, atol=1e-6)
    names = [name for name in given if name != "step"]
    assert list(found) == names
    expected = torch.autograd.grad(torch.stack(losses).sum(), [given[name] for name in names])
    for name, value in zip(names, expected, strict=True):
        assert value.abs().max() > 1e-4
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6)
        assert not found[name].requires_grad


@pytest.mark.parametrize("processors", [1, 2, 8])
@pytest.mark.parametrize("torch_threads", [1, 2])
def test_who_computes_changes_no_bit(monkeypatch, processors, torch_threads):
    expected = InParts(n_threads=2, concurrent=False).gradient(loss_of, shared(), SIZE)[1]
    monkeypatch.setattr(execution, "available_processors", lambda: processors)
    before = torch.get_num_threads()
    torch.set_num_threads(torch_threads)
    try:
        for _ in range(3):
            found = InParts(n_threads=2, concurrent=True).gradient(loss_of, shared(), SIZE)[1]
            for name, value in expected.items():
                assert torch.equal(found[name], value)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("way", ALL_WAYS)
def test_what_is_per_task_is_in_the_order_of_tasks(way):
    parameters = {name: v.expand(N_TASKS, *v.shape) for name, v in shared().items() if v.ndim}

    def gradient(tasks):
        own = {name: value[tasks] for name, value in parameters.items()}
        return policy_gradient(POLICY, own, MixedRows(real=SUPPORT.select(tasks)), 10.0)

    found = way.per_task(gradient, SIZE)
    for name, value in found.items():
        assert value.shape == parameters[name].shape
        assert not value.requires_grad
        for task in range(N_TASKS):
            alone = gradient(slice(task, task + 1))[name][0]
            torch.testing.assert_close(value[task], alone, rtol=1e-6, atol=1e-6)


def test_what_the_loss_does_not_depend_on_gets_zeros():
    given = {"used": torch.ones(2, requires_grad=True), "unused": torch.ones(3, requires_grad=True)}
    way = InParts(n_threads=2, concurrent=True)
    total, found = way.gradient(lambda own, tasks: own["used"].sum() * tasks.stop, given, SIZE)
    stops = 1 + 2 + 3 + 5
    assert float(total) == 2 * stops
    assert found["used"].tolist() == [stops, stops]
    assert found["unused"].tolist() == [0.0, 0.0, 0.0]


def test_no_more_threads_than_given_each_with_one_of_torch():
    seen, both = set(), threading.Barrier(2, timeout=10)

    def part(tasks):
        if tasks.stop <= 2:
            both.wait()  # the first two parts are computed at the same time
        seen.add((threading.get_ident(), torch.get_num_threads()))
        return {"stop": torch.full((tasks.stop - tasks.start,), tasks.stop)}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = InParts(n_threads=2, concurrent=True).per_task(part, SIZE)
        assert torch.get_num_threads() == 2
        assert len(seen) == 2
        assert threading.get_ident() in {thread for thread, _ in seen}  # works instead of waiting
        both = threading.Barrier(1)
        InParts(n_threads=2, concurrent=False).per_task(part, SIZE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {threads for _, threads in seen} == {1}
    assert found["stop"].tolist() == [1, 2, 3, 5, 5]


@pytest.mark.parametrize("broken", [0, 1])
def test_an_error_of_any_thread_is_raised_when_all_have_stopped(broken):
    both, done = threading.Barrier(2, timeout=10), []

    def part(tasks):
        # One is this thread's, the other another's: which is which, nothing says.
        own = threading.current_thread() is threading.main_thread()
        both.wait()
        if own == bool(broken):
            raise ValueError("broken")
        done.append(tasks)
        return tasks

    with pytest.raises(ValueError, match="broken"):
        InParts(n_threads=2, concurrent=True).results(part, replace(SIZE, n_tasks=2))
    assert len(done) == 1


@pytest.mark.parametrize(("n_rows", "expected"), [(12 * 2, 2), (12 * 2 - 1, 1)])
def test_one_task_has_torchs_own_threads_if_it_is_large(n_rows, expected):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        size = Size(n_tasks=1, n_rows=n_rows, width=8)
        way = InParts(n_threads=2, concurrent=True)
        assert way.results(lambda tasks: (tasks, torch.get_num_threads()), size) == [
            (slice(None), expected)
        ]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_failure_in_a_thread_is_the_callers():
    def part(tasks):
        raise ValueError(f"task {tasks.start}")

    with pytest.raises(ValueError, match="task 0"):
        InParts(n_threads=2, concurrent=True).per_task(part, SIZE)


def test_execution_by_name():
    def made(name, device="cpu"):
        way = make_execution(name, n_threads=2, device=device)
        return (way.n_threads, way.concurrent) if isinstance(way, InParts) else "batched"

    assert made("auto") == made("threads") == (2, True)
    assert made("looped") == (2, False)
    assert made("batched") == made("auto", "cuda:1") == "batched"
    assert made("looped", "cuda") == (2, False)


@pytest.fixture
def single_tasks(monkeypatch):
    """The tasks of `a_learner` are a part each."""
    monkeypatch.setattr(execution, "PART_VALUES", 12 * 5)
    monkeypatch.setattr(execution, "SPLIT_VALUES", 12 * 5)


def learnt_by(name, algorithm):
    """What two meta-batches leave of a learner with an execution, adapted policies included."""
    settings = {"execution": name, "algorithm": algorithm, "inner_lr": 0.5, "kl_penalty": 0.1}
    learner, drawn, query = a_learner(n_threads=2, **settings)
    adapted = {}
    for number in range(2):
        outcome = learner.inner_loop(Given(*drawn), len(query.advantages))
        learner.outer_loop(outcome, query)
        adapted |= {f"adapted {number} {key}": v for key, v in outcome.parameters.items()}
    return {**learner.tensors(), **adapted}


@pytest.mark.parametrize("algorithm", ["maml", "fomaml"])
def test_learners_learn_the_same_by_every_execution(algorithm, single_tasks, monkeypatch):
    counted, parts = [], execution.parts_of
    monkeypatch.setattr(
        execution, "parts_of", lambda *args: counted.append(parts(*args)) or parts(*args)
    )
    found = {name: learnt_by(name, algorithm) for name in ("looped", "threads", "auto", "batched")}
    assert {len(one) for one in counted} == {3}
    # Twice two inner steps and four outer ones, by all but the last.
    assert len(counted) == 3 * 2 * (2 + 4)
    for name, value in found["looped"].items():
        assert torch.equal(found["threads"][name], value), name
        assert torch.equal(found["auto"][name], value), name
        torch.testing.assert_close(found["batched"][name], value, rtol=1e-6, atol=1e-9)
