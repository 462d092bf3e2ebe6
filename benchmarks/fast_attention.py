"""The fast algorithm against the exact one and its peers: time against n, share of dgemm, crossover, memory.

    python benchmarks/fast_attention.py [--turns 3] [--largest 1000000] [--out out]

Attention of order 3, d = e = 8, entries uniform in [−1, 1], float64, all cores. Every method at every n is a
process of its own, in turns (`turns.py`). Writes a table and a log-log picture with the slopes.

    fast 3, fast 5    `fast_attention` where the tolerance asks for degree 3 or 5, certificate included
    exact             the tuned exact kernel
    jax, torch        exact peers, blocked (`exact_attention.py`), where installed
    numpy 3           the polynomial method in plain numpy, in blocks that fit the cache: the readable twin
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from turns import Job, Timing, compare, print_table

D = 8
SIZES = {
    "fast 3": (32, 64, 96, 128, 512, 1000, 10_000, 100_000, 1_000_000),
    "fast 5": (32, 64, 96, 128, 512, 1000, 10_000, 100_000, 1_000_000),
    "exact": (32, 64, 96, 128, 256, 512),
    "jax": (32, 64, 128, 256, 512),
    "torch": (128, 256, 512),
    "numpy 3": (1000, 10_000, 100_000),
}
MEMORY_TOKENS = 1_000_000


def instance(n: int) -> list[Any]:
    """Q, K_1, K_2, V_1, V_2."""
    return [np.random.default_rng(i).uniform(-1, 1, (n, D)) for i in range(5)]


def tolerance_for(degree: int, Q: Any, keys: Any, values: Any) -> float:
    """Return the loosest tolerance, of those tried, that takes the degree."""
    from cubicwall.algorithms.fast_attention import plan

    for quarter in range(4, 60):
        tolerance = 10.0 ** (-quarter / 4)
        found = plan(Q, keys, values, tolerance=tolerance, method="fast")
        if (found.degree or 0) >= degree:
            return tolerance
    raise ValueError(f"No tolerance takes degree {degree}.")


def fast(n: int, degree: int) -> Job:
    from cubicwall.algorithms.fast_attention import fast_attention

    Q, K_1, K_2, V_1, V_2 = instance(n)
    keys, values = [K_1, K_2], [V_1, V_2]
    tolerance = tolerance_for(degree, Q, keys, values)
    out = np.ones((n, D))  # there before the call: the system's first touch of fresh pages is not timed
    return lambda: fast_attention(Q, keys, values, tolerance=tolerance, method="fast", out=out)


def exact(n: int) -> Job:
    from cubicwall.algorithms.exact_attention import attention

    Q, K_1, K_2, V_1, V_2 = instance(n)
    return lambda: attention(Q, [K_1, K_2], [V_1, V_2])


def jax(n: int) -> Job:
    from exact_attention import jax_blocked

    return jax_blocked(
        argparse.Namespace(tokens=n, dimension=D, columns=D, entries=1.0, jax_blocks=(16, min(n, 512)))
    )


def torch(n: int) -> Job:
    from exact_attention import torch_blocked

    return torch_blocked(argparse.Namespace(tokens=n, dimension=D, columns=D, entries=1.0))


def numpy_twin(n: int, degree: int = 3) -> Job:
    """Moments and evaluation as matrix products over blocks of 512 tokens."""
    from cubicwall.algorithms.exp_polynomial import exp_polynomial
    from cubicwall.algorithms.monomials import features, total_degree

    Q, K_1, K_2, V_1, V_2 = instance(n)
    indices = total_degree(D, degree)
    weights = indices.weights(exp_polynomial(-1.0, 1.0, degree).coefficients, 1.0)
    blocks = [slice(first, first + 512) for first in range(0, n, 512)]

    def moments(K: Any, V: Any) -> Any:
        total = np.zeros((len(indices), D + 1))
        for block in blocks:
            table = features(K[block], indices)
            total[:, :D] += table.T @ V[block]
            total[:, D] += table.sum(axis=0)
        return total

    def attend() -> Any:
        product = moments(K_1, V_1) * moments(K_2, V_2) * weights[:, None]
        out = np.empty((n, D))
        for block in blocks:
            sums = features(Q[block] / D, indices) @ product
            out[block] = sums[:, :D] / sums[:, D:]
        return out

    return attend


def peers(largest: int) -> dict[str, Callable[[argparse.Namespace], Job]]:
    makers: dict[str, Callable[[int], Job]] = {
        "fast 3": lambda n: fast(n, 3),
        "fast 5": lambda n: fast(n, 5),
        "exact": exact,
        "jax": jax,
        "torch": torch,
        "numpy 3": numpy_twin,
    }
    return {
        f"{name} @{n}": (lambda _, make=make, n=n: make(n))  # type: ignore[misc]
        for name, make in makers.items()
        for n in SIZES[name]
        if n <= largest
    }


def slope(points: list[tuple[int, float]]) -> float:
    """Least squares on logarithms."""
    if len(points) < 2:
        return math.nan
    n, seconds = np.log(np.array(points)).T
    return float(np.polyfit(n, seconds, 1)[0])


def crossover(curves: dict[str, list[tuple[int, float]]], fast_name: str, exact_name: str) -> float:
    """Return the n at which two curves meet, interpolated between sizes that both have."""
    ours, theirs = dict(curves.get(fast_name, [])), dict(curves.get(exact_name, []))
    gaps = [(n, math.log(ours[n] / theirs[n])) for n in sorted(ours.keys() & theirs.keys())]
    for (n, gap), (m, later) in pairwise(gaps):
        if gap > 0.0 >= later:
            return float(n * (m / n) ** (gap / (gap - later)))
    return math.nan


def anonymous_memory() -> float:
    """RssAnon in MB: mapped files count as resident too, but not as anonymous."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return math.nan


