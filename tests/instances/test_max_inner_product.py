"""Gap instances: what is refused, files that give back what was written, and witnesses."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cubicwall.instances.archives import write_archive
from cubicwall.instances.max_inner_product import GapMaxInnerProduct, GapSize
from cubicwall.instances.provenance import Provenance
from hypothesis import given
from hypothesis import strategies as st

EXAMPLE = GapMaxInnerProduct([[[1, 1, 0], [1, 1, 1]], [[0, 1, 1]], [[1, 1, 1], [0, 0, 1]]], 2, 1)


def test_witnesses_are_accepted_from_the_target_on() -> None:
    assert [EXAMPLE.inner_product(t) for t in [(0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)]] == [1, 2, 0, 1]
    assert EXAMPLE.accepts((1, 0, 0))
    assert not EXAMPLE.accepts((1, 0, 1))
    for malformed in [(0, 0), (0, 0, 2), (0, -1, 0)]:
        with pytest.raises(ValueError, match="'indices'"):
            EXAMPLE.accepts(malformed)


def test_sizes_are_measured() -> None:
    assert EXAMPLE.size == GapSize((2, 1, 2), 3, 2, 1)
    assert EXAMPLE.size.measures() == {"N": 2, "tuples": 4, "D": 3, "gap": 1, "kappa": 3.0}
    assert (EXAMPLE.order, EXAMPLE.sizes, EXAMPLE.dimension) == (3, (2, 1, 2), 3)


@pytest.mark.parametrize(
    ("target", "bound", "message"),
    [
        (0, 0, "'target' must be at least 1, not 0"),
        (2, 2, "'bound' must be in 0..1, below the target, not 2"),
        (2, -1, "'bound' must be in 0..1, below the target, not -1"),
    ],
)
def test_thresholds_without_a_gap_are_refused(target: int, bound: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GapMaxInnerProduct(EXAMPLE.sets, target, bound)


@pytest.mark.parametrize(
    ("sets", "error"),
    [
        ([[[1]]], ValueError),
        ([[[1]], [[2]]], ValueError),
        ([[[1]], [[1.0]]], TypeError),
        ([[[1]], [[1, 1]]], ValueError),
    ],
)
def test_sets_are_checked_like_those_of_orthogonal_vectors(sets: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="'sets'"):
        GapMaxInnerProduct(sets, 1, 0)


def test_instances_are_equal_by_content_and_survive_pickling() -> None:
    twin = GapMaxInnerProduct(EXAMPLE.sets, 2, 1, Provenance("elsewhere"))
    assert twin == EXAMPLE
    assert hash(twin) == hash(EXAMPLE)
    assert pickle.loads(pickle.dumps(EXAMPLE)) == EXAMPLE
    assert GapMaxInnerProduct(EXAMPLE.sets, 3, 1) != EXAMPLE
    assert GapMaxInnerProduct(EXAMPLE.sets[:2], 2, 1) != EXAMPLE
    assert EXAMPLE.vectors != EXAMPLE
    assert repr(EXAMPLE) == "GapMaxInnerProduct(sizes=(2, 1, 2), dimension=3, target=2, bound=1)"


@given(
    sizes=st.lists(st.integers(0, 4), min_size=2, max_size=4),
    dimension=st.integers(0, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_files_give_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], dimension: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    instance = GapMaxInnerProduct(
        [rng.random((n, dimension)) < 0.5 for n in sizes], 7, int(rng.integers(7)), Provenance("here", seed)
    )
    path = tmp_path_factory.mktemp("gap") / "instance.npz"
    instance.write(path)
    first = path.read_bytes()
    again = GapMaxInnerProduct.read(path)
    assert again == instance
    assert again.provenance == instance.provenance
    again.write(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bound": None}, "members \\['bound'\\] are missing"),
        ({"set_4": EXAMPLE.sets[0], "set_2": None}, "missing"),
        ({"extra": np.zeros(1)}, "do not belong here"),
        ({"target": np.array(1.5)}, "'target' must have dtype 'i8'"),
        ({"target": np.array([2])}, "'target' must be 0-D"),
        ({"bound": np.array(2)}, "'bound' must be in 0..1"),
        ({"set_1": np.full((1, 3), 7, dtype=np.uint8)}, "zeros and ones"),
    ],
)
def test_malformed_archives_are_refused_by_file_and_member(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    members = {f"set_{g}": vectors for g, vectors in enumerate(EXAMPLE.sets, start=1)}
    arrays = {**members, "target": np.array(2), "bound": np.array(1), **change}
    path = tmp_path / "bad.npz"
    kept = {name: array for name, array in arrays.items() if array is not None}
    write_archive(path, "gap_max_inner_product", kept, Provenance())
    with pytest.raises(ValueError, match=message) as caught:
        GapMaxInnerProduct.read(path)
    assert str(path) in str(caught.value)


def test_only_archives_are_written() -> None:
    for act in (EXAMPLE.write, GapMaxInnerProduct.read):
        with pytest.raises(ValueError, match=r"'path' must end in .npz, not 'x.txt'"):
            act("x.txt")
