"""Compile the numba kernels once, before pytest's workers start: a cold one costs each of them seconds."""

from __future__ import annotations

import numpy as np
from cubicwall.algorithms.attention_gradient import attention_gradient
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.fast_attention import fast_attention
from cubicwall.algorithms.fast_gradient import fast_gradient
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


if __name__ == "__main__":
    main()
