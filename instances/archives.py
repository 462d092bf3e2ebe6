"""Files that are whole or absent: atomic writes, and .npz archives that never unpickle.

An archive is a zip of .npy members. Three of them describe it, ``kind``, ``schema`` and
``provenance`` (one line of JSON); the others are the arrays of the instance. Members are stored
uncompressed, sorted, little-endian and without a clock, so the same instance gives the same bytes.
Reading is strict: a member too many or too few, a pickled object, another dtype, a newer schema
and a damaged zip are each refused with a `ValueError` that names the file and the member.

Cost: linear in the arrays' bytes, in time and memory.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .provenance import SCHEMA, Provenance

Arrays = Mapping[str, NDArray[Any]]

_DESCRIPTION = ("kind", "provenance", "schema")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that appears at `path` when the block ends, and not at all when it raises.

    Parameters
    ----------
    path : path-like
        Where the file shall be; what stands there already is replaced in one step.

    Yields
    ------
    binary file
        Writable and seekable, in the same folder as `path`.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "greeting"
    >>> with atomic_write(target) as file:
    ...     written = file.write(b"hello")
    >>> target.read_bytes()
    b'hello'
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"Argument 'path' must lie in an existing directory, not {str(target.parent)!r}."
        )
    if target.exists() and not target.is_file() and not target.is_dir():
        with io.BytesIO() as memory, open(target, "wb") as device:  # a device or a pipe is not replaced
            yield memory
            device.write(memory.getvalue())
        return
    partial = target.with_name(f".{target.name}.{secrets.token_hex(6)}.partial")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def content_hash(kind: str, arrays: Arrays) -> str:
    """SHA-256, in hexadecimal, of a kind of instance and its arrays: names, dtypes, shapes and entries.

    Examples
    --------
    >>> content_hash("example", {"a": np.zeros(3)})[:16]
    '95a47c71b2110afa'
    """
    digest = hashlib.sha256(f"{kind}\n".encode())
    for name in sorted(arrays):
        array = _little_endian(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_archive(path: str | os.PathLike[str], kind: str, arrays: Arrays, provenance: Provenance) -> None:
    """Write `arrays` as one .npz archive, atomically and with the same bytes every time.

    Parameters
    ----------
    path : path-like
        The archive; what stands there is replaced.
    kind : str
        What the arrays are, checked again by `read_archive`.
    arrays : mapping of str to array
        The members; none may be called kind, provenance or schema, and none may hold objects.
    provenance : Provenance
        What made them.

    Raises
    ------
    ValueError
        If the path does not end in .npz.
    """
    _check_suffix(path)
    members: dict[str, NDArray[Any]] = {
        **arrays,
        "kind": np.array(kind),
        "provenance": np.array(provenance.to_json()),
        "schema": np.array(SCHEMA, dtype=np.int64),
    }
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = io.BytesIO()
            np.lib.format.write_array(
                member, _little_endian(members[name]), version=(1, 0), allow_pickle=False
            )
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            entry.create_system = 3  # else it tells which operating system wrote it
            archive.writestr(entry, member.getbuffer())


def read_archive(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, NDArray[Any]], Provenance]:
    """Read an archive of the given kind: its arrays without the description, and its provenance.

    Raises
    ------
    ValueError
        If the path does not end in .npz, or the file is no whole archive, holds pickled objects, lacks a
        part of its description, is of another kind, or has a newer schema than this program knows.
    OSError
        If it cannot be opened.
    """
    _check_suffix(path)
    try:
        members = _read_members(path)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as damage:
        raise ValueError(f"{path}: not a whole .npz archive ({damage}).") from damage
    for name in _DESCRIPTION:
        if name not in members:
            raise ValueError(f"{path}: member {name!r} is missing.")
    schema = int(take(path, members, "schema", "i", 0))
    if not 1 <= schema <= SCHEMA:
        raise ValueError(f"{path}: member 'schema' must be in 1..{SCHEMA} for this version, not {schema}.")
    found = str(take(path, members, "kind", "U", 0))
    if found != kind:
        raise ValueError(f"{path}: member 'kind' must be {kind!r}, not {found!r}.")
    text = str(take(path, members, "provenance", "U", 0))
    try:
        provenance = Provenance.from_json(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: member 'provenance' is malformed: {error}") from error
    return {name: members[name] for name in members if name not in _DESCRIPTION}, provenance


def require_members(path: str | os.PathLike[str], arrays: Arrays, expected: set[str]) -> None:
    """Check that the arrays of an archive are exactly the expected ones.

    Raises
    ------
    ValueError
        Naming the members that are missing, else those that should not be there.
    """
    if missing := sorted(expected - arrays.keys()):
        raise ValueError(f"{path}: members {missing} are missing.")
    if extra := sorted(arrays.keys() - expected):
        raise ValueError(f"{path}: members {extra} do not belong here; expected only {sorted(expected)}.")


def take(
    path: str | os.PathLike[str], arrays: Arrays, name: str, dtype: str, dimensions: int
) -> NDArray[Any]:
    """Return one array of an archive after checking its dtype (``"u1"``, ``"f8"``, or a kind) and dimensions.

    Raises
    ------
    ValueError
        Naming the member, the rule and what the file holds instead.
    """
    array = arrays[name]
    if array.dtype.str[1:] != dtype and array.dtype.kind != dtype:
        raise ValueError(f"{path}: member {name!r} must have dtype {dtype!r}, not {array.dtype}.")
    if array.ndim != dimensions:
        raise ValueError(f"{path}: member {name!r} must be {dimensions}-D, not have shape {array.shape}.")
    return array


def _read_members(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    members: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename or name in members:
                raise ValueError(f"{path}: member {entry.filename!r} is not a .npy or stands there twice.")
            try:
                members[name] = _parse_npy(archive.read(entry))
            except ValueError as error:
                raise ValueError(f"{path}: member {name!r}: {error}") from error
    return members


def _parse_npy(content: bytes) -> NDArray[Any]:
    """Like np.load, but a shape that the bytes do not bear out is refused before memory is taken."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"npy format version must be 1.0 or 2.0, not {version}.")
    if dtype.hasobject:
        raise ValueError(f"pickled objects (dtype {dtype}) are never read.")
    start = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"shape {shape} of dtype {dtype} does not fill its {len(content) - start} bytes.")
    flat: NDArray[Any] = np.ndarray(shape, dtype, content, start, order="F" if fortran else "C")
    return flat.copy(order="C")


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)


def _check_suffix(path: str | os.PathLike[str]) -> None:
    if Path(path).suffix != ".npz":
        raise ValueError(f"Argument 'path' must end in .npz, not {str(path)!r}.")
