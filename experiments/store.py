"""Results of sweeps in SQLite: one row a cell, safe against kills and against a second process.

A cell's key is the hash of its configuration (canonical JSON) and of the version that computed it. A row
appears whole, in a transaction of its own, or not at all; one that is there is never computed again, and
never replaced. So a run that is killed at any moment loses at most the cells it was working on, and two runs
on the same file share their work: who comes second with a cell finds the row there and leaves it.

What a cell finds is kept in two columns: `result`, a function of the configuration alone, and `measured`,
which differs from run to run (seconds, and what follows from them). The table of a sweep is made from the
first, in a fixed order: the same bytes however often the sweep was interrupted.

Glossary
    cell            one configuration: a kind, its parameters, a seed where there is chance
    configuration   a dict of JSON values with the key "kind"
    WAL             SQLite's write-ahead log: readers and a writer do not wait for each other

Cost: a millisecond a row.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..instances.provenance import VERSION

Configuration = Mapping[str, Any]

SCHEMA = 1
PATIENCE = 60.0  # seconds that a writer waits for another

_TABLE = """
CREATE TABLE IF NOT EXISTS cells (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    configuration TEXT NOT NULL,
    seed INTEGER,
    result TEXT NOT NULL,
    measured TEXT NOT NULL,
    version TEXT NOT NULL,
    machine TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Outcome:
    """What a cell found.

    Parameters
    ----------
    result : dict
        JSON values that depend on the configuration alone.
    measured : dict
        JSON values that another run would find otherwise, such as seconds.
    machine : str
        What computed it.
    """

    result: dict[str, Any]
    measured: dict[str, Any] = field(default_factory=dict)
    machine: str = ""


@dataclass(frozen=True)
class Row:
    """One cell of the store."""

    key: str
    configuration: dict[str, Any]
    outcome: Outcome
    version: str


class Store:
    """An open store; make it by `open_store`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, configuration: Configuration, outcome: Outcome) -> bool:
        """Add a row, whole and at once; return whether it was new.

        Raises
        ------
        ValueError
            If a value is no JSON, NaN included.
        """
        row = (
            cell_key(configuration),
            configuration["kind"],
            canonical(configuration),
            configuration.get("seed"),
            canonical(outcome.result),
            canonical(outcome.measured),
            VERSION,
            outcome.machine,
        )
        with self._connection:
            marks = ",".join("?" * len(row))
            done = self._connection.execute(f"INSERT OR IGNORE INTO cells VALUES ({marks})", row)
        return done.rowcount == 1

    def keys(self) -> set[str]:
        """Return the keys of all rows."""
        return {key for (key,) in self._connection.execute("SELECT key FROM cells")}

    def rows(self, configurations: Iterable[Configuration]) -> list[Row]:
        """Return the rows of those of the given configurations that are there, in the order given."""
        found = []
        columns = "key, configuration, result, measured, machine, version"
        for configuration in configurations:
            row = self._connection.execute(
                f"SELECT {columns} FROM cells WHERE key = ?", (cell_key(configuration),)
            ).fetchone()
            if row is not None:
                key, made, result, measured, machine, version = row
                outcome = Outcome(json.loads(result), json.loads(measured), machine)
                found.append(Row(key, json.loads(made), outcome, version))
        return found


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Open a store, or make one; any number of processes may have it open.

    Parameters
    ----------
    path : pathlib.Path
        The SQLite file, in a directory that exists and lies on a local disk (WAL needs that).

    Raises
    ------
    ValueError
        If the file is no store, or one of a newer schema.

    Examples
    --------
    >>> import tempfile
    >>> cell = {"kind": "example", "n": 3}
    >>> with open_store(Path(tempfile.mkdtemp()) / "cells.sqlite") as store:
    ...     new = [store.add(cell, Outcome({"square": 9})) for _ in range(2)]
    ...     new, store.rows([cell])[0].outcome.result
    ([True, False], {'square': 9})
    """
    if not path.parent.is_dir():
        raise ValueError(f"Argument 'path' must lie in an existing directory, not {str(path.parent)!r}.")
    connection = sqlite3.connect(path, timeout=PATIENCE)
    try:
        try:
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # whole after any kill of the process
            with connection:
                connection.execute(_TABLE)
                if schema == 0:
                    connection.execute(f"PRAGMA user_version = {SCHEMA}")
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path}: is no store of results ({error}).") from error
        if schema > SCHEMA:
            raise ValueError(f"{path}: has schema {schema}, newer than this program's {SCHEMA}.")
        yield Store(connection)
    finally:
        connection.close()


def canonical(values: Mapping[str, Any]) -> str:
    """Write JSON values in their one canonical form: sorted keys, no spaces, no NaN.

    Examples
    --------
    >>> canonical({"n": 64, "b": 0.5})
    '{"b":0.5,"n":64}'
    """
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def cell_key(configuration: Configuration) -> str:
    """Hash a configuration and the version of the program: the key of its row."""
    return hashlib.sha256(f"{VERSION}\n{canonical(configuration)}".encode()).hexdigest()


def machine() -> str:
    """Describe the machine in a few words, without its name."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
