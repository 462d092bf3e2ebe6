"""The closed form of [TAT24] against complex steps of the loss as printed, and against the chain rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.tensor_attention_training import general_loss, structured_loss


def printed_loss(A: list[Any], X: Any, Y: Any, E: Any) -> Any:
    """Evaluate the loss with Kronecker products written out, as in the paper; X and Y may be complex."""
    logits = A[0] @ X @ np.kron(A[1], A[2]).T / A[0].shape[1]
    weights = np.exp(logits)
    output = (weights @ np.kron(A[3], A[4]) @ Y) / weights.sum(axis=1, keepdims=True)
    return 0.5 * ((output - E) ** 2).sum()


def khatri_rao(B: Any, C: Any) -> Any:
    return np.einsum("bm,cm->bcm", B, C).reshape(-1, B.shape[1])


@pytest.mark.parametrize(("n", "d"), [(2, 1), (3, 2), (4, 3)])
def test_the_closed_form_agrees_with_complex_steps(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    A = [rng.normal(size=(n, d)) for _ in range(5)]
    X, Y, E = rng.normal(size=(d, d * d)), rng.normal(size=(d * d, d)), rng.normal(size=(n, d))
    found = general_loss(A, X, Y, E)
    assert found.loss == pytest.approx(printed_loss(A, X, Y, E), rel=1e-13)
    for gradient, moved_loss in (
        (found.X, lambda step: printed_loss(A, X + step, Y, E)),
        (found.Y, lambda step: printed_loss(A, X, Y + step, E)),
    ):
        expected = np.zeros(gradient.shape)
        for place in np.ndindex(gradient.shape):
            step = np.zeros(gradient.shape, dtype=complex)
            step[place] = 1e-100j
            expected[place] = moved_loss(step).imag / 1e-100
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max() + 1e-300
        )


@pytest.mark.parametrize(("n", "d"), [(1, 1), (5, 3), (40, 2)])
def test_structured_weights_follow_by_the_chain_rule(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    A = [rng.normal(size=(n, d)) for _ in range(5)]
    X, Y = [rng.normal(size=(d, d)) for _ in range(3)], [rng.normal(size=(d, d)) for _ in range(2)]
    E = rng.normal(size=(n, d))
    whole = general_loss(A, X[0] @ khatri_rao(X[1], X[2]).T, khatri_rao(Y[0], Y[1]), E)
    found = structured_loss(A, X, Y, E)
    assert found.loss == pytest.approx(whole.loss, rel=1e-12)
    wide, tall = whole.X.reshape(d, d, d), whole.Y.reshape(d, d, d)
    expected = [
        np.einsum("abc,bm,cm->am", wide, X[1], X[2]),
        np.einsum("abc,am,cm->bm", wide, X[0], X[2]),
        np.einsum("abc,am,bm->cm", wide, X[0], X[1]),
        np.einsum("bcm,cm->bm", tall, Y[1]),
        np.einsum("bcm,bm->cm", tall, Y[0]),
    ]
    scale = max(float(np.abs(x).max()) for x in expected)
    for one, other in zip((*found.X, *found.Y), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12 * scale)


def test_what_does_not_fit_is_refused_by_name() -> None:
    A = [np.ones((2, 2))] * 5
    with pytest.raises(ValueError, match=r"Argument 'Y' must have shape \(4, 2\)"):
        general_loss(A, np.ones((2, 4)), np.ones((2, 4)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="must hold 5 matrices"):
        general_loss(A[:4], np.ones((2, 4)), np.ones((4, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="must hold 3 and 2 matrices"):
        structured_loss(A, A[:2], A[:2], np.ones((2, 2)))
