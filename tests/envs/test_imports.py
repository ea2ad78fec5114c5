import subprocess
import sys

import pytest

from metarl_gan import envs


def modules_after(code):
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_listing_families_needs_neither_torch_nor_mujoco():
    loaded = modules_after("from metarl_gan.envs import list_families; list_families()")
    assert not loaded & {"torch", "mujoco", "yaml"}


def test_stepping_a_family_needs_no_torch():
    code = (
        "from metarl_gan.envs import make_family\n"
        "f = make_family('point-goal'); f.make_vec(f.sample(2, seed=0)).reset(seed=0)"
    )
    assert not modules_after(code) & {"torch", "mujoco"}


def test_every_public_name_is_there():
    assert all(getattr(envs, name) is not None for name in envs.__all__)
    assert set(envs.__all__) <= set(dir(envs))
    with pytest.raises(AttributeError, match="no attribute 'Taks'"):
        _ = envs.Taks
