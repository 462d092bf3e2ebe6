"""Whole files in and out: plain, .gz, .bz2 or .xz by suffix, ``-`` for standard input and output.

The suffix says how a file is compressed and its first bytes must agree. An archive must be whole:
one that is cut off, damaged or followed by foreign bytes is refused, never read in part. Written
files appear in one step or not at all, and hold no clock: the same content gives the same bytes.

Cost: linear in the content, in time and memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .archives import atomic_write

Path_ = str | os.PathLike[str]


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def decompress(self) -> Callable[[bytes], bytes]: ...


_MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00"}
_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),  # 31: expect a gzip header, check its CRC
    ".bz2": bz2.BZ2Decompressor,
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
}


def read_content(path: Path_) -> bytes:
    """Read all of a file, decompressed.

    Parameters
    ----------
    path : path-like
        A file; its suffix .gz, .bz2 or .xz says that it is compressed. ``-`` is standard input, plain.

    Raises
    ------
    ValueError
        If suffix and first bytes disagree, or the archive is cut off, damaged or followed by other
        bytes. The message is a rule, for the caller to put the file's name before it.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "greeting.xz"
    >>> write_content(path, b"hello")
    >>> read_content(path)
    b'hello'
    """
    raw = sys.stdin.buffer.read() if os.fspath(path) == "-" else Path(path).read_bytes()
    suffix = Path(path).suffix.lower()
    magic = next((kind for kind, start in _MAGIC.items() if raw.startswith(start)), None)
    if suffix in _MAGIC:
        if magic != suffix:
            raise ValueError(f"a {suffix} file must start with {_MAGIC[suffix]!r}, not {raw[:6]!r}")
        return _decompressed(raw, suffix)
    if magic is not None:
        raise ValueError(f"{magic} content must come from a file named *{magic}, not {os.fspath(path)!r}")
    return raw


def write_content(path: Path_, content: bytes) -> None:
    """Write a whole file, compressed as its suffix says, in one step. ``-`` is standard output.

    A device or a pipe is written to, not replaced.

    Raises
    ------
    FileNotFoundError
        If the directory does not exist.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> write_content(Path(tempfile.mkdtemp()) / "missing" / "file", b"")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: Argument 'path' must lie in an existing directory, not ...
    """
    if os.fspath(path) == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    with atomic_write(path) as file:
        file.write(_compressed(content, Path(path).suffix.lower()))


def _compressed(content: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        packed = io.BytesIO()
        # Not gzip.compress: the operating system's number would slip into its header.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as archive:
            archive.write(content)
        return packed.getvalue()
    if suffix == ".bz2":
        return bz2.compress(content)
    if suffix == ".xz":
        return lzma.compress(content)
    return content


def _decompressed(raw: bytes, suffix: str) -> bytes:
    """Decompress one stream after another: the standard library's functions drop what follows the last."""
    parts = []
    rest = raw
    while rest:
        stream = _DECOMPRESSORS[suffix]()
        try:
            parts.append(stream.decompress(rest))
        except (zlib.error, lzma.LZMAError, OSError) as damage:
            raise ValueError(f"the {suffix} archive must be whole, but is damaged ({damage})") from damage
        if not stream.eof:
            raise ValueError(f"the {suffix} archive must be whole, but is cut off after {len(raw)} bytes")
        rest = stream.unused_data.lstrip(b"\0")  # the formats allow padding with zeros
        if rest and not rest.startswith(_MAGIC[suffix]):
            raise ValueError(f"nothing may follow the {suffix} archive, but {rest[:6]!r} does")
    return b"".join(parts)
