"""Context SAC: what it learns from, what adapting tells it, and that it stops and goes on."""

from dataclasses import replace
from itertools import groupby, pairwise

import pytest
import torch

import metarl_gan
from metarl_gan.agents.soft_actor_critic import SoftActorCritic
from metarl_gan.config import ConfigError
from metarl_gan.config_io import override
from metarl_gan.evaluator import Evaluator
from metarl_gan.gan import ConditionalGAN
from metarl_gan.learners.context_sac import ContextSac, _Material
from metarl_gan.learners.generated_rows import FlatRows, branched, real_rows, relabelled
from metarl_gan.trainer import Trainer
from tests.agents.toys import stream
from tests.metarl_gan import tiny
from tests.metarl_gan.solvable import LinearQuadraticPoint

SAC = {
    "learner.algorithm": "context_sac",
    "learner.discount": 0.9,
    "sac.hidden_sizes": (8, 8),
    "sac.batch_size": 16,
    "sac.warm_up_real_steps": 20,
    "sac.initial_updates": 3,
    "sac.updates_per_real_step": 0.1,
    "sac.encodings_per_task": 2,
    "sac.relabelled_rows": 40,
    "sac.branched_rows": 40,
    "sac.branch_steps": 2,
}


def a_trainer(**changes):
    family = tiny.walk()
    changes = {**SAC, **{name.replace("__", "."): value for name, value in changes.items()}}
    return Trainer(tiny.tiny_components(family, **changes), family)


def run(trainer, iterations=3):
    metrics = [trainer.meta_iteration() for _ in range(iterations)]
    trainer.close()
    return metrics


def learner_of(trainer):
    assert isinstance(trainer.meta_learner, ContextSac)
    return trainer.meta_learner


def test_it_warms_up_and_then_learns_as_often_as_it_steps():
    trainer = a_trainer(sac__warm_up_real_steps=60)
    first, second, third = run(trainer)
    assert "critic_loss" not in first
    assert second["sac_updates"] == 3
    steps = third["real_steps"] - second["real_steps"]
    assert third["sac_updates"] == 3 + round(0.1 * steps)
    assert second["sac_share"] == third["sac_share"] > 0


def test_adapting_tells_the_policy_what_was_inferred():
    trainer = a_trainer()
    run(trainer)
    learner, components = learner_of(trainer), trainer.components
    assert trainer.generator_learner.replay is not None
    support = trainer.generator_learner.replay.stored().select(slice(3))
    mixture = components.augmentation().mix(support, stream())
    adapted = learner.adapt(mixture, 3).parameters
    assert mixture.context is not None
    assert torch.equal(adapted["encoding"], mixture.context.encoding)
    initial = learner.initial_policy(3)
    assert not torch.equal(adapted["encoding"], initial["encoding"])
    for name in adapted.keys() - {"encoding"}:
        assert torch.equal(adapted[name], initial[name])


def test_a_task_that_is_known_goes_on_learning_in_imagination():
    """Each on networks of its own, from the shared ones; where the gate is shut, not at all."""
    trainer = a_trainer(sac__task_updates=3, sac__task_batch_size=4)
    run(trainer)
    learner, replay = learner_of(trainer), trainer.generator_learner.replay
    assert replay is not None
    kept = {name: value.clone() for name, value in learner.tensors().items()}
    support = replay.stored().select(slice(3))
    mixture = trainer.components.augmentation().mix(support, stream())
    mixture = replace(mixture, share=torch.tensor([0.5, 0.0, 1.0]))
    adapted = learner.adapt(mixture, 3).parameters
    start = learner.initial_policy(3)
    for name in adapted.keys() - {"encoding"}:
        assert torch.equal(adapted[name][1], start[name][1])
        assert not torch.equal(adapted[name][0], start[name][0])
        assert not torch.equal(adapted[name][0], adapted[name][2])
    tiny.assert_same_tensors(kept, learner.tensors())


def test_tasks_begin_with_the_encodings_of_others():
    trainer = a_trainer()
    learner = learner_of(trainer)
    assert not learner.initial_policy(4)["encoding"].any()
    run(trainer)
    begun = learner.initial_policy(100)["encoding"]
    assert begun.shape == (100, 2)
    assert len(begun.unique(dim=0)) > 3


