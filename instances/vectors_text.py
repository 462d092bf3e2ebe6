"""The text format of orthogonal vectors, for people to read and write.

::

    c a comment, on a line of its own; the next one is read back
    c provenance {"maker": "unknown", "seed": null, "version": "0.1.0"}
    p kov 1 2 3 2 1
    010
    110
    001

The header is ``p kov SCHEMA ORDER DIMENSION SIZE_1 ... SIZE_k``; one row a vector follows, set after
set. In dimension 0 the header says everything and there are no rows. Blank lines, blanks around a
line and carriage returns mean nothing; everything else is read or refused, with line and column.

Cost: linear in the file, in time and memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .provenance import SCHEMA, Provenance

Bits = NDArray[np.uint8]

_ZERO, _NEWLINE = np.frombuffer(b"0\n", dtype=np.uint8)


def encode(sets: Sequence[Bits], provenance: Provenance) -> bytes:
    """Write sets of 0/1 vectors as text.

    Examples
    --------
    >>> sets = [np.eye(2, dtype=np.uint8), np.ones((1, 2), dtype=np.uint8)]
    >>> print(encode(sets, Provenance()).decode().partition("\\n")[2])
    p kov 1 2 2 2 1
    10
    01
    11
    <BLANKLINE>
    """
    dimension = sets[0].shape[1]
    numbers = " ".join(map(str, (SCHEMA, len(sets), dimension, *map(len, sets))))
    text = f"c provenance {provenance.to_json()}\np kov {numbers}\n".encode()
    if dimension == 0:
        return text
    rows = (np.pad(vectors + _ZERO, ((0, 0), (0, 1)), constant_values=_NEWLINE) for vectors in sets)
    return text + b"".join(table.tobytes() for table in rows)


def decode(name: str, content: bytes) -> tuple[list[Bits], Provenance]:
    """Read what `encode` or a person wrote.

    Parameters
    ----------
    name : str
        What to call the file in errors.
    content : bytes
        The whole file.

    Raises
    ------
    ValueError
        As ``name:line:column: rule, not value``.
    """
    header: tuple[int, ...] | None = None
    provenance: Provenance | None = None
    rows: list[bytes] = []
    number = 0
    for number, line in enumerate(content.split(b"\n"), start=1):
        text = line.strip(b" \t\r")
        column = line.find(text) + 1
        where = f"{name}:{number}:{column}"
        if text.startswith(b"c provenance "):
            if provenance is not None:
                raise ValueError(f"{where}: provenance must stand once, not again.")
            provenance = _provenance(where, text.removeprefix(b"c provenance "))
        elif not text or text == b"c" or text.startswith((b"c ", b"c\t")):
            continue
        elif text.startswith(b"p"):
            if header is not None:
                raise ValueError(f"{where}: the header must stand once, not again ({_shown(text)}).")
            header = _header(where, text)
        else:
            if header is None:
                raise ValueError(f"{where}: the header 'p kov ...' must come first, not {_shown(text)}.")
            _check_row(name, number, column, text, header[0], len(rows), sum(header[1:]))
            rows.append(text)
    if header is None:
        raise ValueError(f"{name}:{number}:1: the header 'p kov ...' must come before the end of the file.")
    dimension, *sizes = header
    if dimension and len(rows) != sum(sizes):
        raise ValueError(f"{name}:{number}:1: the file must hold {sum(sizes)} rows, not {len(rows)}.")
    table = np.frombuffer(b"".join(rows), dtype=np.uint8) - _ZERO
    table = table.reshape(sum(sizes), dimension)
    return np.split(table, np.cumsum(sizes)[:-1]), provenance or Provenance()


def _header(where: str, text: bytes) -> tuple[int, ...]:
    """Return dimension and sizes."""
    if not re.fullmatch(rb"p[ \t]+kov([ \t]+[0-9]{1,18})+", text):
        raise ValueError(
            f"{where}: the header must read 'p kov SCHEMA ORDER DIMENSION SIZE_1 ... SIZE_ORDER', "
            f"not {_shown(text)}."
        )
    schema, *numbers = (int(word) for word in text.split()[2:])
    if not 1 <= schema <= SCHEMA:
        raise ValueError(f"{where}: the schema must be in 1..{SCHEMA} for this version, not {schema}.")
    if len(numbers) < 2 or numbers[0] < 2 or len(numbers) != numbers[0] + 2:
        raise ValueError(
            f"{where}: the header must give an order of at least 2, the dimension, and as many sizes as "
            f"the order says, not {_shown(text)}."
        )
    return tuple(numbers[1:])


def _check_row(
    name: str, line: int, column: int, text: bytes, dimension: int, before: int, rows: int
) -> None:
    if bad := text.lstrip(b"01"):
        column += len(text) - len(bad)
        raise ValueError(f"{name}:{line}:{column}: a row must hold 0 and 1 only, not {_shown(bad[:1])}.")
    if len(text) != dimension:
        raise ValueError(f"{name}:{line}:{column}: a row must hold {dimension} digits, not {len(text)}.")
    if before == rows:
        raise ValueError(f"{name}:{line}:{column}: the header announces {rows} rows; this is one more.")


def _provenance(where: str, text: bytes) -> Provenance:
    try:
        return Provenance.from_json(text.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: the provenance is malformed: {error}") from error


def _shown(text: bytes) -> str:
    shown = text[:40].decode(errors="backslashreplace")
    return repr(shown + "..." if len(text) > 40 else shown)
