"""Meta-reinforcement learning in which a conditional GAN supplies most of the adaptation data.

The names below are the whole top-level interface. They are imported on first use, so that
``import metarl_gan`` and ``metarl-gan --help`` do not wait for torch. What is imported at once is
``metarl_gan.envs``, by which Gymnasium knows the task families.

>>> import metarl_gan
>>> "train" in dir(metarl_gan)
True
>>> import gymnasium
>>> env = gymnasium.make("metarl_gan/PointGoal-v0", task={"x": 0.25, "y": -0.1})
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

import metarl_gan.envs as _envs  # noqa: F401 - registers the families, in Gymnasium too

if TYPE_CHECKING:
    from metarl_gan.agent import MetaAgent
    from metarl_gan.api import evaluate, fidelity, load, record, train
    from metarl_gan.config import Config

# Threads that spin while they wait take the core from whoever has work to do. OpenMP reads this
# when torch is imported, so that it must be said before; a value from outside wins.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"

__all__ = ["Config", "MetaAgent", "__version__", "evaluate", "fidelity", "load", "record", "train"]

_HOME = {
    "Config": "metarl_gan.config",
    "MetaAgent": "metarl_gan.agent",
    "evaluate": "metarl_gan.api",
    "fidelity": "metarl_gan.api",
    "load": "metarl_gan.api",
    "record": "metarl_gan.api",
    "train": "metarl_gan.api",
}


def __getattr__(name: str) -> object:
    """Import a top-level name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'metarl_gan' has no attribute {name!r}; it has {__all__}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
