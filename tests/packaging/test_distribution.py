"""What is built and installed: everything of ours, under one name, however it is installed."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("envs", "agents", "scripts")

SPAWN = """
import multiprocessing, pathlib, sys

def where(_):
    import metarl_gan.agents, metarl_gan.envs, metarl_gan.scripts
    return [m.__file__ for m in (metarl_gan.agents, metarl_gan.envs, metarl_gan.scripts)]

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for files in (where(0), pool.map(where, [0])[0]):
            print(*files, sep="\\n")
    for bare in ("envs", "agents"):
        try:
            found = __import__(bare).__file__
        except ImportError:
            continue
        print("bare", bare, found)
"""


@dataclass(frozen=True, kw_only=True)
class Built:
    """The distributions of a copy of the checkout, and the names of the files in each."""

    wheel: Path
    sdist: Path
    wheel_names: set[str]
    wheel_from_sdist_names: set[str]
    sdist_names: set[str]


def expected_modules() -> set[str]:
    """Where each source file belongs inside the package."""
    names = set()
    for folder in ("metarl_gan", *FOLDERS):
        prefix = "" if folder == "metarl_gan" else "metarl_gan/"
        for path in (ROOT / folder).rglob("*.py"):
            if not any(parent.is_symlink() for parent in path.parents if parent != ROOT):
                names.add(prefix + path.relative_to(ROOT).as_posix())
    return names


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel_names(folder: Path) -> tuple[Path, set[str]]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names)), "a file is packaged twice"
    return wheel, set(names)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Wheel from the tree, sdist from the tree, wheel from that sdist; no network, no trace."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    ignored = shutil.ignore_patterns(
        ".*", "runs", "build", "dist", "*.egg-info", "__pycache__", "benchmarks"
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    shutil.copytree(ROOT / ".ci", source / ".ci")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    run(*build, folder / "direct", "--wheel", cwd=source)
    run(*build, folder / "through-sdist", cwd=source)
    wheel, names = wheel_names(folder / "direct")
    (sdist,) = (folder / "through-sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
        assert all(member.isfile() or member.isdir() for member in members)
        sdist_files = [member.name.partition("/")[2] for member in members if member.isfile()]
    assert len(sdist_files) == len(set(sdist_files)), "a file is packaged twice"
    return Built(
        wheel=wheel,
        sdist=sdist,
        wheel_names=names,
        wheel_from_sdist_names=wheel_names(folder / "through-sdist")[1],
        sdist_names=set(sdist_files),
    )


def test_wheel_installs_one_top_level_name(built: Built) -> None:
    top = {name.partition("/")[0] for name in built.wheel_names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"metarl_gan"}
    with zipfile.ZipFile(built.wheel) as archive:
        (listed,) = (name for name in archive.namelist() if name.endswith("top_level.txt"))
        assert archive.read(listed).decode().split() == ["metarl_gan"]


def test_wheel_holds_every_module(built: Built) -> None:
    modules = {name for name in built.wheel_names if name.endswith(".py")}
    assert modules == expected_modules()
    assert {"metarl_gan/envs/__init__.py", "metarl_gan/agents/__init__.py"} <= modules
    assert "metarl_gan/py.typed" in built.wheel_names
    assert any(name.endswith("licenses/LICENSE") for name in built.wheel_names)


def test_wheel_through_the_sdist_is_the_same(built: Built) -> None:
    assert built.wheel_from_sdist_names == built.wheel_names


def test_sdist_holds_what_building_and_testing_need(built: Built) -> None:
    needed = {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "constraints.txt",
        "envs/__init__.py",
        "metarl_gan/py.typed",
        "pyproject.toml",
        "setup.py",
        "tests/conftest.py",
        "tests/packaging/test_distribution.py",
        ".ci/run",
        ".ci/setup",
    }
    assert needed <= built.sdist_names
    assert not any(
        name.startswith(f"metarl_gan/{folder}/") for name in built.sdist_names for folder in FOLDERS
    ), "the links were followed"


def test_wheel_imports_in_process_and_in_spawned_workers(built: Built, tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", tmp_path / "site", built.wheel, cwd=tmp_path)
    installed = {path.name for path in (tmp_path / "site").iterdir()}
    assert not installed & set(FOLDERS)
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN, encoding="utf-8")
    env = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    files = run(sys.executable, script, cwd=tmp_path, env=env).split("\n")[:-1]
    assert files == 2 * [
        str(tmp_path / "site" / "metarl_gan" / folder / "__init__.py")
        for folder in ("agents", "envs", "scripts")
    ]


def test_editable_install_imports_from_anywhere(tmp_path: Path) -> None:
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN, encoding="utf-8")
    lines = run(sys.executable, script, cwd=tmp_path, env={"PATH": ""}).split("\n")[:-1]
    assert [Path(line).resolve() for line in lines] == 2 * [
        ROOT / folder / "__init__.py" for folder in ("agents", "envs", "scripts")
    ]


def test_links_are_relative_and_lead_to_the_folders() -> None:
    for folder in FOLDERS:
        link = ROOT / "metarl_gan" / folder
        assert link.is_symlink()
        assert link.readlink() == Path("..", folder)
