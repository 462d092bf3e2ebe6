"""Read an instance from a file, by its suffix."""

from __future__ import annotations

from pathlib import Path

from .cnf import CNF
from .orthogonal_vectors import OrthogonalVectors

VECTORS = {".npz", ".kov", ".txt"}


def read_instance(path: str) -> CNF | OrthogonalVectors:
    """Read vectors from .npz, .kov and .txt, and a DIMACS formula from anything else (``-``: stdin).

    Raises
    ------
    ValueError
        If the file breaks a rule of its format; the message says where.
    OSError
        If it cannot be opened.
    """
    if Path(path).suffix in VECTORS:
        return OrthogonalVectors.read(path)
    return CNF.read(path)
