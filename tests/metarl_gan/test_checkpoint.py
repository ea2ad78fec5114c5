"""Checkpoints: complete or refused, and never the end of what was there before."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import metarl_gan
from metarl_gan import checkpoint
from metarl_gan.checkpoint import (
    STATE,
    TENSORS,
    CheckpointError,
    has_checkpoint,
    load_checkpoint,
    load_state,
    require_fit,
    save_checkpoint,
)
from tests.metarl_gan import tiny


def content(value):
    return {"a": torch.full((2, 3), float(value)), "n": torch.tensor(value)}, {"value": value}


def saved(folder, *values):
    for value in values:
        save_checkpoint(folder, *content(value))
    return folder


def test_what_is_loaded_is_what_was_saved(tmp_path):
    tensors = {
        "float": torch.randn(3, 2),
        "double": torch.randn(2, dtype=torch.float64),
        "long": torch.arange(3),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "transposed": torch.randn(2, 3).T,
    }
    state = {"x": [1, 2.5, None, "text"], "nested": {"y": True}}
    save_checkpoint(tmp_path / "c", tensors, state)
    loaded, loaded_state = load_checkpoint(tmp_path / "c")
    tiny.assert_same_tensors(loaded, tensors)
    assert {name: value.dtype for name, value in loaded.items()} == {
        name: value.dtype for name, value in tensors.items()
    }
    assert loaded_state == load_state(tmp_path / "c") == state


def test_the_previous_checkpoint_is_kept(tmp_path):
    folder = saved(tmp_path / "c", 1, 2, 3)
    assert load_state(folder) == {"value": 3}
    assert load_state(tmp_path / "c-previous") == {"value": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "c-previous"]


@pytest.mark.parametrize("died_at", ["tensors", "state", "first rename", "second rename"])
def test_a_crash_at_any_moment_leaves_a_whole_checkpoint(tmp_path, monkeypatch, died_at):
    folder = saved(tmp_path / "c", 1, 2)
    rename, write = Path.rename, checkpoint._write_durably

    def dying_write(path, data):
        write(path, data[: len(data) // 2])
        if (path.name == TENSORS) == (died_at == "tensors"):
            raise KeyboardInterrupt
        write(path, data)

    def dying_rename(path, target):
        if path.name.endswith("-writing") == (died_at == "second rename"):
            raise KeyboardInterrupt
        return rename(path, target)

    if died_at.endswith("rename"):
        monkeypatch.setattr(Path, "rename", dying_rename)
    else:
        monkeypatch.setattr(checkpoint, "_write_durably", dying_write)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(folder, *content(3))
    monkeypatch.undo()
    assert has_checkpoint(folder)
    tensors, state = load_checkpoint(folder)
    assert state == {"value": 2}
    assert torch.equal(tensors["a"], torch.full((2, 3), 2.0))
    # And the next checkpoint is written as if nothing had happened.
    saved(folder, 4)
    assert load_state(folder) == {"value": 4}
    assert load_state(tmp_path / "c-previous") == {"value": 2}


def test_a_state_that_is_not_json_leaves_the_checkpoint_alone(tmp_path):
    folder = saved(tmp_path / "c", 1)
    with pytest.raises(ValueError, match=r"nan|Out of range"):
        save_checkpoint(folder, {}, {"value": float("nan")})
    assert load_state(folder) == {"value": 1}


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def foreign_tensors(path):
    save_file({"weight": torch.zeros(3)}, path)


def edit(**changes):
    def change(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


DAMAGE = {
    "tensors cut off": (TENSORS, truncate, "tensors.safetensors is truncated or was changed"),
    "tensors empty": (TENSORS, empty, "tensors.safetensors is truncated or was changed"),
    "one bit": (TENSORS, flip, "tensors.safetensors is truncated or was changed"),
    "foreign tensors": (TENSORS, foreign_tensors, "tensors.safetensors is truncated or was chang"),
    "tensors gone": (TENSORS, Path.unlink, "no checkpoint in .*it needs state.json and tensors"),
    "state cut off": (STATE, truncate, "state.json is truncated or not JSON"),
    "state empty": (STATE, empty, "state.json is truncated or not JSON"),
    "state binary": (STATE, lambda p: p.write_bytes(b"\x80\x02\xff"), "truncated or not JSON"),
    "state gone": (STATE, Path.unlink, "no checkpoint in .*it needs state.json and tensors"),
    "state a list": (STATE, lambda p: p.write_text("[]"), "is not a checkpoint of metarl-gan"),
    "of others": (STATE, edit(format="other"), "is not a checkpoint of metarl-gan"),
    "newer": (STATE, edit(format_version=2), "has format version 2; this metarl-gan reads 1"),
    "no version": (STATE, edit(format_version=None), "has format version None"),
    "no state": (STATE, edit(state=None), "does not hold what a training run writes"),
    "no counters": (STATE, edit(state={"components": {}}), "does not hold what a training run"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a last and a best checkpoint."""
    out = tmp_path_factory.mktemp("runs") / "run"
    tiny.train(out, iterations=2, logging__checkpoint_every=1)
    return out


