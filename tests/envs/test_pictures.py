"""What environments look like, without a display."""

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl_gan.envs import FamilyError, ParametricFamily, Uniform, make_family
from metarl_gan.envs.families.point_picture import GOAL, POINT, SIZE, point_picture
from metarl_gan.envs.mujoco.drawing import SKY, draw_scene
from metarl_gan.envs.pictures import make_visible, picture, seconds_per_step
from tests.envs.toys import Walk

BALLS = """
<mujoco>
  <worldbody>
    <camera pos="0 -4 1" xyaxes="1 0 0 0 0 1" fovy="90"/>
    <geom type="plane" size="9 9 1"/>
    <geom type="sphere" pos="{red}" size="0.5" rgba="1 0 0 1"/>
    <geom type="sphere" pos="{blue}" size="0.5" rgba="0 0 1 1"/>
    <geom type="capsule" pos="0 0 3" size="0.2 {half_length}" euler="0 90 0" rgba="0 1 0 1"/>
    <geom type="sphere" pos="0 -3 1" size="0.5" rgba="1 1 1 0"/>
  </worldbody>
</mujoco>
"""


def drawn(red="-2 0 1", blue="2 0 1", half_length=1.0):
    """A camera 4 m from the middle that sees 4 m to every side of it: 25 pixels a metre."""
    text = BALLS.format(red=red, blue=blue, half_length=half_length)
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return draw_scene(model, data, width=200, height=200).astype(int)


def is_coloured(pixels, channel):
    others = [other for other in range(3) if other != channel]
    return pixels[..., channel] > pixels[..., others].max(axis=-1) + 60


def middle_of(mask):
    return np.argwhere(mask).mean(axis=0)


def test_balls_are_where_and_as_large_as_perspective_has_them():
    image = drawn()
    red, blue = is_coloured(image, 0), is_coloured(image, 2)
    np.testing.assert_allclose(middle_of(red), [100, 50], atol=1.0)
    np.testing.assert_allclose(middle_of(blue), [100, 150], atol=1.0)
    # A disk of half a metre, 25 pixels a metre.
    assert red.sum() == pytest.approx(np.pi * 12.5**2, rel=0.1)


def test_a_ball_at_half_the_distance_is_twice_as_large():
    far, near = drawn(), drawn(red="-1 -2 1")
    assert is_coloured(near, 0).sum() == pytest.approx(4 * is_coloured(far, 0).sum(), rel=0.1)
    np.testing.assert_allclose(middle_of(is_coloured(near, 0)), [100, 50], atol=1.0)


def test_the_near_hides_the_far():
    image = drawn(red="0 0 1", blue="0 -1 1")
    assert not is_coloured(image, 0).any()
    assert is_coloured(image, 2)[100, 100]


def test_a_capsule_lies_along_its_axis():
    long, short = is_coloured(drawn(), 1), is_coloured(drawn(half_length=0.5), 1)
    np.testing.assert_allclose(middle_of(long), [50, 100], atol=1.0)
    columns = np.flatnonzero(long.any(axis=0))
    rows = np.flatnonzero(long.any(axis=1))
    assert len(columns) == pytest.approx(25 * 2 * (1.0 + 0.2), abs=3)
    assert len(rows) == pytest.approx(25 * 2 * 0.2, abs=3)
    assert len(columns) - np.count_nonzero(short.any(axis=0)) == pytest.approx(25, abs=2)


def test_the_invisible_and_what_is_behind_the_camera_are_left_out():
    image = drawn(red="0 -9 1")
    assert not is_coloured(image, 0).any()
    np.testing.assert_array_equal(image[2, 2], SKY)
    assert (image[-1] != SKY).any(axis=-1).all()


@pytest.mark.parametrize("name", ["half-cheetah-velocity", "ant-goal", "hopper-physics"])
def test_robots_move(name):
    family = make_family(name)
    env = make_visible(family, family.sample(1, split="train", seed=0)[0])
    env.reset(seed=0)
    first = picture(env, width=90, height=60)
    assert (first.shape, first.dtype) == ((60, 90, 3), np.uint8)
    np.testing.assert_array_equal(first, picture(env, width=90, height=60))
    env.action_space.seed(0)
    for _ in range(5):
        env.step(env.action_space.sample())
    assert (picture(env, width=90, height=60) != first).any()
    assert seconds_per_step(env) == {"half-cheetah-velocity": 0.05, "ant-goal": 0.05}.get(
        name, pytest.approx(0.008)
    )
    env.close()


def test_a_point_and_its_goal():
    image = point_picture(np.array([0.0, 0.0]), np.array([0.5, -0.5]), 0.1)
    scale = SIZE / 2.6
    np.testing.assert_array_equal(image[SIZE // 2, SIZE // 2], POINT)
    below, right = round(SIZE / 2 + 0.5 * scale), round(SIZE / 2 + 0.5 * scale)
    np.testing.assert_allclose(image[below, right].astype(int), GOAL, atol=4)


@pytest.mark.parametrize("name", ["point-goal", "point-sparse"])
def test_point_families_are_seen_as_they_are_asked_for(name):
    family = make_family(name)
    task = family.sample(1, split="test", seed=0)[0]
    assert family.make(task).render() is None
    env = make_visible(family, task)
    env.reset(seed=0)
    first = picture(env, width=120, height=80)
    assert first.shape == (80, 120, 3)
    env.step(np.array([1.0, 1.0], np.float32))
    assert (picture(env, width=120, height=80) != first).any()
    assert gymnasium.make("metarl_gan/PointGoal-v0", render_mode="rgb_array") is not None


def test_who_cannot_be_seen_is_refused_by_name():
    family = ParametricFamily(Walk, {"scale": Uniform(0.0, 1.0)}, horizon=3, name="walk")
    with pytest.raises(FamilyError, match="cannot be seen"):
        make_visible(family, family.sample(1, split="train", seed=0)[0])


def test_a_package_that_is_missing_is_said(monkeypatch):
    def render(self):
        raise gymnasium.error.DependencyNotInstalled("pygame is not installed")

    env = Walk()
    monkeypatch.setattr(Walk, "render", render)
    with pytest.raises(FamilyError, match="pygame is not installed"):
        picture(env, width=10, height=10)
