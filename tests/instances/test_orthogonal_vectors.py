"""OrthogonalVectors: what is accepted and verified; files that lose nothing and accept nothing odd."""

import io
import json
import math
import pickle
import re
import zipfile
from itertools import product

import numpy as np
import pytest
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors, VectorsSize
from cubicwall.instances.provenance import SCHEMA, Provenance
from cubicwall.instances.vectors_text import decode
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = OrthogonalVectors([[[0, 1], [1, 1]], [[1, 1], [1, 0], [0, 0]]], Provenance("by hand", seed=7))
SUFFIXES = (".npz", ".kov", ".txt")


@st.composite
def instances(draw):
    dimension = draw(st.integers(0, 9))
    sizes = draw(st.lists(st.integers(0, 5), min_size=2, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    maker = draw(st.text(max_size=12))
    return OrthogonalVectors([rng.integers(0, 2, (n, dimension)) for n in sizes], Provenance(maker, seed=3))


def test_measures_are_the_largest_set_the_tuples_and_the_dimension():
    assert SMALL.size == VectorsSize((2, 3), 2)
    assert SMALL.size.measures() == {"N": 3, "tuples": 6, "m": 2}
    assert (SMALL.order, SMALL.sizes, SMALL.dimension) == (2, (2, 3), 2)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.int64, ">i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_integer_layout_gives_the_same_instance(dtype, order):
    sets = [np.array(vectors, dtype=dtype, order=order) for vectors in SMALL.sets]
    again = OrthogonalVectors(sets)
    assert again == SMALL
    assert hash(again) == hash(SMALL)
    assert all(v.dtype == np.uint8 and v.flags.c_contiguous and not v.flags.writeable for v in again.sets)


def test_the_caller_keeps_its_arrays_and_cannot_change_the_instance():
    mine = np.zeros((2, 2), dtype=np.uint8)
    instance = OrthogonalVectors([mine, mine])
    mine[0, 0] = 1
    assert instance.sets[0].sum() == 0
    with pytest.raises(ValueError, match="read-only"):
        instance.sets[0][0, 0] = 1


def test_equality_sees_content_and_shapes_but_not_provenance():
    assert OrthogonalVectors(SMALL.sets, Provenance("other")) == SMALL
    assert OrthogonalVectors(SMALL.sets[::-1]) != SMALL
    assert OrthogonalVectors([np.zeros((0, 3), int)] * 2) != OrthogonalVectors([np.zeros((0, 2), int)] * 2)
    assert SMALL != "SMALL"


def test_pickling_keeps_arrays_read_only():
    again = pickle.loads(pickle.dumps(SMALL))
    assert again == SMALL
    assert again.provenance == SMALL.provenance
    assert not again.sets[0].flags.writeable


@given(instances())
def test_violations_are_coordinates_that_are_one_throughout(instance):
    for indices in product(*map(range, instance.sizes)):
        common = math.prod(v[i].astype(int) for v, i in zip(instance.sets, indices, strict=True))
        assert instance.violations(indices) == np.sum(common)
        assert instance.is_orthogonal(indices) == instance.accepts(indices) == (np.sum(common) == 0)


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ((0,), ValueError, "must hold 2 numbers, not 1"),
        ((0, 3), ValueError, r"entry 1 in 0..2, not 3"),
        ((-1, 0), ValueError, r"entry 0 in 0..1, not -1"),
        ((0, 1.0), TypeError, "integer"),
    ],
)
def test_a_malformed_witness_is_refused(indices, error, message):
    with pytest.raises(error, match=message):
        SMALL.is_orthogonal(indices)


@pytest.mark.parametrize(
    ("sets", "error", "message"),
    [
        ([[[1]]], ValueError, "at least two sets, not 1"),
        ([[[1]], [1]], ValueError, r"set 1 has shape \(1,\)"),
        ([[[1]], []], ValueError, r"set 1 has shape \(0,\)"),
        ([[[1]], [[1, 0]]], ValueError, r"one dimension throughout, not \[1, 2\]"),
        ([[[1, 0], [1, 2]], [[1, 0]]], ValueError, "not 2 in set 0, row 1, column 1"),
        ([[[1]], [[-1]]], ValueError, "not -1 in set 1, row 0, column 0"),
        ([[[1]], [[256]]], ValueError, "not 256"),
        ([[[1.0]], [[1]]], TypeError, "set 0 has float64"),
        ([[["1"]], [[1]]], TypeError, "set 0 has <U1"),
    ],
)
def test_other_sets_are_refused(sets, error, message):
    with pytest.raises(error, match=message):
        OrthogonalVectors(sets)


