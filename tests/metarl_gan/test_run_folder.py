"""The run folder: made, replaced and opened only as asked."""

import json

import pytest

from metarl_gan.checkpoint import CheckpointError
from metarl_gan.config import ConfigError
from metarl_gan.run_folder import BEST, LAST, RunFolder, RunFolderError, build_components
from tests.metarl_gan import tiny


def test_a_new_folder_is_empty_and_an_empty_one_is_taken(tmp_path):
    for path in (tmp_path / "a" / "b", tmp_path / "a" / "b"):
        assert RunFolder.create(path, overwrite=False).path == path
        assert list(path.iterdir()) == []


def test_only_a_run_is_replaced_and_only_when_asked(tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    RunFolder.create(run, overwrite=False).write_config(tiny.tiny_config())
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match=r"exists and is not empty.*resume.*overwrite"):
        RunFolder.create(run, overwrite=False)
    with pytest.raises(RunFolderError, match="holds something that is not a run"):
        RunFolder.create(other, overwrite=True)
    assert (other / "thesis.tex").read_text() == "precious"
    RunFolder.create(run, overwrite=True)
    assert list(run.iterdir()) == []


def test_opening_needs_a_config(tmp_path):
    with pytest.raises(RunFolderError, match=r"is not a run: it has no config\.json"):
        RunFolder.open(tmp_path)
    RunFolder(tmp_path).write_config(tiny.tiny_config(seed=7))
    assert RunFolder.open(tmp_path).path == tmp_path
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 7


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path)
    parts = tiny.tiny_components(tiny.steer())
    for real_steps in (1, 2):
        made.save(LAST, parts, parts.tensors(), {"counters": {"real_steps": real_steps}})
    return made


def test_a_checkpoint_tells_how_to_build_its_components(folder):
    about, tensors, state = folder.load(LAST)
    parts, original = build_components(about), tiny.tiny_components(tiny.steer())
    assert parts.config == original.config
    assert parts.observation_space == original.observation_space
    assert parts.action_space == original.action_space
    assert parts.horizon == original.horizon == tiny.HORIZON
    tiny.assert_same_tensors(tensors, original.tensors())
    assert state == {"counters": {"real_steps": 2}}


def test_counters_and_presence_survive_a_crash_between_renames(folder):
    assert (folder.has(LAST), folder.has(BEST)) == (True, False)
    assert folder.counters(LAST) == {"real_steps": 2}
    (folder.path / LAST).rename(folder.path / "checkpoints" / "last-writing")
    assert folder.has(LAST)
    assert folder.counters(LAST) == {"real_steps": 1}


def test_counters_need_no_tensors_to_be_read(folder):
    (folder.path / LAST / "tensors.safetensors").write_bytes(b"not read")
    assert folder.counters(LAST) == {"real_steps": 2}


def test_a_config_of_another_version_is_named_with_the_checkpoint(folder):
    path = folder.path / LAST / "state.json"
    header = json.loads(path.read_text())
    header["state"]["components"]["config"]["learner"]["momentum"] = 1
    path.write_text(json.dumps(header))
    about, _, _ = folder.load(LAST)
    message = r"checkpoints/last: unknown setting 'learner\.momentum'"
    with pytest.raises(ConfigError, match=message), folder.using(LAST):
        build_components(about)


def test_what_goes_wrong_in_using_a_checkpoint_is_its_fault_and_a_stop_is_not(folder):
    message = r"last does not hold .*KeyError: 'x'"
    with pytest.raises(CheckpointError, match=message), folder.using(LAST):
        raise KeyError("x")
    with pytest.raises(KeyboardInterrupt), folder.using(LAST):
        raise KeyboardInterrupt
