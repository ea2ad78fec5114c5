"""Loading a MuJoCo model with nothing in it but physics."""

import xml.etree.ElementTree as ET
from pathlib import Path

import gymnasium

from metarl_gan.envs.mujoco_api import MjModel

_UNPHYSICAL = ("camera", "light", "texture", "material", "visual", "skin", "sensor", "custom")


def load_physics(model: str) -> MjModel:
    """Compile `model` without cameras, lights, textures and sensors, which only cost time.

    `model` is a path, or the name of a model that comes with Gymnasium ("half_cheetah.xml").
    Models that refer to further files are compiled as they are. Raises `FileNotFoundError`.
    """
    path = Path(model)
    if not path.is_absolute() and not path.exists():
        path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / model
    tree = ET.parse(path)
    if any("file" in element.attrib for element in tree.iter()):
        return MjModel.from_xml_path(str(path))
    for parent in list(tree.iter()):
        parent.attrib.pop("material", None)
        for child in [child for child in parent if child.tag in _UNPHYSICAL]:
            parent.remove(child)
    return MjModel.from_xml_string(ET.tostring(tree.getroot(), encoding="unicode"))
