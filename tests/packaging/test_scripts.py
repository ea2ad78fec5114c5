"""Every command is also a script, run from the checkout or as a module."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_calls_the_command_of_its_name(script: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
    commands = [
        call.args[0].elts[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "main"
        if isinstance(call.args[0], ast.List) and isinstance(call.args[0].elts[0], ast.Constant)
    ]
    assert commands == [script.stem]


def test_scripts_run_as_files_and_as_modules(tmp_path: Path) -> None:
    as_file = [sys.executable, str(ROOT / "scripts" / "train.py"), "--help"]
    as_module = [sys.executable, "-m", "metarl_gan.scripts.train", "--help"]
    as_command = [sys.executable, "-m", "metarl_gan", "train", "--help"]
    outputs = []
    for command in (as_file, as_module, as_command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert "--family" in outputs[0]
    assert outputs[0] == outputs[1] == outputs[2]
