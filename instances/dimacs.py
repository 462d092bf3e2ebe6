"""The DIMACS format of formulas, read strictly: every byte is understood or refused.

::

    c a comment, on a line of its own, anywhere
    p cnf 3 2
    1 -3 0 2
    3 0

A file is a stream of words between blanks (ASCII white space; lines end in LF or CRLF).

- A line whose first word starts with ``c`` is a comment, between, inside and after clauses too.
- The header ``p cnf VARIABLES CLAUSES`` has a line of its own, once, before the first clause. It may
  declare more variables than the clauses use, but exactly as many clauses as there are.
- A clause is a sequence of literals closed by ``0``: several on a line, or one over many lines. It may
  be empty, a tautology, or repeat a literal; it is kept as it stands.
- An integer is ``0`` or ``-?[1-9][0-9]*``: no ``+3``, no ``-0``, no ``007``.
- The word ``%`` ends the file, as in SATLIB: after it come comments, blanks and at most one ``0``.
- Refused: a NUL byte or a lone carriage return anywhere, a byte-order mark, and everything else.

Cost: linear in the file, in time and memory; a few seconds for a million clauses of width 3.

References
----------
[DIMACS] Satisfiability: Suggested Format. DIMACS Challenge, 1993.
[SATLIB] Hoos, Stützle. SATLIB: An online resource for research on SAT. 2000.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

MAX_VARIABLES = 2**31 - 1  # what every solver can hold

_INTEGER = re.compile(rb"0|-?[1-9][0-9]*")
_LITERALS = re.compile(rb"\s*+(?:(?:0|-?[1-9][0-9]{0,9})(?:\s++|$))*+")
_WORD = re.compile(rb"\S+")
_LONE_RETURN = re.compile(rb"\r(?!\n)")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DimacsError(ValueError):
    """A file that is not a formula.

    Parameters
    ----------
    file : str
        Its name.
    line, column : int or None
        Where, counted from 1, columns in bytes; None where the file as a whole is at fault.
    rule : str
        What the format asks for.
    value : str or None
        What the file holds instead.

    Examples
    --------
    >>> str(DimacsError("f.cnf", 2, 5, "a literal must be an integer", "x"))
    "f.cnf, line 2, column 5: a literal must be an integer, not 'x'."
    """

    def __init__(
        self, file: str, line: int | None, column: int | None, rule: str, value: str | None = None
    ) -> None:
        super().__init__(file, line, column, rule, value)
        self.file = file
        self.line = line
        self.column = column
        self.rule = rule
        self.value = value

    def __str__(self) -> str:
        place = "" if self.line is None else f", line {self.line}, column {self.column}"
        value = "" if self.value is None else f", not {_short(self.value)!r}"
        return f"{self.file}{place}: {self.rule}{value}."


@dataclass(frozen=True, slots=True)
class Dimacs:
    """What a file says: the declared variables, the clauses, and the comments without their ``c``."""

    variables: int
    clauses: tuple[tuple[int, ...], ...]
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Header:
    variables: int
    clauses: int
    line: int
    column: int  # of the number of clauses


class _Line(NamedTuple):
    """One line with its words, which can say where it is."""

    file: str
    number: int
    text: bytes
    words: list[bytes]

    def refuse(self, index: int, rule: str, value: str | None = None) -> NoReturn:
        """Raise the error that points at word `index`."""
        found = self.words[index].decode("ascii", "backslashreplace") if value is None else value
        raise DimacsError(self.file, self.number, self.column(index), rule, found)

    def column(self, index: int) -> int:
        return [word.start() for word in _WORD.finditer(self.text)][index] + 1


def parse(content: bytes, file: str = "<bytes>") -> Dimacs:
    """Read a formula from the bytes of a DIMACS file.

    Parameters
    ----------
    content : bytes
        The whole file, decompressed.
    file : str
        Its name, for errors.

    Returns
    -------
    Dimacs
        All of it: there is no partial result.

    Raises
    ------
    DimacsError
        At the first word that breaks a rule.

    Complexity
    ----------
    O(len(content)) time and memory.

    Examples
    --------
    >>> parse(b"p cnf 3 2\\n1 -3 0 2\\n3 0\\n").clauses
    ((1, -3), (2, 3))
    """
    _refuse_foreign_bytes(content, file)
    comments: list[str] = []
    clauses: list[tuple[int, ...]] = []
    clause: list[int] = []
    header: _Header | None = None
    last: _Line | None = None  # the last line with literals
    ended, zeros_after_end = False, 0

    for number, text in enumerate(content.split(b"\n"), start=1):
        words = text.split()
        if not words:
            continue
        if words[0].startswith(b"c"):
            comments.append(_comment(text))
            continue
        line = _Line(file, number, text, words)
        if ended:
            zeros_after_end = _trailer(line, 0, zeros_after_end)
            continue
        if words[0].startswith(b"p"):
            if header is not None:
                line.refuse(0, f"the header must stand once, and does in line {header.line}")
            header = _header(line)
            continue
        if header is None:
            line.refuse(0, "the header 'p cnf VARIABLES CLAUSES' must come first")

        before = len(clauses)
        body = words if _LITERALS.fullmatch(text) else _words_before_end(line)
        for literal in map(int, body):
            if not literal:
                clauses.append(tuple(clause))
                clause.clear()
            elif -header.variables <= literal <= header.variables:
                clause.append(literal)
            else:
                _refuse_range(line, header)
        if len(clauses) + bool(clause) > header.clauses:
            _refuse_surplus(line, header, before)
        if body:
            last = line
        if len(body) < len(words):
            if clause:
                line.refuse(len(body), "a 0 must close the clause before the % that ends the file")
            ended, zeros_after_end = True, _trailer(line, len(body) + 1, 0)

    if header is None:
        end = content.rpartition(b"\n")[2]
        rule = "the header 'p cnf VARIABLES CLAUSES' must stand in the file"
        raise DimacsError(file, content.count(b"\n") + 1, len(end) + 1, rule, "the end of the file")
    if clause and last is not None:
        last.refuse(-1, "a 0 must close the last clause", f"the end of the file after {clause[-1]}")
    if len(clauses) != header.clauses:
        rule = f"the header must declare as many clauses as there are, {len(clauses)}"
        raise DimacsError(file, header.line, header.column, rule, str(header.clauses))
    return Dimacs(header.variables, tuple(clauses), tuple(comments))


def render(variables: int, clauses: Sequence[Sequence[int]], comments: Sequence[str] = ()) -> str:
    """Write a formula: comments, header, one clause a line.

    Examples
    --------
    >>> print(render(3, [[1, -3], []], ["two clauses"]), end="")
    c two clauses
    p cnf 3 2
    1 -3 0
    0
    """
    lines = [f"c {comment}" if comment else "c" for comment in comments]
    lines.append(f"p cnf {variables} {len(clauses)}")
    lines.extend(" ".join(map(str, (*clause, 0))) for clause in clauses)
    return "\n".join(lines) + "\n"


def _refuse_foreign_bytes(content: bytes, file: str) -> None:
    if content.startswith(_BYTE_ORDER_MARK):
        raise DimacsError(file, 1, 1, "a file must start without a byte-order mark", "\\xef\\xbb\\xbf")
    if (position := content.find(b"\0")) >= 0:
        raise DimacsError(file, *_place(content, position), "a file must hold no NUL byte", "\\x00")
    if content.count(b"\r") != content.count(b"\r\n"):
        lone = _LONE_RETURN.search(content)
        assert lone is not None
        rule = "lines must end in LF or CRLF"
        raise DimacsError(file, *_place(content, lone.start()), rule, "\\r alone")


def _place(content: bytes, position: int) -> tuple[int, int]:
    return content.count(b"\n", 0, position) + 1, position - content.rfind(b"\n", 0, position)


def _comment(text: bytes) -> str:
    content = text.lstrip()[1:].removesuffix(b"\r").removeprefix(b" ")
    return content.decode("utf-8", "surrogateescape")  # so that no byte is lost on the way back


def _header(line: _Line) -> _Header:
    words = line.words
    if len(words) < 4 or words[:2] != [b"p", b"cnf"]:
        whole = line.text.strip().decode("ascii", "backslashreplace")
        line.refuse(0, "the header must read 'p cnf VARIABLES CLAUSES'", whole)
    numbers = []
    for index, name in ((2, "variables"), (3, "clauses")):
        rule = f"the number of {name} must be an integer in 0..{MAX_VARIABLES}"
        word = words[index]
        if not _INTEGER.fullmatch(word) or len(word) > 10 or not 0 <= int(word) <= MAX_VARIABLES:
            line.refuse(index, rule)
        numbers.append(int(word))
    if len(words) > 4:
        line.refuse(4, "the header's line must end after its two numbers")
    return _Header(numbers[0], numbers[1], line.number, line.column(3))


def _words_before_end(line: _Line) -> list[bytes]:
    """Check each word of a line on its own, up to the % if there is one."""
    for index, word in enumerate(line.words):
        if word == b"%":
            return line.words[:index]
        if not _INTEGER.fullmatch(word):
            line.refuse(index, "a literal must be an integer, 0 or -?[1-9][0-9]*")
        if len(word) > 11:  # int() refuses thousands of digits with a message of its own
            line.refuse(index, f"a literal must have a magnitude of at most {MAX_VARIABLES}")
    return line.words


def _refuse_range(line: _Line, header: _Header) -> NoReturn:
    rule = f"a literal must have a magnitude of at most {header.variables}, as line {header.line} declares"
    for index, word in enumerate(line.words):
        if abs(int(word)) > header.variables:
            line.refuse(index, rule)
    raise AssertionError("unreachable: one of the words is out of range")


def _refuse_surplus(line: _Line, header: _Header, closed: int) -> NoReturn:
    rule = f"the file must end after the {header.clauses} clauses that line {header.line} declares"
    for index, word in enumerate(line.words):
        if closed == header.clauses:
            line.refuse(index, rule)
        closed += word == b"0"
    raise AssertionError("unreachable: the line holds a word too many")


def _trailer(line: _Line, start: int, zeros: int) -> int:
    """Check the words after the % and count the zeros among them."""
    for index in range(start, len(line.words)):
        zeros += 1
        if line.words[index] != b"0" or zeros > 1:
            line.refuse(index, "only comments and one 0 may follow the % that ends the file")
    return zeros


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."
