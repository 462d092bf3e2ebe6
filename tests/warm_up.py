"""Compile the numba kernels once, before pytest's workers start: a cold one costs each of them seconds."""

from __future__ import annotations

import numpy as np
from cubicwall.algorithms.attention_gradient import attention_gradient
from cubicwall.algorithms.attention_layers import Attention, ExactAttention
from cubicwall.algorithms.causal_attention import FastAttention
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.fast_attention import fast_attention
from cubicwall.algorithms.fast_gradient import fast_gradient
from cubicwall.algorithms.tensor_layers import FastTensorAttention
from cubicwall.algorithms.vectors import count_orthogonal, first_orthogonal
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors


def main() -> None:
    """Call every kernel on a small problem."""
    for order in (2, 3):
        for dtype in (np.float64, np.float32):
            tokens = np.ones((9, 4), dtype=dtype)
            attention(tokens, [tokens] * (order - 1), [tokens] * (order - 1))
            fast_attention(
                tokens, [tokens] * (order - 1), [tokens] * (order - 1), tolerance=1e-3, method="fast"
            )
            fast_gradient(tokens, [tokens] * (order - 1), [tokens] * (order - 1), tokens, tolerance=1e-2)
        tokens = np.ones((9, 4))
        attention_gradient(tokens, [tokens] * (order - 1), [tokens] * (order - 1), tokens)
        vectors = OrthogonalVectors([np.ones((3, 4), dtype=np.uint8)] * order)
        first_orthogonal(vectors)
        count_orthogonal(vectors)
    for causal in (True, False):
        layers(FastAttention(causal, 1e-3), 1)
        layers(ExactAttention(causal), 1)
    layers(FastTensorAttention(1e-2), 2)


def layers(attention: Attention, keys: int) -> None:
    """Go through a layer's head, forward and back."""
    tokens = np.linspace(-0.5, 0.5, 1200).reshape(600, 2)
    head = attention.forward(tokens, (tokens,) * keys, (tokens,) * keys, 0.5)
    attention.backward(head, tokens, tokens if keys == 1 else None)


if __name__ == "__main__":
    main()
