"""Oracles for gradients: `AttentionGradient` instances answered by the algorithms of this folder.

An oracle promises that every entry of the answer is within the instance's ``accuracy`` of the truth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..instances.attention_gradient import AttentionGradient
from .attention_gradient import attention_gradient


def exact_gradient(instance: AttentionGradient) -> npt.NDArray[np.float64]:
    """Answer by the exact kernel.

    Parameters
    ----------
    instance : AttentionGradient
        The question.

    Returns
    -------
    (n, d) array
        ∂L/∂Q.

    Notes
    -----
    Complexity: O(Π tokens · (d + e)) time, O(Σ tokens · (d + e)) memory.

    Examples
    --------
    >>> from cubicwall.instances.attention import TensorAttention
    >>> two = TensorAttention([[0.0]], [[[1.0], [-1.0]]], [[[1.0], [0.0]]], scale=1.0, accuracy=0.1)
    >>> exact_gradient(AttentionGradient(two, [[2.0]])).tolist()
    [[1.0]]
    """
    asked = instance.attention
    gradient = attention_gradient(asked.query, asked.keys, asked.values, instance.upstream, scale=asked.scale)
    return np.asarray(gradient.query, dtype=np.float64)
