"""Training in almost linear time: the closed form of [TAT24] within the stated errors, and nothing n²."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.fast_training import fast_general_loss
from cubicwall.algorithms.tensor_attention_training import general_loss


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_lie_within_their_errors_of_the_closed_form(
    d: int, tolerance: float, seed: int
) -> None:
    rng = np.random.default_rng([seed, d])
    A, E = rng.uniform(-1, 1, (5, 12, d)), rng.normal(size=(12, d))
    X, Y = rng.uniform(-0.5, 0.5, (d, d * d)) / d, rng.normal(size=(d * d, d))
    fast, exact = fast_general_loss(A, X, Y, E, tolerance=tolerance), general_loss(A, X, Y, E)
    assert abs(fast.loss - exact.loss) <= fast.loss_error
    assert np.abs(fast.X - exact.X).max() <= fast.X_error
    assert np.abs(fast.Y - exact.Y).max() <= fast.Y_error
    if tolerance < 1e-3:
        assert fast.X_error < 0.5 * (1 + np.abs(exact.X).max())


def test_memory_does_not_grow_with_the_square_of_the_tokens() -> None:
    n, d = 4000, 2
    rng = np.random.default_rng(0)
    A, E = rng.uniform(-1, 1, (5, n, d)), rng.normal(size=(n, d))
    X, Y = rng.uniform(-0.2, 0.2, (d, d * d)), rng.normal(size=(d * d, d))
    fast_general_loss(A[:, :10], X, Y, E[:10], tolerance=1e-2)
    tracemalloc.start()
    fast_general_loss(A, X, Y, E, tolerance=1e-2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * 8 * n * n


def test_the_wall_and_wrong_shapes_are_named() -> None:
    rng = np.random.default_rng(0)
    A, E = rng.uniform(-1, 1, (5, 6, 3)), np.zeros((6, 3))
    X, Y = 9 * np.ones((3, 9)), np.ones((9, 3))
    with pytest.raises(WallError):
        fast_general_loss(A, X, Y, E, tolerance=1e-6, max_rank=2000)
    with pytest.raises(ValueError, match=r"'X' must have shape \(3, 9\)"):
        fast_general_loss(A, X.T, Y, E, tolerance=1e-3)
