"""Exact attention of order 3 against its peers: nanoseconds a triple, in turns, with the dgemm rate beside.

    python benchmarks/exact_attention.py [--tokens 512] [--dimension 16] [--columns 16] [--entries 1.0]

Every peer computes the same output in float64 on all cores, and checks a few rows against an einsum
before its first timed run. The peers in blocks are written as well as we can: all sums are matrix
products, and none of them keeps a running maximum, which cubicwall also skips where it can see that
logits are small. Their block sizes are the best of those tried, see each docstring.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from turns import Job, Timing, compare, print_table

Arrays = tuple[Any, Any, Any, Any, Any]


def instance(options: argparse.Namespace) -> Arrays:
    """Q, K_1, K_2, V_1, V_2 with normal entries."""
    rng = np.random.default_rng(0)
    widths = [options.dimension] * 3 + [options.columns] * 2
    Q, *others = (rng.normal(size=(options.tokens, width)) for width in widths)
    return (Q * options.entries, *others)  # type: ignore[return-value]


def cubicwall(options: argparse.Namespace) -> Job:
    """The tuned kernel."""
    Q, K_1, K_2, V_1, V_2 = instance(options)
    return lambda: _ours(Q, K_1, K_2, V_1, V_2)


def jax_blocked(options: argparse.Namespace) -> Job:
    """jit in float64: a block of queries times a block of K_1 against all of K_2.

    Blocks of 16 × 512 by default, the best on two cores. Tried: 1 to 512 queries by 1 to 512 tokens in
    some thirty pairs, a second sum instead of the column of ones, the sum over K_1 first, and XLA's
    option for full-width vectors, which changed nothing. Most are within a factor 1.5 of the best.
    """
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    queries, tokens = options.jax_blocks
    Q, K_1, K_2, V_1, V_2 = (jnp.asarray(x) for x in instance(options))

    @jax.jit  # type: ignore[untyped-decorator]
    def attend(Q: Any, K_1: Any, K_2: Any, V_1: Any, V_2: Any) -> Any:
        n, d = Q.shape
        V_1, V_2 = (jnp.concatenate([V, jnp.ones((n, 1))], axis=1) for V in (V_1, V_2))
        e = V_1.shape[1]

        def rows(q: Any) -> Any:
            def add(sums: Any, block: Any) -> Any:
                k, v = block
                weights = jnp.exp((q[:, None] * k).reshape(-1, d) @ K_2.T)
                return sums + ((weights @ V_2).reshape(queries, tokens, e) * v).sum(axis=1), None

            blocks = K_1.reshape(-1, tokens, d), V_1.reshape(-1, tokens, e)
            return jax.lax.scan(add, jnp.zeros((queries, e)), blocks)[0]

        sums = jax.lax.map(rows, (Q / d).reshape(-1, queries, d)).reshape(n, e)
        return sums[:, :-1] / sums[:, -1:]

    return _checked(options, lambda: attend(Q, K_1, K_2, V_1, V_2).block_until_ready())


def torch_blocked(options: argparse.Namespace) -> Job:
    """Eager torch in blocks of one query by 256 tokens of K_1, products and exponentials in place."""
    import torch

    arrays = [torch.from_numpy(x) for x in instance(options)]
    return _checked(options, lambda: _blocked(torch, arrays, 256))


def numpy_blocked(options: argparse.Namespace) -> Job:
    """The same blocks in numpy; the matrix products use all cores, the exponential one."""
    arrays = instance(options)
    return _checked(options, lambda: _blocked(np, arrays, 256))


def naive_einsum(options: argparse.Namespace) -> Job:
    """What one writes first: all n² products of keys and of values, and a matrix of n by n² weights.

    The matrix would fill gigabytes, so a block of queries at a time.
    """
    Q, K_1, K_2, V_1, V_2 = instance(options)
    n, d = Q.shape

    def attend() -> Any:
        K = np.einsum("jl,kl->jkl", K_1, K_2).reshape(-1, d)
        V = np.einsum("jc,kc->jkc", V_1, V_2).reshape(len(K), -1)
        output = np.empty((n, V.shape[1]))
        step = max(1, 2**26 // len(K))
        for first in range(0, n, step):
            weights = np.exp(np.einsum("il,tl->it", Q[first : first + step], K, optimize=True) / d)
            weights /= weights.sum(axis=1, keepdims=True)
            output[first : first + step] = np.einsum("it,tc->ic", weights, V, optimize=True)
        return output

    return _checked(options, attend)


def _ours(Q: Any, K_1: Any, K_2: Any, V_1: Any, V_2: Any) -> Any:
    from cubicwall.algorithms.exact_attention import attention

    return attention(Q, [K_1, K_2], [V_1, V_2])


def _blocked(library: Any, arrays: Any, tokens: int) -> Any:
    Q, K_1, K_2, V_1, V_2 = arrays
    n, d = Q.shape
    ones = library.ones((n, 1), dtype=library.float64)
    V_1, V_2 = library.concatenate([V_1, ones], 1), library.concatenate([V_2, ones], 1)
    columns, Q = K_2.T, Q / d
    weights = library.empty((tokens, n), dtype=library.float64)
    sums = library.zeros((n, V_1.shape[1]), dtype=library.float64)
    for i in range(n):
        for first in range(0, n, tokens):
            block = slice(first, first + tokens)
            room = weights[: len(K_1[block])]
            library.matmul(Q[i] * K_1[block], columns, out=room)
            library.exp(room, out=room)
            sums[i] += ((room @ V_2) * V_1[block]).sum(0)
    return sums[:, :-1] / sums[:, -1:]


def _checked(options: argparse.Namespace, attend: Callable[[], Any]) -> Job:
    Q, K_1, K_2, V_1, V_2 = instance(options)
    few = 4
    logits = np.einsum("il,jl,kl->ijk", Q[:few], K_1, K_2, optimize=True) / Q.shape[1]
    weights = np.exp(logits)
    expected = np.einsum("ijk,jc,kc->ic", weights, V_1, V_2, optimize=True) / weights.sum((1, 2))[:, None]
    np.testing.assert_allclose(np.asarray(attend())[:few], expected, rtol=1e-9, atol=1e-12)
    return attend


def report(options: argparse.Namespace, timings: dict[str, Timing], dgemm: float) -> None:
    triples = float(options.tokens) ** 3
    ours = timings.get("cubicwall", Timing((), "not run"))
    rows = []
    for name, timing in timings.items():
        spread = [seconds / triples * 1e9 for seconds in timing.seconds] or [math.nan]
        ratio = timing.median / ours.median
        rows.append([name, 1e9 * timing.median / triples, min(spread), max(spread), ratio, timing.missing])
    title = (
        f"Attention of order 3 in float64, n = {options.tokens}, d = {options.dimension}, "
        f"e = {options.columns}; {options.turns} turns; dgemm {dgemm:.0f} GF/s; "
        f"jax blocks {options.jax_blocks[0]} × {options.jax_blocks[1]}"
    )
    print_table(title, ["peer", "ns a triple", "least", "most", "times ours", ""], rows)
    lanes = options.dimension + options.columns + 16
    print(f"{lanes} multiply-adds a triple at the dgemm rate: {2 * lanes / dgemm:.3g} ns.")
    if not math.isnan(ours.median) and "jax" in timings and timings["jax"].seconds:
        print(f"ours / jax = {ours.median / timings['jax'].median:.3f}")


def main() -> None:
    options = argparse.ArgumentParser(description="Exact attention of order 3 against its peers.")
    options.add_argument("--tokens", type=int, default=512)
    options.add_argument("--dimension", type=int, default=16)
    options.add_argument("--columns", type=int, default=16)
    options.add_argument("--entries", type=float, default=1.0, help="scale of the queries; logits follow")
    options.add_argument("--jax-blocks", type=int, nargs=2, default=(16, 512), metavar=("QUERIES", "TOKENS"))
    peers = {
        "cubicwall": cubicwall,
        "jax": jax_blocked,
        "torch": torch_blocked,
        "numpy": numpy_blocked,
        "naive einsum": naive_einsum,
    }
    compare(peers, options, report)


if __name__ == "__main__":
    main()
