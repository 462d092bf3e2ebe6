"""Fast attention of order 3: share of dgemm, slope, crossover against the exact kernel, memory, and peers.

    python benchmarks/fast_attention.py [--most 1000000] [-o fast_attention.svg]

d = e = 8, entries in ±1, float64, all cores. Degree 3 (rank 165) and degree 5 (rank 1287) are reached
by their tolerances. Every time is the median of three turns, each peer in its own process; the floor
counts 3 n R (d+1) multiply-adds. Peers: the tuned exact kernel, and the same polynomial in blocked numpy.
"""

from __future__ import annotations

import argparse
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from turns import Job, Timing, dgemm_rate, print_table, take_turns

D = 8
TOLERANCES = {3: 5e-3, 5: 3e-5}
SIZES = (64, 128, 256, 512, 1000, 10_000, 100_000, 1_000_000)
EXACT_MOST = 2_000
TURNS = 3


def instance(n: int) -> list[Any]:
    """Q, K_1, K_2, V_1, V_2 with uniform entries in ±1."""
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (n, D)) for _ in range(5)]


def fast(n: int, degree: int) -> Job:
    """Our fast kernel at the tolerance that takes this degree."""
    from cubicwall import fast_attention

    Q, K_1, K_2, V_1, V_2 = instance(n)

    def job() -> Any:
        return fast_attention(Q, [K_1, K_2], [V_1, V_2], tolerance=TOLERANCES[degree], method="fast")

    found = job().certificate.degree
    if found != degree:
        raise ValueError(f"tolerance {TOLERANCES[degree]} takes degree {found}, not {degree}")
    return job


def exact(n: int) -> Job:
    """Our exact kernel."""
    from cubicwall import attention

    Q, K_1, K_2, V_1, V_2 = instance(n)
    return lambda: attention(Q, [K_1, K_2], [V_1, V_2])


def numpy_blocked(n: int, degree: int) -> Job:
    """The polynomial method in numpy: features of cache-sized blocks, sums by matrix products."""
    from cubicwall.algorithms.exp_polynomial import exp_polynomial
    from cubicwall.algorithms.monomials import features, total_degree

    Q, K_1, K_2, V_1, V_2 = instance(n)
    indices = total_degree(D, degree)
    weights = indices.weights(exp_polynomial(-1.0, 1.0, degree, "minimax", "relative").coefficients, 1 / D)
    ones = np.ones((n, 1))
    block = max(1, 2**17 // len(indices))

    def job() -> Any:
        moments: Any = weights[:, None]
        for K, V in ((K_1, V_1), (K_2, V_2)):
            V = np.hstack([V, ones])
            pieces = (slice(i, i + block) for i in range(0, n, block))
            moments = moments * sum(features(K[s], indices).T @ V[s] for s in pieces)
        sums = np.vstack([features(Q[i : i + block], indices) @ moments for i in range(0, n, block)])
        return sums[:, :-1] / sums[:, -1:]

    return job


def memory(n: int, degree: int) -> float:
    """Anonymous MiB beyond inputs, output and imports, at the peak of one run."""
    import threading
    import time

    job = fast(1000, degree)
    job()
    made = instance(n)
    from cubicwall import fast_attention

    before, peak, done = _anonymous(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, _anonymous())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    fast_attention(made[0], made[1:3], made[3:], tolerance=TOLERANCES[degree], method="fast")
    done.set()
    watcher.join()
    return peak - before - n * D * 8 / 2**20


def _anonymous() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not tell RssAnon")


def peer(name: str) -> Job:
    """Make the job of a peer, such as ``fast 3 1000`` or ``exact 512``."""
    kind, *numbers = name.split()
    makers = {"fast": lambda g, n: fast(n, g), "exact": exact, "numpy": lambda g, n: numpy_blocked(n, g)}
    return makers[kind](*(int(number) for number in numbers))  # type: ignore[operator]


def crossover(degree: int, timings: dict[str, Timing]) -> float:
    """Where the times of fast and exact meet, between the measured sizes, on log-log axes."""
    gaps = []
    for n in (n for n in SIZES if n <= EXACT_MOST):
        if f"exact {n}" in timings:
            gaps.append((n, math.log(timings[f"exact {n}"].median / timings[f"fast {degree} {n}"].median)))
    if gaps[0][1] >= 0:
        return float(gaps[0][0])  # at most: fast wins at every size that was measured
    for (n, a), (m, b) in pairwise(gaps):
        if a < 0 <= b:
            return float(n * (m / n) ** (a / (a - b)))
    return math.nan


def draw(timings: dict[str, Timing], file: Path) -> None:
    """Draw time against n, log-log, with the slope of each curve's upper end."""
    from cubicwall.experiments.figures import save
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for kind in ("fast 3", "fast 5", "numpy 3", "exact"):
        points = [(n, timings[f"{kind} {n}"].median) for n in SIZES if f"{kind} {n}" in timings]
        ns, seconds = zip(*points, strict=True)
        slope = np.polyfit(np.log(ns[-3:]), np.log(seconds[-3:]), 1)[0]
        axes.loglog(ns, seconds, "o-", label=f"{kind.replace(' ', ', degree ')}: slope {slope:.2f}")
    axes.set_xlabel("tokens n")
    axes.set_ylabel("seconds")
    axes.set_title("Attention of order 3, d = e = 8, entries in ±1, two cores (measured)", loc="left")
    axes.legend()
    save(figure, file)


def main() -> None:
    """Run everything in turns, print the tables, draw the picture."""
    if "--turn" in sys.argv:
        from turns import _one_turn, dgemm

        name = sys.argv[sys.argv.index("--turn") + 1]
        import json

        job = dgemm() if name == "dgemm" else peer(name)
        print(json.dumps(_one_turn(lambda _: job, argparse.Namespace())))
        return
    if "--memory" in sys.argv:
        print(memory(int(sys.argv[2]), int(sys.argv[3])))
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, default=SIZES[-1])
    options.add_argument("-o", "--output", type=Path, default=Path("fast_attention.svg"))
    chosen = options.parse_args()
    sizes = [n for n in SIZES if n <= chosen.most]
    names = [f"fast {g} {n}" for g in TOLERANCES for n in sizes]
    names += [f"exact {n}" for n in sizes if n <= EXACT_MOST]
    names += [f"numpy 3 {n}" for n in sizes if 1000 <= n <= 100_000]
    timings = take_turns(names, [sys.executable, __file__], TURNS)
    rate = dgemm_rate()
    rows = []
    for name in names:
        kind, *numbers = name.split()
        n = int(numbers[-1])
        seconds = timings[name].median
        share = ""
        if kind != "exact":
            rank = math.comb(D + int(numbers[0]), D)
            share = f"{100 * 2 * 3 * n * rank * (D + 1) / seconds / 1e9 / rate:.0f}%"
        rows.append([kind, numbers[0] if kind != "exact" else "-", n, seconds, share])
    print_table(f"dgemm {rate:.0f} GF/s", ["peer", "degree", "n", "seconds", "of dgemm"], rows)
    for degree in TOLERANCES:
        large = [n for n in sizes if n >= 10_000]
        if len(large) > 1:
            times = [timings[f"fast {degree} {n}"].median for n in large]
            slope = np.polyfit(np.log(large), np.log(times), 1)[0]
            print(f"degree {degree}: slope {slope:.3f} from n = {large[0]:,} to {large[-1]:,}")
        print(f"degree {degree}: crossover against the exact kernel at n ≤ {crossover(degree, timings):.0f}")
    draw(timings, chosen.output)


if __name__ == "__main__":
    main()