@settings(max_examples=40, deadline=None)
@given(instance=instances(), suffix=st.sampled_from(SUFFIXES))
def test_files_keep_everything(instance, suffix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    first, second = folder / f"first{suffix}", folder / f"second{suffix}"
    instance.write(first)
    again = OrthogonalVectors.read(first)
    assert again == instance
    assert again.provenance == instance.provenance
    assert again.sha256 == instance.sha256
    again.write(second)
    assert first.read_bytes() == second.read_bytes()
    assert {path.name for path in folder.iterdir()} == {first.name, second.name}


def test_archives_open_in_plain_numpy(tmp_path):
    SMALL.write(tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz", allow_pickle=False) as archive:
        assert archive["set_2"].tolist() == [[1, 1], [1, 0], [0, 0]]
        assert json.loads(str(archive["provenance"]))["maker"] == "by hand"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_fails_leaves_the_old_file(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"kept{suffix}"
    SMALL.write(path)
    before = path.read_bytes()

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        OrthogonalVectors([[[1]], [[1]]]).write(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("method", ["read", "write"])
def test_an_unknown_suffix_is_refused(method, tmp_path):
    call = OrthogonalVectors.read if method == "read" else SMALL.write
    with pytest.raises(ValueError, match=r"must end in \.npz, \.kov or \.txt, not '.*small\.csv'"):
        call(tmp_path / "small.csv")


def test_text_reads_as_people_write_it():
    text = b"c hello\n\n  p  kov 1 2 3 2 1\t\r\n010\r\n c between\nc\n110\n 001 "
    sets, provenance = decode("f", text)
    assert [vectors.tolist() for vectors in sets] == [[[0, 1, 0], [1, 1, 0]], [[0, 0, 1]]]
    assert provenance == Provenance()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1:1: the header 'p kov ...' must come before the end of the file."),
        ("c only\n", "f:2:1: the header 'p kov ...' must come before the end of the file."),
        ("01\n", "f:1:1: the header 'p kov ...' must come first, not '01'."),
        ("p cnf 1 2\n", "f:1:1: the header must read"),
        ("p kov 1 2 2 1 -1\n", "f:1:1: the header must read"),
        ("p kov 1 2 2 1 ١\n", "f:1:1: the header must read"),
        ("p kov 2 2 2 1 1\n", f"f:1:1: the schema must be in 1..{SCHEMA} for this version, not 2."),
        ("p kov 0 2 2 1 1\n", "f:1:1: the schema must be in"),
        ("p kov 1 1 2 1\n", "f:1:1: the header must give an order of at least 2"),
        ("p kov 1 2\n", "f:1:1: the header must give an order of at least 2"),
        ("p kov 1 2 2 1\n", "f:1:1: the header must give an order of at least 2"),
        ("p kov 1 2 2 1 1 1\n", "f:1:1: the header must give an order of at least 2"),
        ("p kov 1 2 2 1 1\n01\n 021\n", "f:3:3: a row must hold 0 and 1 only, not '2'."),
        ("p kov 1 2 2 1 1\n01 # no\n01\n", "f:2:3: a row must hold 0 and 1 only, not ' '."),
        ("p kov 1 2 2 1 1\n01\n011\n", "f:3:1: a row must hold 2 digits, not 3."),
        ("p kov 1 2 2 1 1\n01\n01\n01\n", "f:4:1: the header announces 2 rows; this is one more."),
        ("p kov 1 2 2 1 1\n01\n", "f:3:1: the file must hold 2 rows, not 1."),
        ("p kov 1 2 0 1 1\n0\n", "f:2:1: a row must hold 0 digits, not 1."),
        ("p kov 1 2 2 1 1\np kov 1 2 2 1 1\n", "f:2:1: the header must stand once, not again"),
        ("comment\n", "f:1:1: the header 'p kov ...' must come first"),
        ("c provenance {}\n", "f:1:1: the provenance is malformed"),
        ("c provenance {\n", "f:1:1: the provenance is malformed"),
        (f"c provenance {Provenance().to_json()}\n" * 2, "f:2:1: provenance must stand once, not again."),
        ("p kov 1 2 2 1 1\n0\0\n01\n", "f:2:2: a row must hold 0 and 1 only, not '\\x00'."),
    ],
)
def test_malformed_text_is_refused_with_its_place(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        decode("f", text.encode())


def test_a_huge_header_takes_no_memory():
    with pytest.raises(ValueError, match="must hold 2000000000000000 rows, not 0"):
        decode("f", b"p kov 1 2 999999999 1000000000000000 1000000000000000\n")


@given(position=st.integers(0, 1000), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_but_never_crashes(position, byte):
    text = bytearray(b"c x\np kov 1 2 3 2 1\n010\n110\n001\n")
    text[position % len(text)] = byte
    try:
        sets, _ = decode("f", bytes(text))
    except ValueError as refusal:
        said = str(refusal)
    else:
        said = "f:"
        assert [vectors.shape for vectors in sets] == [(2, 3), (1, 3)]
    assert said.startswith("f:")


def _members(instance, tmp_path):
    instance.write(tmp_path / "source.npz")
    with np.load(tmp_path / "source.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set_1": None}, r"members \['set_1'\] are missing"),
        ({"set_2": None}, "at least two sets, not 1"),
        ({"set_4": np.zeros((1, 2), np.uint8)}, r"members \['set_3'\] are missing"),
        ({"other": np.zeros(1)}, r"members \['other'\] do not belong here"),
        ({"set_1": np.zeros((2, 2))}, "member 'set_1' must have dtype 'u1', not float64"),
        ({"set_1": np.zeros(2, np.uint8)}, "member 'set_1' must be 2-D"),
        ({"set_1": np.full((2, 2), 2, np.uint8)}, "zeros and ones, not 2 in set 0"),
        ({"set_1": np.array([[None]])}, "member 'set_1': pickled objects"),
        ({"schema": np.array(SCHEMA + 1)}, rf"member 'schema' must be in 1\.\.{SCHEMA}"),
        ({"schema": np.array(1.0)}, "member 'schema' must have dtype 'i'"),
        ({"schema": None}, "member 'schema' is missing"),
        ({"kind": np.array("tensor_attention")}, "must be 'orthogonal_vectors', not 'tensor_attention'"),
        ({"provenance": np.array("{}")}, "member 'provenance' is malformed"),
        ({"provenance": None}, "member 'provenance' is missing"),
    ],
)
def test_a_malformed_archive_is_refused_with_its_member(changes, message, tmp_path):
    members = {**_members(SMALL, tmp_path), **changes}
    path = tmp_path / "changed.npz"
    np.savez(path, **{name: array for name, array in members.items() if array is not None})
    with pytest.raises(ValueError, match=message) as error:
        OrthogonalVectors.read(path)
    assert str(error.value).startswith(str(path))


def test_compressed_archives_are_read_too(tmp_path):
    np.savez_compressed(tmp_path / "small.npz", **_members(SMALL, tmp_path))
    assert OrthogonalVectors.read(tmp_path / "small.npz") == SMALL


@pytest.mark.parametrize("cut", [0, 1, 10, 200, -1, -30])
def test_a_truncated_archive_is_refused(cut, tmp_path):
    path = tmp_path / "cut.npz"
    SMALL.write(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"not a whole \.npz archive"):
        OrthogonalVectors.read(path)


def test_a_flipped_bit_in_an_archive_is_refused_or_harmless(tmp_path):
    path = tmp_path / "flipped.npz"
    SMALL.write(path)
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        try:
            assert OrthogonalVectors.read(path) == SMALL
        except ValueError:
            refused += 1
    assert refused > len(content) // 14


def test_a_member_that_claims_more_than_it_holds_takes_no_memory(tmp_path):
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 2**20)}
    np.lib.format.write_array_header_1_0(stream, header)
    path = tmp_path / "liar.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set_1.npy", stream.getvalue())
    with pytest.raises(ValueError, match="does not fill its 0 bytes"):
        OrthogonalVectors.read(path)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        OrthogonalVectors.read(tmp_path / "nowhere.npz")
