"""Training one layer of tensor attention: the loss of [TAT24] and its gradient in closed form.

    Loss(X) = ½ ‖D(X)⁻¹ exp(A1 X (A2⊗A3)ᵀ/d) (A4⊗A5) Y − E‖²_F,    D(X) the row sums of the exponential

With P the softmax rows, C = P (A4⊗A5) Y − E the residual, q = C ((A4⊗A5) Y)ᵀ and W = P∘q − diag((P∘q) 1) P,

    ∂Loss/∂X = A1ᵀ W (A2⊗A3)/d,       ∂Loss/∂Y = (A4⊗A5)ᵀ Pᵀ C                    [TAT24, section 4]

`general_loss` takes any X (d×d²) and Y (d²×d). Where X = X1 (X2⊘X3)ᵀ and Y = Y1⊘Y2, as for the weights of a
layer, the output is attention of Q = A1 X1, K_1 = A2 X2, K_2 = A3 X3 with V_1 = A4 Y1, V_2 = A5 Y2, and
`structured_loss` differentiates by the five weights through `attention_gradient`: nothing of size d² appears.

Time: Θ(n³ d), memory n² for one row of the general X; Θ(n³ d) and O(n d) for structured weights.

Glossary
--------
⊗, ⊘        Kronecker product, and column by column (Khatri–Rao).
A1..A5      inputs (n, d); E the target (n, d).
weights     X1, X2, X3, Y1, Y2, each (d, d): of queries, two keys and two values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .attention_gradient import attention_gradient
from .exact_attention import attention

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GeneralLoss:
    """The loss and its derivatives by X (d, d²) and Y (d², d)."""

    loss: float
    X: Float64
    Y: Float64


@dataclass(frozen=True, slots=True)
class StructuredLoss:
    """The loss and its derivatives by X1, X2, X3 and Y1, Y2."""

    loss: float
    X: tuple[Float64, Float64, Float64]
    Y: tuple[Float64, Float64]


def general_loss(inputs: Sequence[ArrayLike], X: ArrayLike, Y: ArrayLike, E: ArrayLike) -> GeneralLoss:
    """Evaluate the loss and its gradient for weights without structure.

    Parameters
    ----------
    inputs : sequence of five array_like, shape (n, d)
        A1..A5.
    X, Y : array_like, shapes (d, d²) and (d², d)
        Weights; entry (b, c) of a pair stands at b·d + c.
    E : array_like, shape (n, d)
        The target.

    Returns
    -------
    GeneralLoss

    Raises
    ------
    ValueError
        For shapes that do not fit or numbers that are not finite.

    Notes
    -----
    Complexity: Θ(n³ d + n² d³) time; n² + d³ numbers of memory.

    Examples
    --------
    >>> A = [[1.0], [0.0]]
    >>> found = general_loss([A, A, A, A, A], [[0.0]], [[4.0]], [[1.0], [1.0]])
    >>> found.loss, found.X.tolist(), found.Y.tolist()
    (0.0, [[0.0]], [[0.0]])
    """
    A1, A2, A3, A4, A5 = checked_inputs("inputs", inputs)
    n, d = A1.shape
    wide = checked_matrix("X", X, (d, d * d)).reshape(d, d, d)  # [a, b, c]
    tall = checked_matrix("Y", Y, (d * d, d)).reshape(d, d, d)  # [b, c, column]
    target = checked_matrix("E", E, (n, d))
    loss, grad_X, grad_Y = 0.0, np.zeros((d, d, d)), np.zeros((d, d, d))
    for i in range(n):
        S = A2 @ np.tensordot(A1[i], wide, 1) @ A3.T / d  # (n, n)
        P = np.exp(S - S.max())
        P /= P.sum()
        mixed = A4.T @ P @ A5  # (d, d): Σ_j P_j A4[j_1] ⊗ A5[j_2]
        C = np.tensordot(mixed, tall, 2) - target[i]  # (d,)
        q = A4 @ (tall @ C) @ A5.T  # (n, n)
        W = P * (q - (P * q).sum())
        loss += 0.5 * float(C @ C)
        grad_X += np.multiply.outer(A1[i], A2.T @ W @ A3) / d
        grad_Y += np.multiply.outer(mixed, C)
    return GeneralLoss(loss, grad_X.reshape(d, d * d), grad_Y.reshape(d * d, d))


def structured_loss(
    inputs: Sequence[ArrayLike], X: Sequence[ArrayLike], Y: Sequence[ArrayLike], E: ArrayLike
) -> StructuredLoss:
    """Evaluate the loss and its gradient by the weights X1, X2, X3, Y1, Y2 of a layer.

    Parameters
    ----------
    inputs : sequence of five array_like, shape (n, d)
        A1..A5.
    X, Y : sequence of three and of two array_like, shape (d, d)
        Weights.
    E : array_like, shape (n, d)
        The target.

    Returns
    -------
    StructuredLoss

    Raises
    ------
    ValueError
        For shapes that do not fit or numbers that are not finite.

    Notes
    -----
    Complexity: Θ(n³ d) time, O(n d) memory; nothing of size d² · d is formed.

    Examples
    --------
    >>> A, one = [[1.0], [0.0]], [[1.0]]
    >>> structured_loss([A, A, A, A, A], [one, one, one], [[[4.0]], [[0.0]]], [[1.0], [1.0]]).loss
    1.0
    """
    arrays = checked_inputs("inputs", inputs)
    n, d = arrays[0].shape
    weights = [checked_matrix(f"X[{t}]", W, (d, d)) for t, W in enumerate(X)]
    weights += [checked_matrix(f"Y[{t}]", W, (d, d)) for t, W in enumerate(Y)]
    if len(X) != 3 or len(Y) != 2:
        raise ValueError(f"Arguments 'X' and 'Y' must hold 3 and 2 matrices, not {len(X)} and {len(Y)}.")
    Q, K_1, K_2, V_1, V_2 = (A @ W for A, W in zip(arrays, weights, strict=True))
    residual = attention(Q, [K_1, K_2], [V_1, V_2]) - checked_matrix("E", E, (n, d))
    gradient = attention_gradient(Q, [K_1, K_2], [V_1, V_2], residual)
    parts = (gradient.query, *gradient.keys, *gradient.values)
    chained = [A.T @ part for A, part in zip(arrays, parts, strict=True)]
    return StructuredLoss(
        0.5 * float((residual**2).sum()), (chained[0], chained[1], chained[2]), (chained[3], chained[4])
    )


def checked_inputs(name: str, arrays: Sequence[ArrayLike]) -> list[Float64]:
    """Return five matrices of one shape (n, d), or refuse them by name."""
    if len(arrays) != 5:
        raise ValueError(f"Argument {name!r} must hold 5 matrices, not {len(arrays)}.")
    shape = np.shape(arrays[0])
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"Argument '{name}[0]' must have shape (n, d), n and d ≥ 1, not {shape}.")
    return [checked_matrix(f"{name}[{t}]", array, (shape[0], shape[1])) for t, array in enumerate(arrays)]


def checked_matrix(name: str, array: ArrayLike, shape: tuple[int, int]) -> Float64:
    """Return a float64 matrix of that shape, or refuse it by name."""
    matrix = np.asarray(array, dtype=np.float64)
    if matrix.shape != shape:
        raise ValueError(f"Argument '{name}' must have shape {shape}, not {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise ValueError(f"Argument '{name}' must hold finite numbers.")
    return matrix
