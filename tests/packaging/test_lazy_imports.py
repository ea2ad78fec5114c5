"""`metarl-gan --help` must not wait for what only training needs."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "stable_baselines3", "scipy.stats", "matplotlib", "tensorboard", "mujoco")


def loaded_after(code: str, cwd: Path) -> set[str]:
    """Which of HEAVY a fresh interpreter has loaded after running `code`."""
    script = f"""
import sys
try:
    {code}
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded:", *[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_after("from metarl_gan.cli import main; main(['--help'])", tmp_path) == set()


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_after("import metarl_gan", tmp_path) == set()


def test_the_check_sees_what_is_loaded(tmp_path: Path) -> None:
    assert "torch" in loaded_after("import torch", tmp_path)


def test_top_level_names_are_there() -> None:
    import metarl_gan

    for name in metarl_gan.__all__:
        assert getattr(metarl_gan, name) is not None
        assert name in dir(metarl_gan)
    assert callable(metarl_gan.train)


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    import metarl_gan

    with pytest.raises(AttributeError, match=r"trian.*evaluate.*train"):
        getattr(metarl_gan, "trian")  # noqa: B009 (a type checker would see the plain form)


def test_no_module_hides_a_top_level_name() -> None:
    """Importing metarl_gan/fidelity.py would put that module where the function should be."""
    import metarl_gan

    modules = {path.stem for path in Path(metarl_gan.__file__).parent.iterdir()}
    assert not modules & set(metarl_gan.__all__)
