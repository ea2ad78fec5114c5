"""The top-level interface: what it returns, and what it says about bad input."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import metarl_gan
from metarl_gan.agents.collector import AllTasksDroppedError
from metarl_gan.cli import MISTAKE, main
from metarl_gan.config import ConfigError
from metarl_gan.config_io import from_plain
from metarl_gan.envs import (
    FamilyError,
    ParametricFamily,
    Uniform,
    list_families,
    make_family,
    register_family,
)
from metarl_gan.reports import AdaptationReport, FidelityReport
from metarl_gan.run_folder import RunFolderError
from tests.metarl_gan import tiny


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    return tiny.train(tmp_path_factory.mktemp("agent") / "run")


@pytest.fixture(scope="module")
def agent_without(tmp_path_factory):
    return tiny.train(tmp_path_factory.mktemp("without") / "run", generated=False)


# train


def test_train_returns_an_agent_and_leaves_a_run(tmp_path):
    agent = metarl_gan.train(
        tiny.walk(), {**tiny.TINY, "seed": 1}, out=tmp_path / "run", seed=4, progress=False
    )
    assert isinstance(agent, metarl_gan.MetaAgent)
    assert agent.config.seed == 4  # what is given by itself wins over the config
    assert agent.meta_iterations == agent.config.iterations == 2
    assert agent.run_folder == tmp_path / "run"
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert from_plain(metarl_gan.Config, kept, "the run") == agent.config
    assert f"real_steps={agent.real_steps}" in repr(agent)


def test_a_config_is_taken_as_it_is_and_overrides_go_on_the_preset(tmp_path):
    config = tiny.tiny_config()
    agent = metarl_gan.train(tiny.walk(), config, "paper", tmp_path / "a", progress=False)
    assert agent.config == config
    overrides = {name: value for name, value in tiny.TINY.items() if name != "iterations"}
    agent = metarl_gan.train(
        tiny.walk(), overrides, "quick", tmp_path / "b", iterations=1, progress=False
    )
    assert agent.config == replace(config, iterations=1)


def test_the_family_may_come_from_the_config_and_the_run_is_named_after_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "tiny-steer" not in list_families():
        register_family("tiny-steer", tiny.steer)
    overrides = {**tiny.TINY, "family": "tiny-steer"}
    agent = metarl_gan.train(config=overrides, seed=3, progress=False)
    assert agent.config.family == "tiny-steer"
    assert (tmp_path / "runs" / "tiny-steer-seed3" / "config.json").is_file()
    # A registered family is found again by its name.
    assert metarl_gan.evaluate(agent, tasks=2, episodes=1).family == "steer"
    agent = metarl_gan.train(resume=agent.run_folder, iterations=3, progress=False)
    assert agent.config.family == "tiny-steer"


def test_without_a_generator_there_are_no_weights_of_one(agent, agent_without):
    assert agent.components.gan is not None
    assert agent_without.components.gan is None
    assert not agent_without.config.generated


def test_torch_threads_are_set(tmp_path):
    before = torch.get_num_threads()
    try:
        tiny.train(tmp_path, torch_threads=2, iterations=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("given", "seen"), [(None, "passive"), ("active", "active")])
def test_waiting_threads_do_not_spin_unless_asked_to(given, seen):
    """Torch reads it when it is imported: it must be set by then, and not over what is set."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    code = (
        "import builtins, os, sys; real = builtins.__import__\n"
        "def spy(name, *args, **kwargs):\n"
        "    if name == 'torch' and 'torch' not in sys.modules:\n"
        "        print(os.environ.get('OMP_WAIT_POLICY')); sys.exit(0)\n"
        "    return real(name, *args, **kwargs)\n"
        "builtins.__import__ = spy\n"
        "from metarl_gan import train\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [seen]


