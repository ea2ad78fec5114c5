"""What tests of families share."""

import pytest

from metarl_gan.envs.checks import check
from metarl_gan.envs.checks import stepping as checks_stepping


class _NoOtherProcess:
    """Takes the place of `OtherProcess`, and is never asked."""

    def __init__(self, *_args, **_options) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def in_this_process(monkeypatch):
    """`check_family` without the checks that need other processes, which take half a second."""
    monkeypatch.setattr(check, "OtherProcess", _NoOtherProcess)
    monkeypatch.setattr(
        check, "_LAST", tuple(c for c in check._LAST if c.__name__ != "check_other_process")
    )
    monkeypatch.setattr(
        checks_stepping,
        "checked_backends",
        lambda family: tuple(name for name in family.backends if name != "async"),
    )
