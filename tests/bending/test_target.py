"""What a unit becomes: values and the gradients that autograd finds."""

import pytest
import torch

from netcaliper.bending.target import Affine, HalfTimesMean, Identity

A, C = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 0.0, -3.0])


def along(vector):
    return vector.reshape(1, -1, 1)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Identity(), lambda x: x),
        (Affine(A, C), lambda x: x * A[:, None] + C[:, None]),
        (HalfTimesMean(C, 1), lambda x: x[:, :3] * C[:, None]),
    ],
)
def test_value_and_gradient(target, expected):
    x = torch.randn(2, 6 if isinstance(target, HalfTimesMean) else 3, 4, requires_grad=True)
    torch.testing.assert_close(target.value(x, along), expected(x))
    g = torch.randn_like(expected(x))
    (wanted,) = torch.autograd.grad(expected(x), x, g)
    torch.testing.assert_close(target.pull(g, along), wanted)


def test_only_the_identity_says_so():
    assert Identity().is_identity
    assert not Affine(A, C).is_identity
