import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.envs import ParametricFamily, Uniform
from metarl_gan.gan import ConditionalGAN
from metarl_gan.imagination import STATE_LIMIT_STDS, imagine
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan.toys import (
    BOX,
    CHOICE,
    OBSERVATIONS,
    known,
    layers,
    small_config,
    small_gan,
)

N_STEPS = 12
BONUSES = [-0.5, 0.0, 0.5]


class Ramp(gymnasium.Env):
    """`x` moves by half the action; the reward is `x + bonus`; all is over beyond 1."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, bonus):
        self.bonus, self.x = bonus, 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = float(self.np_random.uniform(-1.0, 0.5))
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x += 0.5 * float(action[0])
        return np.array([self.x], np.float32), self.x + self.bonus, self.x > 1, False, {}


RAMPS = ParametricFamily(Ramp, {"bonus": Uniform(-1.0, 1.0)}, horizon=N_STEPS, name="ramp")


def ramp_policy():
    policy = make_policy(RAMPS.observation_space, RAMPS.action_space, hidden_sizes=(8,))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), len(BONUSES))
    # One task's policy keeps clear of the end, the others' go there sooner or later.
    parameters["bias_1"] = torch.tensor([[-0.2], [0.1], [0.4]])
    return policy, parameters


def real_episodes(n_envs=4):
    tasks = [RAMPS.task(bonus=bonus) for bonus in BONUSES]
    policy, parameters = ramp_policy()
    return collect(RAMPS.make_vec(tasks, n_envs), policy, parameters, stream(), seed=0).batch


def perfect_gan(*, residual=True, noise_size=2):
    """A linear generator with the weights that the environment has; the encoding is the bonus."""
    config = small_config(
        generator={"hidden_sizes": (), "residual": residual, "noise_size": noise_size},
        encoder={"encoding_size": 1},
    )
    gan = ConditionalGAN(RAMPS.observation_space, RAMPS.action_space, config)
    space = gan.space
    space.update(real_episodes())
    (x_mean, x_std), (target_mean, target_std), (reward_mean, reward_std) = (
        (float(part.mean), float(part.std)) for part in (space.state, space.change, space.reward)
    )
    keep = 0.0 if residual else 1.0
    [(dynamics, dynamics_bias)] = layers(gan.imagining.dynamics)
    [(reward, reward_bias)] = layers(gan.imagining.reward)
    with torch.no_grad():
        # Inputs: x in standard deviations, the action, the bonus, noise, which counts nothing.
        dynamics.zero_()
        dynamics[0, :2, 0] = torch.tensor([keep * x_std, 0.5]) / target_std
        dynamics_bias[0, 0] = (keep * x_mean - target_mean) / target_std
        # The steepest of sigmoids at x + .5 a = 1.
        dynamics[0, :2, 1] = 1e6 * torch.tensor([x_std, 0.5])
        dynamics_bias[0, 1] = 1e6 * (x_mean - 1.0)
        # Inputs: x, the action, the change (or next x) in standard deviations, the bonus.
        reached = torch.tensor([(1 - keep) * x_std, 0.0, target_std, 1.0])
        reward.copy_((reached / reward_std).view(1, 4, 1))
        reward_bias.fill_(((1 - keep) * x_mean + target_mean - reward_mean) / reward_std)
    return gan


def dream(gan, starts, n_steps=N_STEPS, seed=1):
    policy, parameters = ramp_policy()
    context = known(torch.tensor(BONUSES).unsqueeze(-1))
    return imagine(gan, context, policy, parameters, starts, n_steps, stream(seed))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("noise_size", [0, 2])
def test_a_perfect_generator_imagines_what_the_environment_does(residual, noise_size):
    gan = perfect_gan(residual=residual, noise_size=noise_size)
    starts = gan.space.draw_starts((3, 6), stream())
    imagined = dream(gan, starts)
    ends = []
    for task, bonus in enumerate(BONUSES):
        for rollout in range(6):
            env, over = Ramp(bonus), False
            env.x = float(starts[task, rollout, 0])
            for time in range(N_STEPS):
                at = (task, rollout, time)
                assert imagined.valid[at] == (not over)
                if over:
                    continue
                assert imagined.observations[at].item() == pytest.approx(env.x, abs=1e-4)
                action = imagined.actions[at].clamp(-1.0, 1.0).numpy()
                state, reward, over, _, _ = env.step(action)
                assert imagined.next_observations[at].item() == pytest.approx(
                    float(state[0]), abs=1e-4
                )
                assert imagined.rewards[at].item() == pytest.approx(reward, abs=1e-4)
                assert imagined.terminated[at] == over
                assert imagined.truncated[at] == (time == N_STEPS - 1 and not over)
            ends.append(over)
    assert 2 < sum(ends) < len(ends) - 2


def test_every_row_is_flagged_as_generated_and_the_shapes_are_those_of_tasks():
    imagined = dream(perfect_gan(), torch.zeros(3, 5, 1), n_steps=7)
    assert imagined.valid.shape == (3, 5, 7)
    assert imagined.generated.all()
    assert imagined.observations.requires_grad is False


def test_log_probs_are_of_the_policy_of_each_task():
    policy, parameters = ramp_policy()
    parameters["bias_1"] = torch.tensor([[-1.0], [0.0], [1.0]])
    context, starts = known(torch.zeros(3, 1)), torch.zeros(3, 5, 1)
    imagined = imagine(perfect_gan(), context, policy, parameters, starts, 4, stream())
    found = policy.log_probs(
        parameters, imagined.observations.flatten(1, 2), imagined.actions.flatten(1, 2)
    )
    torch.testing.assert_close(found, imagined.log_probs.flatten(1), rtol=1e-4, atol=1e-4)
    assert imagined.actions[0].mean() < -0.5
    assert imagined.actions[2].mean() > 0.5


def test_an_uncertain_end_comes_as_often_as_its_probability():
    gan = perfect_gan()
    [(weight, bias)] = layers(gan.imagining.dynamics)
    with torch.no_grad():
        weight[..., 1] = 0.0
        bias[..., 1] = np.log(0.25 / 0.75)
    imagined = dream(gan, torch.zeros(3, 1000, 1), n_steps=3)
    assert imagined.terminated[..., 0].float().mean() == pytest.approx(0.25, abs=0.03)
    lasting = imagined.valid.float().mean((0, 1)).tolist()
    assert lasting == pytest.approx([1.0, 0.75, 0.75**2], abs=0.03)
    assert not (imagined.terminated & ~imagined.valid).any()
    assert torch.equal(
        imagined.truncated[..., 2], imagined.valid[..., 2] & ~imagined.terminated[..., 2]
    )


def test_a_runaway_rollout_stops_at_the_limit():
    gan = perfect_gan()
    [(weight, bias)] = layers(gan.imagining.dynamics)
    with torch.no_grad():
        weight.zero_()
        bias.copy_(torch.tensor([[1e8, -50.0]]))
    imagined = dream(gan, torch.zeros(3, 2, 1))
    limit = gan.space.state.mean + STATE_LIMIT_STDS * gan.space.state.std
    torch.testing.assert_close(imagined.next_observations, limit.expand(3, 2, N_STEPS, 1))


def test_the_same_stream_imagines_the_same():
    gan = perfect_gan()
    first, again, other = (dream(gan, torch.zeros(3, 2, 1), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.rewards, again.rewards)
    assert not torch.equal(first.rewards, other.rewards)


@pytest.mark.parametrize("action_space", [BOX, CHOICE])
@pytest.mark.parametrize("noise_size", [0, 3])
def test_the_noise_reaches_the_rollout_and_discrete_actions_work(action_space, noise_size):
    gan = small_gan(small_config(generator={"noise_size": noise_size}), action_space=action_space)
    n_choices = 4 if action_space is CHOICE else None
    batch = random_episodes((2, 2, 8), n_choices=n_choices)
    gan.space.update(batch if n_choices is None else shifted(batch))
    policy = make_policy(OBSERVATIONS, action_space, hidden_sizes=(8,))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 2)
    starts = torch.zeros(2, 50, 3)
    imagined = imagine(gan, known(torch.zeros(2, 3)), policy, parameters, starts, 5, stream())
    assert imagined.actions.dtype == (torch.int64 if action_space is CHOICE else torch.float32)
    if action_space is CHOICE:
        assert imagined.actions.unique().tolist() == [2, 3, 4, 5]
        reached = imagined.next_observations[:, :, 0, 0]
        # From one state, four actions reach four states unless there is noise.
        assert len(reached.unique()) == (4 if noise_size == 0 else 100)


def shifted(batch):
    return type(batch)(**{**vars(batch), "actions": batch.actions + 2})


class OneByOne:
    """What `imagine` does, one rollout at a time, with the noise that it drew."""

    def __init__(self, gan, context, n_tasks, n_rollouts, n_steps, seed):
        self.gan, self.context, self.n_tasks = gan, context, n_tasks
        self.weights = context.weights or gan.elite_weights()
        self.elites, self.each = gan.n_elites, -(-n_rollouts // gan.n_elites)
        shape = (n_steps, self.elites, n_tasks * self.each)
        if context.weights:
            shape = (n_steps, self.elites * n_tasks, self.each)
        rng, sizes = stream(seed), (gan.imagining.noise_size, gan.imagining.reward_noise_size)
        self.noise = torch.cat([torch.randn((*shape, size), generator=rng) for size in sizes], -1)
        self.chance = torch.rand(shape, generator=rng)

    def step(self, state, action, task, rollout, time):
        """Next state, reward, whether it ends."""
        elite, turn = rollout % self.elites, rollout // self.elites
        batch, row = elite, task * self.each + turn
        if self.context.weights:
            batch, row = elite * self.n_tasks + task, turn
        space = self.gan.space
        inputs = (
            space.state.normalise(state),
            space.encode_actions(action),
            self.context.encoding[task],
            self.noise[time, batch, row],
        )
        made = self.gan.imagining.generate(
            {name: value[[batch]] for name, value in self.weights.items()},
            *(value.view(1, 1, -1) for value in inputs),
        )
        limit = STATE_LIMIT_STDS * space.state.std
        reached = space.next_states(state, made.changes.flatten())
        reached = torch.clamp(reached, space.state.mean - limit, space.state.mean + limit)
        ends = self.chance[time, batch, row] < torch.sigmoid(made.terminated_logits)
        return reached, space.reward.denormalise(made.rewards).squeeze(), bool(ends)


@pytest.mark.parametrize("kind", ["gan", "ensemble", "diffusion"])
@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize(("elites", "n_rollouts"), [(1, 4), (2, 5), (3, 4)])
def test_elites_and_adapted_weights_imagine_as_one_by_one(kind, adapted, elites, n_rollouts):
    n_tasks, n_steps = 2, 3
    generator = {"kind": kind, "members": 3, "elites": elites, "diffusion_steps": 2}
    gan = small_gan(small_config(generator={**generator, "hidden_sizes": (8,)}))
    gan.space.update(random_episodes((n_tasks, 2, 8)))
    gan.average()
    gan.member_errors.copy_(torch.tensor([3.0, 1.0, 2.0]))
    own = {
        name: value.repeat_interleave(n_tasks, dim=0)
        + 0.1 * torch.randn(elites * n_tasks, *value.shape[1:], generator=stream(7))
        for name, value in gan.elite_weights().items()
    }
    context = known(torch.randn(n_tasks, 3, generator=stream(1)), own if adapted else None)
    policy = make_policy(OBSERVATIONS, BOX, hidden_sizes=(8,))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), n_tasks)
    parameters["bias_1"] = torch.tensor([[0.5, -0.5], [-1.0, 1.0]])
    starts = torch.randn(n_tasks, n_rollouts, 3, generator=stream(2))
    imagined = imagine(gan, context, policy, parameters, starts, n_steps, stream(3))
    one_by_one = OneByOne(gan, context, n_tasks, n_rollouts, n_steps, 3)
    for task, rollout in np.ndindex(n_tasks, n_rollouts):
        state, over = starts[task, rollout], False
        for time in range(n_steps):
            at = (task, rollout, time)
            assert imagined.valid[at] == (not over)
            close(imagined.observations[at], state)
            state, reward, ends = one_by_one.step(state, imagined.actions[at], *at)
            close(imagined.next_observations[at], state)
            close(imagined.rewards[at], reward)
            assert imagined.terminated[at] == (ends and not over)
            over = over or ends
    # And every task's actions are its own policy's.
    observations, actions = (imagined.observations.flatten(1, 2), imagined.actions.flatten(1, 2))
    close(policy.log_probs(parameters, observations, actions), imagined.log_probs.flatten(1))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_half_precision_imagines_nearly_the_same():
    gan = perfect_gan()
    policy, parameters = ramp_policy()
    context = known(torch.tensor(BONUSES).unsqueeze(-1))
    full, half = (
        imagine(gan, context, policy, parameters, torch.zeros(3, 8, 1), 3, stream(1), dtype)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert half.rewards.dtype == half.observations.dtype == torch.float32
    difference = (full.next_observations - half.next_observations).abs()
    assert 0 < difference.max() < 0.05
