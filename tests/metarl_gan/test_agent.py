"""An agent adapts to one environment that somebody made, and imagines what a context says."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from metarl_gan.agent import MetaAgent
from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.config_error import ConfigError
from metarl_gan.context_error import ContextError
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan import tiny


@pytest.fixture(scope="module")
def agent():
    return MetaAgent(tiny.trained_components())


@pytest.fixture(scope="module")
def steering():
    return MetaAgent(tiny.trained_components(tiny.steer()))


class Endless(tiny.Walk):
    """Never terminates, and has no time limit."""

    def step(self, action):
        observation, reward, _, _, info = super().step(np.clip(action, -0.05, 0.05))
        return observation, reward, False, False, info


def test_adapting_changes_the_policy_by_what_the_task_rewards(agent):
    initial, left, right = (
        agent.adapt(tiny.Walk(goal=goal), episodes=n).parameters
        for goal, n in ((0.0, 0), (-0.9, 1), (0.9, 1))
    )
    own = agent.components.meta_learner.initial_policy(1)
    tiny.assert_same_tensors(initial, own)
    for name in ("weight_0", "weight_1", "log_std"):
        assert not torch.equal(left[name], initial[name])
        assert not torch.equal(left[name], right[name])


def test_the_horizon_ends_episodes_of_an_environment_without_time_limit(agent, monkeypatch):
    env = Endless(goal=0.5)
    monkeypatch.setattr(Endless, "total_steps", 0)
    agent.adapt(env, episodes=3)
    assert Endless.total_steps == 3 * tiny.HORIZON


def test_an_environment_s_own_time_limit_ends_episodes_earlier(agent, monkeypatch):
    monkeypatch.setattr(Endless, "total_steps", 0)
    agent.adapt(gymnasium.wrappers.TimeLimit(Endless(goal=0.5), 4), episodes=2)
    assert Endless.total_steps == 2 * 4


def test_the_environment_stays_open_and_usable(agent):
    env = tiny.Walk(goal=0.5)
    policy = agent.adapt(env)
    assert not env.closed
    observation, _ = env.reset(seed=0)
    env.step(policy.predict(observation)[0])


def test_a_seed_gives_the_same_policy_and_another_seed_another(agent):
    same, again, other = (agent.adapt(tiny.Walk(goal=0.5), seed=s).parameters for s in (1, 1, 2))
    tiny.assert_same_tensors(same, again)
    assert not torch.equal(same["weight_0"], other["weight_0"])


def test_without_generated_data_it_is_the_agent_without_a_generator(agent):
    """The same weights beside no GAN at all adapt to the same policy."""
    without = tiny.tiny_components(generated=False)
    without.restore(
        {
            name: value
            for name, value in agent.components.tensors().items()
            if not name.startswith("gan.")
        }
    )
    env = tiny.Walk(goal=0.5)
    bare = MetaAgent(without).adapt(env, episodes=2).parameters
    tiny.assert_same_tensors(agent.adapt(env, episodes=2, generated=False).parameters, bare)
    mixed = agent.adapt(env, episodes=2).parameters
    assert not torch.equal(mixed["weight_0"], bare["weight_0"])


@pytest.mark.parametrize("adaptation", ["inversion", "maml"])
def test_it_adapts_where_gradients_are_switched_off(adaptation):
    made = MetaAgent(tiny.trained_components(generator__adaptation=adaptation))
    expected = made.adapt(tiny.Walk(goal=0.5)).parameters
    with torch.no_grad():
        found = made.adapt(tiny.Walk(goal=0.5)).parameters
    tiny.assert_same_tensors(found, expected)


def test_adapting_leaves_the_agent_as_it_was(agent):
    before = {name: value.clone() for name, value in agent.components.tensors().items()}
    agent.adapt(tiny.Walk(goal=0.5), episodes=2)
    tiny.assert_same_tensors(agent.components.tensors(), before)


def test_a_simulator_needs_a_family_and_says_so():
    made = MetaAgent(tiny.tiny_components(generator__kind="simulator"))
    env = tiny.Walk(goal=0.5)
    with pytest.raises(
        ConfigError, match=r"kind is 'simulator'.*on a family only.*generated=False"
    ):
        made.adapt(env)
    assert not env.closed
    assert made.adapt(env, generated=False).parameters.keys()


def test_an_encoder_of_descriptors_has_to_be_told_the_task():
    made = MetaAgent(tiny.trained_components(encoder__descriptor=True))
    family, env = tiny.walk(), tiny.Walk(goal=0.5)
    with pytest.raises(ConfigError, match=r"encoder\.descriptor is True.*told which task"):
        made.adapt(env)
    near, far = (made.adapt(env, task=family.task(goal=goal)).parameters for goal in (0.5, -0.9))
    assert not torch.equal(near["weight_0"], far["weight_0"])


class Brief(tiny.Walk):
    """Is over after its first step."""

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, True, False, info


def test_it_warns_when_what_it_played_is_too_short_for_its_generator(agent, recwarn):
    """`encoder.min_context` is 2."""
    env = Brief(goal=0.5)
    with pytest.warns(
        UserWarning, match=r"1 real transitions were played.*takes 2 .*real data alone"
    ):
        short = agent.adapt(env, episodes=1).parameters
    tiny.assert_same_tensors(short, agent.adapt(env, episodes=1, generated=False).parameters)
    recwarn.clear()
    enough = agent.adapt(env, episodes=2).parameters
    bare = agent.adapt(env, episodes=2, generated=False).parameters
    assert not torch.equal(enough["weight_0"], bare["weight_0"])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"mode": "fixed"}, 2),
        ({"mode": "scheduled"}, 2),
        ({"mode": "gated"}, 4),
        ({"mode": "gated", "gate": "validation"}, 2),
    ],
)
def test_a_gate_by_the_task_itself_takes_twice_the_transitions(settings, least):
    changes = {f"augmentation__{name}": value for name, value in settings.items()}
    assert tiny.tiny_config(**changes).least_support == least


# `imagine`: a context of one task, two episodes of four steps.


def a_context(n_steps=4, *, n_obs=2, **changes):
    batch = random_episodes((1, 2, n_steps), n_obs=n_obs, n_act=1)
    return replace(batch, **{name: change(batch) for name, change in changes.items()})


def walked(goal=0.5, n_episodes=3):
    """Real episodes of a walk, as random as a fresh policy."""
    family = tiny.walk()
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=())
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 1)
    venv = family.make_vec([family.task(goal=goal)], n_episodes)
    return collect(venv, policy, parameters, stream(), seed=0).batch


def test_it_imagines_what_the_context_says(agent):
    imagined = agent.imagine(walked(), n_rollouts=5)
    assert imagined.rewards.shape == (1, 5, 4)  # augmentation.rollout_steps
    assert imagined.generated.all()
    assert not imagined.rewards.requires_grad
    assert agent.imagine(walked(), n_steps=7).rewards.shape == (1, 8, 7)
    again, other_seed, other_task = (
        agent.imagine(walked(goal), n_rollouts=5, seed=seed)
        for goal, seed in ((0.5, 0), (0.5, 1), (-0.9, 0))
    )
    assert torch.equal(imagined.rewards, again.rewards)
    assert not torch.equal(imagined.actions, other_seed.actions)
    assert torch.equal(imagined.actions[:, :, 0], other_task.actions[:, :, 0])
    assert not torch.equal(imagined.rewards, other_task.rewards)
    # From where real episodes begin, under the initial policy.
    space, policy = agent.components.gan.space, agent.components.policy
    starts = {tuple(row) for row in space.starts.tolist()}
    assert {tuple(row) for row in imagined.observations[0, :, 0].tolist()} <= starts
    log_probs = policy.log_probs(
        agent.components.meta_learner.initial_policy(1),
        imagined.observations.flatten(1, 2),
        imagined.actions.flatten(1, 2),
    )
    torch.testing.assert_close(log_probs, imagined.log_probs.flatten(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["agent", "steering"])
def test_what_follows_the_end_of_an_episode_may_hold_anything(request, kind):
    made = request.getfixturevalue(kind)
    context = a_context()
    if kind == "steering":
        context = replace(context, actions=torch.ones(context.rewards.shape, dtype=torch.int64))
    nothing = ~context.valid
    assert nothing.any()
    wide = nothing.unsqueeze(-1)
    spoilt = replace(
        context,
        observations=context.observations.masked_fill(wide, torch.nan),
        rewards=context.rewards.masked_fill(nothing, torch.inf),
        actions=context.actions.masked_fill(nothing if kind == "steering" else wide, -7),
    )
    assert torch.equal(made.imagine(context).rewards, made.imagine(spoilt).rewards)


def poisoned(field, value):
    def change(batch):
        values = getattr(batch, field).clone()
        values[0, 1, 2] = value
        return values

    return {field: change}


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (
            a_context(valid=lambda b: torch.arange(4) < torch.tensor([[[1], [0]]])),
            r"has 1 valid transitions of a task.*than 2 \(encoder\.min_context\).*more episodes",
        ),
        (
            a_context(valid=lambda b: torch.zeros_like(b.valid)),
            "has 0 valid transitions",
        ),
        (
            a_context(**poisoned("rewards", torch.nan)),
            r"rewards are \[nan\] at step 2 of episode 1.*finite numbers: leave that episode out",
        ),
        (
            a_context(**poisoned("next_observations", torch.inf)),
            r"next_observations are \[inf, inf\] at step 2 of episode 1",
        ),
        (a_context(**poisoned("observations", -torch.inf)), r"observations are \[-inf, -inf\]"),
        (a_context(**poisoned("actions", torch.nan)), r"actions are \[nan\] at step 2"),
        (
            a_context(n_obs=3),
            "observations have 3 components; those of this generator's family have 2: give",
        ),
        (
            a_context(actions=lambda b: b.actions.repeat(1, 1, 1, 4)),
            "actions have 4 components; those of this generator's family have 1: give",
        ),
        (
            a_context(actions=lambda b: b.actions.squeeze(-1).long()),
            "actions are discrete; those of this generator's family are continuous: give",
        ),
        (
            a_context(generated=lambda b: b.valid),
            "has generated transitions; give real ones only",
        ),
        (random_episodes((2, 2, 4), n_obs=2, n_act=1), "of 2 tasks; give that of one"),
    ],
)
def test_a_context_that_says_nothing_is_refused_with_what_to_do(agent, context, message):
    with pytest.raises(ContextError, match=f"(?s){message}"):
        agent.imagine(context)


@pytest.mark.parametrize(("action", "fits"), [(0, True), (2, True), (3, False), (-1, False)])
def test_discrete_actions_must_be_those_of_the_family(steering, action, fits):
    context = a_context(actions=lambda b: torch.full(b.rewards.shape, action))
    if fits:
        assert steering.imagine(context).actions.dtype == torch.int64
        return
    with pytest.raises(ContextError, match=f"has action {action}; those .* are 0 to 2: give"):
        steering.imagine(context)
    with pytest.raises(ContextError, match=r"actions are continuous; those .* are discrete"):
        steering.imagine(a_context())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generated": False}, "without a generator .generated=False"),
        ({"augmentation__mode": "none"}, "without a generator"),
        ({"generator__kind": "none"}, "without a generator .*kind='none'"),
        ({"generator__kind": "simulator"}, "without a generator .*kind='simulator'"),
        ({}, "whose generator has not learnt yet .*0 meta-iterations"),
    ],
)
def test_without_a_generator_there_is_no_imagination(settings, message):
    with pytest.raises(ContextError, match=f"{message}.*train one"):
        MetaAgent(tiny.tiny_components(**settings)).imagine(a_context())


@pytest.mark.parametrize("name", ["n_rollouts", "n_steps"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_below_one_are_refused(agent, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; give 1 or more"):
        agent.imagine(a_context(), **{name: value})


def test_an_imagination_that_needs_the_descriptor_is_given_the_task():
    made = MetaAgent(tiny.trained_components(encoder__descriptor=True))
    with pytest.raises(ConfigError, match="told which task"):
        made.imagine(walked())
    first, other = (
        made.imagine(walked(), task=tiny.walk().task(goal=goal)).rewards for goal in (-0.9, 0.9)
    )
    assert not torch.equal(first, other)


class Broken(tiny.Walk):
    def step(self, action):
        raise RuntimeError("motor burnt")


def with_space(name, space):
    env = tiny.Walk(goal=0.0)
    setattr(env, name, space)
    return env


@pytest.mark.parametrize(
    ("env", "episodes", "message"),
    [
        (with_space("observation_space", spaces.Box(-1, 1, (3,))), 1, "the observation space"),
        (with_space("action_space", spaces.Discrete(3)), 1, "the environment has the action"),
        (with_space("action_space", spaces.Box(-1, 1, (2,))), 1, "the environment has the action"),
        (tiny.Walk(goal=0.0), -1, "episodes is -1; give the number of real episodes, >= 0"),
        (tiny.Walk(goal=0.0, fault=1), 1, "cannot adapt in this .*step 2 returned reward nan"),
        (Broken(goal=0.0), 1, "cannot adapt in this environment.*motor burnt"),
    ],
)
def test_what_it_cannot_adapt_to_is_a_value_error(agent, env, episodes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        agent.adapt(env, episodes=episodes)
    assert not env.closed


def test_discrete_spaces_must_be_the_same(steering):
    env = tiny.Steer(goal=0.0)
    env.action_space = spaces.Discrete(3, start=1)
    with pytest.raises(ValueError, match="the action space"):
        steering.adapt(env)


def test_actions_fit_an_environment_with_other_bounds(agent):
    """Bounds may differ from the family's: actions must not leave those of the environment."""
    env = with_space("action_space", spaces.Box(-0.01, 0.01, (1,), np.float32))
    policy = agent.adapt(env)
    observations = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    actions, _ = policy.predict(observations)
    assert policy.action_space == env.action_space
    assert np.abs(actions).max() == np.float32(0.01)


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_stable_baselines3_evaluates_it_and_loads_what_it_writes(request, tmp_path, kind):
    made = request.getfixturevalue("agent" if kind == "box" else "steering")
    env = gymnasium.wrappers.TimeLimit(
        tiny.Walk(goal=0.5) if kind == "box" else tiny.Steer(goal=0.5), tiny.HORIZON
    )
    policy = made.adapt(env)
    assert policy.policy.observation_scale() is not None
    mean, spread = evaluate_policy(policy, Monitor(env), n_eval_episodes=3)
    assert np.isfinite([mean, spread]).all()
    policy.to_sb3(str(tmp_path / "policy.zip"))
    loaded = PPO.load(tmp_path / "policy.zip", device="cpu")
    observations = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    ours, theirs = (
        acting.predict(observations, deterministic=True)[0] for acting in (policy, loaded)
    )
    assert ours.shape == theirs.shape
    if kind == "discrete":
        assert len(np.unique(ours)) > 1
        assert (ours == theirs).all()
    else:
        assert np.ptp(ours) > 0.05
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
