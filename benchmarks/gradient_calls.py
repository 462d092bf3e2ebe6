"""Attention out of gradients: error against the number of gradient calls, three ways.

One 3-OV instance, signed encoding, exact gradients. Riemann sums take the left ends of equal steps,
like the printed argument of [TAT24]; Gauss-Legendre is `integrated_gradient`, the single call
`doubled_keys`.

    python benchmarks/gradient_calls.py [--vectors 6] [--coordinates 20] [--seed 0]

A second table counts what integration calls for random formulas of 6..12 variables: the nodes that the data
needs by `quadrature.nodes_needed`, the claim, which knows sizes and the entry bound alone, and the fewest
nodes with which the integral is right to 0.01.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.gradient_oracles import exact_gradient
from cubicwall.algorithms.oracles import exact
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.attention_gradient import AttentionGradient
from cubicwall.instances.cnf import CNF
from cubicwall.instances.generate import random_ksat
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions.arrows import find_path
from cubicwall.reductions.encoding import ACCURACY, decision_beta, encode
from cubicwall.reductions.gradient import doubled_keys, integrated_gradient
from cubicwall.reductions.reduction import run
from rich.console import Console
from rich.table import Table


def riemann(asked: TensorAttention, calls: int) -> Any:
    output = np.prod([value.mean(axis=0) for value in asked.values], axis=0) + np.zeros(
        (len(asked.query), asked.columns)
    )
    for step in range(calls):
        scaled = TensorAttention(
            step / calls * asked.query, asked.keys, asked.values, asked.scale, asked.accuracy
        )
        for c in range(asked.columns):
            upstream = np.zeros(output.shape)
            upstream[:, c] = 1
            gradient = exact_gradient(AttentionGradient(scaled, upstream))
            output[:, c] += (asked.query * gradient).sum(axis=1) / calls
    return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vectors", type=int, default=6)
    parser.add_argument("--coordinates", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    shape = (given.vectors, given.coordinates)
    vectors = OrthogonalVectors([(rng.random(shape) < 0.6).astype(np.uint8) for _ in range(3)])
    asked = encode(vectors, decision_beta(vectors.sizes), ACCURACY)
    truth = attention(asked.query, asked.keys, asked.values, scale=asked.scale)

    def error(output: Any) -> str:
        return f"{np.abs(output - truth).max():.1e}"

    proven = integrated_gradient.contract.claim(asked.size).calls
    table = Table(title=f"3-OV, {shape[0]} vectors, {shape[1]} coordinates; claimed nodes {proven}")
    for name in ("gradient calls", "Riemann", "Gauss-Legendre", "single call"):
        table.add_column(name, justify="right")
    single = error(run(doubled_keys(asked), exact_gradient))
    for calls in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        table.add_row(
            str(calls),
            error(riemann(asked, calls)),
            error(run(integrated_gradient(asked, nodes=calls), exact_gradient)),
            single if calls == 1 else "",
        )
    used: list[AttentionGradient] = []

    def counting(instance: AttentionGradient) -> Any:
        used.append(instance)
        return exact_gradient(instance)

    output = run(integrated_gradient(asked), counting)
    table.add_row(f"{len(used)} (proven enough for {ACCURACY / 2:g})", "", error(output), "")
    Console().print(table)
    Console().print(nodes_against_claims(given.seed))


def nodes_against_claims(seed: int) -> Table:
    """Nodes used against the claim, a formula a size."""
    table = Table(title="Integration on random 3-CNFs at ratio 4.26: gradient calls")
    for name in ("n", "tokens", "d", "claimed", "used", "enough for 0.01"):
        table.add_column(name, justify="right")
    for variables in range(6, 13):
        rng = np.random.default_rng([seed, variables])
        cnf = random_ksat(variables, ratio=4.26, rng=rng)
        seen: list[TensorAttention] = []
        find_path("direct", CNF, order=3).run(cnf, lambda instance, seen=seen: _kept(instance, seen))
        asked = seen[0]
        used = len(list(_asked(asked)))
        truth = attention(asked.query, asked.keys, asked.values, scale=asked.scale)

        def right(nodes: int, asked: TensorAttention = asked, truth: Any = truth) -> bool:
            output = run(integrated_gradient(asked, nodes=nodes), exact_gradient)
            return bool(np.abs(output - truth).max() <= 0.01)

        low, high = 0, 1
        while not right(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if right(middle) else (middle, high)
        claimed = integrated_gradient.contract.claim(asked.size).calls
        table.add_row(*map(str, (variables, asked.size.tokens, asked.dimension, claimed, used, high)))
    return table


def _kept(instance: TensorAttention, seen: list[TensorAttention]) -> Any:
    seen.append(instance)
    return exact(instance)


def _asked(asked: TensorAttention) -> Any:
    """Yield the instances that integration asks, answered by zeros: how many there are, the data decides."""
    steps = integrated_gradient(asked)
    try:
        instance = next(steps)
        while True:
            yield instance
            instance = steps.send(np.zeros(instance.attention.query.shape))
    except StopIteration:
        return


if __name__ == "__main__":
    main()
