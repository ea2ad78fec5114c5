"""What environments say of success reaches whoever steps many of them."""

import numpy as np
import pytest

from metarl_gan.envs import Choice, ParametricFamily
from metarl_gan.envs.stepping.rows import told_success
from tests.envs.toys import Walk

SILENT, LOUD = 0, 1


class Solving(Walk):
    """Is solved in step `at`, and ends in step `length`; some say so."""

    def __init__(self, at=2, length=100, voice=LOUD):
        super().__init__(length=length)
        self.at, self.voice = at, voice

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        if self.at == -1 and self.count == 2:
            raise RuntimeError("motor burnt")
        info = {"success": float(self.count == self.at)} if self.voice == LOUD else {}
        return observation, reward, terminated, truncated, info


def solving():
    parameters = {"at": Choice([-1, 1, 2, 9]), "length": Choice([2, 100]), "voice": Choice([0, 1])}
    return ParametricFamily(Solving, parameters, horizon=4, name="solving", splits=("train",))


FAMILY = solving()


def tasks_of(*settings):
    return [
        FAMILY.task(**dict(zip(("at", "length", "voice"), values, strict=True)))
        for values in settings
    ]


def steps_of(venv, n=4):
    venv.reset(seed=0)
    return [venv.step(np.zeros((venv.num_envs, 1), np.float32))[4] for _ in range(n)]


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_success_is_told_by_step_and_environment(backend):
    tasks = tasks_of((1, 100, LOUD), (2, 2, LOUD), (9, 100, LOUD), (1, 100, SILENT))
    venv = FAMILY.make_vec(tasks, 2, backend=backend, processes=2)
    infos = steps_of(venv)
    venv.close()
    assert [info["success"].tolist() for info in infos] == [
        [True, True] + [False] * 6,
        [False, False, True, True] + [False] * 4,
        [False] * 8,
        [False] * 8,
    ]
    speaking, at_rest = [True] * 6 + [False] * 2, [True, True, False, False] * 2
    expected = [speaking, speaking, *[[a and b for a, b in zip(speaking, at_rest)]] * 2]  # noqa: B905
    assert [info["_success"].tolist() for info in infos] == expected


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_a_broken_environment_and_a_silent_one_say_nothing(backend):
    venv = FAMILY.make_vec(tasks_of((-1, 100, LOUD), (2, 100, LOUD)), backend=backend, processes=1)
    infos = steps_of(venv, 3)
    venv.close()
    told = [info["_success"].tolist() for info in infos]
    assert told == [[True, True], [False, True], [False, True]]
    assert infos[1]["success"].tolist() == [False, True]
    venv = FAMILY.make_vec(tasks_of((1, 100, SILENT)), backend=backend, processes=1)
    assert all("success" not in info for info in steps_of(venv))
    venv.close()


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({}, -1),
        ({"success": 0.0}, 0),
        ({"success": 1.0}, 1),
        ({"success": np.bool_(True)}, 1),
        ({"success": np.float32(0)}, 0),
        ({"is_success": True}, 1),
        ({"success": False, "is_success": True}, 0),
        ({"success": "yes"}, -1),
        ({"success": np.array([1.0, 0.0])}, -1),
        ({"success": None}, -1),
    ],
)
def test_what_counts_as_said(info, told):
    assert told_success(info) == told