class PeakMemory:
    """How far RssAnon rises above its value at the start, sampled every 2 ms, and the peak itself."""

    def __enter__(self) -> PeakMemory:
        self.rise, self._start, self._done = 0.0, anonymous_memory(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.rise = max(self.rise, anonymous_memory() - self._start)

    @property
    def peak(self) -> float:
        """MB, imports and all."""
        return self._start + self.rise

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.rise = max(self.rise, anonymous_memory() - self._start)


def measure_memory() -> float:
    """Anonymous memory of one call at degree 5 beyond inputs, output and imports."""
    from cubicwall.algorithms.fast_attention import fast_attention

    for n in (100, 5000):  # loads the kernels, with and without threads
        fast(n, 5)()
    Q, K_1, K_2, V_1, V_2 = instance(MEMORY_TOKENS)
    out = np.ones((MEMORY_TOKENS, D))  # unlike zeros, there before the call
    tolerance = tolerance_for(5, Q, [K_1, K_2], [V_1, V_2])
    with PeakMemory() as peak:
        fast_attention(Q, [K_1, K_2], [V_1, V_2], tolerance=tolerance, method="fast", out=out)
    return peak.rise


def report(options: argparse.Namespace, timings: dict[str, Timing], dgemm: float) -> None:
    curves: dict[str, list[tuple[int, float]]] = {}
    rows: list[list[object]] = []
    for label, timing in timings.items():
        name, n = label.split(" @")
        if not timing.seconds:
            rows.append([name, int(n), math.nan, math.nan, math.nan, timing.missing])
            continue
        seconds = timing.median
        curves.setdefault(name, []).append((int(n), seconds))
        terms = math.comb(D + int(name[-1]), D) if name[-1].isdigit() else 0
        rate = 6 * int(n) * terms * (D + 1) / seconds / 1e9
        rows.append(
            [name, int(n), 1e3 * seconds, 1e3 * min(timing.seconds), rate / dgemm if terms else math.nan, ""]
        )
    title = f"Attention of order 3, d = e = {D}, float64; {options.turns} turns; dgemm {dgemm:.0f} GF/s"
    print_table(title, ["method", "n", "ms (median)", "ms (least)", "share of dgemm", ""], rows)
    slopes = {
        name: slope([(n, s) for n, s in points if n >= (10_000 if name.startswith("fast") else 128)])
        for name, points in curves.items()
    }
    print("slopes, the fast ones from n = 10,000 on: ", end="")
    print(", ".join(f"{name} {value:.2f}" for name, value in slopes.items()))
    for name in ("fast 3", "fast 5"):
        for other in ("exact", "jax"):
            print(f"{name} overtakes {other} at n = {crossover(curves, name, other):.0f}")
    if options.largest >= MEMORY_TOKENS:
        command = [sys.executable, sys.argv[0], "--memory"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(
            f"anonymous memory of a call beyond inputs, output and imports, n = {MEMORY_TOKENS:,}, ", end=""
        )
        print(f"degree 5: {json.loads(done.stdout):.1f} MB")
    draw(curves, slopes, Path(options.out))


def draw(curves: dict[str, list[tuple[int, float]]], slopes: dict[str, float], folder: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name, points in curves.items():
        n, seconds = zip(*points, strict=True)
        axes.loglog(n, seconds, "o-", label=f"{name}, slope {slopes[name]:.2f}")
    axes.set(xlabel="tokens n", ylabel="seconds", title=f"Attention of order 3, d = e = {D}, float64")
    axes.grid(alpha=0.3)
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "fast_attention.svg", bbox_inches="tight")
    print(f"picture: {os.path.relpath(folder / 'fast_attention.svg')}")


def main() -> None:
    if sys.argv[1:] == ["--memory"]:
        print(json.dumps(measure_memory()))
        return
    options = argparse.ArgumentParser(description="The fast algorithm against the exact one.")
    options.add_argument("--largest", type=int, default=1_000_000, help="largest n")
    options.add_argument("--out", default="out", help="folder for the picture")
    largest = options.parse_known_args()[0].largest
    compare(peers(largest), options, report, turns=3)


if __name__ == "__main__":
    main()
