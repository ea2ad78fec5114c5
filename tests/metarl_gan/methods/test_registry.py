"""Methods by name: what there is, and what is refused."""

import subprocess
import sys

import pytest

from metarl_gan.config import ConfigError
from metarl_gan.methods.method import Method
from metarl_gan.methods.registry import METHODS, make_method
from tests.metarl_gan import tiny


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_made_under_its_name(name):
    method = make_method(name, known_as="mine")
    assert isinstance(method, Method)
    assert method.name == "mine"
    assert make_method(name).name == name
    assert method.settings(tiny.walk())
    assert METHODS[name].summary


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("mamal", {}, "unknown method 'mamal'; did you mean maml"),
        ("zzzzz", {}, "there are maml"),
        ("maml", {"learner.inner_step": "3"}, "nearest: learner.inner_steps"),
        ("maml", {"learner.algorithm": "reptile"}, "is 'maml' by its name"),
        ("maml-no-generator", {"generated": "true"}, "is False by its name"),
        ("maml", {"seed": 1}, "sets seed, which all methods share"),
        ("maml", {"max_real_steps": 1}, "sets max_real_steps"),
    ],
)
def test_what_makes_no_sense_is_refused(name, overrides, message):
    with pytest.raises(ConfigError) as error:
        make_method(name, overrides)
    assert message in str(error.value)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        make_method("maml", preset="quik")


def test_the_names_are_known_without_torch():
    code = "import sys, metarl_gan.methods.registry as r; assert r.METHODS; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "stable_baselines3"} & set(done.stdout.split())