def test_real_rows_are_all_that_was_stored_and_valid():
    trainer = a_trainer()
    run(trainer, 2)
    replay = trainer.generator_learner.replay
    assert replay is not None
    stored = replay.stored()
    rows = real_rows(stored)
    assert len(rows) == stored.n_valid() == int(replay.lengths.sum())
    assert set(rows.context.tolist()) == {-1}
    for task in range(stored.n_tasks):
        own = rows.task == task
        assert torch.equal(rows.rewards[own], stored.rewards[task][stored.valid[task]])
        ended = stored.terminated[task][stored.valid[task]]
        assert torch.equal(rows.continues[own] == 0, ended)


def test_only_some_tasks_of_a_large_replay_are_learnt_from(monkeypatch):
    seen, taken_in = [], ContextSac._taken_in

    def recorded(self, stored, *streams):
        seen.append(stored.n_tasks)
        return taken_in(self, stored, *streams)

    monkeypatch.setattr(ContextSac, "_taken_in", recorded)
    run(a_trainer(sac__replayed_tasks=5))
    assert seen == [4, 5, 5]


def generated_material(**changes):
    trainer = a_trainer(**changes)
    run(trainer)
    gan, learner = trainer.components.gan, learner_of(trainer)
    assert gan is not None
    assert trainer.generator_learner.replay is not None
    stored = trainer.generator_learner.replay.stored()
    contexts = [learner._contexts(stored, stream(seed)) for seed in (1, 2)]
    return gan, learner, stored, contexts


def test_relabelled_rows_are_real_actions_with_the_outcome_under_another_task():
    gan, _, stored, contexts = generated_material(generator__noise_size=0)
    rows = relabelled(gan, contexts, stored, 10 * stored.n_tasks * 2, stream())
    real = real_rows(stored)
    pairs = {tuple(row) for row in torch.cat([real.observations, real.actions], -1).tolist()}
    assert {tuple(r) for r in torch.cat([rows.observations, rows.actions], -1).tolist()} <= pairs
    assert len(rows) == 10 * stored.n_tasks * 2
    source = {tuple(o): int(t) for o, t in zip(real.observations.tolist(), real.task, strict=True)}
    of_others = [
        source[tuple(o)] != int(t)
        for o, t in zip(rows.observations.tolist(), rows.task, strict=True)
    ]
    assert sum(of_others) > len(rows) / 2
    # What the generator says of the row under the encoding that it carries.
    index = 37
    context = contexts[int(rows.context[index])]
    one = gan.generate(
        context,
        gan.space.state.normalise(rows.observations[index]).expand(stored.n_tasks, 1, -1),
        gan.space.encode_actions(rows.actions[index]).expand(stored.n_tasks, 1, -1),
        stream(),
    )
    reward = gan.space.reward.denormalise(one.rewards)[rows.task[index], 0, 0]
    torch.testing.assert_close(rows.rewards[index], reward)


def test_relabelled_rewards_are_of_what_really_followed():
    gan, _, stored, contexts = generated_material(generator__noise_size=0)
    rows = relabelled(gan, contexts, stored, 20 * stored.n_tasks, stream(), rewards_only=True)
    real = real_rows(stored)
    moved = torch.cat([real.observations, real.actions, real.next_observations], -1)
    ended = dict(zip(map(tuple, moved.tolist()), real.continues.tolist(), strict=True))
    found = torch.cat([rows.observations, rows.actions, rows.next_observations], -1)
    assert [ended[tuple(row)] for row in found.tolist()] == rows.continues.tolist()
    index, space = 37, gan.space
    state, action, change = (
        space.state.normalise(rows.observations[index]),
        space.encode_actions(rows.actions[index]),
        space.change.normalise(
            space.raw_change(rows.observations[index], rows.next_observations[index])
        ),
    )
    reward = gan.rewards(
        contexts[int(rows.context[index])],
        state.expand(stored.n_tasks, 1, -1),
        action.expand(stored.n_tasks, 1, -1),
        change.expand(stored.n_tasks, 1, -1),
        stream(),
    )
    reward = space.reward.denormalise(reward)
    torch.testing.assert_close(rows.rewards[index], reward[rows.task[index], 0, 0])
    # The generator was asked about that change, not about the one that it would make itself.
    own = gan.generate(
        contexts[int(rows.context[index])],
        state.expand(stored.n_tasks, 1, -1),
        action.expand(stored.n_tasks, 1, -1),
        stream(),
    )
    its_own = space.reward.denormalise(own.rewards)[rows.task[index], 0, 0]
    assert abs(its_own - rows.rewards[index]) > 1e-4


