"""The machine as a process takes it."""

import platform

import pytest
import torch

from metarl_gan.processor import keep_freed_memory, use_processor


def test_torch_takes_the_threads_it_is_given():
    before = torch.get_num_threads()
    try:
        use_processor(1)
        assert torch.get_num_threads() == 1
        use_processor(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's mallopt")
def test_glibc_takes_both_options():
    assert keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert not keep_freed_memory()
