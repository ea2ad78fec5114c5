"""Meta-training that starts from what Stable-Baselines3 trained."""

import json
import pickle
import shutil
import zipfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC
from torch import nn

import metarl_gan
from metarl_gan.agents.sb3_pretrained import read_pretrained
from metarl_gan.config import ConfigError
from metarl_gan.envs import ParametricFamily, Uniform
from tests.metarl_gan import tiny


class Wide(tiny.Walk):
    """Actions from -1 to 3, so that their middle and their half range matter."""

    action_space = spaces.Box(-1.0, 3.0, (1,))


def wide():
    return ParametricFamily(Wide, {"goal": Uniform(-1.0, 1.0)}, horizon=6, name="wide")


def saved(path, kind=PPO, *, env=None, sizes=(8, 6), activation=nn.ReLU, **arguments):
    """A model as somebody saved it, with weights of some size."""
    policy = {"net_arch": list(sizes), "activation_fn": activation}
    model = kind(
        "MlpPolicy", env or Wide(0.5), policy_kwargs=policy, seed=1, device="cpu", **arguments
    )
    with torch.no_grad():
        for value in model.policy.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(2)))
    model.save(path)
    return model


def observations():
    return np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


def untrained(out, start, family=None, **changes):
    settings = {**tiny.TINY, "iterations": 0, "generated": False, **changes}
    for name in ("family", "policy.hidden_sizes"):
        settings.pop(name, None)
    return metarl_gan.train(family or wide(), settings, out=out, start=start, progress=False)


def initial_actions(agent, family):
    env = family.make(family.sample(1, split="test", seed=0)[0])
    return agent.adapt(env, episodes=0).predict(observations(), deterministic=True)[0]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (PPO, {}),
        (PPO, {"learner.algorithm": "sb3_reptile"}),
        (SAC, {"learner.algorithm": "sb3_reptile", "learner.sb3_algorithm": "SAC"}),
    ],
)
def test_the_untrained_agent_acts_as_the_model(tmp_path, kind, changes):
    model = saved(tmp_path / "p.zip", kind)
    agent = untrained(tmp_path / "run", tmp_path / "p.zip", **changes)
    expected, _ = model.predict(observations(), deterministic=True)
    np.testing.assert_allclose(initial_actions(agent, wide()), expected, atol=1e-5)
    assert agent.config.policy.hidden_sizes == (8, 6)
    assert agent.config.policy.activation == "relu"
    if kind is PPO:
        own = agent.components.tensors()["meta_learner.parameters.log_std"]
        torch.testing.assert_close(own, model.policy.log_std.detach() - np.log(2.0))
    else:
        name = "critic.qf0.0.weight"
        own = agent.components.tensors()[f"meta_learner.parameters.others.{name}"]
        assert torch.equal(own, model.policy.state_dict()[name])


def test_discrete_policies_too(tmp_path):
    model = saved(tmp_path / "p.zip", DQN, env=tiny.Steer(0.5), activation=nn.Tanh)
    changes = {"learner.algorithm": "sb3_reptile", "learner.sb3_algorithm": "DQN"}
    agent = untrained(tmp_path / "run", tmp_path / "p.zip", tiny.steer(), **changes)
    expected, _ = model.predict(observations(), deterministic=True)
    assert (initial_actions(agent, tiny.steer()) == expected).all()


def test_training_goes_on_from_there_and_resumes_without_the_file(tmp_path):
    saved(tmp_path / "p.zip")
    whole = untrained(tmp_path / "whole", tmp_path / "p.zip", iterations=2)
    untrained(tmp_path / "parts", tmp_path / "p.zip", iterations=1)
    (tmp_path / "p.zip").unlink()
    agent = metarl_gan.train(wide(), resume=tmp_path / "parts", iterations=2, progress=False)
    tiny.assert_same_tensors(agent.components.tensors(), whole.components.tensors())


class Trap:
    """Would leave a file, were it unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_no_code_in_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("p.zip")
    trap = b64encode(pickle.dumps(Trap())).decode()
    with zipfile.ZipFile("p.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    data = json.loads(files["data"])
    data["policy_class"] = data["policy_kwargs"][":serialized:"] = trap
    data["lr_schedule"] = {":type:": "x", ":serialized:": trap}
    with zipfile.ZipFile("p.zip", "w") as archive:
        for name, content in (files | {"data": json.dumps(data)}).items():
            archive.writestr(name, content)
    assert read_pretrained("p.zip").hidden_sizes == (8, 6)
    assert read_pretrained("p.zip").activation == "relu"
    with zipfile.ZipFile("q.zip", "w") as archive:
        archive.writestr("policy.pth", pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"q\.zip is no model that Stable-Baselines3 saved"):
        read_pretrained("q.zip")
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy.hidden_sizes": (8,)}, r"policy.hidden_sizes is \(8,\), .* has \(8, 6\)"),
        ({"policy.activation": "silu"}, "policy.activation is silu, .* has relu: set it so"),
        ({"policy.normalise_observations": True}, "normalise_observations is True.* has False"),
        (
            {"learner.algorithm": "sb3_reptile", "learner.sb3_algorithm": "TD3"},
            "a policy of PPO; learner.algorithm sb3_reptile over TD3 cannot start from it",
        ),
    ],
)
def test_settings_that_do_not_fit_are_told(tmp_path, changes, message):
    saved(tmp_path / "p.zip")
    base = {**tiny.TINY, "policy.hidden_sizes": (8, 6), "policy.activation": "relu"}
    config = {**base, "policy.normalise_observations": False, "generated": False, **changes}
    config["policy.start_from"] = str(tmp_path / "p.zip")
    with pytest.raises(ConfigError, match=message):
        metarl_gan.train(wide(), config, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_other_spaces_and_other_files_are_told(tmp_path):
    saved(tmp_path / "p.zip")
    with pytest.raises(ConfigError, match=r"has weight_2 of shape \(6, 1\).*\(6, 3\)"):
        untrained(tmp_path / "run", tmp_path / "p.zip", tiny.steer())
    saved(tmp_path / "q.zip", env="Pendulum-v1")
    with pytest.raises(ConfigError, match="observations of size 3; this family's have 2"):
        untrained(tmp_path / "run", tmp_path / "q.zip")
    with pytest.raises(ConfigError, match=r"none\.zip is no file"):
        untrained(tmp_path / "run", tmp_path / "none.zip")
    shutil.copy(__file__, tmp_path / "text.zip")
    with pytest.raises(ConfigError, match=r"text\.zip is no model"):
        untrained(tmp_path / "run", tmp_path / "text.zip")
    saved(tmp_path / "sde.zip", use_sde=True)
    with pytest.raises(ConfigError, match="use_sde"):
        untrained(tmp_path / "run", tmp_path / "sde.zip")
    saved(tmp_path / "elu.zip", activation=nn.ELU)
    with pytest.raises(ConfigError, match=r"activation ELU.*Tanh, ReLU, SiLU"):
        untrained(tmp_path / "run", tmp_path / "elu.zip")
