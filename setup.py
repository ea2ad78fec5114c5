"""Where the packages lie; everything else about the project is in ``pyproject.toml``.

``envs/``, ``agents/`` and ``scripts/`` are top-level folders of the repository but sub-packages
of ``metarl_gan`` once installed: a distribution that installs a top-level ``envs`` or ``agents``
overwrites other people's. The relative links ``metarl_gan/{envs,agents,scripts}`` tell the same
to tools that read the sources in place (type checkers, editors, ``python -m`` from the root).
"""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = ("envs", "agents", "scripts")
ROOT = Path(__file__).parent


def packages() -> list[str]:
    """Every package by its import name, found through the mapping and never through the links."""
    linked = [pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")]
    found = ["metarl_gan"]
    found += [f"metarl_gan.{p}" for p in find_packages(str(ROOT / "metarl_gan"), exclude=linked)]
    for folder in FOLDERS:
        found.append(f"metarl_gan.{folder}")
        found += [f"metarl_gan.{folder}.{p}" for p in find_packages(str(ROOT / folder))]
    return found


setup(
    packages=packages(),
    package_dir={f"metarl_gan.{folder}": folder for folder in FOLDERS},
    package_data={"metarl_gan": ["py.typed"]},
    include_package_data=False,
)
