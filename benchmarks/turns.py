"""Fair timings: every peer in a process of its own, in turns A B C A B C ..., and the median of the turns.

One process for two peers would let one's threads spin beside the other's, and one peer after another
would time the machine's mood. A benchmark script names its peers and ends in `compare`; the same script,
started once a turn with ``--turn PEER``, prepares that peer, warms it up and prints its best time.

Glossary
--------
peer     a function of the script's options that prepares a job and returns it, ready to run.
turn     one process: prepare, run once untimed (which compiles), then run for a short while.
missing  a peer whose package is not installed: named in the table, not an error.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

Job = Callable[[], object]
Peer = Callable[[argparse.Namespace], Job]

_SLOWED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # where set, they slow numpy down
_ENOUGH = 0.5  # seconds of timed runs in a turn, but
_RUNS = 5  # no more runs than this


@dataclass(frozen=True, slots=True)
class Timing:
    """The seconds of a peer, one number a turn; none where it is `missing`."""

    seconds: tuple[float, ...]
    missing: str = ""

    @property
    def median(self) -> float:
        """The median over the turns."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


def compare(
    peers: Mapping[str, Peer],
    options: argparse.ArgumentParser,
    report: Callable[[argparse.Namespace, dict[str, Timing], float], None],
    turns: int = 9,
) -> None:
    """Run the script: one turn if ``--turn`` says so, otherwise all of them, then the report.

    Parameters
    ----------
    peers : mapping of name to peer
    options : ArgumentParser
        The script's own options; ``--turns``, ``--peers`` and ``--turn`` are added.
    report : callable
        ``report(options, timings, dgemm)``, with the machine's dgemm rate in GF/s over the same turns.
    turns : int
        How many turns there are unless ``--turns`` says otherwise.
    """
    options.add_argument("--turns", type=int, default=turns, help=f"how often each peer runs ({turns})")
    options.add_argument("--peers", nargs="+", choices=list(peers), default=list(peers))
    options.add_argument("--turn", choices=[*peers, "dgemm"], help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.turn:
        print(json.dumps(_one_turn(dgemm if chosen.turn == "dgemm" else peers[chosen.turn], chosen)))
        return
    timings = take_turns([*chosen.peers, "dgemm"], [sys.executable, *sys.argv], chosen.turns)
    report(chosen, timings, _DGEMM_FLOPS / timings.pop("dgemm").median / 1e9)


def take_turns(peers: Sequence[str], command: Sequence[str], turns: int) -> dict[str, Timing]:
    """Start ``command --turn PEER`` for each peer in turn, `turns` times over."""
    environment = {name: value for name, value in os.environ.items() if name not in _SLOWED}
    seconds: dict[str, list[float]] = {peer: [] for peer in peers}
    missing: dict[str, str] = {}
    for turn in range(turns):
        for peer in peers:
            if peer in missing:
                continue
            print(f"\rturn {turn + 1} of {turns}: {peer:<20}", end="", file=sys.stderr, flush=True)
            done = subprocess.run([*command, "--turn", peer], env=environment, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"The peer {peer} failed:\n{done.stderr}")
            answer = json.loads(done.stdout.splitlines()[-1])
            if "missing" in answer:
                missing[peer] = answer["missing"]
            else:
                seconds[peer].append(answer["seconds"])
    print(f"\r{'':<50}\r", end="", file=sys.stderr, flush=True)
    return {peer: Timing(tuple(seconds[peer]), missing.get(peer, "")) for peer in peers}


def _one_turn(peer: Peer, options: argparse.Namespace) -> dict[str, object]:
    try:
        job = peer(options)
    except ModuleNotFoundError as absent:
        return {"missing": f"{absent.name} is not installed"}
    job()
    runs: list[float] = []
    while len(runs) < _RUNS and sum(runs) < _ENOUGH:
        began = perf_counter()
        job()
        runs.append(perf_counter() - began)
    return {"seconds": min(runs)}


_DGEMM_SIZE = 1536
_DGEMM_FLOPS = 2.0 * _DGEMM_SIZE**3


def dgemm(options: argparse.Namespace | None = None) -> Job:
    """numpy's float64 matrix product, the yardstick of every table; takes no options."""
    import numpy as np

    A = np.random.default_rng(0).normal(size=(_DGEMM_SIZE, _DGEMM_SIZE))
    product = np.empty_like(A)
    return lambda: np.matmul(A, A, out=product)


def dgemm_rate() -> float:
    """The machine's dgemm rate now, in GF/s over all cores, measured in this process."""
    job = dgemm()
    job()
    best = float("inf")
    for _ in range(_RUNS):
        began = perf_counter()
        job()
        best = min(best, perf_counter() - began)
    return _DGEMM_FLOPS / best / 1e9


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their columns; floats to three digits, numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return "" if cell != cell else f"{cell:.3g}"
    return str(cell)
