"""Generators keep their promises, and the same seed gives the same bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import product

import networkx as nx
import numpy as np
import pytest
from cubicwall.instances import generate
from cubicwall.instances.cnf import CNF
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.instances.provenance import Provenance
from hypothesis import given, settings
from hypothesis import strategies as st
from pysat.solvers import Solver

KSAT = [
    generate.random_ksat,
    generate.planted_ksat,
    generate.unique_solution_ksat,
    generate.forced_unsat_ksat,
]
VECTORS = [
    generate.random_orthogonal_vectors,
    generate.planted_orthogonal_vectors,
    generate.orthogonal_free_vectors,
]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def satisfiable(formula: CNF, solver_name: str = "cadical195", *, without: tuple[int, ...] = ()) -> bool:
    with Solver(name=solver_name, bootstrap_with=formula.clauses) as solver:
        if without:
            solver.add_clause([-literal for literal in without])
        return bool(solver.solve())


def models(formula: CNF) -> list[tuple[int, ...]]:
    signs = product((1, -1), repeat=formula.variables)
    assignments = (tuple(sign * i for i, sign in enumerate(pattern, start=1)) for pattern in signs)
    return [model for model in assignments if formula.satisfied_by(model)]


def hidden_model(formula: CNF) -> tuple[int, ...]:
    return tuple(map(int, formula.comments[0].removeprefix("hidden model ").split()))


def orthogonal_tuples(instance: OrthogonalVectors) -> list[tuple[int, ...]]:
    """Look at every tuple: the slow truth."""
    return [
        indices
        for indices in product(*map(range, instance.sizes))
        if not np.logical_and.reduce(
            [vectors[i] for vectors, i in zip(instance.sets, indices, strict=True)]
        ).any()
    ]


# Random formulas


@pytest.mark.parametrize("make", KSAT)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 3), (5, 2), (9, 4), (20, 3)])
def test_clauses_have_distinct_variables_in_order(make: Callable[..., CNF], n: int, k: int) -> None:
    formula = make(n, 2 * n, width=k, rng=rng(5))
    assert formula.variables == n
    for clause in formula.clauses:
        names = [abs(literal) for literal in clause]
        assert len(names) == k
        assert names == sorted(set(names))


def test_all_clauses_are_equally_likely() -> None:
    draws = 16_000
    counts = Counter(generate.random_ksat(4, draws, width=2, rng=rng(11)).clauses)
    assert len(counts) == 24  # C(4, 2)·2^2
    expected = draws / 24
    deviation = sum((count - expected) ** 2 / expected for count in counts.values())
    assert deviation < 49.7  # the 0.999 quantile of chi-squared with 23 degrees of freedom


def test_planted_clauses_are_equally_likely_among_those_the_model_satisfies() -> None:
    draws = 18_000
    formula = generate.planted_ksat(4, draws, width=2, rng=rng(12))
    counts = Counter(formula.clauses)
    assert len(counts) == 18  # C(4, 2)·(2^2 − 1)
    expected = draws / 18
    deviation = sum((count - expected) ** 2 / expected for count in counts.values())
    assert deviation < 40.8  # the 0.999 quantile of chi-squared with 17 degrees of freedom


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 60), st.integers(0, 2**32))
def test_the_hidden_model_satisfies_a_planted_formula(n: int, k: int, m: int, seed: int) -> None:
    formula = generate.planted_ksat(max(n, k), m, width=k, rng=rng(seed))
    assert formula.size.clauses == m
    assert formula.satisfied_by(hidden_model(formula))


@pytest.mark.parametrize("n", range(3, 37))
def test_a_unique_solution_formula_has_its_hidden_model_and_no_other(n: int) -> None:
    formula = generate.unique_solution_ksat(n, ratio=(0, 3, 4.26)[n % 3], rng=rng(n))
    hidden = hidden_model(formula)
    assert formula.satisfied_by(hidden)
    for solver_name in ("cadical195", "glucose4"):
        assert satisfiable(formula, solver_name)
        assert not satisfiable(formula, solver_name, without=hidden)
    if n <= 10:
        assert models(formula) == [hidden]


@pytest.mark.parametrize("n", range(3, 37, 3))
def test_a_forced_unsat_formula_is_unsatisfiable_but_not_without_its_last_clause(n: int) -> None:
    formula = generate.forced_unsat_ksat(n, ratio=(0, 3)[n % 2], rng=rng(n))
    for solver_name in ("cadical195", "glucose4"):
        assert not satisfiable(formula, solver_name)
        assert satisfiable(CNF(n, formula.clauses[:-1]), solver_name)
    assert n > 10 or models(formula) == []


def test_clauses_and_ratio_agree() -> None:
    by_ratio = generate.random_ksat(30, ratio=4.26, rng=rng(1), seed=1)
    by_number = generate.random_ksat(30, 128, rng=rng(1), seed=1)
    assert by_ratio == by_number
    assert by_ratio.provenance == Provenance("random_ksat(variables=30, clauses=128, width=3)", 1)


REFUSED_KSAT = [
    ({"variables": 2, "clauses": 1}, "Argument 'variables' must be an integer in 3..2147483647, not 2."),
    ({"variables": 5, "clauses": -1}, "Argument 'clauses' must be an integer of at least 0, not -1."),
    ({"variables": 5, "clauses": 1.5}, "Argument 'clauses' must be an integer of at least 0, not 1.5."),
    (
        {"variables": True, "clauses": 1},
        "Argument 'variables' must be an integer in 3..2147483647, not True.",
    ),
    ({"variables": 5, "clauses": 1, "width": 0}, "Argument 'width' must be an integer of at least 1, not 0."),
    ({"variables": 5, "ratio": -1.0}, "Argument 'ratio' must be a finite number of at least 0, not -1.0."),
    ({"variables": 5, "ratio": np.nan}, "Argument 'ratio' must be a finite number of at least 0, not nan."),
    ({"variables": 5, "ratio": True}, "Argument 'ratio' must be a finite number of at least 0, not True."),
    (
        {"variables": 5},
        "Either argument 'clauses' or argument 'ratio' must be given, not clauses=None with ratio=None.",
    ),
    (
        {"variables": 5, "clauses": 1, "ratio": 1.0},
        "Either argument 'clauses' or argument 'ratio' must be given, not clauses=1 with ratio=1.0.",
    ),
]


@pytest.mark.parametrize("make", KSAT)
@pytest.mark.parametrize(("arguments", "message"), REFUSED_KSAT)
def test_random_formulas_refuse_by_name(
    make: Callable[..., CNF], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**arguments, rng=rng(0))
    assert str(caught.value) == message


# Structured formulas


@pytest.mark.parametrize(
    "formula",
    [
        *map(generate.pigeonhole, range(1, 6)),
        *map(generate.parity, range(1, 4)),
        *map(generate.ordering, range(2, 7)),
        *map(generate.chessboard, range(2, 4)),
        *map(generate.complete_cnf, range(7)),
    ],
    ids=lambda formula: formula.provenance.maker,
)
def test_principles_are_unsatisfiable_for_two_solvers(formula: CNF) -> None:
    assert not satisfiable(formula, "cadical195")
    assert not satisfiable(formula, "minisat22")


def test_one_pigeon_less_fits() -> None:
    formula = generate.pigeonhole(3)
    others = tuple(clause for clause in formula.clauses if clause != (10, 11, 12))
    assert len(others) == len(formula.clauses) - 1
    assert satisfiable(CNF(12, others))


@pytest.mark.parametrize("width", range(6))
def test_every_assignment_falsifies_exactly_one_clause_of_the_complete_formula(width: int) -> None:
    formula = generate.complete_cnf(width)
    assert len(set(formula.clauses)) == 2**width
    for signs in product((1, -1), repeat=width):
        model = {sign * i for i, sign in enumerate(signs, start=1)}
        assert sum(model.isdisjoint(clause) for clause in formula.clauses) == 1


def small_graphs() -> st.SearchStrategy[nx.Graph]:
    def build(vertices: int, edges: list[tuple[int, int]]) -> nx.Graph:
        graph = nx.empty_graph(vertices)
        graph.add_edges_from((a % vertices, b % vertices) for a, b in edges if a % vertices != b % vertices)
        return graph

    pairs = st.tuples(st.integers(0, 5), st.integers(0, 5))
    return st.builds(build, st.integers(1, 6), st.lists(pairs, max_size=9))


@given(small_graphs(), st.lists(st.integers(0, 1), min_size=6, max_size=6))
@settings(deadline=None)
def test_tseitin_models_are_the_edge_sets_with_the_charged_degrees(graph: nx.Graph, bits: list[int]) -> None:
    charges = dict(zip(graph.nodes, bits, strict=False))
    found = models(generate.tseitin(graph, list(charges.values())))
    edges = sorted(tuple(sorted(edge)) for edge in graph.edges)
    for model in found:
        chosen = nx.Graph([edge for edge, literal in zip(edges, model, strict=True) if literal > 0])
        degree = dict(chosen.degree)
        assert all(degree.get(vertex, 0) % 2 == charges[vertex] for vertex in graph)
    components = list(nx.connected_components(graph))
    even = all(sum(charges[vertex] for vertex in component) % 2 == 0 for component in components)
    assert len(found) == even * 2 ** (len(edges) - len(graph) + len(components))


@given(small_graphs().filter(lambda graph: len(graph) <= 4), st.integers(1, 3))
@settings(deadline=None)
def test_colouring_models_are_the_proper_colourings(graph: nx.Graph, colours: int) -> None:
    proper = sum(
        all(choice[a] != choice[b] for a, b in graph.edges)
        for choice in product(range(colours), repeat=len(graph))
    )
    assert len(models(generate.colouring(graph, colours))) == proper


def test_a_graph_gives_the_same_formula_whatever_the_order_of_its_edges() -> None:
    graph, again = nx.empty_graph(4), nx.empty_graph(4)
    graph.add_edges_from([(0, 1), (1, 2), (2, 3)])
    again.add_edges_from([(3, 2), (1, 0), (2, 1)])
    assert generate.tseitin(graph, [1, 0, 0, 0]) == generate.tseitin(again, [1, 0, 0, 0])
    assert generate.colouring(graph, 2) == generate.colouring(again, 2)


def test_an_isolated_charged_vertex_gives_an_empty_clause() -> None:
    assert generate.tseitin(nx.empty_graph(1), [1]).clauses == ((),)
    assert generate.tseitin(nx.empty_graph(1), [0]).clauses == ()


LOOP, EDGE, STAR = nx.Graph([(1, 1)]), nx.path_graph(2), nx.star_graph(21)

REFUSED_FAMILIES = [
    (generate.pigeonhole, (0,), "Argument 'holes' must be an integer of at least 1, not 0."),
    (generate.parity, (0,), "Argument 'pairs' must be an integer of at least 1, not 0."),
    (generate.ordering, (1,), "Argument 'elements' must be an integer of at least 2, not 1."),
    (generate.chessboard, (1,), "Argument 'half' must be an integer of at least 2, not 1."),
    (generate.complete_cnf, (21,), "Argument 'width' must be an integer in 0..20, not 21."),
    (generate.complete_cnf, (2.0,), "Argument 'width' must be an integer in 0..20, not 2.0."),
    (generate.colouring, (EDGE, 0), "Argument 'colours' must be an integer of at least 1, not 0."),
    (generate.colouring, (LOOP, 2), "Argument 'graph' must have no loops, not one at vertex 0."),
    (
        generate.colouring,
        (nx.DiGraph(), 2),
        "Argument 'graph' must be an undirected simple graph, not DiGraph.",
    ),
    (
        generate.tseitin,
        (nx.MultiGraph(), []),
        "Argument 'graph' must be an undirected simple graph, not MultiGraph.",
    ),
    (generate.tseitin, (EDGE, [1]), "Argument 'charges' must hold 2 charges, not 1."),
    (generate.tseitin, (EDGE, [1, 2]), "Argument 'charges' must be an integer in 0..1, not 2."),
    (
        generate.tseitin,
        (STAR, [0] * 22),
        "Argument 'graph' must have degrees of at most 20, not 21: one vertex would take 2^20 clauses.",
    ),
]


@pytest.mark.parametrize(("make", "arguments", "message"), REFUSED_FAMILIES)
def test_structured_families_refuse_by_name(
    make: Callable[..., CNF], arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(*arguments)
    assert str(caught.value) == message


# Orthogonal vectors

SIZES = st.lists(st.integers(1, 5), min_size=2, max_size=4)


@pytest.mark.parametrize("make", VECTORS)
@given(sizes=SIZES, m=st.integers(1, 9), density=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_vectors_have_the_sizes_and_dimension_asked(
    make: Callable[..., OrthogonalVectors], sizes: list[int], m: int, density: float, seed: int
) -> None:
    instance = make(sizes, m, density, rng=rng(seed), seed=seed)
    assert (instance.sizes, instance.dimension) == (tuple(sizes), m)
    assert instance.provenance.seed == seed
    assert instance.provenance.maker.startswith(f"{make.__name__}(sizes={tuple(sizes)}, ")


@given(SIZES, st.integers(0, 9), st.floats(0, 1), st.integers(0, 2**32))
def test_a_planted_instance_has_an_orthogonal_tuple(
    sizes: list[int], m: int, density: float, seed: int
) -> None:
    assert orthogonal_tuples(generate.planted_orthogonal_vectors(sizes, m, density, rng=rng(seed)))


@given(SIZES, st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**32))
def test_an_orthogonal_free_instance_has_none(sizes: list[int], m: int, density: float, seed: int) -> None:
    assert not orthogonal_tuples(generate.orthogonal_free_vectors(sizes, m, density, rng=rng(seed)))


def test_the_planted_tuple_stands_anywhere_and_clears_any_set() -> None:
    places: Counter[tuple[int, ...]] = Counter()
    cleared: Counter[int] = Counter()
    for seed in range(60):
        instance = generate.planted_orthogonal_vectors((3, 2), 24, 1.0, rng=rng(seed))
        (place,) = orthogonal_tuples(instance)
        places[place] += 1
        cleared.update({g: int((vectors == 0).sum()) for g, vectors in enumerate(instance.sets)})
    assert set(places) == set(product(range(3), range(2)))
    assert min(cleared.values()) > 720 - 5 * 19  # fair coins for 60·24 bits: five standard deviations


def test_an_orthogonal_free_instance_has_no_coordinate_that_decides_alone() -> None:
    for seed in range(20):
        instance = generate.orthogonal_free_vectors((12, 12, 12), 24, 0.4, rng=rng(seed))
        untouched = generate.random_orthogonal_vectors((12, 12, 12), 24, 0.4, rng=rng(seed))
        assert orthogonal_tuples(untouched)
        assert not np.logical_and.reduce([vectors.all(axis=0) for vectors in instance.sets]).any()


def test_density_is_the_share_of_ones() -> None:
    instance = generate.random_orthogonal_vectors((200, 300), 40, 0.3, rng=rng(1))
    ones = sum(int(vectors.sum()) for vectors in instance.sets)
    assert abs(ones - 6000) < 5 * (20_000 * 0.3 * 0.7) ** 0.5  # five standard deviations


@pytest.mark.parametrize("make", VECTORS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3,), 4, 0.5), "Argument 'sizes' must hold at least two sizes, not 1."),
        (((3, 0), 4, 0.5), "Argument 'sizes' must be an integer of at least 1, not 0."),
        (((3, 3), -1, 0.5), r"Argument 'dimension' must be an integer of at least [01], not -1\."),
        (((3, 3), 4, 1.5), r"Argument 'density' must be a number in \[0, 1\], not 1.5."),
        (((3, 3), 4, "half"), r"Argument 'density' must be a number in \[0, 1\], not 'half'."),
    ],
)
def test_vector_generators_refuse_by_name(
    make: Callable[..., OrthogonalVectors], arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make(*arguments, rng=rng(0))


def test_dimension_zero_cannot_be_free_of_orthogonal_tuples() -> None:
    with pytest.raises(ValueError, match="Argument 'dimension' must be an integer of at least 1, not 0"):
        generate.orthogonal_free_vectors((2, 2), 0, 0.5, rng=rng(0))


# All of them


@pytest.mark.parametrize("make", [*KSAT, *VECTORS])
def test_a_seed_is_no_generator(make: Callable[..., object]) -> None:
    arguments = (5, 9) if make in KSAT else ((2, 2), 4, 0.5)
    with pytest.raises(TypeError, match=r"Argument 'rng' must be a numpy.random.Generator"):
        make(*arguments, rng=7)


GOLDEN = {
    "random_ksat": "b2c4ba1b07ee72d909fed31a1fdb173766500c39db153d8e5c53357c03e009ba",
    "planted_ksat": "47d36b2886da158797d989aebf74ceeb1f6820d2b30d3b6035b5d2547c1b2fb7",
    "unique_solution_ksat": "aae2159cca7245b5133162a639ebf5970d234376d309ddf90c568b25b21e3103",
    "forced_unsat_ksat": "6aa917f811d94ef23779977550cd628412d10800d0f8a86d594cbac78813877d",
    "random_orthogonal_vectors": "9d954d4adc04d6b8b093847520a2888784c8bd77c2dfef3736b2108400f82064",
    "planted_orthogonal_vectors": "89a4aa3a70899b881de94c0dda5762376b6307cef8ee756b7c16c5e2f8fbd72e",
    "orthogonal_free_vectors": "a4ad5070d93a0024b4542aad66e199eb5bf11704492258b31d2fcde7db50e1da",
}


def content(name: str) -> bytes:
    if name in {make.__name__ for make in VECTORS}:
        instance = getattr(generate, name)((7, 5, 6), 12, 0.35, rng=rng(2026))
        return b"".join(vectors.tobytes() for vectors in instance.sets)
    formula = getattr(generate, name)(20, ratio=3.7, rng=rng(2026), seed=2026)
    return formula.to_dimacs().encode().partition(b"\n")[2]  # without the version


@pytest.mark.parametrize("name", [make.__name__ for make in (*KSAT, *VECTORS)])
def test_the_same_seed_gives_the_same_bytes_everywhere(name: str) -> None:
    assert hashlib.sha256(content(name)).hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("solver_name", ["glucose4", "cadical153", "lingeling"])
def test_the_choice_of_solver_does_not_show_in_the_formula(
    monkeypatch: pytest.MonkeyPatch, solver_name: str
) -> None:
    import pysat.solvers

    expected = {name: content(name) for name in ("unique_solution_ksat", "forced_unsat_ksat")}
    asked = []

    def other(*, name: str, bootstrap_with: list[list[int]]) -> Solver:
        asked.append(name)
        return Solver(name=solver_name, bootstrap_with=bootstrap_with)

    monkeypatch.setattr(pysat.solvers, "Solver", other)
    assert {name: content(name) for name in expected} == expected
    assert len(asked) == 2


def test_importing_the_generators_loads_neither_networkx_nor_python_sat() -> None:
    code = (
        "import sys, cubicwall.instances.generate\n"
        "print(sorted({'networkx', 'pysat', 'numba', 'scipy'} & sys.modules.keys()))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout == "[]\n"