@pytest.mark.parametrize("relabel", ["outcomes", "rewards"])
def test_a_generator_that_knows_rewards_alone_relabels_rewards_alone(relabel, monkeypatch):
    """Wrong about next states: its rewards may be taken all the same, and no branches with them."""

    def no_branches(*_):
        raise AssertionError("a branch goes where the generator says")

    def lost(self, *given):
        return replace(found(self, *given), next_state=torch.full((len(given[1].encoding),), 9.0))

    found = ConditionalGAN.errors
    monkeypatch.setattr(ConditionalGAN, "errors", lost)
    monkeypatch.setattr("metarl_gan.learners.context_sac.branched", no_branches)
    gate = {"gate_full_error": 5.0, "gate_zero_error": 8.0}
    settings = {f"augmentation__{name}": value for name, value in gate.items()}
    trainer = a_trainer(sac__relabel=relabel, augmentation__mode="gated", **settings)
    shares = [metrics.get("sac_share") for metrics in run(trainer, 2)]
    assert (shares[-1] > 0) == (relabel == "rewards")


def test_of_what_is_trusted_less_there_is_less():
    _, learner, stored, _ = generated_material(sac__relabel="rewards")
    learner._share.fill_(0.1)
    learner._reward_share.fill_(0.4)
    learner.config = override(
        learner.config, {"sac.relabelled_rows": 4000, "sac.branched_rows": 4000}
    )
    material = learner._material(learner._taken_in(stored, stream(1), stream(2)), stream(3))
    assert material.generated is not None
    real = {tuple(row) for row in real_rows(stored).next_observations.tolist()}
    really = sum(tuple(row) in real for row in material.generated.next_observations.tolist())
    assert really == pytest.approx(4000, rel=0.02)
    # Branches may end before their time.
    assert 600 < len(material.generated) - really <= 1000
    assert learner._learn(material, 1, stream(4))["sac_share"] == round(16 * 0.4) / 16


def test_branches_begin_where_the_task_itself_has_been():
    gan, learner, stored, contexts = generated_material()
    actor = {name: value.detach() for name, value in learner.sac.actor.items()}
    n_rows = 5 * 2 * 2 * stored.n_tasks
    rows = branched(gan, contexts, learner.policy, actor, stored, n_rows, 2, stream())
    assert len(rows) <= n_rows
    own = {
        (task, *row)
        for task in range(stored.n_tasks)
        for row in stored.observations[task][stored.valid[task]].tolist()
    }
    starts = [
        (int(task), *row) in own
        for task, row in zip(rows.task, rows.observations.tolist(), strict=True)
    ]
    assert 5 * 2 * stored.n_tasks <= sum(starts) < len(rows)


def test_virtual_tasks_are_imagined_beside_the_real_ones():
    trainer = a_trainer(sac__virtual_tasks=5)
    run(trainer)
    learner, replay = learner_of(trainer), trainer.generator_learner.replay
    assert replay is not None
    stored = replay.stored()
    material = learner._material(learner._taken_in(stored, stream(1), stream(2)), stream(3))
    n_tasks = stored.n_tasks
    assert material.generated is not None
    assert material.encodings.shape[1] == n_tasks + 5
    assert set(material.generated.task.tolist()) == set(range(n_tasks + 5))
    assert int(material.real.task.max()) < n_tasks
    assert len(material.real) == int(stored.valid.sum())
    # Contexts have a stream of their own: those of real tasks are as without virtual ones.
    learner.config = override(learner.config, {"sac.virtual_tasks": 0})
    plain = learner._material(learner._taken_in(stored, stream(1), stream(2)), stream(3))
    assert torch.equal(plain.encodings, material.encodings[:, :n_tasks])


def test_rows_are_made_anew_by_the_policy_as_it_is_then(monkeypatch):
    """Six updates by two: three times, each time with other actors; and a seventh by itself."""
    actors, batches, made = [], [], ContextSac._material
    drawn = ContextSac._batch

    def recorded(self, tasks, stream):
        actors.append(self.sac.actor["weight_0"].detach().clone())
        return made(self, tasks, stream)

    def counted(self, material, *rest):
        batches.append(id(material))
        return drawn(self, material, *rest)

    monkeypatch.setattr(ContextSac, "_material", recorded)
    monkeypatch.setattr(ContextSac, "_batch", counted)
    changes = {"sac__generate_every_updates": 2, "sac__initial_updates": 7}
    metrics = run(a_trainer(**changes), 1)[-1]
    assert metrics["sac_updates"] == 7
    assert [len(list(same)) for _, same in groupby(batches)] == [2, 2, 2, 1]
    assert len(actors) == 4
    assert not any(torch.equal(one, other) for one, other in pairwise(actors))
    actors.clear()
    run(a_trainer(sac__initial_updates=7), 1)
    assert len(actors) == 1


