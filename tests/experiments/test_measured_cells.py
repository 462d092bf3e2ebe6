"""The cells that run algorithms: numerical ranks, plans, both sides on the same instances, times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cubicwall.experiments import scaling
from cubicwall.experiments.cells import KINDS, evaluate, expected_seconds
from cubicwall.experiments.exponents import rank_exponent
from cubicwall.experiments.exponents_measured import algorithm_rank, random_tokens
from cubicwall.experiments.findings import crossovers, verdict, window_is_shut
from cubicwall.experiments.matrix_ranks import matrix_rank, numerical_rank
from cubicwall.experiments.scaling import fitted_exponent
from cubicwall.experiments.store import Outcome, Row
from cubicwall.experiments.threshold import cells
from cubicwall.experiments.window import easy_line, easy_source, window


def dense_rank(query: np.ndarray, keys: list[np.ndarray], scale: float, tail: float) -> int:
    letters = "abcd"[: len(keys)]
    logits = scale * np.einsum(f"il,{','.join(x + 'l' for x in letters)}->i{letters}", query, *keys)
    logits = logits.reshape(len(query), -1)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    values = np.linalg.svd(weights / weights.sum(axis=1, keepdims=True), compute_uv=False)
    squares = values**2
    return next(r for r in range(1, len(values) + 1) if squares[r:].sum() <= tail**2 * squares.sum())


@pytest.mark.parametrize(("order", "n"), [(2, 40), (3, 24), (4, 8)])
@pytest.mark.parametrize("b", [0.3, 1.0, 2.0])
def test_numerical_ranks_agree_with_a_dense_decomposition(order: int, n: int, b: float) -> None:
    query, keys, _ = random_tokens(order, 2.0, n, b, "uniform", 5)
    expected = dense_rank(query, keys, 1 / query.shape[1], 1 / n)
    assert numerical_rank(query, keys, 1 / query.shape[1], 1 / n) == expected


@pytest.mark.parametrize(
    ("b", "rank"),
    [
        (1.0, 85),
        *(
            pytest.param(*pair, marks=pytest.mark.full)
            for pair in ((0.2, 1), (0.6, 16), (1.2, 188), (1.5, 248))
        ),
    ],
)
def test_numerical_ranks_agree_with_the_list_of_the_mathematics(b: float, rank: int) -> None:
    # listed for one draw; another draw moves them by some hundredths
    found = matrix_rank(order=3, n=256, b=b, entries="uniform", seed=1).result
    assert found["dimension"] == 6
    assert found["rank"] == pytest.approx(rank, rel=0.12, abs=1)


@pytest.mark.parametrize("entries", ["direct", "gap"])
def test_hard_instances_keep_the_entry_bound_asked_for(entries: str) -> None:
    found = matrix_rank(order=3, n=16, b=1.5, entries=entries, seed=1).result
    assert found["entry_bound"] == pytest.approx(1.5 * math.log(16) ** (1 / 3))
    assert 1 <= found["rank"] <= 17


def test_unknown_entries_are_refused() -> None:
    with pytest.raises(ValueError, match="'entries'"):
        matrix_rank(order=3, n=8, b=1.0, entries="odd", seed=1)
    with pytest.raises(ValueError, match="'entries'"):
        random_tokens(3, 1.0, 8, 1.0, "odd", 1)


@pytest.mark.parametrize("b", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("order", [2, 3])
def test_the_algorithm_never_takes_more_than_the_formula(order: int, b: float) -> None:
    found = algorithm_rank(order=order, c=1.0, n=256, b=b, entries="signs", seed=1).result
    exponent, degree, dimension = rank_exponent(b, math.log(256), order=order)
    assert found["dimension"] == dimension
    assert found["degree"] <= degree + 1  # the certificate rounds its interval outward by up to 3%
    assert found["exponent"] <= exponent + math.log((dimension + degree + 1) / (degree + 1)) / math.log(256)


def as_row(configuration: dict[str, object], outcome: Outcome) -> Row:
    return Row("", configuration, outcome, "0")


@pytest.mark.parametrize("c", [5.0, 8.0])
def test_right_of_the_easy_line_the_window_is_shut(c: float) -> None:
    made = {"order": 3, "c": c, "n": 64, "epsilon": 0.17, "seed": 1}
    outcome = window(**made)  # type: ignore[arg-type]
    assert outcome.result["c"] > easy_line(3)
    assert outcome.result["factor"] > 1.2
    rows = [as_row({"kind": "window", **made}, outcome)]
    assert window_is_shut(rows)
    assert verdict(rows).rows[0][3] == "hard"


def test_left_of_the_easy_line_it_may_be_open() -> None:
    # 2^12 monomials of 0/1 columns are fewer than 64² = n^{k−1}
    found = window(order=3, c=2.9, n=65, epsilon=0.17, seed=1).result
    assert found["c"] < easy_line(3)
    assert found["factor"] < 1.0


@pytest.mark.parametrize("c", [1.0, 2.0])
def test_superset_counts_and_brute_force_agree(c: float) -> None:
    found = easy_source(order=3, c=c, size=48, seed=3)
    assert found.result["count"] > 0
    assert found.measured["supersets"] > 0.0


def test_fitted_exponents_find_a_planted_slope_and_hold_it_in_their_interval() -> None:
    rng = np.random.default_rng(4)
    sizes = [2.0**i for i in range(6, 14)]
    # the least of 30 repetitions with noise above 1 is within 1% of the truth, for a slope within 1%
    samples = [(1e-9 * n**2.5 * (1 + rng.exponential(0.05, 30))).tolist() for n in sizes]
    slope, low, high = fitted_exponent(sizes, samples, rng)
    assert slope == pytest.approx(2.5, abs=0.01)
    assert low <= slope <= high + 1e-12
    assert high - low < 0.05
    with pytest.raises(ValueError, match="'sizes'"):
        fitted_exponent([8.0, 8.0], [[1.0], [1.0]], rng)


def test_operations_are_counted_as_the_algorithms_work() -> None:
    fast = scaling.times(order=3, c=1.0, n=64, b=0.5, method="fast", seed=1, repetitions=2)
    exact = scaling.times(order=3, c=1.0, n=64, b=0.5, method="exact", seed=1, repetitions=2)
    d = fast.result["dimension"]
    assert fast.result["operations"] == 3 * 64 * fast.result["rank"] * (d + 1)
    assert exact.result["operations"] == 64**3 * 2 * d
    assert len(fast.measured["seconds"]) == len(exact.measured["seconds"]) == 2


def test_the_crossover_is_found_on_a_clock_that_obeys_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(call: object) -> float:  # exactly the rates that the prediction assumes
        cells = dict(zip(call.__code__.co_freevars, call.__closure__, strict=True))  # type: ignore[attr-defined]
        query = cells["query"].cell_contents
        n, d = query.shape
        if "n" not in cells:
            return 1e-9 * n**3 * 2 * d
        b = float(abs(query).max()) / math.log(n) ** (1 / 3)
        return 1e-10 * 3 * n * (scaling._rank(3, 1.0, n, b, 1) or 0) * (d + 1)

    monkeypatch.setattr(scaling, "_seconds", model)
    found = scaling.crossover(order=3, c=1.0, n=64, seed=1)
    assert found.measured["b"] == pytest.approx(found.measured["predicted"], abs=2 * scaling.RESOLUTION)
    assert 0.2 < found.measured["b"] < scaling.WIDEST
    table = crossovers([as_row({"kind": "crossover", "order": 3, "n": 64}, found)])
    assert table.timed
    assert table.rows[0][:3] == (3, 64, found.measured["b"])


@pytest.mark.parametrize("extent", ["small", "quick", "full"])
def test_every_planned_cell_is_of_a_known_kind_and_has_a_guess(extent: str) -> None:
    planned = cells(extent)  # type: ignore[arg-type]
    assert {cell["kind"] for cell in planned} == set(KINDS)
    assert all(expected_seconds(cell) > 0.0 for cell in planned)
    assert len({repr(sorted(cell.items())) for cell in planned}) == len(planned)


def test_orders_two_three_and_four_are_all_planned() -> None:
    planned = cells("quick")
    for kind in ("analytic ranks", "algorithm rank", "matrix rank", "decode", "critical curve"):
        assert {cell["order"] for cell in planned if cell["kind"] == kind} == {2, 3, 4}
    with pytest.raises(ValueError, match="'extent'"):
        cells("endless")  # type: ignore[arg-type]


def test_cells_are_functions_of_their_configurations() -> None:
    for kind in ("algorithm rank", "matrix rank", "decode", "window"):
        cell = min((c for c in cells("small") if c["kind"] == kind), key=expected_seconds)
        assert evaluate(cell).result == evaluate(cell).result
