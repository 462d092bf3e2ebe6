"""How many Gauss-Legendre nodes integrate the derivative of a softmax average, provably.

Let f(λ) = Σ_j e^{λ s_j} v_j / Σ_j e^{λ s_j} for real s_j in an interval of width W and v_j in one of width
V. Shifting both changes f by a constant, so let |s_j| ≤ W/2 and |v_j| ≤ V/2. For λ = x + iy with |y| ≤ θ/W
and θ < π the phases of e^{λ s_j} differ from 0 by at most θ/2, so |D| ≥ cos(θ/2) Σ_j |e^{λ s_j}| > 0: f is
analytic there, |f| ≤ V/(2 cos(θ/2)), and from f' = Σ_j (e^{λ s_j}/D) s_j (v_j - f)

    |f'| ≤ M = (1/c) (W/2) (V/2) (1 + 1/c),     c = cos(θ/2).

The ellipse of sum ρ of semi-axes around [0, 1] keeps to |y| ≤ (ρ - 1/ρ)/4, which is θ/W for ln ρ =
asinh(2θ/W); and m nodes of Gauss-Legendre err, on an interval of length 1, by at most
(32/15) M ρ^{-2(m-1)} / (1 - ρ^-2) [Trefethen, Approximation Theory and Approximation Practice, Theorem 19.3].
So m grows like W ln(1/error): a power of log n. (The printed argument of [TAT24, section 6] averages
log^{O(1)} n sample points, a Riemann sum; its error keeps a factor n. Analyticity is what closes it.)

Glossary
--------
W, V   the widths of the intervals of logits and of values.
θ      how far into the strip of analyticity the ellipse goes; chosen for the fewest nodes.
"""

from __future__ import annotations

from math import asinh, ceil, cos, inf, log, pi

import numpy as np
from numpy.typing import NDArray

_REACHES = [pi * share / 64 for share in range(8, 64)]


def nodes_needed(logit_width: float, value_width: float, error: float) -> int:
    """Return a number of nodes that integrates f' over [0, 1] to within `error`.

    Parameters
    ----------
    logit_width, value_width : float
        W and V, or upper bounds on them.
    error : float
        Positive.

    Returns
    -------
    int
        At least 1; never fewer for larger widths or a smaller error.

    Raises
    ------
    ValueError
        For an error that is not positive, or a width that is negative.

    Notes
    -----
    Complexity: constant.

    Examples
    --------
    >>> nodes_needed(100.0, 1.0, 0.01) < 200
    True
    """
    if not error > 0:
        raise ValueError(f"Argument 'error' must be positive, not {error}.")
    for name, width in (("logit_width", logit_width), ("value_width", value_width)):
        if not 0 <= width < inf:
            raise ValueError(f"Argument '{name}' must be finite and not negative, not {width}.")
    if logit_width == 0 or value_width == 0:
        return 1
    return min(_nodes(logit_width, value_width, error, theta) for theta in _REACHES)


def legendre(nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Gauss-Legendre nodes and weights of [0, 1].

    Examples
    --------
    >>> [array.tolist() for array in legendre(1)]
    [[0.5], [1.0]]
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    return (x + 1) / 2, w / 2


def _nodes(W: float, V: float, error: float, theta: float) -> int:
    c = cos(theta / 2)
    M = W * V / (4 * c) * (1 + 1 / c)
    rate = 2 * asinh(2 * theta / W)
    excess = log(32 * M / (15 * error)) - log(-np.expm1(-rate))
    return max(1, 1 + ceil(excess / rate))
