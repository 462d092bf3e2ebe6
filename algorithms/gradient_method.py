"""Which gradient: the exact one or the fast one, as `fast_attention` decides it for the forward pass.

"auto" takes the fast gradient where its certificate meets the tolerance at a rank that is predicted to be
cheaper than the exact one.

Cost: a plan is two looks at the arrays; then the chosen algorithm's.

Glossary
--------
method    "exact", "fast" or "auto".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from numpy.typing import ArrayLike

from .attention_arguments import Array
from .attention_gradient import attention_value_and_gradient
from .certificate import WallError
from .exact_attention import predicted_cost
from .fast_arguments import Method, fitting
from .fast_gradient import MAX_RANK, fast_gradient
from .gradient_certificate import GradientCertificate

_EXACT_TIMES = 4.0  # the exact gradient over the exact forward pass: `benchmarks/gradients.py`
_CALL = 2e-3  # seconds a fast gradient takes at least
_PER_TERM = 1.2e-10  # a token, monomial and column


@dataclass(frozen=True, eq=False)
class Differentiated:
    """Output and gradients, each of its argument's shape; the certificate is None for exact ones."""

    output: Array
    query: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    certificate: GradientCertificate | None


def gradient_by(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    upstream: ArrayLike,
    *,
    tolerance: float,
    scale: float | None = None,
    method: Method = "auto",
    max_rank: int = MAX_RANK,
) -> tuple[Literal["exact", "fast"], Differentiated, str]:
    """Differentiate Σ upstream · attention(Q, keys, values) by the method asked for.

    Parameters
    ----------
    Q, keys, values, upstream, tolerance, scale, max_rank
        As for `fast_gradient`.
    method : {"auto", "exact", "fast"}
        "fast" raises where the tolerance cannot be met; "auto" takes the exact gradient there.

    Returns
    -------
    method : {"exact", "fast"}
        What was done.
    found : Differentiated
        The result.
    reason : str
        Why.

    Raises
    ------
    WallError, TypeError, ValueError
        As for `fast_gradient`.

    Examples
    --------
    >>> method, found, why = gradient_by([[1.0]], [[[1.0]]], [[[2.0]]], [[1.0]], tolerance=1e-3)
    >>> method, found.values[0].round(12).tolist()
    ('exact', [[1.0]])
    """
    if method not in get_args(Method):
        raise ValueError(f"Argument 'method' must be one of {get_args(Method)}, not {method!r}.")
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"Argument 'tolerance' must be positive and finite, not {tolerance}.")
    reason = "asked for"
    if method == "auto":
        arrays, _ = fitting(Q, keys, values, scale)
        tokens = [len(array) for array in arrays[: len(arrays) // 2 + 1]]
        cost = predicted_cost(tokens, arrays[0].shape[1], arrays[-1].shape[1]).seconds
        exact = _EXACT_TIMES * cost
        terms = sum(tokens) * (arrays[-1].shape[1] + 1)
        max_rank = min(max_rank, int((exact - _CALL) / (_PER_TERM * terms)))
        if max_rank < 1:
            method, reason = "exact", f"predicted {exact:.2g} s, too little for the fast one to save any"
    if method != "exact":
        try:
            fast = fast_gradient(
                Q, keys, values, upstream, tolerance=tolerance, scale=scale, max_rank=max_rank
            )
        except WallError as wall:
            if method == "fast":
                raise
            reason = f"the fast gradient cannot meet the tolerance: {wall}"
        else:
            return (
                "fast",
                Differentiated(fast.output, fast.query, fast.keys, fast.values, fast.certificate),
                reason if method == "fast" else "its certificate meets the tolerance",
            )
    output, found = attention_value_and_gradient(Q, keys, values, upstream, scale=scale)
    return "exact", Differentiated(output, found.query, found.keys, found.values, None), reason
