import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.adapted_policy import AdaptedPolicy
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from tests.agents.toys import stream
from tests.envs.gears import NamedGears

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-2, 10], np.float32), np.array([2, 16], np.float32))
CHOICE = spaces.Discrete(3, start=4)


def adapted(action_space, *, hidden_sizes=(6, 5), activation="tanh", std=0.5):
    policy = make_policy(
        OBSERVATIONS,
        action_space,
        hidden_sizes=hidden_sizes,
        activation=activation,
        initial_std=std,
    )
    policy.set_observation_scale(torch.tensor([1.0, -1, 0]), torch.tensor([0.5, 2, 3]))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 1)
    noise = stream(1)
    parameters = {
        name: value + 0.5 * torch.randn(value.shape, generator=noise)
        for name, value in parameters.items()
    }
    return AdaptedPolicy(policy, parameters, OBSERVATIONS, action_space)


def rows(n=6):
    return np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)


@pytest.mark.parametrize("space", [BOX, CHOICE])
def test_one_observation_or_several(space):
    policy = adapted(space)
    several, state = policy.predict(rows(), deterministic=True)
    assert several.shape == (6, *space.shape)
    assert state is None
    for row, expected in zip(rows(), several, strict=True):
        action, _ = policy.predict(row, deterministic=True)
        np.testing.assert_allclose(action, expected, rtol=1e-5)
        assert space.contains(action)


HYBRID = {
    "tuple": spaces.Tuple([CHOICE, BOX]),
    "dict": spaces.Dict({"thrust": BOX, "gear": CHOICE}),
    "multi-discrete": spaces.MultiDiscrete([3, 4], start=[1, -2]),
}


@pytest.mark.parametrize("name", HYBRID)
@pytest.mark.parametrize("deterministic", [True, False])
def test_actions_of_several_parts_are_what_the_environment_takes(name, deterministic):
    policy = adapted(HYBRID[name], std=2.0)
    single, _ = policy.predict(rows()[0], deterministic=deterministic)
    assert HYBRID[name].contains(single)
    several, _ = policy.predict(rows(), deterministic=deterministic)
    assert len(several) == 6
    assert all(map(HYBRID[name].contains, several))
    if deterministic:
        assert str(several[0]) == str(single)


def test_thrusts_and_gears_are_their_columns():
    policy = adapted(HYBRID["dict"])
    inputs = torch.as_tensor(rows(20))[None]
    columns = policy.policy.mode(policy.parameters, inputs)[0].numpy()
    actions, _ = policy.predict(rows(20), deterministic=True)
    assert [action["gear"] for action in actions] == columns[:, 0].astype(int).tolist()
    assert len({int(action["gear"]) for action in actions}) > 1
    thrusts = np.stack([action["thrust"] for action in actions])
    np.testing.assert_array_equal(thrusts, np.clip(columns[:, 1:], BOX.low, BOX.high))


def test_samples_are_clipped_repeatable_and_spread():
    policy = adapted(BOX, std=2.0)
    many = np.repeat(rows(1), 500, axis=0)
    policy.set_random_seed(3)
    first, _ = policy.predict(many)
    policy.set_random_seed(3)
    again, _ = policy.predict(many)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(policy.predict(many)[0], first)
    assert (first >= BOX.low).all()
    assert (first <= BOX.high).all()
    assert first.dtype == BOX.dtype
    assert ((first == BOX.low) | (first == BOX.high)).mean() > 0.2
    assert (first.std(0) > 0.5).all()


def test_observations_of_another_shape_are_refused():
    for wrong in (np.zeros(4), np.zeros((2, 2)), np.zeros((1, 2, 3))):
        with pytest.raises(ValueError, match=r"observation has shape"):
            adapted(BOX).predict(wrong)


def test_later_changes_of_the_parameters_do_not_reach_it():
    policy = make_policy(OBSERVATIONS, BOX)
    shared = expand_over_tasks(policy.initial_parameters(stream()), 1)
    frozen = AdaptedPolicy(policy, shared, OBSERVATIONS, BOX)
    before, _ = frozen.predict(rows(), deterministic=True)
    shared["bias_2"] += 1.0
    policy.set_observation_scale(torch.ones(3), torch.ones(3))
    np.testing.assert_array_equal(frozen.predict(rows(), deterministic=True)[0], before)


@pytest.mark.parametrize(
    ("space", "activation"), [(BOX, "tanh"), (BOX, "relu"), (spaces.Discrete(3), "silu")]
)
def test_stable_baselines3_loads_what_was_written(tmp_path, space, activation):
    from stable_baselines3 import PPO

    policy = adapted(space, activation=activation)
    policy.to_sb3(str(tmp_path / "policy.zip"))
    loaded = PPO.load(tmp_path / "policy.zip", device="cpu")
    ours, _ = policy.predict(rows(50), deterministic=True)
    theirs, _ = loaded.predict(rows(50), deterministic=True)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)
    # The same distribution, not only the same mode.
    observations = torch.as_tensor(rows(50))
    actions = torch.as_tensor(policy.predict(rows(50))[0])
    log_probs = policy.policy.log_probs(policy.parameters, observations[None], actions[None])
    _, expected, entropy = loaded.policy.evaluate_actions(observations, actions)
    torch.testing.assert_close(log_probs[0], expected, rtol=1e-4, atol=1e-4)
    ours = policy.policy.entropy(policy.parameters, observations[None])[0]
    torch.testing.assert_close(ours, entropy, rtol=1e-4, atol=1e-4)


def test_stable_baselines3_evaluates_it_as_it_is():
    from stable_baselines3.common.evaluation import evaluate_policy

    env = gymnasium.make("Pendulum-v1")
    assert isinstance(env.observation_space, spaces.Box)
    policy = make_policy(env.observation_space, env.action_space)
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 1)
    acting = AdaptedPolicy(policy, parameters, env.observation_space, env.action_space)
    with pytest.warns(UserWarning, match="Monitor"):
        # Their protocol also has dictionaries of observations, which evaluation never passes.
        mean, _ = evaluate_policy(acting, env, n_eval_episodes=1)  # pyrefly: ignore
    assert isinstance(mean, float)
    assert -2000 < mean < 0


def test_stable_baselines3_evaluates_actions_of_several_parts():
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    env = Monitor(gymnasium.wrappers.TimeLimit(NamedGears(), 8))
    policy = make_policy(env.observation_space, env.action_space)
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 1)
    assert isinstance(env.observation_space, spaces.Box)
    acting = AdaptedPolicy(policy, parameters, env.observation_space, env.action_space)
    mean, _ = evaluate_policy(acting, env, n_eval_episodes=2)  # pyrefly: ignore
    assert isinstance(mean, float)
    assert -24 < mean < 0


def test_a_policy_without_hidden_layers_has_no_counterpart_there(tmp_path):
    with pytest.raises(ValueError, match="hidden layer"):
        adapted(BOX, hidden_sizes=()).to_sb3(str(tmp_path / "policy.zip"))
