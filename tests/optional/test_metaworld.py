"""Meta-World's benchmarks as families, with the package itself: `make test-metaworld`."""

import pickle
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import metarl_gan
from metarl_gan.envs import FamilyError, Task, check_family, make_family
from tests.metarl_gan import tiny
from tests.optional.biased import Directions, evaluated

metaworld: Any = pytest.importorskip(
    "metaworld", reason="Meta-World is not installed here; `make test-metaworld` installs it"
)
evaluation: Any = pytest.importorskip("metaworld.evaluation")
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
N_GOALS = 10
HAND = np.array([0.0, 0.6, 0.2])
"""Where the hand starts in reach-v3."""


@pytest.fixture(scope="module")
def reach():
    return make_family("metaworld/ML1/reach-v3")


@pytest.fixture(scope="module")
def ml10():
    return make_family("metaworld/ML10")


def goal_of(task) -> np.ndarray:
    return pickle.loads(task.data)["rand_vec"]  # noqa: S301 - Meta-World's of a moment ago


def played(env: gymnasium.Env, n: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    rows = [observation]
    for _ in range(n):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, 4).astype(np.float32))
        rows.append(np.append(observation, float(reward)))
    return np.concatenate(rows)


def test_tasks_are_the_benchmarks_own(reach):
    benchmark = metaworld.ML1("reach-v3", seed=0)
    for split, theirs in (("train", benchmark.train_tasks), ("test", benchmark.test_tasks)):
        ours = reach.sample(50, split=split, seed=0)
        assert len(set(ours)) == 50
        goals = []
        for task in ours:
            env: Any = reach.make(task)
            goals.append(tuple(env.unwrapped._last_rand_vec))
            env.close()
        assert sorted(goals) == sorted(tuple(goal_of(task)) for task in theirs)
    train, test = (
        {tuple(goal_of(task)) for task in tasks}
        for tasks in (benchmark.train_tasks, benchmark.test_tasks)
    )
    assert not train & test


def test_ml10_trains_on_ten_environments_and_tests_on_five_others(ml10):
    found = {}
    for split, n in (("train", 500), ("test", 250)):
        tasks = ml10.sample(n, split=split, seed=0)
        assert len(set(tasks)) == n
        found[split] = {task.parameters["environment"] for task in tasks}
    assert found["train"] == set(metaworld.env_dict.ML10_V3["train"])
    assert found["test"] == set(metaworld.env_dict.ML10_V3["test"])
    assert (len(found["train"]), len(found["test"])) == (10, 5)


def test_goals_are_hidden_and_tasks_are_replaced_exactly(ml10):
    names = [*ml10.task_space.ranges("train")["environment"].values]
    names += ml10.task_space.ranges("test")["environment"].values
    for name in names:
        one, other = (ml10.task(environment=name, goal=goal) for goal in (3, 4))
        env, fresh = ml10.make(one), ml10.make(other)
        assert env.observation_space == ml10.observation_space, name
        before = played(env)
        assert not played(env)[36:39].any(), name  # where the goal would be
        assert ml10.retask(env, other)
        assert played(env).tolist() == played(fresh).tolist(), name
        assert played(env).tolist() != before.tolist(), name
        env.close()
        fresh.close()
    there = ml10.make(ml10.task(environment=names[0], goal=0))
    assert not ml10.retask(there, ml10.task(environment=names[1], goal=0))


def test_the_check_passes(reach):
    check_family(reach)


def test_episodes_have_their_length_and_tell_success(reach):
    assert reach.horizon == 500
    [task] = reach.sample(1, split="test", seed=0)
    env: Any = reach.make(task)
    env.reset(seed=0)
    for step in range(500):
        _, _, terminated, truncated, info = env.step(np.zeros(4, np.float32))
        assert not terminated
        assert truncated == (step == 499)
        assert info["success"] == 0.0
    short = make_family("metaworld/ML1/reach-v3", horizon=7)
    assert short.horizon == 7


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_success_comes_through_every_backend(reach, backend):
    tasks = [reach.task(environment="reach-v3", goal=goal) for goal in (50, 51)]
    venv = reach.make_vec(tasks, backend=backend, processes=2)
    venv.reset(seed=0)
    actions = np.stack([towards(tasks[0], reach), np.array([0.0, -1.0, -1.0, 0.0])])
    successes = [venv.step(actions.astype(np.float32))[4]["success"] for _ in range(60)]
    venv.close()
    assert np.any(successes, axis=0).tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metaworld/ML1/reech-v3", r"no environment 'reech-v3'; did you mean \['reach-v3'"),
        ("metaworld/MT10", "no benchmark with train and test tasks.*'metaworld/ML10'"),
        ("metaworld", "no benchmark with train and test tasks"),
    ],
)
def test_what_is_not_there_is_refused(name, message):
    with pytest.raises(FamilyError, match=message):
        make_family(name)


