"""Reptile over algorithms of Stable-Baselines3: what moves, what it depends on, what it learns."""

import pytest
import torch
from gymnasium import spaces

import metarl_gan
from metarl_gan.config import LearnerConfig
from metarl_gan.config_error import ConfigError
from metarl_gan.learners.sb3_reptile import Sb3Reptile
from metarl_gan.learners.served_spaces import learners_for, require_served
from metarl_gan.meta_learner import Experience
from metarl_gan.trainer import Trainer
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan import tiny

SB3 = {
    "learner.algorithm": "sb3_reptile",
    "learner.sb3_updates": 2,
    "learner.sb3_batch_size": 8,
    "learner.sb3_lr": 0.01,
}


def settings(algorithm, **changes):
    return {**SB3, "learner.sb3_algorithm": algorithm, **changes}


def family_of(algorithm):
    return tiny.steer() if algorithm == "DQN" else tiny.walk()


def iterated(algorithm, n=2, **changes):
    family = family_of(algorithm)
    trainer = Trainer(tiny.tiny_components(family, **settings(algorithm, **changes)), family)
    for _ in range(n):
        trainer.meta_iteration()
    return trainer


def support_and_mixture(trainer, *, generated=True):
    """Real episodes of fresh tasks, and what there is to adapt on."""
    parts, tasks = trainer.components, trainer.family.sample(3, split="test", seed=1)
    collection, _ = trainer._collect("support", tasks, parts.meta_learner.initial_policy(3), 1)
    augmentation = parts.augmentation(generated=generated)
    return collection.batch, augmentation.mix(collection.batch, stream(3))


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "SAC", "TD3", "DQN"])
def test_adapting_takes_no_real_step_and_changes_nothing_but_the_outcome(algorithm):
    trainer = iterated(algorithm)
    learner, family = trainer.meta_learner, trainer.family
    env = type(family.make(family.sample(1, seed=0)[0]).unwrapped)
    _, mixture = support_and_mixture(trainer)
    assert (mixture.share == 0.5).all()
    before = {name: value.clone() for name, value in learner.tensors().items()}
    steps = env.total_steps
    adapted = [learner.adapt(mixture, 3).parameters for _ in range(2)]
    assert env.total_steps == steps
    tiny.assert_same_tensors(learner.tensors(), before)
    initial = learner.initial_policy(3)
    assert adapted[0].keys() == initial.keys()
    for name, value in adapted[0].items():
        assert value.shape == initial[name].shape
    assert not torch.equal(adapted[0]["weight_0"], initial["weight_0"])
    # Imagination draws from a stream that goes on; with real data alone all is the same again.
    _, real = support_and_mixture(trainer, generated=False)
    twice = [learner.adapt(real, 3).parameters for _ in range(2)]
    tiny.assert_same_tensors(*twice)
    trainer.close()


@pytest.mark.parametrize("algorithm", ["PPO", "TD3", "DQN"])
def test_tasks_adapt_as_if_alone(algorithm):
    trainer = iterated(algorithm, generated=False)
    learner = trainer.meta_learner
    support, mixture = support_and_mixture(trainer)
    together = learner.adapt(mixture, 3).parameters
    alone = trainer.components.augmentation().mix(support.select(0), stream())
    for name, value in learner.adapt(alone, 1).parameters.items():
        assert torch.equal(value[0], together[name][0]), name
    trainer.close()


@pytest.mark.parametrize("algorithm", ["PPO", "SAC", "DQN"])
def test_a_share_of_zero_is_the_agent_without_a_generator_to_the_bit(algorithm):
    found = [
        iterated(algorithm, n=3, **changes).meta_learner.tensors()
        for changes in ({"augmentation.share": 0.0}, {"generated": False})
    ]
    tiny.assert_same_tensors(*found)


@pytest.mark.parametrize("algorithm", ["PPO", "SAC"])
def test_generated_rows_matter_to_whom_has_a_share_alone(algorithm):
    trainer = iterated(algorithm)
    _, mixture = support_and_mixture(trainer)
    mixture.share[0] = 0.0
    real = support_and_mixture(trainer, generated=False)[1]
    ours, theirs = (trainer.meta_learner.adapt(each, 3).parameters for each in (mixture, real))
    for name, value in ours.items():
        assert torch.equal(value[0], theirs[name][0]), name
    assert not torch.equal(ours["weight_0"][1], theirs["weight_0"][1])
    trainer.close()


