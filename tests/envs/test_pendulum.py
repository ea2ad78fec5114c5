from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs import make_family


def test_batched_pendulums_step_as_gymnasiums_own():
    family = make_family("pendulum-physics")
    tasks = family.sample(4, seed=0)
    venv: Any = family.make_vec(tasks, envs_per_task=2)
    observations, _ = venv.reset(seed=0)
    originals: list[Any] = []
    for index in range(venv.num_envs):
        env: Any = gymnasium.make("Pendulum-v1", max_episode_steps=family.horizon)
        env.reset(seed=0)
        for name, value in tasks[index // 2].parameters.items():
            setattr(env.unwrapped, name, value)
        env.unwrapped.state = venv._states[index].copy()
        originals.append(env)
    rng = np.random.default_rng(1)
    truncated = np.zeros(venv.num_envs, bool)
    for _ in range(family.horizon):
        # Beyond every motor's strength at times.
        actions = rng.uniform(-2, 2, (venv.num_envs, 1)).astype(np.float32)
        observations, rewards, terminated, truncated, _ = venv.step(actions)
        for index, env in enumerate(originals):
            observation, reward, end, cut, _ = env.step(actions[index])
            np.testing.assert_allclose(observations[index], observation, atol=1e-6)
            np.testing.assert_allclose(rewards[index], reward, rtol=1e-6, atol=1e-6)
            assert (terminated[index], truncated[index]) == (end, cut)
    assert truncated.all()


def test_one_seed_starts_both_alike():
    family = make_family("pendulum-physics")
    [task] = family.sample(1, seed=0)
    np.testing.assert_array_equal(
        family.make(task).reset(seed=7)[0], family.make_vec([task]).reset(seed=7)[0][0]
    )
