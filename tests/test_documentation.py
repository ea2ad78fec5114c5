"""Every command and snippet of the pages is run, with budgets cut to almost nothing."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from metarl_gan import cli, presets
from metarl_gan.envs import registry

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")),
]
TINY = {
    "iterations": 1,
    "sampler.tasks_per_batch": 2,
    "sampler.query_episodes": 1,
    "sampler.validation_tasks": 2,
    "policy.hidden_sizes": (8,),
    "learner.inner_steps": 1,
    "learner.outer_epochs": 1,
    "encoder.hidden_sizes": (8,),
    "generator.hidden_sizes": (8,),
    "generator.inversion_steps": 1,
    "discriminator.hidden_sizes": (8,),
    "adversarial.initial_updates": 1,
    "adversarial.updates_per_iteration": 1,
    "adversarial.tasks_per_update": 2,
    "augmentation.rollouts_per_task": 1,
    "augmentation.rollout_steps": 2,
    "logging.validate_every": 1000,
    "logging.checkpoint_every": 1000,
    "logging.tensorboard": False,
}


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language in a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The command lines of a page's shell blocks, without comments."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture
def tiny_presets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The snippets as they stand, but training takes no time; in an empty folder."""
    for name in presets.GENERAL:
        monkeypatch.setitem(presets.GENERAL, name, TINY)
    monkeypatch.setattr(presets, "BY_FAMILY", {})
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page: str, tiny_presets: Path) -> None:
    for snippet in blocks(page, "python"):
        exec(compile(snippet, page, "exec"), {"__name__": "page"})


def test_readme_snippets_are_short() -> None:
    snippets = blocks("README.md", "python")
    assert len(snippets) >= 2
    for snippet in snippets:
        code = [line for line in snippet.splitlines() if line.strip() and not line.startswith("#")]
        assert len(code) <= 12


def test_readme_commands_run(tiny_presets: Path) -> None:
    ours = [words for words in commands("README.md") if words[0] == "metarl-gan"]
    assert {words[1] for words in ours} >= {"train", "evaluate", "fidelity"}
    for words in ours:
        assert cli.main(words[1:]) == 0, words


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    targets = [words for words in commands(page) if words[0] == "make"]
    for words in targets:
        run = subprocess.run(
            ["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_pages_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(
        r"`((?:envs|agents|metarl_gan|scripts|docs|benchmarks|tests)/[\w./-]*)`", text
    )
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [name for name in named + links if not (ROOT / name).exists()]
    assert not missing


def test_result_tables_of_the_readme_are_those_of_the_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tables = list((ROOT / "benchmarks/results/demo").glob("*/table.md"))
    assert tables
    for table in tables:
        assert table.read_text(encoding="utf-8").strip() in readme, table
