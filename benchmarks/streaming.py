"""A hundred million tokens streamed from disk: time, anonymous memory, and a few rows checked.

    python benchmarks/streaming.py [--tokens 100000000] [--directory DIR]

Order 2, d = e = 4, float32: queries, keys, values and output are mapped files of 1.6 GB each, made here and
removed at the end, whatever happens. Resident memory would count mapped pages, so RssAnon is sampled instead.
Eight rows are checked against sums of exponentials over all the keys, in float64.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from fast_attention import PeakMemory
from turns import dgemm_rate, print_table

BLOCK = 1 << 20


def made(path: Path, seed: int, tokens: int, d: int) -> Any:
    """Write a file of uniform entries block by block, and map it for reading."""
    rng = np.random.default_rng(seed)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(tokens, d))
    for first in range(0, tokens, BLOCK):
        block = array[first : first + BLOCK]
        block[:] = 2 * rng.random(block.shape, dtype=np.float32) - 1
    array.flush()
    return np.load(path, mmap_mode="r")


def checked_rows(Q: Any, K: Any, V: Any, rows: Any) -> Any:
    """Attend from a few rows to every key in float64, block by block."""
    q = np.asarray(Q[rows], dtype=np.float64)
    mass, sums = np.zeros((len(rows), 1)), np.zeros((len(rows), V.shape[1]))
    for first in range(0, len(K), BLOCK):
        weights = np.exp(q @ K[first : first + BLOCK].astype(np.float64).T / Q.shape[1])
        mass += weights.sum(axis=1, keepdims=True)
        sums += weights @ V[first : first + BLOCK].astype(np.float64)
    return sums / mass


def run(folder: Path, tokens: int, d: int, tolerance: float) -> None:
    from cubicwall.algorithms.fast_attention import fast_attention

    began = perf_counter()
    Q, K, V = (made(folder / f"{name}.npy", seed, tokens, d) for seed, name in enumerate("QKV"))
    out = np.lib.format.open_memmap(folder / "O.npy", mode="w+", dtype=np.float32, shape=Q.shape)
    making = perf_counter() - began
    few = slice(0, min(tokens, 20_000))
    fast_attention(Q[few], [K[few]], [V[few]], tolerance=tolerance, method="fast")  # compiles
    with PeakMemory() as peak:
        began = perf_counter()
        result = fast_attention(Q, [K], [V], tolerance=tolerance, method="fast", out=out)
        seconds = perf_counter() - began
    rows = np.random.default_rng(9).integers(tokens, size=8)
    error = float(np.max(np.abs(out[rows] - checked_rows(Q, K, V, rows))))
    c = result.certificate
    print_table(
        f"{tokens:,} tokens from disk, order 2, d = e = {d}, float32; dgemm {dgemm_rate():.0f} GF/s",
        [
            "making files, s",
            "attention, s",
            "degree",
            "rank",
            "peak RssAnon, MB",
            "certified error",
            "error in 8 rows",
        ],
        [[making, seconds, c.degree, c.rank, peak.peak, c.bound, error]],
    )
    if error > c.bound:
        sys.exit("The error exceeds the certificate.")


def main() -> None:
    options = argparse.ArgumentParser(description="Fast attention on mapped files larger than memory.")
    options.add_argument("--tokens", type=int, default=100_000_000)
    options.add_argument("--dimension", type=int, default=4)
    options.add_argument("--tolerance", type=float, default=1e-3)
    options.add_argument(
        "--directory", default=None, help="where the files go; the system's temporary one by default"
    )
    chosen = options.parse_args()
    needed = 4 * chosen.tokens * chosen.dimension * 4
    with tempfile.TemporaryDirectory(dir=chosen.directory) as folder:
        free = shutil.disk_usage(folder).free
        if free < 1.1 * needed:
            sys.exit(
                f"The files need {needed / 1e9:.1f} GB; {folder} has {free / 1e9:.1f} GB. See --directory."
            )
        run(Path(folder), chosen.tokens, chosen.dimension, chosen.tolerance)


if __name__ == "__main__":
    main()
