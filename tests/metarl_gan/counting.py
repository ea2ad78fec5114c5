"""A family that counts every step of its environments, whoever takes it."""

import gymnasium

from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv


class CountedSteps(gymnasium.Wrapper):
    """Adds its steps to the family's."""

    def __init__(self, env, family):
        super().__init__(env)
        self._family = family

    def step(self, action):
        self._family.steps += 1
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._family.early_ends += terminated
        return observation, reward, terminated, truncated, info


class CountingFamily(TaskFamily):
    """`family`, with `steps` taken and `early_ends` of episodes so far; in this process alone."""

    def __init__(self, family):
        super().__init__(
            name=family.name,
            task_space=family.task_space,
            observation_space=family.observation_space,
            action_space=family.action_space,
            horizon=family.horizon,
            floors=family.floors,
            reference=family.reference,
        )
        self._family, self.steps, self.early_ends = family, 0, 0

    def make(self, task, *, render_mode=None):
        return CountedSteps(self._family.make(task), self)

    def make_vec(self, tasks, envs_per_task=1, **_stepping):
        return SyncTaskVectorEnv(self, tasks, envs_per_task)

    def taken(self):
        """Steps since this was last asked."""
        steps, self.steps = self.steps, 0
        return steps


def require_honest_accounting(method, family, folder, *, max_real_steps, episodes=2):
    """Train and adapt: what was stepped is what is reported, and training keeps its budget.

    Episodes must have ended early in it, so that nothing can be right by multiplying horizons.
    """
    counting = CountingFamily(family)
    assert method.objection(counting) is None
    counting.taken()  # asking costs what it costs
    trained = method.train(counting, seed=0, max_real_steps=max_real_steps, folder=folder)
    assert counting.taken() == trained.real_steps + trained.validation_real_steps
    assert 0 <= trained.real_steps <= max_real_steps
    points = [point.real_steps for point in trained.learning_curve]
    assert points == sorted(points)
    assert all(steps <= trained.real_steps for steps in points)
    again = method.train(counting, seed=0, max_real_steps=max_real_steps, folder=folder)
    assert counting.taken() == 0  # only loaded
    tasks = family.sample(3, split="test", seed=1)
    curves = [
        agent.adaptation_curve(tasks, episodes, seed=2, scored_episodes=2)
        for agent in (trained, again)
    ]
    assert counting.taken() == sum(curve.real_steps for curve in curves)
    assert curves[0].returns.shape == (3, episodes + 1)
    assert (curves[0].returns == curves[1].returns).all()
    assert counting.early_ends
    return trained
