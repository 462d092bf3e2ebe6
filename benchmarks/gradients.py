"""Gradients against their forward passes, and the exact one against torch's autograd; in turns.

    python benchmarks/gradients.py [--tokens 100000] [--exact-tokens 512] [--turns 5]

Fast: order 3, d = e = 8, entries in ±1, float64, degrees 3 and 5 by their tolerances; the gradient is of all
five arrays and its time includes the forward pass. Exact: order 3, d = e = 16, normal entries. torch
differentiates the same forward pass in blocks of queries: once keeping the weights of every block for the
way back, once recomputing them (torch.utils.checkpoint). It checks itself against ours before it is timed.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
from turns import Job, Timing, compare, print_table

D = 8
FORWARD = {3: 5e-3, 5: 3e-5}  # tolerances that take these degrees
GRADIENT = {3: 0.2, 5: 2e-3}  # absolute, for an upstream of ±1 summed over 10^5 queries


def tokens(n: int, columns: int, arrays: int, uniform: bool) -> list[Any]:
    """Arrays (n, columns), uniform in ±1 or normal."""
    rng = np.random.default_rng(0)
    shape = (arrays, n, columns)
    return list(rng.uniform(-1, 1, shape) if uniform else rng.normal(size=shape))


def fast_forward(degree: int) -> Any:
    """Our fast forward pass at the tolerance that takes this degree."""

    def peer(options: argparse.Namespace) -> Job:
        from cubicwall import fast_attention

        Q, K_1, K_2, V_1, V_2 = tokens(options.tokens, D, 5, True)

        def job() -> Any:
            return fast_attention(Q, [K_1, K_2], [V_1, V_2], tolerance=FORWARD[degree], method="fast")

        _require(job().certificate.degree, degree)
        return job

    return peer


def fast_backward(degree: int) -> Any:
    """Our fast gradient, forward pass included, at the tolerance that takes this degree."""

    def peer(options: argparse.Namespace) -> Job:
        from cubicwall import fast_gradient

        Q, K_1, K_2, V_1, V_2, G = tokens(options.tokens, D, 6, True)
        tolerance = GRADIENT[degree] * options.tokens / 1e5

        def job() -> Any:
            return fast_gradient(Q, [K_1, K_2], [V_1, V_2], G, tolerance=tolerance)

        _require(job().certificate.degree, degree)
        return job

    return peer


def _require(found: int | None, degree: int) -> None:
    if found != degree:
        raise ValueError(f"the tolerance takes degree {found}, not {degree}")


def exact_forward(options: argparse.Namespace) -> Job:
    """Our exact forward pass."""
    from cubicwall import attention

    Q, K_1, K_2, V_1, V_2 = tokens(options.exact_tokens, 2 * D, 5, False)
    return lambda: attention(Q, [K_1, K_2], [V_1, V_2])


def exact_backward(options: argparse.Namespace) -> Job:
    """Our exact gradient, forward pass included."""
    from cubicwall import attention_gradient

    Q, K_1, K_2, V_1, V_2, G = tokens(options.exact_tokens, 2 * D, 6, False)
    return lambda: attention_gradient(Q, [K_1, K_2], [V_1, V_2], G)


def torch_autograd(recompute: bool) -> Any:
    """Autograd through the forward pass in blocks of queries; block sizes are the best of those tried."""

    def peer(options: argparse.Namespace) -> Job:
        import torch
        from cubicwall import attention_gradient
        from torch.utils.checkpoint import checkpoint

        arrays = tokens(options.exact_tokens, 2 * D, 6, False)
        Q, K_1, K_2, V_1, V_2 = (torch.from_numpy(x).requires_grad_() for x in arrays[:5])
        upstream = torch.from_numpy(arrays[5])
        n, d = Q.shape

        def rows(q: Any, K_1: Any, K_2: Any, V_1: Any, V_2: Any) -> Any:
            """(m, n, d) products with K_1 meet K_2 in one matrix product; then V_2, then V_1."""
            logits = ((q[:, None, :] * K_1).reshape(-1, d) @ K_2.T).reshape(len(q), -1)
            weights = torch.softmax(logits / d, dim=1).reshape(-1, len(K_2))
            return ((weights @ V_2).reshape(len(q), len(K_1), -1) * V_1).sum(1)

        def job() -> Any:
            for array in (Q, K_1, K_2, V_1, V_2):
                array.grad = None
            blocks = (Q[i : i + options.rows] for i in range(0, n, options.rows))
            inputs = (K_1, K_2, V_1, V_2)
            if recompute:
                parts = [checkpoint(rows, block, *inputs, use_reentrant=False) for block in blocks]
            else:
                parts = [rows(block, *inputs) for block in blocks]
            torch.cat(parts).backward(upstream)
            return Q.grad

        job()
        ours = attention_gradient(arrays[0], arrays[1:3], arrays[3:5], arrays[5])
        for found, expected in ((Q.grad, ours.query), (K_2.grad, ours.keys[1]), (V_1.grad, ours.values[0])):
            assert found is not None
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8, atol=1e-10)
        return job

    return peer


PEERS = {f"fast forward {degree}": fast_forward(degree) for degree in FORWARD}
PEERS |= {f"fast gradient {degree}": fast_backward(degree) for degree in GRADIENT}
PEERS |= {
    "exact forward": exact_forward,
    "exact gradient": exact_backward,
    "torch": torch_autograd(False),
    "torch, recomputing": torch_autograd(True),
}


def report(options: argparse.Namespace, timings: dict[str, Timing], dgemm: float) -> None:
    rows = []
    for name, timing in timings.items():
        degree = name.rsplit(" ", 1)[1] if name.startswith("fast") else ""
        base = timings.get(f"fast forward {degree}" if degree else "exact forward", Timing((), "not run"))
        share = ""
        if degree and timing.seconds:
            passes = 3 if "forward" in name else 9  # multiply-adds for each token, monomial and column
            flops = 2 * passes * options.tokens * math.comb(D + int(degree), D) * (D + 1)
            share = f"{100 * flops / timing.median / 1e9 / dgemm:.0f}%"
        ratio = timing.median / base.median
        rows.append([name, timing.median, ratio, share, timing.missing])
    title = (
        f"Order 3, float64; fast: n = {options.tokens:,}, d = e = {D}; exact: n = {options.exact_tokens}, "
        f"d = e = {2 * D}; {options.turns} turns; dgemm {dgemm:.0f} GF/s"
    )
    print_table(title, ["peer", "seconds", "times forward", "of dgemm", ""], rows)
    if "exact gradient" in timings:
        for name in ("torch", "torch, recomputing"):
            if name in timings and timings[name].seconds:
                print(f"{name} / ours = {timings[name].median / timings['exact gradient'].median:.2f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--tokens", type=int, default=100_000)
    options.add_argument("--exact-tokens", type=int, default=512)
    options.add_argument("--rows", type=int, default=4, help="queries of torch's blocks (4)")
    compare(PEERS, options, report)


if __name__ == "__main__":
    main()
