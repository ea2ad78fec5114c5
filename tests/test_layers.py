"""Who may import whom, read off the syntax tree: nothing is imported to find out.

1. Folders import downwards only: scripts -> metarl_gan -> agents -> envs.
2. Inside a folder there is no circle. Imports inside functions count; those of a package's
   `__init__` under TYPE_CHECKING do not, as that is how a lazy front door shows types.
3. Our own modules are imported absolutely and as `metarl_gan.…`; other modules are the standard
   library or a dependency that pyproject.toml declares.
4. agents/ and metarl_gan/ do not know a concrete family: they import no module that envs/
   registers one from ("metarl_gan.envs.families.point_goal:PointGoal"), and no string equals a
   registered name, save in the few files whose business is a choice of family
   (`MAY_NAME_FAMILIES`).
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("envs", "agents", "metarl_gan", "scripts")
MAY_NAME_FAMILIES = {
    "metarl_gan.config",  # the default of --family
    "metarl_gan.presets",  # settings that were tuned for a family
    "metarl_gan.methods.baseline_presets",  # the same, of baselines
    "metarl_gan.demo",  # what the demo plays
    "metarl_gan.bench",  # what the targets are about
}
NOT_FOR_ENVS = {"stable_baselines3", "sb3_contrib"}  # envs/ does not know of learning
IMPORT_NAMES = {
    "pillow": "PIL",
    "pyyaml": "yaml",
    "stable-baselines3": "stable_baselines3",
    "sb3-contrib": "sb3_contrib",
}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported dotted name (`from a import b` counts as `a.b`) and where it stands."""

    name: str
    line: int
    relative: bool
    type_checking: bool


@dataclass(frozen=True, kw_only=True)
class Module:
    """A source file: its layer (folder), the name it is imported by, and its syntax tree."""

    path: Path
    layer: str
    name: str
    is_package: bool
    tree: ast.Module

    def imports(self) -> Iterator[Import]:
        """Every import of the file, those inside functions included."""
        guarded = {
            id(inner)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            prefix = f"{node.module or ''}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                yield Import(
                    name=prefix + alias.name,
                    line=node.lineno,
                    relative=isinstance(node, ast.ImportFrom) and node.level > 0,
                    type_checking=id(node) in guarded,
                )


def read_modules(root: Path) -> list[Module]:
    """All modules of the four folders; links are not followed, each file is read once."""
    modules = []
    for layer in LAYERS:
        prefix = layer if layer == "metarl_gan" else f"metarl_gan.{layer}"
        for path in sorted((root / layer).rglob("*.py")):
            if any(parent.is_symlink() for parent in path.parents if parent != root):
                continue
            parts = path.relative_to(root / layer).with_suffix("").parts
            is_package = path.name == "__init__.py"
            name = ".".join([prefix, *(parts[:-1] if is_package else parts)])
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            modules.append(
                Module(path=path, layer=layer, name=name, is_package=is_package, tree=tree)
            )
    return modules


def layer_of(name: str) -> str | None:
    """The folder that a dotted name of ours lies in; None for other people's modules."""
    parts = name.split(".")
    if parts[0] != "metarl_gan":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "metarl_gan"


def target_of(name: str, known: set[str]) -> str:
    """The module that `from a import b` reaches: a.b if that is a module, else a."""
    while name not in known and "." in name:
        name = name.rpartition(".")[0]
    return name


def upward_imports(modules: list[Module]) -> list[str]:
    found = []
    for module in modules:
        for item in module.imports():
            layer = layer_of(item.name)
            if layer and LAYERS.index(layer) > LAYERS.index(module.layer):
                found.append(f"{module.name}:{item.line} imports {item.name}, which is above it")
    return found


