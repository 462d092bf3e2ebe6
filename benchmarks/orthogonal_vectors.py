"""k-OV by brute force against its peers: seconds, ns a triple, and the machine's dgemm rate beside them.

    python benchmarks/orthogonal_vectors.py [--vectors 4096] [--dimension 160] [--rounds 5]

Counts all orthogonal triples of three sets of random vectors. Every measurement runs in a process of
its own, and the methods take turns; the table shows the least and the median of the rounds. Slow
methods look at the first few vectors of the first set only, which is where "seconds for all" comes in.
All methods must agree on the counts that they share.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]

_FEW = 8  # vectors of the first set for the slow methods
_SLOWED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # where set, they slow numpy down


def cubicwall_count(sets: list[Bits]) -> int:
    """The solver of this package."""
    from cubicwall.algorithms.vectors import count_orthogonal
    from cubicwall.instances.orthogonal_vectors import OrthogonalVectors

    return count_orthogonal(OrthogonalVectors(sets))


def numpy_packed_count(sets: list[Bits]) -> int:
    """ANDs of packed words, a matrix of pairs at a time, in blocks that fit the cache."""
    first, second, third = (_packed(vectors) for vectors in sets)
    columns = np.ascontiguousarray(third.T)
    total = 0
    for a in first:
        for low in range(0, len(second), 16):
            pairs = second[low : low + 16] & a
            union = pairs[:, 0, None] & columns[0]
            for w in range(1, len(columns)):
                union |= pairs[:, w, None] & columns[w]
            total += union.size - int(np.count_nonzero(union))
    return total


def gemm_count(sets: list[Bits]) -> int:
    """Overlaps of all pairs with all third vectors as one float32 matrix product a first vector."""
    first, second, third = (vectors.astype(np.float32) for vectors in sets)
    columns = np.ascontiguousarray(third.T)
    return sum(int(np.sum((second * a) @ columns == 0)) for a in first)


METHODS: dict[str, tuple[Callable[[list[Bits]], int], int | None]] = {
    "cubicwall": (cubicwall_count, None),
    "cubicwall, few": (cubicwall_count, _FEW),
    "numpy, packed": (numpy_packed_count, _FEW),
    "numpy, GEMM": (gemm_count, _FEW),
}


def measure(method: str, vectors: int, dimension: int, density: float) -> dict[str, float]:
    """Run one method once, after a warm-up, in this process."""
    count, rows = METHODS[method]
    rng = np.random.default_rng(1)
    sets = [(rng.random((vectors, dimension)) < density).astype(np.uint8) for _ in range(3)]
    sets[0] = sets[0][:rows]
    count([sets[0][:1], sets[1][:500], sets[2][:500]])  # compiles, and starts threads
    start = time.perf_counter()
    found = count(sets)
    return {
        "seconds": time.perf_counter() - start,
        "count": found,
        "rows": len(sets[0]),
        "dgemm": dgemm_rate(),
    }


def dgemm_rate() -> float:
    """GF/s of float64 matrix products on all cores, the best of five."""
    matrix = np.random.default_rng(0).random((1500, 1500))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return 2 * 1500**3 / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vectors", type=int, default=4096, help="vectors a set")
    parser.add_argument("--dimension", type=int, default=160)
    parser.add_argument("--density", type=float, default=0.5, help="probability of a 1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(measure(options.run, options.vectors, options.dimension, options.density)))
        return
    rounds: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for turn in range(options.rounds):
        for method, found in rounds.items():
            print(f"round {turn + 1}: {method}", file=sys.stderr)
            found.append(_in_own_process(method, options))
    counts = {method: found[0]["count"] for method, found in rounds.items() if found[0]["rows"] == _FEW}
    if len(set(counts.values())) > 1:
        raise SystemExit(f"The methods disagree: {counts}")
    rate = max(run["dgemm"] for found in rounds.values() for run in found)
    print(f"All triples of N = {options.vectors}, m = {options.dimension}, density {options.density};")
    print(f"float64 dgemm runs at {rate:.0f} GF/s on {os.cpu_count()} cores.")
    print(
        f"{'method':<16}{'vectors':>8}{'s, least':>10}{'s, median':>11}{'ns a triple':>13}{'s for all':>11}"
    )
    for method, found in rounds.items():
        seconds = [run["seconds"] for run in found]
        rows = int(found[0]["rows"])
        each = min(seconds) / (rows * options.vectors**2)
        print(
            f"{method:<16}{rows:>8}{min(seconds):>10.3f}{statistics.median(seconds):>11.3f}"
            f"{each * 1e9:>13.4f}{each * options.vectors**3:>11.2f}"
        )


def _in_own_process(method: str, options: argparse.Namespace) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if name not in _SLOWED}
    command = [sys.executable, __file__, "--run", method]
    for name in ("vectors", "dimension", "density"):
        command += [f"--{name}", str(getattr(options, name))]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def _packed(bits: Bits) -> NDArray[np.uint64]:
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 64)))
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


if __name__ == "__main__":
    main()
