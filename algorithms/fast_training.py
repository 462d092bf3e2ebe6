"""Training one layer of tensor attention in almost linear time: loss and gradient by unstructured weights.

    Loss(X, Y) = ½ ‖D(X)⁻¹ exp(A1 X (A2⊗A3)ᵀ/d) (A4⊗A5) Y − E‖²_F        [TAT24], `tensor_attention_training`

X (d×d²) need not be X1 (X2⊘X3)ᵀ. Entry (b, c) of a pair is a column of its own: with Q = A1 X, (n, d²), and

    K_1[j,(b,c)] = A2[j,b],   K_2[j,(b,c)] = A3[j,c],   V_1[j,(b,c)] = A4[j,b],   V_2[j,(b,c)] = A5[j,c]

the logits are Σ Q K_1 K_2/d, the output of attention is M[i,(b,c)] = Σ_j P_i(j) A4[j_1,b] A5[j_2,c], and

    residual C = M Y − E,   upstream of M = C Yᵀ,   ∂Loss/∂Y = Mᵀ C,   ∂Loss/∂X = A1ᵀ ∂Q.

So the fast gradient in dimension d² does it: its moments are the extra ones that a general X needs, and
nothing of size n² is formed. Where X and Y have factors of fewer columns, one calls `fast_gradient` itself.

The certificate chains: M̃ is within ε of M (`fast_attention`), so the residual moves by at most ε‖Y‖_1 in an
entry; that moves the upstream, hence the gradient, by a factor that is linear in it.

Time: O(n R d²), R = C(d²+g, g). Memory: O(n d² + R d²).

Glossary
--------
⊗, ⊘     Kronecker product, and column by column.
M        means of products of inputs under the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .fast_attention import MAX_RANK, fast_attention
from .fast_gradient import fast_gradient
from .tensor_attention_training import checked_inputs, checked_matrix

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FastLoss:
    """The loss, its derivatives by X (d, d²) and Y (d², d), and bounds on the errors of their entries."""

    loss: float
    X: Float64
    Y: Float64
    loss_error: float
    X_error: float
    Y_error: float


def fast_general_loss(
    inputs: Sequence[ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    E: ArrayLike,
    *,
    tolerance: float,
    max_rank: int = MAX_RANK,
) -> FastLoss:
    """Evaluate the loss and its gradient for unstructured weights, in almost linear time.

    Parameters
    ----------
    inputs : sequence of five array_like, shape (n, d)
        A1..A5.
    X, Y : array_like, shapes (d, d²) and (d², d)
        Weights; entry (b, c) of a pair stands at b·d + c.
    E : array_like, shape (n, d)
        The target.
    tolerance : float
        Absolute, for every entry of M, and times Σ|upstream| for every entry of ∂Q.
    max_rank : int
        Largest rank allowed.

    Returns
    -------
    FastLoss

    Raises
    ------
    WallError
        If no polynomial of allowed rank meets the tolerance.
    ValueError
        For shapes that do not fit or numbers that are not finite.

    Notes
    -----
    Complexity: O(n R d²) time for R = C(d²+g, g); `general_loss` takes Θ(n³ d).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> A, X, Y, E = rng.uniform(-1, 1, (5, 300, 2)), np.ones((2, 4)) / 4, np.ones((4, 2)), np.ones((300, 2))
    >>> found = fast_general_loss(A, X, Y, E, tolerance=1e-4)
    >>> found.X.shape, found.Y_error < 0.1
    ((2, 4), True)
    """
    A1, A2, A3, A4, A5 = checked_inputs("inputs", inputs)
    n, d = A1.shape
    wide, tall = checked_matrix("X", X, (d, d * d)), checked_matrix("Y", Y, (d * d, d))
    target = checked_matrix("E", E, (n, d))
    query = A1 @ wide
    keys = [np.repeat(A2, d, axis=1), np.tile(A3, (1, d))]
    values = [np.repeat(A4, d, axis=1), np.tile(A5, (1, d))]
    means = fast_attention(
        query, keys, values, tolerance=tolerance, scale=1 / d, method="fast", max_rank=max_rank
    )
    residual = means.output @ tall - target
    upstream = residual @ tall.T
    size = float(np.abs(upstream).sum())
    found = fast_gradient(
        query, keys, values, upstream, tolerance=tolerance * max(size, 1e-300), scale=1 / d, max_rank=max_rank
    )
    by_mean = means.certificate.bound
    moved = by_mean * float(np.abs(tall).sum(axis=0).max())  # of an entry of the residual
    highest = [float(np.abs(A).max(initial=0.0)) for A in (A1, A2, A3, A4, A5)]
    # |∂Q| ≤ scale · max|K_1 K_2| · osc(q_i), and q_i(j) = Σ upstream V_1 V_2
    spread = 2 * n * moved * float(np.abs(tall).sum()) * highest[3] * highest[4]
    rounding = 1e-13 * n * (1 + size)
    by_query = found.certificate.query * n + spread * highest[1] * highest[2] / d
    largest_residual, largest_mean = (float(np.abs(x).max(initial=0.0)) for x in (residual, means.output))
    return FastLoss(
        loss=0.5 * float((residual**2).sum()),
        X=A1.T @ found.query,
        Y=means.output.T @ residual,
        loss_error=n * d * moved * (largest_residual + moved) + rounding,
        X_error=highest[0] * by_query + rounding,
        Y_error=n * (by_mean * (largest_residual + moved) + moved * largest_mean) + rounding,
    )
