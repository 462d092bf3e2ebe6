"""10^8 tokens from disk: memory-mapped float32, streamed by blocks, under a gigabyte of anonymous memory.

    python benchmarks/streaming.py [--tokens 100000000] [--folder DIR]

Order 2, d = e = 4. The files (16 bytes a token each for queries, keys, values and output) are made here and
removed again. RssAnon is sampled, since mapped pages count as resident.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

D = 4
BLOCK = 2**20


def anonymous() -> float:
    """Anonymous resident memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not tell RssAnon")


def make(folder: Path, tokens: int) -> list[Any]:
    """Write Q, K and V, uniform in ±½, block by block, and an empty output; return them mapped."""
    rng = np.random.default_rng(0)
    mapped = []
    for name in ("Q", "K", "V", "O"):
        array = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (tokens, D))
        for i in range(0, tokens if name != "O" else 0, BLOCK):
            rows = min(BLOCK, tokens - i)
            array[i : i + rows] = rng.random((rows, D), dtype=np.float32) - np.float32(0.5)
        array.flush()
        mapped.append(np.load(folder / f"{name}.npy", mmap_mode="r" if name != "O" else "r+"))
    return mapped


def main() -> None:
    """Make the files, stream them, report, remove them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tokens", type=int, default=10**8)
    options.add_argument("--folder", type=Path, default=None)
    options.add_argument("--tolerance", type=float, default=1e-3)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(dir=chosen.folder, prefix="cubicwall-streaming-"))
    try:
        needed, free = 16 * D // 4 * 4 * chosen.tokens, shutil.disk_usage(folder).free
        if needed > free:
            raise SystemExit(f"needs {needed / 2**30:.1f} GiB on disk, and {folder} has {free / 2**30:.1f}")
        from cubicwall import fast_attention

        Q, K, V, O = make(folder, chosen.tokens)
        fast_attention(Q[:1000], [K[:1000]], [V[:1000]], tolerance=chosen.tolerance, method="fast")
        peak, done = 0.0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.is_set():
                peak = max(peak, anonymous())
                sleep(0.01)

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = perf_counter()
        result = fast_attention(Q, [K], [V], tolerance=chosen.tolerance, method="fast", out=O)
        seconds = perf_counter() - began
        done.set()
        watcher.join()
        certificate = result.certificate
        print(
            f"{chosen.tokens:,} tokens in {seconds:.1f} s, degree {certificate.degree}, "
            f"rank {certificate.rank}, bound {certificate.bound:.2g}, peak RssAnon {peak:.0f} MiB"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
