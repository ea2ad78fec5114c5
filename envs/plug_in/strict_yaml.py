"""YAML files read strictly: nothing is built but plain values, and no key is given twice."""

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from metarl_gan.envs.errors import FamilyError


def read_mapping(path: Path) -> Mapping[str, Any]:
    """The mapping that a YAML file holds.

    Raises `FamilyError` where the file is missing, unreadable, no mapping, or repeats a key.
    """
    try:
        values = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise FamilyError(
            f"family file {str(path)!r} cannot be read: {error.strerror}; give the path of a YAML "
            "file that describes a family"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FamilyError(f"{path} cannot be parsed: {' '.join(str(error).split())}") from error
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise FamilyError(f"{path} must map names to values, e.g. 'env: Pendulum-v1'")
    return values


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with the floats of YAML 1.2 and without repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse what the parser would let the last one win of, in silence."""
        keys = [key.value for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                line = node.value[place][0].start_mark.line + 1
                raise yaml.YAMLError(f"{key!r} is given twice, again in line {line}")
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 1e-3 for a text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