class Pixels(tiny.Walk):
    observation_space = spaces.Box(0, 255, (4, 4, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros((4, 4, 3), np.uint8), {}


class ManyActions(tiny.Walk):
    action_space = spaces.MultiBinary(2)


def family_of(env):
    return ParametricFamily(env, {"goal": Uniform(-1.0, 1.0)}, horizon=6, name="odd")


MISTAKES: dict[str, tuple[tuple, dict[str, Any], type[Exception], str]] = {
    "family": (("point-gaol",), {}, FamilyError, "did you mean 'point-goal'"),
    "preset": ((), {"preset": "quik"}, ConfigError, "preset is 'quik'.*did you mean 'quick'"),
    "setting": (
        (),
        {"config": {"learner.inner_step": 3}},
        ConfigError,
        "unknown setting 'learner.inner_step'.*nearest: learner.inner_steps",
    ),
    "type": (
        (),
        {"config": {"learner.inner_steps": "many"}},
        ConfigError,
        "learner.inner_steps is 'many'.*expected a whole number",
    ),
    "range": ((), {"config": {"learner.inner_steps": 0}}, ConfigError, "it must be at least 1"),
    "contradiction": (
        (),
        {"config": {"adversarial.max_context": 2}},
        ConfigError,
        r"adversarial.max_context \(2\) must be at least encoder.min_context",
    ),
    "budget": (
        (),
        {"max_real_steps": 100},
        ConfigError,
        r"max_real_steps is 100; one meta-iteration .* of 100 steps: give at least",
    ),
    "iterations": ((), {"iterations": -1}, ConfigError, "iterations is -1"),
    "device": ((), {"config": {"device": "quantum"}}, ConfigError, "device is 'quantum'.*'auto'"),
    "images": ((family_of(Pixels),), {}, ValueError, "1-D Box: .*flatten_observations"),
    "actions": ((family_of(ManyActions),), {}, ValueError, "action space .* is not supported"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_leaves_no_run_behind(tmp_path, mistake):
    args, settings, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        metarl_gan.train(*args, out=tmp_path / "run", progress=False, **settings)
    assert not (tmp_path / "run").exists()


def test_where_a_run_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("precious")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        for overwrite in (False, True):
            with pytest.raises(RunFolderError, match=r"out is .*file.*give"):
                metarl_gan.train(
                    tiny.walk(),
                    tiny.tiny_config(),
                    out=out,
                    overwrite=overwrite,
                    progress=False,
                )
    assert (tmp_path / "file").read_text() == "precious"


def test_a_run_is_only_replaced_when_asked(agent, tmp_path):
    out = tmp_path / "run"
    tiny.train(out, iterations=1)
    before = tiny.fingerprint(out)
    with pytest.raises(RunFolderError, match=r"resume.*overwrite"):
        tiny.train(out)
    assert tiny.fingerprint(out) == before
    (out / "left over").write_text("")
    again = metarl_gan.train(
        tiny.walk(), tiny.tiny_config(seed=9), out=out, overwrite=True, progress=False
    )
    assert again.config.seed == 9
    assert not (out / "left over").exists()


@pytest.mark.parametrize(
    "given", [{"config": {}}, {"seed": 1}, {"generated": False}, {"out": "elsewhere"}]
)
def test_resume_takes_no_settings(agent, given):
    with pytest.raises(ConfigError, match="with it only iterations and max_real_steps"):
        metarl_gan.train(resume=agent.run_folder, **given)


def test_resume_where_there_is_no_run_or_another_family(agent, tmp_path):
    with pytest.raises(RunFolderError, match=r"is not a run: it has no config\.json"):
        metarl_gan.train(resume=tmp_path)
    with pytest.raises(FamilyError, match="walk"):
        metarl_gan.train(resume=agent.run_folder)  # no name leads to this family
    before = tiny.fingerprint(agent.run_folder)
    with pytest.raises(ValueError, match="'steer' has the action space Discrete"):
        metarl_gan.train(tiny.steer(), resume=agent.run_folder, iterations=9)
    assert tiny.fingerprint(agent.run_folder) == before


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    tiny.train(tmp_path)
    checkpoint = tmp_path / "checkpoints" / "last" / "tensors.safetensors"
    rows = (tmp_path / "metrics.jsonl").read_text()
    agent = metarl_gan.train(tiny.walk(), resume=tmp_path, progress=False)
    assert agent.meta_iterations == 2
    assert checkpoint.is_file()
    assert (tmp_path / "metrics.jsonl").read_text() == rows


# load


def test_loading_needs_no_family_and_gives_the_same_agent(agent):
    loaded = metarl_gan.load(agent.run_folder)
    tiny.assert_same_tensors(loaded.components.tensors(), agent.components.tensors())
    assert loaded.config == agent.config
    env = tiny.Walk(goal=0.7)
    parameters = [made.adapt(env, episodes=2).parameters for made in (agent, loaded)]
    tiny.assert_same_tensors(*parameters)


def test_a_run_of_another_machine_is_loaded_on_a_device_of_this_one(tmp_path, capsys):
    """What was trained on a GPU asks for it; whoever has none says where to put it."""
    trained = tiny.train(tmp_path)
    for state in (tmp_path / "checkpoints").glob("*/state.json"):
        text = state.read_text()
        assert '"device": "cpu"' in text
        state.write_text(text.replace('"device": "cpu"', '"device": "cuda:99"'))
    with pytest.raises(ConfigError, match=r"'cuda:99'.*device="):
        metarl_gan.load(tmp_path)
    loaded = metarl_gan.load(tmp_path, device="cpu")
    assert loaded.components.device == torch.device("cpu")
    tiny.assert_same_tensors(loaded.components.tensors(), trained.components.tensors())
    assert main(["fidelity", str(tmp_path), "--split", "train"]) == MISTAKE
    assert "--device" in capsys.readouterr().err


def test_loading_what_is_no_run(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunFolderError, match="is not a run"):
            metarl_gan.load(folder)


# evaluate


def test_evaluation_reports_shapes_floors_and_costs(agent, monkeypatch):
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    family = tiny.walk()
    family.floors, family.reference = {"random": -9.0}, -1.0
    report = metarl_gan.evaluate(agent, family, tasks=5, episodes=2, seed=3)
    assert isinstance(report, AdaptationReport)
    assert report.returns.shape == (5, 3)
    assert report.iqm.shape == (3,)
    assert report.interval.shape == (3, 2)
    assert report.task_ids == tuple(task.id for task in family.sample(5, split="test", seed=3))
    assert (report.arm, report.split, report.family) == ("generated", "test", "walk")
    assert (report.floors, report.reference) == ({"random": -9.0}, -1.0)
    assert report.training_real_steps == agent.real_steps
    assert report.evaluation_real_steps == tiny.Walk.total_steps > 0


def test_an_evaluation_reports_the_levels_of_its_split(agent):
    family = tiny.walk()
    family.levels = lambda split: ({split: -9.0}, None)
    for split in ("train", "test"):
        report = metarl_gan.evaluate(agent, family, split=split, tasks=2, episodes=0)
        assert (report.floors, report.reference) == ({split: -9.0}, None)


def test_evaluation_is_deterministic_and_its_seed_matters(agent):
    def returns(seed):
        return metarl_gan.evaluate(agent, tiny.walk(), tasks=3, episodes=1, seed=seed).returns

    assert np.array_equal(returns(1), returns(1))
    assert not np.array_equal(returns(1), returns(2))


@pytest.mark.parametrize("deterministic", [True, False])
def test_arms_share_tasks_support_and_starts(agent, deterministic):
    settings = {"tasks": 4, "episodes": 2, "deterministic": deterministic}
    with_generated, without = (
        metarl_gan.evaluate(agent, tiny.walk(), generated=generated, **settings)
        for generated in (True, False)
    )
    assert without.arm == "real only"
    assert with_generated.task_ids == without.task_ids
    assert np.array_equal(with_generated.returns[:, 0], without.returns[:, 0])
    assert not np.array_equal(with_generated.returns[:, 1:], without.returns[:, 1:])


def test_an_agent_without_generator_has_the_real_arm_only(agent_without):
    report = metarl_gan.evaluate(agent_without, tiny.walk(), tasks=2, episodes=1)
    assert report.arm == "real only"


def test_evaluation_on_the_train_split_without_episodes(agent):
    report = metarl_gan.evaluate(agent, tiny.walk(), split="train", tasks=3, episodes=0)
    assert report.returns.shape == (3, 1)
    train = [task.id for task in tiny.walk().sample(3, split="train", seed=0)]
    assert list(report.task_ids) == train


def test_evaluation_drops_and_names_broken_tasks(agent):
    family = tiny.faulty()
    report = metarl_gan.evaluate(agent, family, split="train", tasks=9, episodes=1)
    broken = [task.id for task in family.sample(9, split="train", seed=0) if "fault=1" in task.id]
    assert broken
    assert list(report.dropped_tasks) == broken
    assert report.returns.shape == (9 - len(broken), 2)
    assert np.isfinite(report.returns).all()
    only_broken = tiny.faulty(faults=(1,))
    with pytest.raises(AllTasksDroppedError, match="step 2 returned reward nan"):
        metarl_gan.evaluate(agent, only_broken, split="train", tasks=2, episodes=1)


@pytest.mark.parametrize("measure", [metarl_gan.evaluate, metarl_gan.fidelity])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": 0}, "tasks is 0; give .* 1 or more"),
        ({"episodes": -1}, "episodes is -1; give"),
        ({"split": "ood"}, r"split 'ood' does not exist here; this family has"),
        ({"family": tiny.steer()}, "'steer' has the action space"),
        ({"family": "point-gaol"}, "did you mean 'point-goal'"),
    ],
)
def test_what_cannot_be_measured_is_said(agent, measure, given, message):
    with pytest.raises(ValueError, match=message):
        measure(agent, **{"family": tiny.walk(), **given})


# fidelity


def test_fidelity_compares_all_sources(agent, monkeypatch):
    monkeypatch.setattr("metarl_gan.gradient_fidelity.REFERENCE_CHUNKS", 2)
    monkeypatch.setattr("metarl_gan.gradient_fidelity.EPISODES_PER_CHUNK", 3)
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    report = metarl_gan.fidelity(agent, tiny.walk(), tasks=3, episodes=2, seed=1)
    assert isinstance(report, FidelityReport)
    assert set(report.gradient_cosine) >= {"generated", "mixed", "real", "shuffled_context"}
    assert all(values.shape == (3,) for values in report.cosines.values())
    assert all(-1.0 <= value <= 1.0 for value in report.gradient_cosine.values())
    assert set(report.held_out_errors) == {"next_state", "reward", "terminated"}
    assert report.reference_episodes == 6
    assert report.evaluation_real_steps == tiny.Walk.total_steps > 0
    assert report.generated_share.tolist() == [0.5] * 3


def test_fidelity_needs_a_generator_and_an_episode(agent, agent_without):
    with pytest.raises(ValueError, match=r"trained without a generator.*generated=True"):
        metarl_gan.fidelity(agent_without, tiny.walk())
    with pytest.raises(ConfigError, match=r"episodes is 0; give .* 1 or more"):
        metarl_gan.fidelity(agent, tiny.walk(), episodes=0)


def test_point_goal_takes_the_same_way(tmp_path):
    """A built-in family by name, through every door."""
    agent = metarl_gan.train("point-goal", {**tiny.TINY, "iterations": 1}, out=tmp_path)
    assert agent.config.family == "point-goal"
    report = metarl_gan.evaluate(metarl_gan.load(tmp_path), tasks=2, episodes=1)
    assert report.floors == make_family("point-goal").floors
    policy = agent.adapt(gymnasium.wrappers.TimeLimit(_point(), 7))
    assert policy.predict(np.zeros(2, np.float32))[0].shape == (2,)


def _point():
    family = make_family("point-goal")
    return family.make(family.sample(1, split="test", seed=0)[0])
