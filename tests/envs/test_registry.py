import sys
from importlib.metadata import EntryPoint

import pytest

from metarl_gan.envs import FamilyError, list_families, make_family, register_family, registry
from tests.envs.toys import Walk, family_of

FAMILY = family_of(Walk, name="walk")
NOT_A_FAMILY = 3


def make_walk(length=1000.0):
    return family_of(lambda scale: Walk(scale, length), name=f"walk-{length:g}")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))


def test_a_family_registered_by_a_user_is_found():
    register_family("my-walk", lambda: FAMILY)
    assert make_family("my-walk") is FAMILY
    assert "my-walk" in list_families()
    assert list_families() == sorted(list_families())


def test_families_by_module_and_attribute():
    assert make_family(f"{__name__}:FAMILY") is sys.modules[__name__].FAMILY
    assert make_family(f"{__name__}:make_walk").name == "walk-1000"
    assert make_family(f"{__name__}:make_walk", length=5.0).name == "walk-5"
    register_family("by-path", f"{__name__}:make_walk")
    assert make_family("by-path", length=7.0).name == "walk-7"


def test_a_family_is_returned_as_it_is():
    assert make_family(FAMILY) is FAMILY


def test_entry_points_are_a_door(monkeypatch):
    point = EntryPoint("from-package", f"{__name__}:FAMILY", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    assert "from-package" in list_families()
    assert make_family("from-package").name == "walk"


def test_names_are_not_taken_twice_by_accident():
    register_family("mine", lambda: FAMILY)
    with pytest.raises(FamilyError, match="replace=True"):
        register_family("mine", lambda: FAMILY)
    register_family("mine", make_walk, replace=True)
    assert make_family("mine").name == "walk-1000"


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("half-cheetah-velocty", "did you mean 'half-cheetah-velocity'"),
        ("zzzzz", "unknown family 'zzzzz'; give one of .*'point-goal'"),
        (3, "3 is no family"),
        ("no_such_module_here:x", "cannot be imported"),
        (f"{__name__}:make_wal", r"did you mean \['make_walk'"),
        (f"{__name__}:NOT_A_FAMILY", "no TaskFamily"),
    ],
)
def test_what_is_no_family_is_explained(family, message):
    with pytest.raises(FamilyError, match=message):
        make_family(family)


@pytest.mark.parametrize(
    ("name", "factory", "message"),
    [("", lambda: FAMILY, "without ':'"), ("a:b", lambda: FAMILY, "without"), ("c", "d", "module")],
)
def test_registrations_are_checked(name, factory, message):
    with pytest.raises(FamilyError, match=message):
        register_family(name, factory)
