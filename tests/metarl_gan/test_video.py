"""Videos show what the agent does, before and after it adapts."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

import metarl_gan
from metarl_gan.agent import MetaAgent
from metarl_gan.config_error import ConfigError
from metarl_gan.envs import FamilyError, ParametricFamily, Uniform, make_family
from metarl_gan.video import CAPTION_HEIGHT, GAP, PANEL_HEIGHT, PANEL_WIDTH
from tests.metarl_gan import tiny


@pytest.fixture(scope="module")
def agent():
    return MetaAgent(tiny.trained_components(make_family("point-goal"), iterations=1))


def episode_return(family, task, policy, seed):
    env = family.make(task)
    observation, _ = env.reset(seed=seed)
    total, ended = 0.0, False
    while not ended:
        action, _ = policy.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, ended = total + reward, terminated or truncated
    return total


def test_every_task_is_seen_before_and_after(agent):
    family = make_family("point-goal")
    video = metarl_gan.record(agent, tasks=2, episodes=2, seed=3)
    assert len(video.rows) == 2
    for row, task in zip(video.rows, family.sample(2, split="test", seed=3), strict=True):
        before, after = row
        assert "before" in before.caption
        assert "after 2 real episodes" in after.caption
        assert f"x {task.parameters['x']:.2f}" in before.caption
        np.testing.assert_array_equal(before.frames[0], after.frames[0])
        env = family.make(task)
        for panel, episodes in ((before, 0), (after, 2)):
            policy = agent.adapt(env, episodes, seed=3)
            expected = episode_return(family, task, policy, 3)
            assert panel.returns[0] == 0
            assert panel.returns[-1] == pytest.approx(expected, rel=1e-6)
            assert len(panel.frames) == len(panel.returns)


def test_the_file_is_a_gif_of_all_frames_in_the_time_they_take(agent, tmp_path):
    video = metarl_gan.record(agent, tasks=2, episodes=1)
    video.save(tmp_path / "a.gif")
    video.save(tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    with Image.open(tmp_path / "a.gif") as gif:
        # 100 steps at 20 a second, every other one, and the end.
        assert sum(1 for _ in ImageSequence.Iterator(gif)) == 51
        assert gif.info["duration"] == 100
        assert gif.info["loop"] == 0
        assert b"--split test --tasks 2 --episodes 1 --seed 0" in gif.info["comment"]
        height = 2 * (PANEL_HEIGHT + CAPTION_HEIGHT) + GAP
        assert gif.size == (2 * PANEL_WIDTH + GAP, height)


def test_an_episode_that_has_ended_stays_as_it_was(agent):
    video = metarl_gan.record(agent, tasks=1)
    last = len(video.rows[0][0].frames) - 1
    assert video.frame(last).tobytes() == video.frame(last + 5).tobytes()
    assert video.frame(0).tobytes() != video.frame(last).tobytes()


@pytest.mark.parametrize("bad", [{"tasks": 0}, {"episodes": 0}])
def test_numbers_that_make_no_sense_are_refused(agent, bad):
    with pytest.raises(ConfigError, match=f"{next(iter(bad))} is 0"):
        metarl_gan.record(agent, **bad)


def test_a_family_that_cannot_be_seen_is_refused():
    agent = MetaAgent(tiny.trained_components(iterations=1))
    with pytest.raises(FamilyError, match="walk cannot be seen"):
        metarl_gan.record(agent, tiny.walk(), tasks=1)


class Endless(tiny.Walk):
    """Can be seen, and never ends by itself."""

    render_mode = "rgb_array"

    def __init__(self, goal, render_mode=None):
        super().__init__(goal)

    def step(self, action):
        observation, reward, _, _, info = super().step(np.clip(action, -0.05, 0.05))
        return observation, reward, False, False, info

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)


def test_the_horizon_ends_episodes_of_an_environment_without_time_limit():
    family = ParametricFamily(Endless, {"goal": Uniform(-1.0, 1.0)}, horizon=tiny.HORIZON, name="w")
    family.make = lambda task, render_mode=None: Endless(float(task.parameters["goal"]))
    agent = MetaAgent(tiny.trained_components(iterations=1))
    video = metarl_gan.record(agent, family, tasks=1)
    for panel in video.rows[0]:
        assert 2 <= len(panel.frames) <= tiny.HORIZON + 1
