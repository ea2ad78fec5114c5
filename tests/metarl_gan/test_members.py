import pytest
import torch

from metarl_gan.members import Turns

# Task t, row r: 10 t + r.
VALUES = (10.0 * torch.arange(2)[:, None] + torch.arange(5))[..., None]


def turns(n_members, *, adapted, n_rows=5):
    return Turns(n_members=n_members, n_tasks=2, n_rows=n_rows, adapted=adapted)


@pytest.mark.parametrize(
    ("n_members", "adapted", "expected"),
    [
        (1, False, [[0, 1, 2, 3, 4, 10, 11, 12, 13, 14]]),
        (1, True, [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]),
        # Five rows are not divisible by two: the last one fills up.
        (2, False, [[0, 2, 4, 10, 12, 14], [1, 3, 4, 11, 13, 14]]),
        (2, True, [[0, 2, 4], [10, 12, 14], [1, 3, 4], [11, 13, 14]]),
        (3, False, [[0, 3, 10, 13], [1, 4, 11, 14], [2, 4, 12, 14]]),
        (3, True, [[0, 3], [10, 13], [1, 4], [11, 14], [2, 4], [12, 14]]),
    ],
)
def test_members_take_turns(n_members, adapted, expected):
    found = turns(n_members, adapted=adapted).split(VALUES)
    assert found.squeeze(-1).tolist() == expected


@pytest.mark.parametrize("n_members", [1, 2, 3])
@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("n_rows", [1, 2, 5, 6])
def test_joining_is_the_inverse(n_members, adapted, n_rows):
    values = torch.randn(2, n_rows, 4, generator=torch.Generator().manual_seed(0))
    made = turns(n_members, adapted=adapted, n_rows=n_rows)
    assert torch.equal(made.join(made.split(values)), values)