def test_the_actor_learns_in_every_nth_update(monkeypatch):
    trainer = a_trainer(sac__actor_every=3)
    learnt = []
    plain = SoftActorCritic.update

    def counted(self, rows, noise, *, actor_too=True):
        learnt.append(actor_too)
        return plain(self, rows, noise, actor_too=actor_too)

    monkeypatch.setattr(SoftActorCritic, "update", counted)
    metrics = run(trainer, 2)[-1]
    assert learnt[:7] == [True, False, False, True, False, False, True]
    assert {"actor_loss", "critic_loss", "temperature"} <= metrics.keys()


@pytest.mark.parametrize("adaptation", ["maml", "reptile"])
def test_virtual_tasks_need_generators_that_tasks_share(adaptation):
    with pytest.raises(ConfigError, match=f"virtual_tasks .*{adaptation}"):
        a_trainer(sac__virtual_tasks=5, generator__adaptation=adaptation)


@pytest.mark.parametrize("mode", ["share 0", "gated off"])
@pytest.mark.parametrize("relabel", ["outcomes", "rewards"])
def test_a_share_of_zero_is_no_generated_data_to_the_bit(mode, relabel):
    off = {"augmentation__share": 0.0}
    if mode == "gated off":
        off = {
            "augmentation__mode": "gated",
            "augmentation__gate_full_error": 0.0,
            "augmentation__gate_zero_error": 1e-9,
        }
    ours, theirs, usual = (
        a_trainer(sac__relabel=relabel, **changes) for changes in (off, {"generated": False}, {})
    )
    metrics = [run(trainer) for trainer in (ours, theirs, usual)]
    tiny.assert_same_tensors(ours.tensors(), theirs.tensors())
    assert metrics[0][-1]["sac_share"] == metrics[1][-1]["sac_share"] == 0.0
    assert not torch.equal(
        ours.tensors()["meta_learner.actor.weight_0"],
        usual.tensors()["meta_learner.actor.weight_0"],
    )


@pytest.mark.parametrize("relabel", ["outcomes", "rewards"])
def test_going_on_equals_never_having_stopped(relabel):
    whole, first, second = (a_trainer(sac__relabel=relabel) for _ in range(3))
    run(whole, 4)
    run(first, 2)
    kept = {name: value.clone() for name, value in first.tensors().items()}
    second.restore(kept, first.state())
    run(second, 2)
    tiny.assert_same_tensors(whole.tensors(), second.tensors())


def test_from_training_to_acting(tmp_path):
    changes = {name.replace(".", "__"): value for name, value in SAC.items()}
    agent = tiny.train(tmp_path / "run", **changes)
    again = metarl_gan.load(tmp_path / "run")
    env = tiny.walk().make(tiny.walk().sample(1, split="test", seed=0)[0])
    ours, theirs = (one.adapt(env, episodes=1, seed=3) for one in (agent, again))
    for seed in range(5):
        observation = env.observation_space.sample() * 0 + seed / 5
        action, _ = ours.predict(observation, deterministic=True)
        assert env.action_space.contains(action)
        assert action == theirs.predict(observation, deterministic=True)[0]


def test_further_episodes_of_support_are_played_by_what_those_before_taught(monkeypatch):
    trainer = a_trainer()
    run(trainer)
    played, collect = [], Evaluator._play

    def recorded(self, tasks, parameters, n_episodes, name, **settings):
        if name.startswith("support"):
            played.append((n_episodes, parameters and parameters["encoding"].clone()))
        return collect(self, tasks, parameters, n_episodes, name, **settings)

    monkeypatch.setattr(Evaluator, "_play", recorded)
    curve = tiny.curve(trainer.components, episodes=3)
    assert curve.returns.shape == (4, 4)
    assert [n_episodes for n_episodes, _ in played] == [1, 1, 1]
    # The first is of tasks that nothing is known of yet.
    assert played[0][1] is None
    initial = learner_of(trainer).initial_policy(4)["encoding"]
    assert not torch.equal(played[1][1], initial)
    assert not torch.equal(played[2][1], played[1][1])


