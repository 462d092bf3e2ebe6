"""The whole hard side: CNF, sparse CNF, k-OV, gap k-MaxIP, attention; against a solver and adversaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.oracles import exact
from cubicwall.algorithms.satisfiability import satisfiable
from cubicwall.algorithms.vectors import first_orthogonal
from cubicwall.instances.answer import No, Yes
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.cnf import CNF
from cubicwall.instances.families import complete_cnf, parity, pigeonhole
from cubicwall.instances.generate import forced_unsat_ksat, random_ksat
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.instances.vector_families import orthogonal_free_vectors, planted_orthogonal_vectors
from cubicwall.reductions.arrows import find_path, paths
from cubicwall.reductions.schemes import Scheme, choose_scheme
from cubicwall.verification.audit import audit, breaches
from cubicwall.verification.oracles import STRATEGIES, adversarial

FORMULAS = 200
ROUTES = ["gap", "gap-complement"]
Oracle = Callable[[TensorAttention], Any]


def formula(number: int) -> tuple[CNF, int]:
    """Return formula `number` and the order at which it is reduced.

    The number of messages grows like m^(k-1), so those of order 4 are shorter.
    """
    rng = np.random.default_rng([6, number])
    order = 2 + number % 3
    variables, ratio = int(rng.integers(6, 9 if order == 4 else 13)), float(rng.uniform(2, 4))
    if number % 2:
        return random_ksat(variables, ratio=ratio, rng=rng), order
    return forced_unsat_ksat(variables, ratio=ratio + (order < 4) * 2, rng=rng), order


def shared_truth() -> Oracle:
    """Exact attention that remembers: all adversaries err around the same truth."""
    known: dict[str, Any] = {}

    def truth(instance: TensorAttention) -> Any:
        if instance.sha256 not in known:
            known[instance.sha256] = exact(instance)
        return known[instance.sha256]

    return truth


def check(source: CNF | OrthogonalVectors, via: str, strategies: list[str], **options: Any) -> Any:
    decide: Any = satisfiable if isinstance(source, CNF) else first_orthogonal
    expected = decide(source)
    truth = shared_truth()
    rng = np.random.default_rng(0)
    path = find_path(via, type(source), **options)
    for oracle in (truth, *(adversarial(s, rng=rng, truth=truth) for s in strategies)):
        answer, trace = path.run(source, oracle)
        assert type(answer) is type(expected)
        assert breaches(trace) == []
        assert all(finding.holds for finding in audit(trace))
        if isinstance(answer, Yes):
            assert source.accepts(answer.witness)
        else:
            proofs = next(hop for hop in trace if hop.arrow == "distributed_pcp")
            assert proofs.most_calls in (0, proofs.claimed_calls)  # all messages; none where a set is empty
    return trace


@pytest.mark.parametrize(
    "number", [n if n % 10 == 3 else pytest.param(n, marks=pytest.mark.full) for n in range(FORMULAS)]
)
def test_random_formulas_agree_with_the_solver_under_adversaries(number: int) -> None:
    cnf, order = formula(number)
    check(cnf, ROUTES[number // 3 % 2], ["toward", "signs"], order=order)


@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("order", [2, 3, 4])
def test_small_formulas_of_both_kinds_agree_in_every_order(via: str, order: int) -> None:
    rng = np.random.default_rng(order)
    strategies = ["toward"] if order == 4 else list(STRATEGIES)
    for cnf in (random_ksat(4, 8, rng=rng), forced_unsat_ksat(4, 12, rng=rng)):
        check(cnf, via, strategies, order=order)


STRUCTURED = {
    "complete 3": complete_cnf(3),
    "complete 2": complete_cnf(2),
    "pigeonhole 2": pigeonhole(2),
    "pigeonhole 3": pigeonhole(3),
    "parity 2": parity(2),
    "empty clause": CNF(2, ((),)),
    "no variables": CNF(0, ()),
    "no clauses": CNF(3, ()),
}


@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("prune", [True, False])
@pytest.mark.parametrize("name", [name for name in STRUCTURED if name not in ("pigeonhole 3", "parity 2")])
def test_structured_and_degenerate_formulas_go_through(name: str, via: str, order: int, prune: bool) -> None:
    check(STRUCTURED[name], via, ["toward"], order=order, prune=prune)


@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("order", [2, 3, pytest.param(4, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", ["pigeonhole 3", "parity 2"])
def test_larger_structured_formulas_go_through(name: str, via: str, order: int) -> None:
    check(STRUCTURED[name], via, [], order=order)


def test_small_thresholds_make_the_whole_chain_branch() -> None:
    cnf = forced_unsat_ksat(6, 40, rng=np.random.default_rng(2))
    trace = check(cnf, "gap", ["toward"], order=2, thresholds=[3, 4])
    assert trace[0].most_calls > 1
    assert trace[1].sources == trace[0].calls


@pytest.mark.parametrize(("field", "rows", "columns", "messages"), [(3, 2, 2, 3), (5, 2, 3, 25)])
@pytest.mark.parametrize("via", ROUTES)
@pytest.mark.parametrize("count", [300, pytest.param(4096, marks=pytest.mark.full)])
@pytest.mark.parametrize("make", [planted_orthogonal_vectors, orthogonal_free_vectors])
def test_the_genuine_regime_runs_on_repeated_low_dimensional_vectors(
    make: Any, count: int, via: str, field: int, rows: int, columns: int, messages: int
) -> None:
    rng = np.random.default_rng(count)
    vectors = make([count, count], rows * columns, 0.8, rng=rng)
    scheme = choose_scheme(vectors.size, field=field, rows=rows, columns=columns)
    assert scheme.genuine(vectors.sizes)
    assert scheme.messages == messages
    trace = check(vectors, via, ["toward"], field=field, rows=rows, columns=columns)
    assert trace[0].measured["D"] <= scheme.dimension < scheme.code.length * count


@pytest.mark.full
def test_the_widest_genuine_code_of_order_two_runs_at_4096() -> None:
    vectors = orthogonal_free_vectors([4096, 4096], 12, 0.7, rng=np.random.default_rng(1))
    scheme = choose_scheme(vectors.size)
    assert scheme == Scheme(2, 4, scheme.code)
    assert scheme.genuine(vectors.sizes)
    check(vectors, "gap", [])


@pytest.mark.parametrize("order", [3, 4])
def test_the_genuine_regime_runs_in_higher_orders_on_few_coordinates(order: int) -> None:
    count = 60 if order == 3 else 12
    vectors = orthogonal_free_vectors([count] * order, 2, 0.9, rng=np.random.default_rng(order))
    scheme = choose_scheme(vectors.size)
    assert scheme.genuine(vectors.sizes)
    check(vectors, "gap", ["toward"])


@pytest.mark.full
def test_fifteen_variables_go_through_the_whole_chain() -> None:
    cnf = forced_unsat_ksat(15, ratio=4.26, rng=np.random.default_rng(15))
    trace = check(cnf, "gap", [], order=3)
    assert trace[-1].sources == trace[-2].claimed_calls


def test_the_chain_is_one_path_of_the_graph() -> None:
    names = ("sparsify", "split_and_list", "distributed_pcp", "threshold_encoding")
    assert find_path("gap", CNF).names == names
    assert find_path("gap", OrthogonalVectors).names == names[2:]
    found = set(paths("CNF"))
    assert {names, names[1:], (*names[:-1], "complement_encoding")} <= found
    assert all(find_path(",".join(path), CNF).names == path for path in found)


def test_counts_do_not_survive_the_gap() -> None:
    for via in ROUTES:
        with pytest.raises(
            ValueError, match=f"'via' must name arrows that keep counts; '{via}' decides only"
        ):
            find_path(via, CNF, counting=True)


def test_options_reach_the_arrow_that_takes_them() -> None:
    path = find_path("gap", CNF, order=2, columns=3, epsilon=0.25)
    assert path.options == ({"epsilon": 0.25}, {"order": 2}, {"columns": 3}, {})


def test_a_false_oracle_is_never_believed() -> None:
    cnf = complete_cnf(3)

    def boastful(instance: TensorAttention) -> Any:
        return np.column_stack([np.full(len(instance.query), 0.6), np.full(len(instance.query), 0.3)])

    answer, _ = find_path("gap", CNF).run(cnf, boastful)
    assert not isinstance(answer, Yes | No)
