"""Time against the number of tokens and error against depth, for whole transformers.

    python benchmarks/transformer.py [--largest 16] [--exact-up-to 13] [--figures FOLDER]

Sizes are powers of two: four layers, width 8, causal, queries and keys of every layer rescaled to entries up
to 1, tolerance 1e-4; forward and reverse, all gradients, ∂W included. Memory is the process's peak.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
from pathlib import Path

from cubicwall.experiments.transformer import (
    crossover,
    error_against_depth,
    slope,
    time_against_tokens,
    tolerance_for,
)
from cubicwall.experiments.transformer_comparison import drawn_problem
from cubicwall.experiments.transformer_figures import draw_depth, draw_times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--smallest", type=int, default=8)
    parser.add_argument("--largest", type=int, default=16)
    parser.add_argument("--exact-up-to", type=int, default=13)
    parser.add_argument("--figures", type=Path)
    chosen = parser.parse_args()
    if chosen.figures is not None:
        chosen.figures.mkdir(parents=True, exist_ok=True)

    time_against_tokens([2**9], 1e-4, exact_up_to=2**9, repeats=1)  # compiles
    sizes = [2**i for i in range(chosen.smallest, chosen.largest + 1)]
    times = time_against_tokens(sizes, 1e-4, exact_up_to=2**chosen.exact_up_to)
    print(f"{'n':>8} {'exact, s':>10} {'fast, s':>10}")
    for row in times:
        print(f"{row.n:>8} {row.exact_seconds:>10.3f} {row.fast_seconds:>10.3f}")
    for least in (10, 13):  # below 2^13 tokens what a layer costs apart from its pairs still shows
        large = [row for row in times if row.n >= 2**least]
        if len(large) > 2:
            ns = [row.n for row in large]
            print(
                f"slope from 2^{least} on: exact {slope(ns, [row.exact_seconds for row in large]):.2f}",
                end=", ",
            )
            print(f"fast {slope(ns, [row.fast_seconds for row in large]):.2f}")
    print(f"crossover near n = {crossover(times):.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    print(f"peak memory {peak:.2f} GB")

    n = 2048
    depths = error_against_depth([1, 2, 4, 6, 8, 12, 16], [0.3, 0.5, 0.7], n, 1e-8)
    print(f"\nn = {n}, tolerance 1e-8 a layer; output: longest row; ∂X: relative")
    print(f"{'b':>4} {'layers':>7} {'output':>10} {'claimed':>10} {'∂X':>10} {'claimed':>10}")
    for depth in depths:
        print(
            f"{depth.b:>4} {depth.layers:>7} {depth.output_error:>10.2e} {depth.output_bound:>10.2e} "
            f"{depth.input_error:>10.2e} {depth.input_bound:>10.2e}"
        )
    print("\ntolerance a layer for a relative error of 1e-3 of ∂X, n = 1024, b = 0.5")
    print(f"{'layers':>7} {'certified':>10} {'measured':>10}")
    for m in (1, 2, 4, 8):
        problem = drawn_problem(1024, layers=m, bound=0.5 * math.sqrt(math.log(1024)))
        found = [tolerance_for(problem, 1e-3, measured=measured)[0] for measured in (False, True)]
        print(f"{m:>7} {found[0]:>10.1e} {found[1]:>10.1e}")
    if chosen.figures is not None:
        draw_times(times, chosen.figures / "transformer_time.svg")
        draw_depth(depths, chosen.figures / "transformer_depth.svg")


if __name__ == "__main__":
    main()
