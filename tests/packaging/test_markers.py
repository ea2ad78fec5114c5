"""The markers mean what pyproject.toml says of them."""

import pytest
import torch


@pytest.mark.gpu
def test_gpu_tests_run_only_with_an_accelerator() -> None:
    assert torch.accelerator.is_available()


@pytest.mark.slow
def test_slow_tests_are_left_out_unless_asked_for(request: pytest.FixtureRequest) -> None:
    assert request.config.getoption("-m") != "not slow"


def test_one_torch_thread() -> None:
    assert torch.get_num_threads() == 1
