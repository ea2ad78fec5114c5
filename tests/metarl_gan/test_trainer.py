"""The loop: what it counts, what it drops, and that a share of 0 changes nothing."""

import numpy as np
import pytest
import torch

from metarl_gan.agents.policies import GaussianPolicy
from metarl_gan.generator_learner import AdversarialLearner
from metarl_gan.learners.gradient import GradientMetaLearner
from metarl_gan.learners.outer_steps import ClippedSteps
from metarl_gan.run_folder import LAST, RunFolder
from metarl_gan.run_log import read_metrics
from metarl_gan.trainer import Trainer
from tests.metarl_gan import tiny


@pytest.fixture
def steps(monkeypatch):
    """Counts what the environments really step."""
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    return lambda: tiny.Walk.total_steps


def trainer(family=None, **changes):
    family = family or tiny.walk()
    return Trainer(tiny.tiny_components(family, **changes), family)


def run(made, iterations):
    return [made.meta_iteration() for _ in range(iterations)]


def learner_tensors(made):
    """Parameters, step sizes, the optimiser's state."""
    return {name: value.clone() for name, value in made.meta_learner.tensors().items()}


def arms_without_generated_data():
    """Ways to have none; those of a share of 0 for every kind of generator."""
    arms = {
        "without": {"generated": False},
        "mode none": {"augmentation__mode": "none"},
        "kind none": {"generator__kind": "none"},
        "gated": {
            "augmentation__mode": "gated",
            "augmentation__gate_zero_error": 1e-6,
            "augmentation__gate_full_error": 0.0,
        },
    }
    kinds = {
        "gan": {},
        "ensemble": {"members": 3, "elites": 2},
        "diffusion": {"diffusion_steps": 2},
        "simulator": {},
        "maml": {"kind": "gan", "adaptation": "maml"},
        "reptile": {"kind": "gan", "adaptation": "reptile"},
    }
    for name, settings in kinds.items():
        generator = {f"generator__{key}": v for key, v in ({"kind": name} | settings).items()}
        arms[name] = {**generator, "augmentation__mode": "fixed", "augmentation__share": 0.0}
    arms["descriptor"] = {"encoder__descriptor": True, "augmentation__share": 0.0}
    return arms


@pytest.mark.parametrize("family", [tiny.walk, tiny.steer])
@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "reptile"])
def test_share_0_is_bit_identical_to_no_generator(family, algorithm):
    ends, steps_taken = {}, set()
    arms = arms_without_generated_data()
    if algorithm != "maml":  # what differs between generators does not meet the outer loop
        arms = {name: arms[name] for name in ("gan", "gated", "without")}
    for arm, changes in arms.items():
        made = trainer(family(), learner__algorithm=algorithm, **changes)
        start = learner_tensors(made)
        metrics = run(made, 3)
        assert {row["generated_share"] for row in metrics} == {0.0}
        ends[arm] = learner_tensors(made) | made.components.observations.state_dict()
        assert not torch.equal(start["parameters.weight_0"], ends[arm]["parameters.weight_0"])
        steps_taken.add(made.counters.real_steps)
        made.close()
    for arm in arms:
        tiny.assert_same_tensors(ends[arm], ends["without"])
    assert len(steps_taken) == 1


def test_a_share_does_change_the_policy():
    """Else the test above would say nothing."""
    ends = []
    for share in (0.0, 0.5):
        made = trainer(augmentation__share=share)
        metrics = run(made, 3)
        # Nothing can be imagined before the first update of the generator.
        assert [row["generated_share"] for row in metrics] == [0.0, share, share]
        ends.append(learner_tensors(made)["parameters.weight_0"])
    assert not torch.equal(*ends)


def test_the_seed_decides_everything():
    first, again, other = (trainer(seed=seed) for seed in (3, 3, 4))
    for made in (first, again, other):
        run(made, 2)
    tiny.assert_same_tensors(first.tensors(), again.tensors())
    name = "meta_learner.parameters.weight_0"
    assert not torch.equal(first.tensors()[name], other.tensors()[name])


