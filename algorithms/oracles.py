"""Oracles: attention instances answered by the algorithms of this folder.

An oracle is a function instance -> output or `Undecided`. It promises that every entry of the
output is within the instance's ``accuracy`` of the truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..instances.attention import TensorAttention
from .exact_attention import attention, predicted_cost

STRIDE = 0.25  # seconds of predicted work between two reports, and between two looks for Ctrl-C


def exact(
    instance: TensorAttention, *, progress: Callable[[float], None] | None = None
) -> npt.NDArray[np.float64]:
    """Answer by the exact kernel: error of order 1e-15 on the instances of the signed encoding.

    Parameters
    ----------
    instance : TensorAttention
        The question.
    progress : callable, optional
        Told the fraction of the query rows that is done. Rows are independent, so working
        through them in strides changes no bit of the output.

    Complexity
    ----------
    O(Π tokens · (d + e)) time, O(Σ tokens · (d + e)) memory.
    """
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