def test_episodes_longer_than_meta_worlds_are_refused():
    with pytest.raises(FamilyError, match="horizon is 501; Meta-World's episodes have 500"):
        make_family("metaworld/ML1/reach-v3", horizon=501)


def towards(task: Task, family) -> np.ndarray:
    """The action that moves the hand of reach-v3 straight to the goal, `[4]`."""
    env: Any = family.make(task)
    way = env.unwrapped._last_rand_vec[3:] - HAND
    env.close()
    return np.append(way / np.abs(way).max(), 0.0)


def test_an_agent_that_solves_two_of_ten_goals_scores_a_fifth(reach, capsys):
    """Meta-World counts the first episodes to finish: those of the goals that are solved.

    Its vector environment ends an episode on success and begins the next at once, so that the
    two environments that are solved in some forty steps fill the quota of ten episodes before
    the other eight, which take 500 steps, have finished one.
    """
    tasks = [reach.task(environment="reach-v3", goal=50 + goal) for goal in range(N_GOALS)]
    away = np.array([0.0, -1.0, -1.0, 0.0])
    actions = np.stack([towards(task, reach) if n < 2 else away for n, task in enumerate(tasks)])

    envs = metaworld.make_ml_envs_test(
        "reach-v3", seed=0, meta_batch_size=N_GOALS, total_tasks_per_cls=N_GOALS
    )
    theirs = evaluation.metalearning_evaluation(
        Directions(actions), envs, num_evals=1, adaptation_episodes=1, evaluation_episodes=N_GOALS
    )
    again = evaluation.evaluation(Directions(actions), envs, num_episodes=N_GOALS)
    same = [env.unwrapped._last_rand_vec.tolist() for env in envs.envs]
    envs.close()

    ours = evaluated(reach, tasks, actions)
    assert ours.success_rate is not None
    assert ours.successes is not None
    with capsys.disabled():
        print(
            f"\n2 of {N_GOALS} goals solved. Meta-World's metalearning_evaluation: {theirs[0]}, "
            f"its evaluation: {again[0]}, ours: {ours.success_rate[0]}"
        )
    assert same == [reach.make(task).unwrapped._last_rand_vec.tolist() for task in tasks]
    assert (theirs[0], again[0]) == (1.0, 1.0)
    assert ours.successes[:, 0].tolist() == [1.0, 1.0] + [0.0] * 8
    assert ours.success_rate[0] == 0.2


def test_ml10_is_trained_on_and_evaluated(ml10, tmp_path):
    config = tiny.tiny_config(
        family="metaworld/ML10",
        iterations=3,
        adversarial__replay_tasks=20,
        logging__validate_every=3,
    )
    agent = metarl_gan.train(ml10, config, out=tmp_path / "run", progress=False)
    assert agent.meta_iterations in range(4)
    assert agent.real_steps >= 3 * 4 * 2 * 500
    report = metarl_gan.evaluate(
        metarl_gan.load(tmp_path / "run"), ml10, split="test", tasks=5, episodes=1
    )
    assert report.returns.shape == (5, 2)
    assert np.isfinite(report.returns).all()
    assert report.successes is not None
    assert report.successes.shape == (5, 2)
    environments = {name.partition("environment=")[2].partition(",")[0] for name in report.task_ids}
    assert environments <= set(metaworld.env_dict.ML10_V3["test"])


def test_what_the_page_says_runs():
    text = (ROOT / "docs" / "plug-in-adapters.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python metaworld\n(.*?)```", text, flags=re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "plug-in-adapters.md", "exec"), {"__name__": "page"})
