"""Oracles: attention instances answered by the algorithms of this folder.

An oracle is a function instance -> output or `Undecided`. It promises that every entry of the
output is within the instance's ``accuracy`` of the truth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..instances.attention import TensorAttention
from .exact_attention import attention


def exact(instance: TensorAttention) -> npt.NDArray[np.float64]:
    """Answer by the exact kernel: error of order 1e-15 on the instances of the signed encoding.

    Complexity
    ----------
    O(Π tokens · (d + e)) time, O(Σ tokens · (d + e)) memory.
    """
    output: npt.NDArray[np.float64] = attention(
        instance.query, instance.keys, instance.values, scale=instance.scale
    )
    return output
