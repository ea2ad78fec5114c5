"""Runs on a family that a YAML file describes."""

import metarl_gan
from tests.metarl_gan import tiny

WALK = """
name: little-walk
env: tests.metarl_gan.tiny:Walk
horizon: 6
parameters:
  goal: {uniform: [-1, 1]}
"""


def test_a_run_on_a_file_is_resumed_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "walk.yaml").write_text(WALK)
    monkeypatch.chdir(tmp_path)
    config = {**tiny.TINY, "family": "walk.yaml"}
    agent = metarl_gan.train(config=config, seed=3, progress=False)
    assert agent.run_folder == (tmp_path / "runs" / "walk-seed3").relative_to(tmp_path)
    assert agent.config.family == str((tmp_path / "walk.yaml").resolve())
    monkeypatch.chdir("/")
    run = tmp_path / "runs" / "walk-seed3"
    again = metarl_gan.train(resume=run, iterations=3, progress=False)
    assert again.config.family == agent.config.family
    assert metarl_gan.evaluate(again, tasks=2, episodes=1).family == "little-walk"


def test_the_same_file_named_or_given_in_the_config_is_the_same_run(tmp_path, monkeypatch):
    (tmp_path / "walk.yaml").write_text(WALK)
    monkeypatch.chdir(tmp_path)
    named = metarl_gan.train("./walk.yaml", tiny.TINY, out="a", iterations=1, progress=False)
    given = metarl_gan.train(config=named.config, out="b", progress=False)
    assert given.config == named.config