def test_the_outer_update_goes_part_of_the_way_to_where_tasks_end():
    """theta += step (mean_i theta_i - theta), after a last `train` on the query."""
    trainer = iterated("TD3", n=1, generated=False, **{"learner.reptile_step": 0.25})
    learner, family = trainer.meta_learner, trainer.family
    assert isinstance(learner, Sb3Reptile)
    support, mixture = support_and_mixture(trainer)
    adapted = learner.adapt(mixture, 3)
    experience = Experience(
        tasks=family.sample(3, seed=0),
        support=support,
        adapted=adapted,
        query=random_episodes((3, 1, 6), n_obs=2, n_act=1),
        share=mixture.share,
        reward_share=mixture.reward_share,
    )
    before = {name: value.clone() for name, value in learner.parameters.items()}
    learner.update(experience, stream())
    ends = [inner.state() for inner in learner._learners[:3]]
    for name, value in learner.parameters.items():
        mean = torch.stack([end[name] for end in ends]).mean(0)
        torch.testing.assert_close(value, before[name] + 0.25 * (mean - before[name]))
    assert not torch.equal(ends[0]["weight_0"], adapted.parameters["weight_0"][0])


@pytest.mark.parametrize("algorithm", ["PPO", "TD3"])
def test_stopping_and_resuming_equals_never_having_stopped(tmp_path, algorithm):
    family, changes = family_of(algorithm), settings(algorithm, **{"learner.sb3_updates": 3})
    agents = [tiny.train(tmp_path / "whole", family, iterations=4, **changes)]
    tiny.train(tmp_path / "parts", family, iterations=2, **changes)
    resumed = metarl_gan.train(family, resume=tmp_path / "parts", iterations=4, progress=False)
    agents.append(resumed)
    tiny.assert_same_tensors(*(agent.components.tensors() for agent in agents))
    curves = [tiny.curve(agent.components, family).returns for agent in agents]
    assert (curves[0] == curves[1]).all()
    assert curves[0].shape == (4, 3)


def test_a_dropped_task_leaves_the_others():
    family = tiny.faulty()
    components = tiny.tiny_components(family, **settings("SAC"), **{"sampler.tasks_per_batch": 6})
    trainer = Trainer(components, family)
    for _ in range(2):
        trainer.meta_iteration()
    assert trainer.counters.dropped_tasks
    trainer.close()


@pytest.mark.parametrize(
    ("algorithm", "space", "served"),
    [
        ("SAC", spaces.Discrete(3), ("maml", "PPO", "A2C", "DQN")),
        ("TD3", spaces.Box(-1.0, float("inf"), (2,)), ("maml", "PPO")),
        ("DQN", spaces.Box(-1.0, 1.0, (2,)), ("context_sac", "PPO", "A2C", "SAC", "TD3")),
    ],
)
def test_actions_that_an_algorithm_does_not_serve_are_refused(algorithm, space, served):
    learner = LearnerConfig(algorithm="sb3_reptile", sb3_algorithm=algorithm)
    with pytest.raises(ConfigError, match=f"sb3_algorithm={algorithm}.*does not serve") as error:
        require_served(learner, space)
    listed = str(error.value).partition("those that do:")[2]
    assert all(name in listed for name in served)
    assert algorithm not in listed
    for name in learners_for(space):
        assert name in listed


@pytest.mark.parametrize("algorithm", ["context_sac", "sb3_reptile"])
def test_the_refusal_comes_before_anything_is_written(tmp_path, algorithm):
    changes = {"learner.algorithm": algorithm, "learner.sb3_algorithm": "SAC"}
    with pytest.raises(ConfigError, match="does not serve the action space Discrete"):
        tiny.train(tmp_path / "run", tiny.steer(), **changes)
    assert not (tmp_path / "run").exists()


def test_rows_have_no_weights():
    with pytest.raises(ConfigError, match=r"rejection weights rows .* leave it out with sb3"):
        tiny.tiny_components(**settings("PPO"), **{"augmentation.rejection": True})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("clip_range", "give name=value"),
        ("colour=3", "PPO of Stable-Baselines3 takes no 'colour'.*clip_range"),
        ("clip_range_vf=-1", "refuses its settings"),
    ],
)
def test_options_that_an_algorithm_does_not_take(option, message):
    with pytest.raises(ConfigError, match=message):
        tiny.tiny_components(**settings("PPO"), **{"learner.sb3_options": (option,)})