def cycles(modules: list[Module]) -> list[str]:
    known = {module.name for module in modules}
    graph = {
        module.name: {
            target_of(item.name, known)
            for item in module.imports()
            if layer_of(item.name) and not (item.type_checking and module.is_package)
        }
        - {module.name}
        for module in modules
    }
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            found.append(" -> ".join([*trail[trail.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return found


def strange_imports(modules: list[Module], dependencies: set[str]) -> list[str]:
    found = []
    for module in modules:
        banned = NOT_FOR_ENVS if module.layer == "envs" else set()
        allowed = {"metarl_gan", *sys.stdlib_module_names, *dependencies} - banned
        for item in module.imports():
            top = item.name.partition(".")[0]
            if item.relative:
                found.append(f"{module.name}:{item.line} imports relatively")
            elif top in LAYERS and top != "metarl_gan":
                found.append(f"{module.name}:{item.line} imports a bare {top}: metarl_gan.{top}")
            elif top not in allowed:
                found.append(f"{module.name}:{item.line} imports {top}, which is not allowed here")
    return found


def family_modules(modules: list[Module]) -> set[str]:
    """Modules that a string "module:attribute" in envs/ points to."""
    known = {module.name for module in modules}
    strings = {
        node.value
        for module in modules
        if module.layer == "envs"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text.partition(":")[0] for text in strings if ":" in text} & known


def known_families(modules: list[Module], families: set[str]) -> list[str]:
    known = {module.name for module in modules}
    concrete = family_modules(modules)
    found = []
    for module in modules:
        if module.layer not in ("agents", "metarl_gan") or module.name in MAY_NAME_FAMILIES:
            continue
        found += [
            f"{module.name}:{item.line} imports {item.name}"
            for item in module.imports()
            if target_of(item.name, known) in concrete
        ]
        found += [
            f"{module.name}:{node.lineno} names the family {node.value!r}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Constant) and node.value in families
        ]
    return found


def declared_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[\[>=]", requirement)[0].strip() for requirement in project["dependencies"]]
    return {IMPORT_NAMES.get(name, name) for name in names}


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    found = read_modules(ROOT)
    assert {module.layer for module in found} == set(LAYERS)
    return found


def test_folders_import_downwards(modules: list[Module]) -> None:
    assert upward_imports(modules) == []


def test_no_circle(modules: list[Module]) -> None:
    assert cycles(modules) == []


def test_only_our_own_and_declared_modules(modules: list[Module]) -> None:
    assert strange_imports(modules, declared_dependencies()) == []


def test_learning_knows_no_family(modules: list[Module]) -> None:
    from metarl_gan.envs import list_families

    families = set(list_families())
    assert "point-goal" in families
    assert "metarl_gan.envs.families.point_goal" in family_modules(modules)
    assert known_families(modules, families) == []


def test_no_source_outside_of_the_known_folders() -> None:
    known = {*LAYERS, "tests", "docs", "benchmarks"}
    skipped = {"build", "dist", "runs"}
    loose = {
        path.name
        for path in ROOT.iterdir()
        if path.suffix == ".py" or (path.is_dir() and not path.name.startswith("."))
        if not path.name.endswith(".egg-info") and path.name != "__pycache__"
    }
    assert loose - known - skipped == {"setup.py"}


def test_planted_violations_are_found(tmp_path: Path) -> None:
    """The rules above would pass on anything if they found nothing: break each once."""
    planted = {
        "envs/__init__.py": "",
        "envs/task.py": "from metarl_gan.agents import policy",
        "envs/learns.py": "import stable_baselines3",
        "envs/builtin.py": "register_family('point-goal', 'metarl_gan.envs.point:PointGoal')",
        "envs/point.py": "",
        "agents/__init__.py": "",
        "agents/policy.py": "def f():\n    import metarl_gan.agents.learner",
        "agents/learner.py": "from metarl_gan.agents.policy import f\nimport envs.task",
        "agents/gan.py": "import metarl_gan",
        "metarl_gan/__init__.py": "if TYPE_CHECKING:\n    from metarl_gan.api import train",
        "metarl_gan/api.py": "import metarl_gan\nfrom . import config\nimport tensordict",
        "metarl_gan/config.py": "family = 'point-goal'",
        "metarl_gan/sampler.py": "from metarl_gan.envs import point",
        "metarl_gan/trainer.py": "if family.name == 'point-goal': ...",
        "scripts/__init__.py": "",
        "scripts/train.py": "from metarl_gan.envs.point import PointGoal",
    }
    for name, text in planted.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "metarl_gan" / "envs").symlink_to("../envs")
    modules = read_modules(tmp_path)
    assert len(modules) == len(planted)

    up = upward_imports(modules)
    assert [line.partition(" ")[0] for line in up] == [
        "metarl_gan.envs.task:1",
        "metarl_gan.agents.gan:1",
    ]
    assert cycles(modules) == [
        "metarl_gan.agents.learner -> metarl_gan.agents.policy -> metarl_gan.agents.learner"
    ]
    strange = strange_imports(modules, {"stable_baselines3", "torch"})
    assert [line.partition(" ")[0] for line in strange] == [
        "metarl_gan.envs.learns:1",
        "metarl_gan.agents.learner:2",
        "metarl_gan.api:2",
        "metarl_gan.api:3",
    ]
    assert known_families(modules, {"point-goal"}) == [
        "metarl_gan.sampler:1 imports metarl_gan.envs.point",
        "metarl_gan.trainer:1 names the family 'point-goal'",
    ]
