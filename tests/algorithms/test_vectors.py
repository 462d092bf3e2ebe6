"""k-OV solvers: all of them against three lines of itertools."""

import math
from itertools import islice, product

import numpy as np
import pytest
from cubicwall.algorithms import vectors
from cubicwall.algorithms.supersets import count_by_supersets, effective_dimension, first_by_supersets
from cubicwall.algorithms.vectors import (
    all_orthogonal,
    count_orthogonal,
    first_orthogonal,
    predicted_seconds,
)
from cubicwall.instances.answer import No, Yes
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.instances.vector_families import (
    orthogonal_free_vectors,
    planted_orthogonal_vectors,
    random_orthogonal_vectors,
)
from hypothesis import given, settings
from hypothesis import strategies as st

FAMILIES = (random_orthogonal_vectors, planted_orthogonal_vectors, orthogonal_free_vectors)


def oracle(instance):
    """All orthogonal tuples in lexicographic order, by the definition."""
    sets = [vectors.astype(bool) for vectors in instance.sets]
    tuples = product(*map(range, instance.sizes))
    return [
        j for j in tuples if not np.logical_and.reduce([v[i] for v, i in zip(sets, j, strict=True)]).any()
    ]


def agree(instance, truth=None):
    truth = oracle(instance) if truth is None else truth
    first = Yes(truth[0]) if truth else No()
    assert count_orthogonal(instance) == len(truth)
    assert list(all_orthogonal(instance)) == truth
    assert first_orthogonal(instance) == first
    assert all(instance.is_orthogonal(witness) for witness in truth[:50])
    if effective_dimension(instance) <= 12:
        assert count_by_supersets(instance) == len(truth)
        assert first_by_supersets(instance) == first


def drawn(sizes, dimension, density, seed=0):
    return random_orthogonal_vectors(sizes, dimension, density, rng=np.random.default_rng(seed))


