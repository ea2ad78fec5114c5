"""Every learner by gradient solves what can be solved exactly, to its known optimum."""

import pytest
import torch

from metarl_gan.agents.collector import collect
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import MixedRows
from metarl_gan.config import Config, LearnerConfig
from metarl_gan.data_augmentation import MixedData, NoAugmentation
from metarl_gan.dreams import policy_rows
from metarl_gan.learners.gradient import GradientMetaLearner
from tests.agents.toys import stream
from tests.metarl_gan.solvable import LinearQuadraticPoint, TwoArmedBandit

LEARNERS = {
    "maml": {},
    "fomaml": {"algorithm": "fomaml"},
    "reptile": {"algorithm": "reptile", "reptile_step": 0.2},
    "trust_region": {"outer": "trust_region", "max_kl": 0.05},
    "promp": {"kl_penalty": 1.0, "kl_target": 0.05},
    "meta_sgd": {"inner_lr_per": "parameter"},
    "dice": {"estimator": "dice"},
}


EPISODES = 50


class MetaTraining:
    """A learner of linear policies on a family, without generated data."""

    def __init__(self, family, start, **settings):
        self.family, self.config = family, LearnerConfig(**settings)
        spaces_of = (family.observation_space, family.action_space)
        self.policy = make_policy(*spaces_of, hidden_sizes=(), initial_std=0.5)
        self.learner = GradientMetaLearner(self.policy, self.config, stream())
        with torch.no_grad():
            self.learner.parameters["bias_0"].copy_(torch.tensor(start))
        self.augmentation = NoAugmentation(Config(learner=self.config))

    def play(self, tasks, parameters, seed, *, deterministic=False):
        venv = self.family.make_vec(tasks, EPISODES)
        noise = stream(seed)
        return collect(
            venv, self.policy, parameters, noise, seed=seed, deterministic=deterministic
        ).batch

    def adapt(self, tasks, seed):
        support = self.play(tasks, self.learner.initial_policy(len(tasks)), seed)
        return self.learner.adapt(self.augmentation.mix(support, stream()), len(tasks))

    def train(self, iterations):
        for iteration in range(iterations):
            tasks = self.family.sample(10, split="train", seed=iteration)
            adapted = self.adapt(tasks, 2 * iteration)
            query = self.play(tasks, adapted.parameters, 2 * iteration + 1)
            self.learner.outer_loop(adapted, policy_rows(query, self.config))
        return self

    def scores(self):
        """Test tasks, and their mean returns when the adapted policies do what they think best."""
        tasks = self.family.sample(20, split="test", seed=0)
        adapted = self.adapt(tasks, 10_000).parameters
        returns = self.play(tasks, adapted, 10_001, deterministic=True).returns().mean(-1)
        return tasks, returns

    def tried(self):
        """Least mean return over test tasks, of adapted policies that sample their actions."""
        tasks = self.family.sample(20, split="test", seed=0)
        adapted = self.adapt(tasks, 10_000).parameters
        return float(self.play(tasks, adapted, 10_002).returns().mean(-1).min())


@pytest.mark.parametrize("name", LEARNERS)
def test_two_armed_bandits_are_solved_from_a_start_that_prefers_one_arm(name):
    family = TwoArmedBandit(2)
    settings = {"inner_steps": 3, "inner_lr": 1.0, "outer_lr": 0.02, **LEARNERS[name]}
    training = MetaTraining(family, [2.5, 0.0], **settings)
    before = training.tried()
    tasks, returns = training.train(10).scores()
    assert returns.tolist() == [family.best_return(task) for task in tasks]
    # Nearly surely so: what is tried, too, is nearly always the better arm.
    assert training.tried() > max(before, 0.8 * family.horizon)


class Afresh(MixedData):
    """Episodes of the true dynamics for every inner step: imagination that is not in error.

    An episode that was played before the first step says little of
    a policy that has narrowed since, and no learner comes to the optimum on such alone.
    """

    def __init__(self, play):
        self._play, self._drawn = play, 0

    def draw(self, parameters):
        self._drawn += 1
        return MixedRows(real=self._play(parameters, self._drawn))


class ImaginingTraining(MetaTraining):
    """The same with the true dynamics in place of a generator."""

    def adapt(self, tasks, seed):
        def play(parameters, step):
            return policy_rows(self.play(tasks, parameters, 1000 * seed + step), self.config)

        return self.learner.inner_loop(Afresh(play), len(tasks))


@pytest.mark.parametrize("name", LEARNERS)
def test_linear_quadratic_points_are_solved_from_a_start_that_walks_off(name):
    family = LinearQuadraticPoint(2)
    settings = {"inner_steps": 8, "inner_lr": 0.03, "outer_lr": 0.005, "discount": 1.0}
    own = {"reptile": {"reptile_step": 0.1}, "trust_region": {"max_kl": 0.005}}
    training = ImaginingTraining(family, [0.6], **settings | LEARNERS[name] | own.get(name, {}))
    lost = []
    for iterations in (0, 12):
        tasks, returns = training.train(iterations).scores()
        best, idle = (
            torch.tensor([price(task) for task in tasks])
            for price in (family.best_return, family.idle_return)
        )
        assert (returns <= best + 1e-6).all()
        # Of what one loses who never learns which task it is.
        lost.append(float((best - returns).sum() / (best - idle).sum()))
    assert lost[1] < 0.12 < 0.4 < lost[0]
