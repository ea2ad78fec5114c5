"""The set-up of .venv as a state machine, played with an interpreter that only pretends."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Answers like python does to what .ci/setup asks; notes each install; fails when told to.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo venv >> "$LOG" ;;
"-m pip")
    case "$*" in
    *--editable*) echo install >> "$LOG"; [ ! -e "$FAIL" ] ;;
    *--no-deps*) echo "$*" | sed "s/.* -r /further /" | tr " " ":" >> "$LOG" ;;
    esac ;;
"-c "*print*) echo "${0##*/}" | sed "s/^python$/3 11 0/" ;;
esac
"""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A folder with just what the set-up reads, and the record of what it did."""

    root: Path
    tools: Path

    def setup(
        self, name: str = "", *, python: str = "", path: str | None = None
    ) -> tuple[int, str]:
        """Exit status and messages of one run, for .venv or .venv-NAME."""
        log, fail = self.tools / "log", self.tools / "fail"
        env = {"PATH": path or f"{self.tools}:{os.environ['PATH']}", "PYTHON": python}
        env |= {"LOG": str(log), "FAIL": str(fail)}
        command = [str(self.root / ".ci" / "setup"), *([name] if name else [])]
        done = subprocess.run(
            command, cwd="/", env=env, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    def did(self) -> list[str]:
        """What happened since the last call: "venv" and "install" in order."""
        log = self.tools / "log"
        steps = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return steps


def add_tool(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, tools = tmp_path / "check out", tmp_path / "tools"
    (root / ".ci").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(ROOT / ".ci" / "setup", root / ".ci" / "setup")
    for name in ("constraints.txt", "pyproject.toml", "setup.py"):
        (root / name).write_text("torch==2.13.0\n", encoding="utf-8")
    add_tool(tools, "python3.13", "#!/bin/sh\necho 'shim: not found' >&2\nexit 127\n")
    add_tool(tools, "python3.12", FAKE_PYTHON)
    return Checkout(root=root, tools=tools)


def test_first_run_installs_and_second_does_nothing(checkout: Checkout) -> None:
    status, messages = checkout.setup()
    assert (status, checkout.did()) == (0, ["venv", "install"])
    assert "with python3.12" in messages, "the newest that runs, not the shim that fails"
    assert checkout.setup() == (0, "")
    assert checkout.did() == []


def test_interrupted_run_is_built_anew(checkout: Checkout) -> None:
    (checkout.tools / "fail").touch()
    assert checkout.setup()[0] != 0
    assert checkout.did() == ["venv", "install"]
    (checkout.tools / "fail").unlink()
    status, messages = checkout.setup()
    assert (status, checkout.did()) == (0, ["venv", "install"])
    assert "interrupted" in messages
    assert checkout.setup() == (0, "")


def test_half_made_folder_is_built_anew(checkout: Checkout) -> None:
    (checkout.root / ".venv" / "bin").mkdir(parents=True)
    assert checkout.setup()[0] == 0
    assert checkout.did() == ["venv", "install"]


def test_a_venv_made_by_hand_is_kept_and_completed(checkout: Checkout) -> None:
    (checkout.root / ".venv" / "bin").mkdir(parents=True)
    add_tool(checkout.root / ".venv" / "bin", "python", FAKE_PYTHON)
    assert checkout.setup()[0] == 0
    assert checkout.did() == ["install"]


def test_moved_checkout_is_built_anew(checkout: Checkout, tmp_path: Path) -> None:
    checkout.setup()
    checkout.did()
    moved = Checkout(root=checkout.root.rename(tmp_path / "moved"), tools=checkout.tools)
    status, messages = moved.setup()
    assert (status, moved.did()) == (0, ["venv", "install"])
    assert "another place" in messages


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "setup.py"])
def test_changed_requirements_are_installed_in_place(checkout: Checkout, name: str) -> None:
    checkout.setup()
    checkout.did()
    with (checkout.root / name).open("a", encoding="utf-8") as file:
        file.write("# other\n")
    assert checkout.setup()[0] == 0
    assert checkout.did() == ["install"]
    assert checkout.setup() == (0, "")


def test_named_interpreter_is_taken(checkout: Checkout, tmp_path: Path) -> None:
    named = add_tool(tmp_path, "my-python", FAKE_PYTHON)
    status, messages = checkout.setup(python=str(named))
    assert status == 0
    assert str(named) in messages


def test_no_interpreter_gives_one_clear_message(checkout: Checkout, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for tool in ("bash", "env", "dirname", "cat", "cksum", "head"):
        (bare / tool).symlink_to(shutil.which(tool) or tool)
    status, messages = checkout.setup(path=str(bare))
    assert status == 1
    assert "Python >= 3.11" in messages
    assert "PYTHON=" in messages
    assert "python3.12" in messages, "it names what it tried"
    assert not (checkout.root / ".venv").exists()
    assert checkout.did() == []


def test_named_interpreter_that_fails_is_not_replaced(checkout: Checkout) -> None:
    status, messages = checkout.setup(python="python3.13")
    assert status == 1
    assert "tried: python3.13" in messages
    assert checkout.did() == []


def test_environments_of_further_packages_have_a_place_and_pins_of_their_own(
    checkout: Checkout,
) -> None:
    (checkout.root / "constraints.txt").write_text("mujoco==4\ntorch==2.13.0\nxmujoco==1\n")
    further = checkout.root / ".ci" / "robots.txt"
    further.write_text("# why\nmujoco==3.3.0\nrobots==1.0\n")
    assert checkout.setup("robots")[0] == 0
    assert checkout.did() == ["venv", "install", "further:.ci/robots.txt"]
    pins = (checkout.root / ".venv-robots" / "constraints.txt").read_text().splitlines()
    assert pins == ["torch==2.13.0", "xmujoco==1", "mujoco==3.3.0", "robots==1.0"]
    assert checkout.setup("robots") == (0, "")
    assert not (checkout.root / ".venv").exists()
    assert checkout.setup()[0] == 0
    assert checkout.did() == ["venv", "install"]
    further.write_text("robots==1.1\n")
    assert checkout.setup() == (0, "")
    assert checkout.setup("robots")[0] == 0
    assert checkout.did() == ["install", "further:.ci/robots.txt"]


def test_further_packages_that_nobody_listed_are_refused(checkout: Checkout) -> None:
    status, messages = checkout.setup("robots")
    assert status == 1
    assert "no .ci/robots.txt" in messages
    assert checkout.did() == []