@pytest.fixture
def copy(run, tmp_path):
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_the_run_left_alone(copy, damage):
    name, change, message = DAMAGE[damage]
    for checkpoint_name in ("last", "best"):
        change(copy / "checkpoints" / checkpoint_name / name)
    before = tiny.fingerprint(copy)
    with pytest.raises(CheckpointError, match=message) as error:
        metarl_gan.load(copy)
    assert "checkpoints/best" in str(error.value)
    with pytest.raises(CheckpointError, match=message) as error:
        metarl_gan.train(tiny.walk(), resume=copy, iterations=9, progress=False)
    assert "checkpoints/last" in str(error.value)
    assert tiny.fingerprint(copy) == before


def test_the_message_says_how_to_go_back_and_that_works(copy):
    truncate(copy / "checkpoints" / "last" / TENSORS)
    with pytest.raises(CheckpointError, match="last-previous: rename it to last to use it"):
        metarl_gan.train(tiny.walk(), resume=copy, progress=False)
    (copy / "checkpoints" / "last").rename(copy / "checkpoints" / "broken")
    (copy / "checkpoints" / "last-previous").rename(copy / "checkpoints" / "last")
    metarl_gan.train(tiny.walk(), resume=copy, iterations=3, progress=False)
    assert load_state(copy / "checkpoints" / "last")["training"]["counters"]["meta_iterations"] == 3


def rewrite(folder, change):
    """Change the tensors of a checkpoint in a way that the checksum does not tell."""
    tensors, state = load_checkpoint(folder)
    change(tensors, state)
    save_checkpoint(folder, tensors, state)


def drop(name):
    return lambda tensors, _: tensors.pop(name)


def put(name, value):
    return lambda tensors, _: tensors.update({name: value})


def set_state(*path, value):
    def change(_, state):
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value

    return change


WEIGHT = "meta_learner.parameters.weight_0"
MISFITS = {
    "missing weight": (drop(WEIGHT), f"{WEIGHT} is missing"),
    "missing module": (drop("gan.space.reward.mean"), "gan.space.reward.mean is missing"),
    "extra": (put("gan.x", torch.zeros(1)), "gan.x is unknown"),
    "other shape": (put(WEIGHT, torch.zeros(3, 8)), rf"{WEIGHT} has shape \(3, 8\) in place of"),
    # These would be taken without a word, by broadcasting.
    "scalar": (put(WEIGHT, torch.zeros(())), rf"{WEIGHT} has shape \(\) in place of"),
    "scale": (put("observations.mean", torch.zeros(1)), "observations.mean has shape"),
    "wider network": (
        set_state("components", "config", "policy", "hidden_sizes", value=[9]),
        r"bias_0 has shape \(8,\) in place of \(9,\)",
    ),
    "no generator": (
        set_state("components", "config", "generated", value=False),
        "is unknown.* and .* more",
    ),
    "optimiser": (
        put("meta_learner.optimiser.0.exp_avg", torch.zeros(5)),
        r"optimiser's 0.exp_avg \(5,\)",
    ),
    "another optimiser": (
        put("meta_learner.optimiser.99.exp_avg", torch.zeros(5)),
        "optimiser's 99.exp_avg",
    ),
    "spaces": (set_state("components", "action_space", value={}), "KeyError: 'type'"),
    "horizon": (set_state("components", "horizon", value="x"), "invalid literal"),
}
OF_TRAINING = {
    "counters": (set_state("training", "counters", "moon", value=1), "moon"),
    "replay": (drop("learner.replay.lengths"), "lengths"),
    "replay rows": (
        put("learner.replay.rewards", torch.zeros(1, 8, 6)),
        "replay's rewards has shape",
    ),
    "replay field": (drop("learner.replay.actions"), "actions"),
    "learner": (set_state("training", "learner", value={}), "replay"),
}


@pytest.mark.parametrize("misfit", [*MISFITS, *OF_TRAINING])
def test_what_does_not_fit_its_config_is_one_message(copy, misfit):
    change, message = {**MISFITS, **OF_TRAINING}[misfit]
    for name in ("last", "best"):
        rewrite(copy / "checkpoints" / name, change)
    before = tiny.fingerprint(copy)
    if misfit in MISFITS:
        with pytest.raises(CheckpointError, match=message) as error:
            metarl_gan.load(copy)
        assert "\n" not in str(error.value)
    with pytest.raises(CheckpointError, match=message) as error:
        metarl_gan.train(tiny.walk(), resume=copy, iterations=9, progress=False)
    assert "\n" not in str(error.value)
    assert "checkpoints/last" in str(error.value)
    assert tiny.fingerprint(copy) == before


def test_require_fit_lists_three_problems_and_counts_the_rest():
    with pytest.raises(CheckpointError, match="a is missing; b is missing; c is missing and 2 mo"):
        require_fit({"x": torch.zeros(1)}, {name: torch.zeros(1) for name in "abcd"})
    require_fit({"x": torch.zeros(1)}, {"x": torch.ones(1)})


def test_no_file_of_a_run_is_a_pickle(run):
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jsonl", ".csv"}
    for path in files:
        data = path.read_bytes()
        # A pickle of protocol 2 or later begins so; a zip, which torch.save writes, so.
        assert not data.startswith((b"\x80", b"PK"))