def test_global_random_state_is_neither_read_nor_moved():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator is what this is about
    before, numbers = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    first = trainer()
    run(first, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(np.random.get_state()) == numbers  # noqa: NPY002
    torch.manual_seed(1)
    second = trainer()
    run(second, 2)
    tiny.assert_same_tensors(first.tensors(), second.tensors())


@pytest.mark.parametrize("generated", [True, False])
def test_real_steps_are_those_that_the_environments_took(steps, generated):
    made = trainer(generated=generated, sampler__support_episodes=2)
    metrics = run(made, 3)
    assert made.counters.real_steps == steps()
    assert metrics[-1]["real_steps"] == steps()
    # Episodes that fell off the line cost fewer.
    assert steps() < 3 * 4 * 3 * tiny.HORIZON


def test_steps_of_dropped_tasks_count(steps):
    made = trainer(tiny.faulty(), sampler__tasks_per_batch=6)
    run(made, 3)
    assert made.counters.dropped_tasks
    assert made.counters.real_steps == steps()


def test_max_real_steps_is_never_exceeded(tmp_path, steps):
    most = 4 * 2 * tiny.HORIZON
    agent = tiny.train(tmp_path, iterations=100, max_real_steps=3 * most)
    assert agent.meta_iterations >= 2
    counters = RunFolder.open(tmp_path).counters(LAST)
    # Walks that fall off leave room for more iterations, but not for one that might be too long.
    assert 2 * most < counters["real_steps"] <= 3 * most
    assert counters["meta_iterations"] >= 3
    # Validation is counted, and apart; that of the end is not among what a run goes on with.
    validation_steps = [row.get("validation_real_steps", 0) for row in read_metrics(tmp_path)]
    assert counters["validation_real_steps"] in validation_steps
    assert validation_steps[-1] > 0
    assert counters["real_steps"] + validation_steps[-1] == steps()


def test_a_task_whose_reward_is_nan_is_dropped_and_counted():
    family = tiny.faulty()
    made = trainer(family, sampler__tasks_per_batch=6)
    metrics = run(made, 4)
    dropped = made.counters.dropped_tasks
    assert dropped
    assert all(entry["task_id"].endswith("fault=1") for entry in dropped)
    assert all("step 2 returned reward nan" in entry["reason"] for entry in dropped)
    assert metrics[-1]["dropped_tasks"] == len(dropped)
    # It goes on, and what is learnt stays finite.
    assert made.counters.meta_iterations == 4
    tensors = made.tensors()
    assert tensors.pop("gan.validation_error").isinf()  # not validated yet
    assert all(bool(torch.isfinite(value.float()).all()) for value in tensors.values())
    assert all(np.isfinite(row["return_after_adaptation"]) for row in metrics)


def test_replay_holds_only_tasks_that_were_healthy_throughout():
    made = trainer(tiny.faulty(), sampler__tasks_per_batch=6)
    run(made, 2)
    learner = made.generator_learner
    assert isinstance(learner, AdversarialLearner)
    ids = [task_id for task_id in learner.replay.task_ids if task_id is not None]
    assert ids
    assert not [task_id for task_id in ids if task_id.endswith("fault=1")]


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_a_simulator_s_steps_are_counted_apart(steps, share):
    """Four tasks, two rollouts, for each of two inner steps of each of three iterations."""
    made = trainer(generator__kind="simulator", augmentation__share=share)
    metrics = run(made, 3)
    counters = made.counters
    assert [row["generated_share"] for row in metrics] == [share] * 3
    assert counters.real_steps + counters.simulator_steps == steps()
    assert metrics[-1]["real_steps"] == counters.real_steps <= 3 * 4 * 2 * tiny.HORIZON
    rollouts = 4 * 2 * 2 * 3 if share else 0
    # Walks last 3 steps or more.
    assert 3 * rollouts <= counters.simulator_steps <= tiny.HORIZON * rollouts
    made.close()


def test_all_tensors_live_on_the_device_of_the_components():
    made = trainer()
    run(made, 2)
    device = made.components.device
    learner, policy, gan = made.generator_learner, made.components.policy, made.components.gan
    scale = policy.observation_scale()
    assert isinstance(learner, AdversarialLearner)
    assert isinstance(policy, GaussianPolicy)
    assert gan is not None
    assert scale is not None
    assert isinstance(made.meta_learner, GradientMetaLearner)
    outer_step = made.meta_learner._outer_step
    assert isinstance(outer_step, ClippedSteps)
    optimisers = (outer_step._optimiser, *learner._trainer.optimisers.values())
    assert len(optimisers) == 3
    tensors = [
        *made.tensors().values(),
        *gan.buffers(),
        *scale,
        *policy.scale(),
        *learner.replay.tensors().values(),
        *(p for o in optimisers for group in o.param_groups for p in group["params"]),
    ]
    assert {tensor.device for tensor in tensors} == {device}
    assert {made.streams.device, learner.replay.device} == {device}


@pytest.mark.gpu
@pytest.mark.parametrize("family", [tiny.walk, tiny.steer])
def test_on_an_accelerator_all_stays_there_and_has_the_shapes_of_the_cpu(family):
    here, there = trainer(family()), trainer(family(), device="cuda")
    for made in (here, there):
        metrics = run(made, 2)
        assert all(np.isfinite(value) for value in metrics[-1].values())
    ours, theirs = here.tensors(), there.tensors()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }
    steps_of_adam = {name for name in theirs if name.endswith(".step")}
    assert {value.device.type for name, value in theirs.items() if name not in steps_of_adam} == {
        "cuda"
    }
    assert tiny.curve(there.components, family()).returns.shape == (4, 3)
