"""Every command and snippet of the pages is run, with budgets cut to almost nothing."""

import contextlib
import doctest
import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from metarl_gan import cli, presets
from metarl_gan.envs import TaskFamily, make_family, registry

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")),
]
PLUG_IN_PAGES = [page for page in PAGES if "plug-in" in page]
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


def python_and_output(page: str) -> list[tuple[str, str | None]]:
    """A page's snippets, each with what it prints according to the block that follows."""
    text = (ROOT / page).read_text(encoding="utf-8")
    pairs = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, flags=re.DOTALL)
    return [(snippet, output or None) for snippet, output in pairs]


def save_files(page: str, folder: Path) -> None:
    """Write the blocks that say in their first line which file they are: `# my_lab.py`."""
    for block in [*blocks(page, "python"), *blocks(page, "yaml")]:
        named = re.match(r"# ([\w.-]+\.(?:py|yaml))\n", block)
        if named:
            (folder / named[1]).write_text(block, encoding="utf-8")


def commands(page: str) -> list[list[str]]:
    """The command lines of a page's shell blocks, without comments."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture
def tiny_presets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The snippets as they stand, but training takes no time; in an empty folder."""
    for name in presets.GENERAL:
        monkeypatch.setitem(presets.GENERAL, name, TINY)
    monkeypatch.setattr(presets, "BY_FAMILY", {})
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    ours = [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]
    for name in ours:
        del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page: str, tiny_presets: Path) -> None:
    save_files(page, tiny_presets)
    same = doctest.OutputChecker().check_output
    for snippet, expected in python_and_output(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(snippet, page, "exec"), {"__name__": "page"})
        got = printed.getvalue()
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert expected is None or same(expected, got, options), got


@pytest.mark.parametrize("page", PLUG_IN_PAGES)
def test_ways_to_plug_in_are_short_and_run_everywhere(page: str, tiny_presets: Path) -> None:
    save_files(page, tiny_presets)
    code = [line for line in blocks(page, "python")[0].splitlines() if line.strip()]
    assert len(code) <= 20
    ours = [words for words in commands(page) if words[0] == "metarl-gan"]
    assert {words[1] for words in ours} >= {"check", "train"}
    for words in ours:
        # The page's snippets check the same family: here it is enough that it is found.
        arguments = ["families", words[2]] if words[1] == "check" else words[1:]
        assert cli.main(arguments) == 0, words
    [table] = blocks(page, "toml")
    points = tomllib.loads(table)["project"]["entry-points"][registry.ENTRY_POINT_GROUP]
    assert all(isinstance(make_family(value), TaskFamily) for value in points.values())


def test_there_is_a_page_for_each_way_in_and_the_readme_leads_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(PLUG_IN_PAGES) == 4
    assert [page for page in PLUG_IN_PAGES if f"]({page})" not in readme] == []


def test_readme_snippets_are_short() -> None:
    snippets = blocks("README.md", "python")
    assert len(snippets) >= 2
    for snippet in snippets:
        code = [line for line in snippet.splitlines() if line.strip() and not line.startswith("#")]
        assert len(code) <= 12


@pytest.mark.timeout(400)  # several processes, each of which imports everything
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
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert not missing


@pytest.mark.parametrize(
    ("page", "after"),
    [
        ("README.md", "## What comes out"),
        ("docs/results.md", "# Results"),
        ("docs/baselines.md", "# Baselines"),
    ],
)
def test_result_tables_of_pages_are_those_of_the_results(page: str, after: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    of_results = [table for table in tables(text.partition(after)[2]) if "[" in "".join(table)]
    assert of_results
    results = [
        table
        for name in ("table.md", "gap.md")
        for path in (ROOT / "benchmarks/results").rglob(name)
        for table in tables(path.read_text(encoding="utf-8"))
    ]
    for table in of_results:
        # A page may leave rows out, of one and the same result.
        whole = [one for one in results if one[:2] == table[:2] and set(table) <= set(one)]
        assert whole, "\n".join(table)
        assert any(table == [line for line in one if line in table] for one in whole)


def tables(text: str) -> list[list[str]]:
    """The tables of a page that have no links, as lines."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [table.splitlines() for table in found if "](" not in table]
