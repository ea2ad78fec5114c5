"""MuJoCo models: with nothing in them but physics, and with the physics of a task."""

import copy
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from metarl_gan.envs.mujoco.api import MjData, MjModel, mj_setConst
from metarl_gan.envs.mujoco.rules import MujocoRules
from metarl_gan.envs.task import ParameterValue

_UNPHYSICAL = ("camera", "light", "texture", "material", "visual", "skin", "sensor", "custom")


def load_physics(path: str | Path) -> MjModel:
    """Compile the model at `path` without cameras, lights, textures and sensors.

    They cost memory and time, and change no state. Models that refer to further files are
    compiled as they are. Raises `FileNotFoundError`.
    """
    tree = ET.parse(path)
    if any("file" in element.attrib for element in tree.iter()):
        return MjModel.from_xml_path(str(path))
    for parent in list(tree.iter()):
        parent.attrib.pop("material", None)
        for child in [child for child in parent if child.tag in _UNPHYSICAL]:
            parent.remove(child)
    return MjModel.from_xml_string(ET.tostring(tree.getroot(), encoding="unicode"))


def model_of_task(
    original: MjModel, rules: MujocoRules, parameters: Mapping[str, ParameterValue]
) -> MjModel:
    """A copy of `original` with the task's physics; `original` itself where there is none."""
    own = copy.copy(original)
    if not rules.configure(own, parameters):
        return original
    refresh(own)
    return own


def refresh(model: MjModel) -> None:
    """Recompute what a model derives from masses and inertias: weights, the solver's scales."""
    mj_setConst(model, MjData(model))
