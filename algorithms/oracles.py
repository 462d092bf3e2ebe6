"""Oracles: attention instances answered by the algorithms of this folder.

An oracle is a function instance -> output or `Undecided`. It promises that every entry of the
output is within the instance's ``accuracy`` of the truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..instances.answer import Undecided
from ..instances.attention import TensorAttention
from ..instances.attention_gradient import AttentionGradient
from .certificate import WallError
from .exact_attention import attention, predicted_cost
from .fast_attention import fast_attention
from .gradient_oracles import exact_gradient

STRIDE = 0.25  # seconds of predicted work between two reports, and between two looks for Ctrl-C


def exact(
    instance: TensorAttention | AttentionGradient, *, progress: Callable[[float], None] | None = None
) -> npt.NDArray[np.float64]:
    """Answer by the exact kernel: error of order 1e-15 on the instances of the signed encoding.

    Parameters
    ----------
    instance : TensorAttention or AttentionGradient
        The question; `exact_gradient` answers those about gradients, at once.
    progress : callable, optional
        Told the fraction of the query rows that is done. Rows are independent, so working
        through them in strides changes no bit of the output.

    Complexity
    ----------
    O(Π tokens · (d + e)) time, O(Σ tokens · (d + e)) memory.
    """
    if isinstance(instance, AttentionGradient):
        return exact_gradient(instance)
    rows = len(instance.query)
    cost = predicted_cost(instance.tokens, instance.dimension, instance.columns)
    strides = max(1, min(rows // 16, int(cost.seconds / STRIDE))) if progress else 1
    parts = []
    for i, part in enumerate(np.array_split(instance.query, strides)):
        parts.append(attention(part, instance.keys, instance.values, scale=instance.scale))
        if progress:
            progress((i + 1) / strides)
    output: npt.NDArray[np.float64] = np.concatenate(parts)
    return output


def fast(instance: TensorAttention | AttentionGradient) -> npt.NDArray[np.float64] | Undecided:
    """Answer by the polynomial method, or give up where the wall stops it.

    The certificate's bound is at most the instance's accuracy, so the promise is kept whenever
    there is an output.

    Complexity
    ----------
    O(Σ tokens · R (e + 1)) time for rank R, see `fast_attention`.
    """
    if not isinstance(instance, TensorAttention):
        return Undecided("the fast oracle answers attention only")
    try:
        result = fast_attention(
            instance.query,
            instance.keys,
            instance.values,
            scale=instance.scale,
            tolerance=instance.accuracy,
            method="fast",
        )
    except WallError as wall:
        return Undecided(str(wall))
    output: npt.NDArray[np.float64] = result.output
    return output
