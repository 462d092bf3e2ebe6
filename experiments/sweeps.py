"""Run the cells of a sweep on many processes, here or on a Dask cluster, each kept as soon as it is done.

Any `concurrent.futures.Executor` will do, so the same code drives processes of this machine (started by
spawn: fork after OpenMP kills) and a Dask cluster, whose client gives such an executor. A cell is a pure
function of its configuration, found by its kind in `cells`.

Cells that measure time run one by one after all others, in one process with all threads; the others run with
one thread a process. A process whose parent is gone ends itself, so that kill −9 leaves nothing behind.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from typing import Any

from .cells import evaluate, expected_seconds, is_timed
from .store import Configuration, Outcome, Store, cell_key

Progress = Callable[[float], None]

_THREADS = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def run_cells(
    configurations: Sequence[Configuration],
    store: Store,
    *,
    processes: int | None = None,
    scheduler: str | None = None,
    progress: Progress = lambda fraction: None,
) -> int:
    """Compute the cells that the store lacks, and keep each as soon as it is done.

    Parameters
    ----------
    configurations : sequence of dict
        The cells.
    store : Store
        Where results go. Another process may be filling it too.
    processes : int, optional
        How many on this machine; one a core unless given.
    scheduler : str, optional
        Address of a Dask scheduler; its workers compute instead of processes here.
    progress : callable
        Told the fraction done, by guesses of how long cells take.

    Returns
    -------
    int
        How many cells were computed.

    Raises
    ------
    CellError
        If a cell fails; what was finished before stays in the store.

    Notes
    -----
    Complexity: that of the cells, divided by the processes.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"Argument 'processes' must be at least 1, not {processes}.")
    known = store.keys()
    missing = [dict(c) for c in configurations if cell_key(c) not in known]
    total = sum(map(expected_seconds, configurations)) or 1.0
    done = total - sum(map(expected_seconds, missing))
    progress(done / total)
    phases = [
        ([c for c in missing if not is_timed(c)], processes or os.cpu_count() or 1, 1),
        ([c for c in missing if is_timed(c)], 1, None),
    ]
    for cells, workers, threads in phases:
        if not cells:
            continue
        with _executor(scheduler, min(workers, len(cells)), threads) as executor:
            for configuration, outcome in _finished(executor, cells, one_by_one=threads is None):
                store.add(configuration, outcome)
                done += expected_seconds(configuration)
                progress(done / total)
    return len(missing)


class CellError(Exception):
    """A cell failed; the message says which and why."""


def _finished(
    executor: Executor, cells: list[dict[str, Any]], *, one_by_one: bool
) -> Iterator[tuple[dict[str, Any], Outcome]]:
    """Yield cells as they end. Long ones start first; few are handed out ahead, so that Ctrl-C ends soon."""
    waiting = sorted(cells, key=expected_seconds)
    ahead = 1 if one_by_one else 64
    running: dict[Future[Outcome], dict[str, Any]] = {}
    while waiting or running:
        while waiting and len(running) < ahead:
            configuration = waiting.pop()
            running[executor.submit(evaluate, configuration)] = configuration
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            configuration = running.pop(future)
            try:
                outcome = future.result()
            except Exception as failure:
                raise CellError(
                    f"the cell {configuration} failed: {type(failure).__name__}: {failure}"
                ) from failure
            yield configuration, outcome


@contextmanager
def _executor(scheduler: str | None, processes: int, threads: int | None) -> Iterator[Executor]:
    if scheduler is not None:
        try:
            import distributed
        except ModuleNotFoundError as missing:
            raise ValueError("Argument 'scheduler' needs the extra [dask].") from missing

        Client: Any = distributed.Client
        with Client(scheduler) as client:
            executor = client.get_executor(pure=False)
            try:
                yield executor
            finally:
                executor.shutdown(wait=False)
        return
    with _environment(dict.fromkeys(_THREADS, str(threads)) if threads is not None else {}):
        pool = ProcessPoolExecutor(processes, get_context("spawn"), _follow_parent)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables that child processes read when they load numba and OpenBLAS."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _follow_parent() -> None:
    """Watch the parent from a thread; a pool's queue would keep an orphan waiting for ever."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
