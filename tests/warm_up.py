"""Compile the numba kernels once, before pytest's workers start: a cold one costs each of them seconds.

Two processes share the work; kernels that several tasks need stand in tasks that follow each other.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

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

FEW, MANY = 9, 20_000  # tokens: one thread, and all of them


def tokens(n: int, dtype: Any = np.float64) -> Any:
    """Draw n tokens of width 4."""
    return np.random.default_rng(0).uniform(-1, 1, (n, 4)).astype(dtype)


def fast(dtype: Any) -> None:
    """Go through the passes of fast attention."""
    for n in (FEW, MANY):
        x = tokens(n, dtype)
        for order in (2, 3):
            fast_attention(x, [x] * (order - 1), [x] * (order - 1), tolerance=0.1, method="fast")


def fast_gradients(dtype: Any) -> None:
    """Go through the passes of fast gradients."""
    for n in (FEW, MANY):
        x = tokens(n, dtype)
        fast_gradient(x, [x, x], [x, x], x, tolerance=1e3)


def exact() -> None:
    """Go through exact attention, its gradient, and orthogonal vectors."""
    for order in (2, 3):
        for dtype in (np.float64, np.float32):
            x = tokens(FEW, dtype)
            attention(x, [x] * (order - 1), [x] * (order - 1))
        x = tokens(FEW)
        attention_gradient(x, [x] * (order - 1), [x] * (order - 1), x)
        vectors = OrthogonalVectors([np.ones((3, 4), dtype=np.uint8)] * order)
        first_orthogonal(vectors)
        count_orthogonal(vectors)


def layers() -> None:
    """Go through the heads of transformers, forward and back."""
    for causal in (True, False):
        head(FastAttention(causal, 1e-3), 1)
        head(ExactAttention(causal), 1)
    head(FastTensorAttention(1e-2), 2)


def head(attention: Attention, keys: int) -> None:
    """Go through one head, forward and back."""
    x = tokens(600) / 2
    found = attention.forward(x, (x,) * keys, (x,) * keys, 0.5)
    attention.backward(found, x, x if keys == 1 else None)


TASKS: list[Callable[[], None]] = [
    partial(fast, np.float64),
    partial(fast, np.float32),
    partial(fast_gradients, np.float64),
    exact,
    partial(fast_gradients, np.float32),
    layers,
]


def main() -> None:
    """Call every kernel on small problems."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        for task in [workers.submit(task) for task in TASKS]:
            task.result()


if __name__ == "__main__":
    main()
