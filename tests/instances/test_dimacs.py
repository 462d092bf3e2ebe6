"""The DIMACS reader understands every byte of a file or refuses it, and says where."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import stat
import sys

import pytest
from cubicwall.instances.cnf import CNF
from cubicwall.instances.compressed import read_content, write_content
from cubicwall.instances.dimacs import DimacsError, parse, render
from hypothesis import given
from hypothesis import strategies as st
from pysat.formula import CNF as SolverCNF

PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}

READ = {
    "one clause a line": (b"p cnf 3 2\n1 -3 0\n2 3 0\n", 3, ((1, -3), (2, 3))),
    "several clauses a line": (b"p cnf 3 3\n1 0 -2 0 3 0\n", 3, ((1,), (-2,), (3,))),
    "a clause over lines": (b"p cnf 3 1\n1\n\n-2\n3 0\n", 3, ((1, -2, 3),)),
    "an end and a beginning on one line": (b"p cnf 3 2\n1\n2 0 3\n0\n", 3, ((1, 2), (3,))),
    "no final line break": (b"p cnf 1 1\n1 0", 1, ((1,),)),
    "more variables than used": (b"p cnf 9 1\n1 0\n", 9, ((1,),)),
    "an empty clause": (b"p cnf 2 2\n0\n1 0\n", 2, ((), (1,))),
    "only an empty clause": (b"p cnf 0 1\n0\n", 0, ((),)),
    "several empty clauses": (b"p cnf 0 3\n0 0\n0\n", 0, ((), (), ())),
    "no clauses": (b"p cnf 5 0\n", 5, ()),
    "nothing at all": (b"p cnf 0 0\n", 0, ()),
    "a tautology": (b"p cnf 1 1\n1 -1 0\n", 1, ((1, -1),)),
    "a repeated literal": (b"p cnf 1 1\n1 1 0\n", 1, ((1, 1),)),
    "a repeated clause": (b"p cnf 1 2\n1 0\n1 0\n", 1, ((1,), (1,))),
    "comments inside a clause": (b"c a\np cnf 2 1\n1\nc b\n2\nc d\n0\nc e\n", 2, ((1, 2),)),
    "CRLF line ends": (b"c a\r\np cnf 2 1\r\n1 2 0\r\n", 2, ((1, 2),)),
    "tabs and blanks": (b"\t p \t cnf 2  1 \n\t1\t2  0 \t\n", 2, ((1, 2),)),
    "SATLIB's trailer": (b"p cnf 2 1\n1 2 0\n%\n0\n\n", 2, ((1, 2),)),
    "a bare trailer": (b"p cnf 2 1\n1 2 0\n%", 2, ((1, 2),)),
    "a trailer on the line of a clause": (b"p cnf 2 1\n1 2 0 % 0\n", 2, ((1, 2),)),
    "comments after the trailer": (b"p cnf 2 1\n1 2 0\n%\nc x\n0\nc y\n", 2, ((1, 2),)),
    "a trailer without clauses": (b"p cnf 2 0\n%\n0\n", 2, ()),
    "the largest header": (b"p cnf 2147483647 1\n-2147483647 0\n", 2**31 - 1, ((-(2**31) + 1,),)),
}


@pytest.mark.parametrize("case", READ)
def test_a_legal_file_is_read_as_it_stands(case: str) -> None:
    content, variables, clauses = READ[case]
    found = parse(content)
    assert (found.variables, found.clauses) == (variables, clauses)


def test_comments_keep_their_place_in_line_and_their_bytes() -> None:
    content = b"c a\ncb\nc\nc   d \np cnf 1 1\nc\te\n1 c"
    found = parse(content[:-1] + b"0\r\nc \xff\xc3\xa9\r\n%\n  c f")
    assert found.comments == ("a", "b", "", "  d ", "\te", "\udcffé", "f")
    assert found.comments[5].encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


HEADER = "the header 'p cnf VARIABLES CLAUSES' must"
SPELLING = "a literal must be an integer, 0 or -?[1-9][0-9]*"
READING = "the header must read 'p cnf VARIABLES CLAUSES'"
TRAILER = "only comments and one 0 may follow the % that ends the file"
RANGE = "must be an integer in 0..2147483647"

REFUSED = {
    "empty file": (b"", 1, 1, f"{HEADER} stand in the file", "the end of the file"),
    "blank file": (b"\n \n", 3, 1, f"{HEADER} stand in the file", "the end of the file"),
    "only comments": (b"c a\nc b", 2, 4, f"{HEADER} stand in the file", "the end of the file"),
    "no header": (b"c a\n 1 2 0\n", 2, 2, f"{HEADER} come first", "1"),
    "a trailer before the header": (b"%\np cnf 1 0\n", 1, 1, f"{HEADER} come first", "%"),
    "two headers": (
        b"p cnf 1 1\n1 0\n p cnf 1 1\n",
        3,
        2,
        "the header must stand once, and does in line 1",
        "p",
    ),
    "another problem": (b"p sat 3\n", 1, 1, READING, "p sat 3"),
    "a short header": (b" p cnf 3\n", 1, 2, READING, "p cnf 3"),
    "a header over two lines": (b"p cnf 3\n2\n", 1, 1, READING, "p cnf 3"),
    "a glued header": (b"pcnf 3 2 1\n", 1, 1, READING, "pcnf 3 2 1"),
    "a capital CNF": (b"p CNF 1 1\n1 0\n", 1, 1, READING, "p CNF 1 1"),
    "negative variables": (b"p cnf -3 2\n", 1, 7, f"the number of variables {RANGE}", "-3"),
    "fractional variables": (b"p cnf 3.0 2\n", 1, 7, f"the number of variables {RANGE}", "3.0"),
    "negative clauses": (b"p cnf 3 -2\n", 1, 9, f"the number of clauses {RANGE}", "-2"),
    "worded clauses": (b"p cnf 3 two\n", 1, 9, f"the number of clauses {RANGE}", "two"),
    "variables beyond 2^31 - 1": (
        b"p cnf 2147483648 0\n",
        1,
        7,
        f"the number of variables {RANGE}",
        "2147483648",
    ),
    "huge variables": (
        b"p cnf 1" + b"0" * 5000 + b" 0\n",
        1,
        7,
        f"the number of variables {RANGE}",
        "1" + "0" * 5000,
    ),
    "a padded header": (b"p cnf 03 0\n", 1, 7, f"the number of variables {RANGE}", "03"),
    "text after the header": (
        b"p cnf 3 2 1 0\n",
        1,
        11,
        "the header's line must end after its two numbers",
        "1",
    ),
    "one clause too many": (
        b"p cnf 3 1\n1 0\n 2 0\n",
        3,
        2,
        "the file must end after the 1 clauses that line 1 declares",
        "2",
    ),
    "one clause too many on the line": (
        b"p cnf 3 2\n1 0 2 0 3 -1 0\n",
        2,
        9,
        "the file must end after the 2 clauses that line 1 declares",
        "3",
    ),
    "an empty clause too many": (
        b"p cnf 3 1\n1 0 0\n",
        2,
        5,
        "the file must end after the 1 clauses that line 1 declares",
        "0",
    ),
    "literals after the last clause": (
        b"p cnf 3 1\n1 0 2\n",
        2,
        5,
        "the file must end after the 1 clauses that line 1 declares",
        "2",
    ),
    "one clause too few": (
        b"c\np cnf 3  3\n1 0\n2 0\n",
        2,
        10,
        "the header must declare as many clauses as there are, 2",
        "3",
    ),
    "too few before the trailer": (
        b"p cnf 3 2\n1 0\n%\n0\n",
        1,
        9,
        "the header must declare as many clauses as there are, 1",
        "2",
    ),
    "a literal too large": (
        b"p cnf 3 1\n1 -4 0\n",
        2,
        3,
        "a literal must have a magnitude of at most 3, as line 1 declares",
        "-4",
    ),
    "a literal without variables": (
        b"p cnf 0 1\n1 0\n",
        2,
        1,
        "a literal must have a magnitude of at most 0, as line 1 declares",
        "1",
    ),
    "a huge literal": (
        b"p cnf 3 1\n1 -" + b"9" * 5000 + b" 0\n",
        2,
        3,
        "a literal must have a magnitude of at most 2147483647",
        "-" + "9" * 5000,
    ),
    "a literal of eleven digits": (
        b"p cnf 3 1\n12345678901 0\n",
        2,
        1,
        "a literal must have a magnitude of at most 3, as line 1 declares",
        "12345678901",
    ),
    "no final 0": (
        b"p cnf 3 1\n1\n-2 3\n\nc x\n",
        3,
        4,
        "a 0 must close the last clause",
        "the end of the file after 3",
    ),
    "no 0 before the trailer": (
        b"p cnf 3 1\n1 -2\n %\n",
        3,
        2,
        "a 0 must close the clause before the % that ends the file",
        "%",
    ),
    "a clause after the trailer": (b"p cnf 3 1\n1 0\n%\n2 0\n", 4, 1, TRAILER, "2"),
    "a second 0 after the trailer": (b"p cnf 3 1\n1 0\n%\n0\n 0\n", 5, 2, TRAILER, "0"),
    "two zeros after the trailer": (b"p cnf 3 1\n1 0\n% 0 0\n", 3, 5, TRAILER, "0"),
    "a header after the trailer": (b"p cnf 3 1\n1 0\n%\np cnf 3 1\n", 4, 1, TRAILER, "p"),
    "a second trailer": (b"p cnf 3 1\n1 0\n%\n%\n", 4, 1, TRAILER, "%"),
    "a glued trailer": (b"p cnf 3 1\n1 0%\n", 2, 3, SPELLING, "0%"),
    "a byte-order mark": (
        b"\xef\xbb\xbfp cnf 0 0\n",
        1,
        1,
        "a file must start without a byte-order mark",
        "\\xef\\xbb\\xbf",
    ),
    "a NUL byte": (b"p cnf 1 1\n1 \0 0\n", 2, 3, "a file must hold no NUL byte", "\\x00"),
    "a NUL byte in a comment": (b"c\nc a\0\np cnf 0 0\n", 2, 4, "a file must hold no NUL byte", "\\x00"),
    "UTF-16": ("p cnf 0 0".encode("utf-16-le"), 1, 2, "a file must hold no NUL byte", "\\x00"),
    "old line ends": (b"c a\rp cnf 0 0\r", 1, 4, "lines must end in LF or CRLF", "\\r alone"),
    "a return too many": (b"p cnf 0 0\r\n\r\r\n", 2, 1, "lines must end in LF or CRLF", "\\r alone"),
    "bytes beyond ASCII": (b"p cnf 1 1\n1\xa0 0\n", 2, 1, SPELLING, "1\\xa0"),
    "digits beyond ASCII": ("p cnf 1 1\n١ 0\n".encode(), 2, 1, SPELLING, "\\xd9\\xa1"),
    "a comment at the end of a line": (b"p cnf 1 1\n1 0 c one\n", 2, 5, SPELLING, "c"),
    "a header at the end of a line": (b"p cnf 1 1\n1 0 p cnf\n", 2, 5, SPELLING, "p"),
    "a long word": (b"p cnf 1 1\n" + b"x" * 100 + b" 0\n", 2, 1, SPELLING, "x" * 100),
}
REFUSED |= {
    f"the word {word}": (f"p cnf 3 1\n1\t-2 {word} 0\n".encode(), 2, 6, SPELLING, word)
    for word in ("1.5", "x", "--3", "+3", "-0", "00", "03", "-03", "1_0", "3-", "-", "1-2", "1e0", "0x1", "~")
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_file_line_column_rule_and_value(case: str) -> None:
    content, line, column, rule, value = REFUSED[case]
    with pytest.raises(DimacsError) as caught:
        parse(content, "f.cnf")
    error = caught.value
    assert (error.file, error.line, error.column, error.rule, error.value) == (
        "f.cnf",
        line,
        column,
        rule,
        value,
    )
    shown = value if len(value) <= 60 else value[:57] + "..."
    assert str(error) == f"f.cnf, line {line}, column {column}: {rule}, not {shown!r}."


def test_a_dimacs_error_is_a_value_error_that_survives_pickling() -> None:
    error = DimacsError("f.cnf", 1, 2, "rule", "value")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(error, ValueError)
    assert (str(again), again.column) == (str(error), 2)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused_with_a_place(content: bytes) -> None:
    error = None
    try:
        parse(b"p cnf 3 2\n" + content)
    except DimacsError as refusal:
        error = refusal
    lines = (b"p cnf 3 2\n" + content).split(b"\n")
    if error is not None:
        assert error.line is not None
        assert error.column is not None
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1


WORDS = st.sampled_from(
    ["0", "1", "-2", "3", "4", "%", "c", "p", "cnf", "\n", "\r\n", "-0", "+1", "\t", "p cnf 3 2\n"]
)


@given(st.lists(WORDS, max_size=16))
def test_what_is_read_from_shuffled_words_is_what_a_naive_reader_sees(words: list[str]) -> None:
    text = "p cnf 3 2\n" + " ".join(words)
    try:
        found = parse(text.encode())
    except DimacsError:
        return
    lines = [line for line in text.split("\n")[1:] if not line.lstrip().startswith("c")]
    naive = " ".join(lines).partition("%")[0].split()
    assert naive == [str(literal) for clause in found.clauses for literal in (*clause, 0)]
    assert len(found.clauses) == 2


CLAUSES = st.lists(st.lists(st.integers(-9, 9).filter(bool), max_size=5), max_size=8)


@given(CLAUSES, st.data())
def test_layout_does_not_matter(clauses: list[list[int]], data: st.DataObject) -> None:
    gap = st.sampled_from([" ", "\n", "\t", "  ", "\r\n", "\nc x\n", "\n\n"])
    words = [str(literal) for clause in clauses for literal in (*clause, 0)]
    text = f"p cnf 9 {len(clauses)}\n" + "".join(word + data.draw(gap) for word in words)
    assert parse(text.encode()).clauses == tuple(map(tuple, clauses))


@given(CLAUSES.filter(lambda clauses: all(clauses)))
def test_python_sat_reads_the_same_from_simple_files(clauses: list[list[int]]) -> None:
    text = render(9, clauses)
    assert [list(clause) for clause in parse(text.encode()).clauses] == SolverCNF(from_string=text).clauses


def test_a_line_of_a_hundred_thousand_clauses_is_read() -> None:
    clauses = tuple((i, -(i + 1)) for i in range(1, 100_001))
    text = render(100_001, clauses).replace(" 0\n", " 0 ")
    assert parse(text.encode()).clauses == clauses


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".GZ"])
def test_files_are_read_back_whatever_their_compression(tmp_path, suffix: str) -> None:
    path = tmp_path / f"f.cnf{suffix}"
    formula = CNF(3, ((1, -3), ()), comments=("é",))
    formula.write(path)
    assert CNF.read(path) == formula
    assert CNF.read(str(path)).comments == ("é",)


@pytest.mark.parametrize("suffix", PACKERS)
def test_archives_of_the_usual_tools_and_of_several_streams_are_read(tmp_path, suffix: str) -> None:
    pack = PACKERS[suffix]
    path = tmp_path / f"f.cnf{suffix}"
    path.write_bytes(pack(b"p cnf 1 1\n") + pack(b"1 0\n") + bytes(512))
    assert CNF.read(path).clauses == ((1,),)


@pytest.mark.parametrize("suffix", PACKERS)
def test_every_truncated_archive_is_refused(tmp_path, suffix: str) -> None:
    path = tmp_path / f"f.cnf{suffix}"
    whole = PACKERS[suffix](b"p cnf 1 1\n1 0\n")
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DimacsError, match=f"{suffix} (archive must be whole|file must start)"):
            CNF.read(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_damaged_or_followed_archive_is_refused(tmp_path, suffix: str) -> None:
    path = tmp_path / f"f.cnf{suffix}"
    whole = PACKERS[suffix](b"p cnf 1 1\n1 0\n")
    path.write_bytes(whole[:12] + bytes([whole[12] ^ 255]) + whole[13:])
    with pytest.raises(DimacsError, match="must be whole"):
        CNF.read(path)
    path.write_bytes(whole + b"1 0\n")
    with pytest.raises(DimacsError, match="nothing may follow"):
        CNF.read(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_suffix_that_the_content_belies_is_refused(tmp_path, suffix: str) -> None:
    plain = tmp_path / f"f.cnf{suffix}"
    plain.write_bytes(b"p cnf 1 1\n1 0\n")
    with pytest.raises(DimacsError, match=rf"f\.cnf\{suffix}: a \{suffix} file must start with"):
        CNF.read(plain)
    packed = tmp_path / "f.cnf"
    packed.write_bytes(PACKERS[suffix](b"p cnf 1 1\n1 0\n"))
    with pytest.raises(DimacsError, match=rf"\{suffix} content must come from a file named") as caught:
        CNF.read(packed)
    assert caught.value.line is None


def test_standard_input_and_output_are_a_dash(monkeypatch, capfdbinary) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"p cnf 1 1\nx 0\n")))
    with pytest.raises(DimacsError, match="<stdin>, line 2, column 1"):
        CNF.read("-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"p cnf 1 1\n1 0\n")))
    formula = CNF.read("-")
    write_content("-", formula.to_dimacs().encode())
    assert parse(capfdbinary.readouterr().out).clauses == ((1,),)


def test_a_missing_file_or_directory_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.cnf"):
        CNF.read(tmp_path / "absent.cnf")
    with pytest.raises(
        FileNotFoundError, match=r"Argument 'path' must lie in an existing directory, not '.*absent'"
    ):
        CNF(0, ()).write(tmp_path / "absent" / "f.cnf")


def test_the_same_formula_gives_the_same_archive_under_any_name(tmp_path) -> None:
    formula = CNF(3, ((1, -3),))
    formula.write(tmp_path / "a.gz")
    formula.write(tmp_path / "b.gz")
    content = (tmp_path / "a.gz").read_bytes()
    assert content == (tmp_path / "b.gz").read_bytes()
    assert content[3:8] == bytes(5)  # no name in the header, no time


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    path = tmp_path / "f.cnf"
    write_content(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("cubicwall.instances.archives.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_content(path, b"new")
    assert read_content(path) == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.cnf"]


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_content("/dev/null", b"anything")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