def test_discrete_actions_are_refused_with_what_serves_them():
    with pytest.raises(ConfigError, match=r"does not serve.*maml"):
        tiny.tiny_components(tiny.steer(), **{"learner.algorithm": "context_sac"})


def test_a_simulator_has_no_encodings():
    with pytest.raises(ConfigError, match="simulator"):
        tiny.tiny_config(**{"learner.algorithm": "context_sac", "generator.kind": "simulator"})


def test_a_real_row_goes_with_an_encoding_of_its_own_task_and_a_generated_one_with_its_own():
    trainer = a_trainer()
    run(trainer)
    learner = learner_of(trainer)
    # Encodings that say which context (first) and which task (second) they are of.
    tasks, contexts = torch.meshgrid(torch.arange(6.0), torch.arange(3.0), indexing="xy")
    encodings = torch.stack([contexts, tasks], dim=-1)
    n_rows = 30
    task = torch.arange(n_rows) % 6
    rows = FlatRows(
        observations=task.float().unsqueeze(-1).expand(-1, 2),
        actions=torch.zeros(n_rows, 1),
        rewards=task.float(),
        next_observations=torch.zeros(n_rows, 2),
        continues=torch.ones(n_rows),
        task=task,
        context=torch.full((n_rows,), -1),
    )
    made = replace(rows, rewards=rows.rewards + 100.0, context=torch.full((n_rows,), 2))
    material = _Material(real=rows, generated=made, encodings=encodings)
    batch = learner._batch(material, 40, 24, stream())
    for inputs in (batch.inputs, batch.next_inputs):
        told = inputs[0, :, -2:]
        assert torch.equal(told[:, 1], batch.rewards[0] % 100.0)
        assert set(told[:40, 0].tolist()) == {0.0, 1.0, 2.0}
        assert set(told[40:, 0].tolist()) == {2.0}
    assert (batch.rewards[0, :40] < 100.0).all()
    assert (batch.rewards[0, 40:] >= 100.0).all()


def test_the_context_of_a_task_is_of_one_of_its_own_episodes(monkeypatch):
    trainer = a_trainer()
    run(trainer)
    learner, replay, gan = (
        learner_of(trainer),
        trainer.generator_learner.replay,
        trainer.components.gan,
    )
    assert replay is not None
    assert gan is not None
    stored, taken = replay.stored(), []
    monkeypatch.setattr(gan, "take_in", taken.append)
    learner._contexts(stored, stream())
    [context] = taken
    own = gan.space.rows(stored)
    for task in range(stored.n_tasks):
        found = {tuple(row) for row in context.changes[task][context.valid[task]].tolist()}
        episodes = [
            {tuple(row) for row in own.changes[task, e][stored.valid[task, e]].tolist()}
            for e in range(stored.rewards.shape[1])
        ]
        assert found
        assert any(found <= episode for episode in episodes)


@pytest.mark.slow
def test_a_linear_quadratic_point_is_walked_to_its_goal():
    """To the known optimum, within a fifth of what knowing the task is worth."""
    family = LinearQuadraticPoint()
    settings = {
        **SAC,
        "learner.discount": 1.0,
        "sampler.tasks_per_batch": 20,
        "sampler.support_episodes": 2,
        "sampler.query_episodes": 2,
        "encoder.hidden_sizes": (32,),
        "generator.hidden_sizes": (32,),
        "generator.inversion_steps": 5,
        "adversarial.adversarial_weight": 0.0,
        "adversarial.initial_updates": 300,
        "adversarial.updates_per_iteration": 60,
        "adversarial.tasks_per_update": 32,
        "adversarial.targets_per_task": 16,
        "adversarial.replay_tasks": 200,
        "sac.hidden_sizes": (32, 32),
        "sac.learning_rate": 3e-3,
        "sac.warm_up_real_steps": 1200,
        "sac.initial_updates": 400,
        "sac.updates_per_real_step": 0.3,
        "sac.batch_size": 128,
        "sac.relabelled_rows": 2000,
        "sac.branched_rows": 2000,
    }
    trainer = Trainer(tiny.tiny_components(family, **settings), family)
    run(trainer, 16)
    found = tiny.curve(trainer.components, family, n_tasks=30, seed=0)
    best, idle = (
        sum(value(task) for task in found.tasks) / 30
        for value in (family.best_return, family.idle_return)
    )
    assert best - found.returns[:, -1].mean() < 0.2 * (best - idle)
