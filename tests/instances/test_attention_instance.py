"""TensorAttention: shapes, bounds and the coordinate of the wall; archives that lose nothing."""

import math
import pickle

import numpy as np
import pytest
from cubicwall.instances.attention import AttentionSize, TensorAttention
from cubicwall.instances.provenance import SCHEMA, Provenance
from hypothesis import given, settings
from hypothesis import strategies as st


def random_instance(seed, order=3, tokens=(4, 3, 5), d=2, e=3):
    rng = np.random.default_rng(seed)
    query, *keys = (rng.normal(size=(n, d)) for n in tokens[:order])
    values = [rng.normal(size=(n, e)) for n in tokens[1:order]]
    return TensorAttention(query, keys, values, 1 / d, 1e-3, Provenance("random", seed))


SMALL = random_instance(1)


def fields(instance=SMALL, **changes):
    names = ("query", "keys", "values", "scale", "accuracy")
    return {name: getattr(instance, name) for name in names} | changes


def test_size_names_what_claims_speak_of():
    bound = max(np.abs(array).max() for array in (SMALL.query, *SMALL.keys))
    assert SMALL.size == AttentionSize((4, 3, 5), 2, 3, bound, 1e-3)
    assert SMALL.size.measures() == {"n": 5, "tuples": 60, "d": 2, "B": bound, "eps": 1e-3}
    assert (SMALL.order, SMALL.dimension, SMALL.columns, SMALL.entry_bound) == (3, 2, 3, bound)


def test_values_do_not_count_for_the_entry_bound():
    instance = TensorAttention([[1]], [[[2]]], [[[-9]]], scale=1, accuracy=0.1)
    assert instance.entry_bound == 2.0


@pytest.mark.parametrize("order", [2, 3, 4])
def test_coordinate_is_the_bound_over_the_kth_root_of_the_logarithm(order):
    instance = random_instance(2, order, tokens=(4, 3, 7, 2))
    n = max(instance.tokens)
    assert instance.coordinate == pytest.approx(instance.entry_bound / math.log(n) ** (1 / order), rel=1e-15)


@pytest.mark.parametrize(
    ("query", "key", "coordinate"), [([[1]], [[0]], math.inf), ([[0]], [[0]], 0.0), ([[0], [0]], [[0]], 0.0)]
)
def test_coordinate_has_no_nan(query, key, coordinate):
    assert TensorAttention(query, [key], [[[1]]], 1, 1).coordinate == coordinate


def test_without_queries_only_keys_bound_the_entries():
    instance = TensorAttention(np.zeros((0, 1)), [[[-3], [0]]], [[[1], [2]]], 1, 1)
    assert instance.entry_bound == 3.0
    assert instance.size.measures()["tuples"] == 0


def test_arrays_are_read_only_copies_of_float64():
    mine = np.ones((2, 2), dtype=np.float32, order="F")
    instance = TensorAttention(mine, [mine], [mine], 1, 1)
    mine[:] = 7
    for array in (instance.query, *instance.keys, *instance.values):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        assert (array == 1).all()


def test_equality_sees_content_but_not_provenance():
    again = TensorAttention(**fields(), provenance=Provenance("other"))
    assert again == SMALL
    assert hash(again) == hash(SMALL)
    assert again.sha256 == SMALL.sha256
    for change in ({"scale": 2.0}, {"accuracy": 0.5}, {"query": SMALL.query[:1]}, {"keys": SMALL.values}):
        if "keys" in change:
            change = {"keys": [key + 1 for key in SMALL.keys]}
        other = TensorAttention(**fields(**change))
        assert other != SMALL
        assert other.sha256 != SMALL.sha256
    assert SMALL != 3