@settings(max_examples=120, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    dimension=st.sampled_from([1, 2, 5, 12, 63, 64, 65, 127, 128, 129, 200]),
    density=st.sampled_from([0.05, 0.3, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_every_solver_agrees_with_the_definition(family, sizes, dimension, density, seed):
    agree(family(sizes, dimension, density, rng=np.random.default_rng(seed)))


@pytest.mark.parametrize(
    "sizes", [(63, 65), (64, 64), (1, 129), (128, 1), (3, 5, 127), (65, 2, 3), (1, 1, 64)]
)
@pytest.mark.parametrize("dimension", [7, 70])
def test_sizes_around_a_word_are_counted_to_the_last_vector(sizes, dimension):
    agree(drawn(sizes, dimension, 0.25))


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("dimension", [0, 1, 3, 100])
def test_degenerate_instances_go_through(order, dimension):
    rng = np.random.default_rng(order + dimension)
    some = rng.integers(0, 2, (3, dimension))
    full, none = np.ones((3, dimension), int), np.zeros((2, dimension), int)
    empty, single = np.zeros((0, dimension), int), rng.integers(0, 2, (1, dimension))
    for last in (some, full, none, empty, single, np.repeat(some, 4, axis=0)):
        for others in (some, full, single):
            agree(OrthogonalVectors([others] * (order - 1) + [last]))
            agree(OrthogonalVectors([last] + [others] * (order - 1)))


def test_an_orthogonal_tuple_hidden_in_the_last_place_is_found():
    instance = orthogonal_free_vectors((5, 6, 7, 4), 90, 0.5, rng=np.random.default_rng(3))
    assert first_orthogonal(instance) == No()
    sets = [np.concatenate([v, np.eye(4, 90, dtype=int)[g : g + 1]]) for g, v in enumerate(instance.sets)]
    hidden = OrthogonalVectors(sets)
    assert hidden.is_orthogonal((5, 6, 7, 4))
    agree(hidden)


def test_merging_sets_keeps_the_order_of_tuples(monkeypatch):
    instance = drawn((3, 4, 2, 5, 3), 20, 0.5)
    truth = oracle(instance)
    assert truth
    for most in (0, 6, 10, 12, 60, 4096):  # from no set merged to all but two
        monkeypatch.setattr(vectors, "_MERGED", most)
        agree(instance, truth)


def test_pairs_are_counted_the_same_in_small_portions(monkeypatch):
    instance = drawn((30, 40, 50), 30, 0.5)
    truth = oracle(instance)
    monkeypatch.setattr(vectors, "_PAIRS", 7)
    monkeypatch.setattr(vectors, "_MERGED", 0)
    agree(instance, truth)


@pytest.mark.parametrize("dimension", [10, 80])
def test_a_last_set_of_several_chunks_is_covered(dimension):
    instance = drawn((3, 9000), dimension, 0.3)  # 9000 > 64 words of 64
    first, last = (v.astype(np.int64) for v in instance.sets)
    assert count_orthogonal(instance) == np.sum(first @ last.T == 0)
    assert all(instance.is_orthogonal(witness) for witness in islice(all_orthogonal(instance), 100))


def test_threads_do_not_change_the_answer():
    numba = pytest.importorskip("numba")
    instance = drawn((50, 60, 70), 100, 0.3)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = (count_orthogonal(instance), first_orthogonal(instance))
    finally:
        numba.set_num_threads(before)
    assert (count_orthogonal(instance), first_orthogonal(instance)) == alone


def test_many_vectors_in_few_coordinates_agree_with_a_matrix_product():
    instance = drawn((300, 200), 12, 0.4)
    overlaps = instance.sets[0].astype(int) @ instance.sets[1].T.astype(int)
    assert count_by_supersets(instance) == count_orthogonal(instance) == np.sum(overlaps == 0)


@pytest.mark.parametrize("order", [4, 5, 9])
def test_superset_counts_are_exact_beyond_64_bits(order):
    # In one coordinate a tuple fails only if all its bits are 1, so the count is known in closed form.
    rng = np.random.default_rng(order)
    sets = [rng.integers(0, 2, (70_000 + g, 1)) for g in range(order)]
    truth = math.prod(map(len, sets)) - math.prod(int(v.sum()) for v in sets)
    assert truth > 2**62
    assert count_by_supersets(OrthogonalVectors(sets)) == truth
    padded = [np.hstack([v, np.zeros_like(v)]) for v in sets]
    assert count_by_supersets(OrthogonalVectors(padded)) == truth


def test_superset_counts_beyond_64_bits_stay_exact_in_several_coordinates():
    # Each vector repeated r_g times: the count is Π r_g times that of the small instance.
    rng = np.random.default_rng(8)
    base = drawn((5, 4, 3), 4, 0.5)
    copies = (3_000_000, 2_000_000, 4_000_000)
    sets = [np.repeat(v, n // len(v), axis=0) for v, n in zip(base.sets, copies, strict=True)]
    factor = math.prod(n // len(v) for v, n in zip(base.sets, copies, strict=True))
    instance = OrthogonalVectors([v[rng.permutation(len(v))] for v in sets])
    assert math.prod(instance.sizes) > 2**64
    assert count_by_supersets(instance) == factor * len(oracle(base))


def test_equal_and_empty_coordinates_cost_nothing():
    few = drawn((20, 20), 5, 0.5)
    truth = oracle(few)
    lonely = np.eye(20, 60, dtype=int)  # ones in the first set only
    sets = [np.hstack([np.repeat(v, 8, axis=1), lonely * (g == 0)]) for g, v in enumerate(few.sets)]
    many = OrthogonalVectors(sets)
    assert (few.dimension, many.dimension) == (5, 100)
    assert effective_dimension(many) == effective_dimension(few) == 5
    agree(many, truth)


def test_too_many_coordinates_are_refused_with_bytes_and_a_way_out():
    instance = drawn((40, 40), 30, 0.5)
    for solver in (count_by_supersets, first_by_supersets):
        with pytest.raises(ValueError, match=r"at most 26 .* not 30, .* 1\.72e\+10 bytes; count_orthogonal"):
            solver(instance)
    small = drawn((40, 40), 10, 0.5)
    with pytest.raises(ValueError, match="at most 9 "):
        count_by_supersets(small, max_dimension=9)


def test_predictions_grow_with_the_work():
    seconds = [predicted_seconds(drawn((n, n, n), 10, 0.5)) for n in (10, 100, 1000)]
    assert 0 < seconds[0] < seconds[1] < seconds[2]
    assert predicted_seconds(drawn((512,) * 5, 10, 0.5)) > 600


def _seeds(count):
    """Seeds, of which a tenth belong to the ordinary run."""
    return [pytest.param(seed, marks=[pytest.mark.full] if seed % 10 else []) for seed in range(count)]


@pytest.mark.parametrize("seed", _seeds(600))
def test_every_solver_agrees_with_the_definition_in_a_sweep(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, size=rng.integers(2, 6))
    while math.prod(sizes) > 3000:
        sizes = np.maximum(1, sizes - 1)
    family = FAMILIES[rng.integers(3)]
    agree(family([int(n) for n in sizes], int(rng.integers(1, 150)), float(rng.uniform(0, 1)), rng=rng))
