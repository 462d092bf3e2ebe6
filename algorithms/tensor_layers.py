"""Tensor attention as a fast layer of a transformer: order 3 and beyond, without a mask.

`fast_attention` and `fast_gradient` do the work and bound every entry; a gradient of n rows of d entries is
then off by at most n d^{1/2} times that in the norm that layers are certified in.

Time: O(n R (e+1)) for each of the two passes. Memory: O(R e) beyond arguments and results.

Glossary
--------
|A|*    the sum of the lengths of the rows of A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .attention_layers import Head, HeadGradient, Reals, as_reals
from .causal_attention import MAX_RANK, FastAttention
from .fast_attention import fast_attention
from .fast_gradient import fast_gradient


@dataclass(frozen=True)
class FastTensorAttention:
    """Attention of any order by the polynomial method, without a mask.

    Parameters
    ----------
    tolerance : float
        On the error of every entry of a head's output; and, relative to |upstream|*, on the error in that
        norm of each of its gradients.
    max_rank : int
        Refuse to go beyond.

    Raises
    ------
    ValueError
        For a tolerance that is not positive.

    Notes
    -----
    Order 2 goes to `FastAttention`. Both passes raise `WallError` where entries are too large.

    Examples
    --------
    >>> Q, K1, K2, V1, V2 = np.random.default_rng(0).uniform(-1, 1, (5, 300, 2))
    >>> FastTensorAttention(1e-3).forward(Q, (K1, K2), (V1, V2), 0.5).error <= 1e-3
    True
    """

    tolerance: float
    max_rank: int = MAX_RANK

    def __post_init__(self) -> None:
        FastAttention(False, self.tolerance, self.max_rank)

    def forward(self, query: Reals, keys: tuple[Reals, ...], values: tuple[Reals, ...], scale: float) -> Head:
        """Return the output with its certificate."""
        if len(keys) == 1:
            return FastAttention(False, self.tolerance, self.max_rank).forward(query, keys, values, scale)
        found = fast_attention(
            query, keys, values, tolerance=self.tolerance, scale=scale, method="fast", max_rank=self.max_rank
        )
        return Head(query, keys, values, scale, as_reals(found.output), found.certificate.bound, None)

    def backward(self, head: Head, upstream: Reals, carried: Reals | None) -> HeadGradient:
        """Return the gradient with its certificate."""
        if len(head.keys) == 1:
            return FastAttention(False, self.tolerance, self.max_rank).backward(head, upstream, carried)
        mean = float(np.linalg.norm(upstream, axis=1).mean())
        tolerance = self.tolerance * mean / math.sqrt(upstream.shape[1])
        if tolerance == 0.0:
            keys, values = (tuple(map(np.zeros_like, side)) for side in (head.keys, head.values))
            none = (0.0,) * len(head.keys)
            return HeadGradient(np.zeros_like(head.query), keys, values, 0.0, none, none)
        found = fast_gradient(
            head.query, head.keys, head.values, upstream,
            tolerance=tolerance, scale=head.scale, max_rank=self.max_rank,
        )  # fmt: skip
        bound, norm = found.certificate, len(upstream) * math.sqrt(upstream.shape[1])
        keys, values = (tuple(map(as_reals, side)) for side in (found.keys, found.values))
        return HeadGradient(
            as_reals(found.query),
            keys,
            values,
            norm * bound.query,
            tuple(norm * error for error in bound.keys),
            tuple(norm * error for error in bound.values),
        )