def test_pickling_keeps_arrays_read_only():
    again = pickle.loads(pickle.dumps(SMALL))
    assert again == SMALL
    assert again.provenance == SMALL.provenance
    assert not again.keys[0].flags.writeable


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"query": np.zeros(3)}, ValueError, r"'query' must be 2-D, not have shape \(3,\)"),
        ({"query": np.zeros((3, 0))}, ValueError, "'query' must have at least one column"),
        ({"query": [[math.nan, 0]]}, ValueError, "'query' must be finite, not nan in row 0, column 0"),
        ({"query": [[1j, 0]]}, TypeError, "'query' must hold real numbers, not complex128"),
        ({"query": [[None, 0]]}, TypeError, "'query' must hold real numbers, not object"),
        ({"keys": []}, ValueError, "'keys' must hold at least one matrix"),
        ({"keys": SMALL.keys[:1]}, ValueError, "'values' must hold as many matrices as 'keys', 1, not 2"),
        ({"keys": [np.zeros((3, 2)), np.zeros((5, 1))]}, ValueError, r"'keys\[1\]' must have 2 columns"),
        (
            {"keys": [np.zeros((0, 2)), np.zeros((5, 2))]},
            ValueError,
            r"'keys\[0\]' must have at least one row",
        ),
        (
            {"keys": [np.zeros((3, 2)), np.full((5, 2), np.inf)]},
            ValueError,
            r"'keys\[1\]' must be finite, not inf",
        ),
        ({"values": [np.zeros((3, 3)), np.zeros((4, 3))]}, ValueError, r"'values\[1\]' must have 5 rows"),
        (
            {"values": [np.zeros((3, 3)), np.zeros((5, 2))]},
            ValueError,
            r"'values\[1\]' must have at least one",
        ),
        (
            {"values": [np.zeros((3, 0)), np.zeros((5, 0))]},
            ValueError,
            r"'values\[0\]' must have at least one",
        ),
        ({"scale": 0}, ValueError, r"'scale' must be positive and finite, not 0\.0"),
        ({"scale": math.inf}, ValueError, "'scale' must be positive and finite, not inf"),
        ({"accuracy": -1.0}, ValueError, r"'accuracy' must be positive and finite, not -1\.0"),
        ({"accuracy": math.nan}, ValueError, "'accuracy' must be positive and finite, not nan"),
    ],
)
def test_other_arguments_are_refused_by_name(changes, error, message):
    with pytest.raises(error, match=message):
        TensorAttention(**fields(**changes))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), order=st.integers(2, 4), rows=st.integers(0, 3))
def test_archives_keep_everything(seed, order, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    instance = random_instance(seed, order, tokens=(rows, 1, 2, 3), d=1 + rows)
    instance.write(folder / "first.npz")
    again = TensorAttention.read(folder / "first.npz")
    assert again == instance
    assert again.provenance == instance.provenance
    again.write(folder / "second.npz")
    assert (folder / "first.npz").read_bytes() == (folder / "second.npz").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": None}, r"members \['query'\] are missing"),
        ({"keys_1": None}, r"members \['keys_1'\] are missing|members \['values_2', 'keys_1'\]"),
        ({"values_2": None}, r"members \['values_2'\] are missing"),
        ({"bias": np.zeros(1)}, r"members \['bias'\] do not belong here"),
        ({"query": np.zeros((4, 2), np.float32)}, "member 'query' must have dtype 'f8', not float32"),
        ({"scale": np.ones(1)}, r"member 'scale' must be 0-D, not have shape \(1,\)"),
        ({"accuracy": np.array(-1.0)}, "'accuracy' must be positive"),
        ({"query": np.full((4, 2), np.nan)}, "'query' must be finite"),
        ({"query": np.array([[{}]])}, "member 'query': pickled objects"),
        ({"schema": np.array(SCHEMA + 1)}, "member 'schema' must be in"),
        ({"kind": np.array("orthogonal_vectors")}, "must be 'tensor_attention', not 'orthogonal_vectors'"),
    ],
)
def test_a_malformed_archive_is_refused_with_its_member(changes, message, tmp_path):
    SMALL.write(tmp_path / "source.npz")
    with np.load(tmp_path / "source.npz") as archive:
        members = {**archive, **changes}
    path = tmp_path / "changed.npz"
    np.savez(path, **{name: array for name, array in members.items() if array is not None})
    with pytest.raises(ValueError, match=message) as error:
        TensorAttention.read(path)
    assert str(error.value).startswith(str(path))


def test_a_big_endian_archive_reads_the_same(tmp_path):
    SMALL.write(tmp_path / "source.npz")
    with np.load(tmp_path / "source.npz") as archive:
        members = {n: a.astype(">f8") if a.dtype == np.float64 else a for n, a in archive.items()}
    np.savez(tmp_path / "big.npz", **members)
    assert TensorAttention.read(tmp_path / "big.npz") == SMALL


def test_a_truncated_archive_is_refused(tmp_path):
    path = tmp_path / "cut.npz"
    SMALL.write(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"not a whole \.npz archive"):
        TensorAttention.read(path)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        SMALL.write(tmp_path / "small.txt")
