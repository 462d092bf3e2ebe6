"""Attention by its gradient, both arrows: identities, quadrature, adversaries, 100 formulas, breaches."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.gradient_oracles import exact_gradient
from cubicwall.algorithms.oracles import exact
from cubicwall.algorithms.satisfiability import satisfiable
from cubicwall.algorithms.tensor_attention_training import general_loss
from cubicwall.instances.answer import No, Undecided, Yes
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.attention_gradient import AttentionGradient
from cubicwall.instances.cnf import CNF
from cubicwall.instances.generate import random_ksat
from cubicwall.reductions.arrows import find_path, paths
from cubicwall.reductions.gradient import doubled_keys, integrated_gradient
from cubicwall.reductions.quadrature import legendre, nodes_needed
from cubicwall.reductions.reduction import run
from cubicwall.reductions.solving import solve
from cubicwall.verification.audit import breaches
from cubicwall.verification.gradient_oracles import GRADIENT_STRATEGIES, adversarial_gradient
from cubicwall.verification.oracles import named_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

ARROWS = pytest.mark.parametrize("arrow", [doubled_keys, integrated_gradient])


def oracles() -> list[Any]:
    rng = np.random.default_rng(0)
    return [exact_gradient, *(adversarial_gradient(s, rng=rng) for s in GRADIENT_STRATEGIES)]


ORACLES = pytest.mark.parametrize("oracle", oracles(), ids=["exact", *GRADIENT_STRATEGIES])


def random_attention(seed: int, order: int, spread: float, accuracy: float) -> TensorAttention:
    rng = np.random.default_rng(seed)
    d, e = rng.integers(1, 4, size=2)
    sizes = rng.integers(1, 5, size=order)
    signed = [rng.uniform(-spread, spread, size=(n, d)) for n in sizes]
    values = [rng.uniform(-1, 1, size=(n, e)) for n in sizes[1:]]
    return TensorAttention(signed[0], signed[1:], values, 1 / int(d), accuracy)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    order=st.integers(2, 5),
    spread=st.sampled_from([0.0, 0.3, 1.5]),
    scale=st.sampled_from([1e-3, 0.5, 3.0]),
)
def test_one_call_returns_attention_itself_at_every_order(
    seed: int, order: int, spread: float, scale: float
) -> None:
    drawn = random_attention(seed, order, spread, 0.1)
    asked = TensorAttention(drawn.query, drawn.keys, drawn.values, scale, 0.1)
    output = run(doubled_keys(asked), exact_gradient)
    expected = attention(asked.query, asked.keys, asked.values, scale=scale)
    logits = scale * drawn.dimension * spread**order
    np.testing.assert_allclose(output, expected, atol=1e-14 * (4 + logits))


@ARROWS
@ORACLES
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), order=st.integers(2, 4), spread=st.sampled_from([0.0, 0.5, 1.5]))
def test_the_output_is_as_accurate_as_asked_under_every_adversary(
    oracle: Any, arrow: Any, seed: int, order: int, spread: float
) -> None:
    asked = random_attention(seed, order, spread, 0.01)
    expected = attention(asked.query, asked.keys, asked.values, scale=asked.scale)
    output = run(arrow(asked), oracle)
    assert np.abs(output - expected).max() <= 0.01 + 1e-12


def test_the_single_call_in_the_form_of_the_paper() -> None:
    """∂Loss/∂X[z,(z,z)] = (Z³/d) Σ_i O[i,0], for X the selector that vanishes on z and E = -1 in column 0."""
    rng, m, d, Z = np.random.default_rng(3), 3, 4, 1.5
    n, z = 2 * m + 1, d - 1
    Q, K_1, K_2 = (rng.normal(size=(n, d)) for _ in range(3))
    K_1[m : 2 * m] = K_1[:m]
    V_1, V_2, E = np.zeros((n, d)), np.zeros((n, d)), np.zeros((n, d))
    V_1[:m, 0] = V_1[m : 2 * m, 0] = rng.normal(size=m)
    V_2[:, 0] = rng.normal(size=n)
    sign = np.repeat([1.0, -1.0, 0.0], [m, m, 1])
    Q[:, z], K_1[:, z], K_2[:, z] = Z, Z * sign, Z
    X, Y = np.zeros((d, d, d)), np.zeros((d, d, d))
    X[range(z), range(z), range(z)] = 1
    Y[0, 0, 0] = 1
    E[:, 0] = -1
    inputs = [Q, K_1, K_2, V_1 * sign[:, None], V_2]
    found = general_loss(inputs, X.reshape(d, d * d), Y.reshape(d * d, d), E)
    plain = attention(Q[:, :z], [K_1[:, :z], K_2[:, :z]], [V_1[:, :1], V_2[:, :1]], scale=1 / d)
    assert found.loss == pytest.approx(n / 2, rel=1e-14)
    assert found.X[z, z * d + z] == pytest.approx(Z**3 / d * plain.sum(), rel=1e-13)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.floats(0.01, 150.0),
    error=st.sampled_from([0.1, 1e-3, 1e-6]),
)
def test_the_proven_number_of_nodes_is_enough(seed: int, width: float, error: float) -> None:
    rng = np.random.default_rng(seed)
    s = width * (rng.beta(0.3, 0.3, size=12) - 0.5)
    v = rng.integers(0, 2, size=12).astype(float)

    def average(values: Any, factor: float) -> Any:
        weights = np.exp(factor * s - (factor * s).max())
        return weights @ values / weights.sum()

    def slope(factor: float) -> float:
        return float(average(s * v, factor) - average(s, factor) * average(v, factor))

    nodes, weights = legendre(nodes_needed(width, 1.0, error))
    integral = sum(w * slope(x) for x, w in zip(nodes, weights, strict=True))
    assert abs(integral - (average(v, 1.0) - average(v, 0.0))) <= error + 1e-12 * width


def test_more_width_or_less_error_never_needs_fewer_nodes() -> None:
    widths = [nodes_needed(w, 1.0, 1e-2) for w in (0.0, 1.0, 10.0, 100.0, 1000.0)]
    errors = [nodes_needed(50.0, 1.0, e) for e in (1.0, 1e-2, 1e-4, 1e-8)]
    assert widths == sorted(widths)
    assert errors == sorted(errors)
    assert widths[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1.0, 1.0, 0.0), "'error' must be positive"), ((-1.0, 1.0, 1.0), "'logit_width' must be finite")],
)
def test_nodes_for_impossible_demands_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nodes_needed(*arguments)


def formula(number: int) -> CNF:
    rng = np.random.default_rng([4, number])
    return random_ksat(6 + number % 7, ratio=float(rng.uniform(3, 6)), rng=rng)


def quick(via: str, number: int) -> bool:
    """Say whether a formula belongs to the ordinary run: integration takes seconds from 7 variables on."""
    return number % 10 == 4 if via == "gradient" else number % 21 == 0


@pytest.mark.parametrize(
    ("via", "number"),
    [
        pytest.param(via, n, marks=() if quick(via, n) else pytest.mark.full)
        for via in ("gradient", "gradient-integral")
        for n in range(100)
    ],
)
def test_gradients_alone_decide_random_formulas_under_every_adversary(via: str, number: int) -> None:
    cnf = formula(number)
    expected = satisfiable(cnf)
    # Integration takes hundreds of calls: its worst adversaries, those that add up, stand for the others.
    chosen = ("toward", "signs") if via == "gradient" else ("along", "against")
    rng = np.random.default_rng(number)
    for oracle in (exact, *(adversarial_gradient(s, rng=rng) for s in chosen)):
        solution = solve(cnf, via=via, oracle=oracle)
        assert type(solution.answer) is type(expected)
        if isinstance(solution.answer, Yes):
            assert cnf.accepts(solution.answer.witness)
        assert breaches(solution.trace) == []


@pytest.mark.parametrize("strategy", ["toward", "signs"])
def test_gradients_alone_decide_through_the_gap_too(strategy: str) -> None:
    answers = set()
    for number in (0, 7, 14, 21):  # six variables
        cnf = formula(number)
        oracle = adversarial_gradient(strategy, rng=np.random.default_rng(number))
        solution = solve(cnf, via="gap-gradient", oracle=oracle)
        assert type(solution.answer) is type(satisfiable(cnf))
        assert breaches(solution.trace) == []
        answers.add(type(solution.answer))
    assert answers == {Yes, No}


def test_both_answers_are_among_the_hundred_formulas() -> None:
    answers = [type(satisfiable(formula(n))) for n in range(100)]
    assert answers.count(Yes) >= 25
    assert answers.count(No) >= 25


def test_far_fewer_nodes_than_proven_break_the_decision() -> None:
    unsatisfiable = [cnf for cnf in map(formula, range(5, 100, 7)) if isinstance(satisfiable(cnf), No)]
    via = "split_and_list,signed_encoding,integrated_gradient"
    path = find_path(via, CNF, order=3, nodes=2)
    answers = [path.run(cnf, exact)[0] for cnf in unsatisfiable]
    assert any(answer != No() for answer in answers)
    assert all(solve(cnf, via="gradient-integral").answer == No() for cnf in unsatisfiable[:2])


def test_the_named_oracles_of_the_command_line_answer_gradients_too() -> None:
    cnf = CNF.from_clauses([[1, 2], [-1, 3], [-2, -3], [1, -3]])
    for name in ("exact", "adversarial", "adversarial:signs", "adversarial:one"):
        assert isinstance(solve(cnf, via="gradient", oracle=named_oracle(name)).answer, Yes)


def test_the_graph_leads_from_sat_to_the_gradient_by_both_arrows() -> None:
    found = set(paths("CNF", "AttentionGradient"))
    assert ("split_and_list", "signed_encoding", "doubled_keys") in found
    assert ("split_and_list", "signed_encoding", "integrated_gradient") in found


def test_counting_by_gradients_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'gradient' decides only"):
        find_path("gradient", CNF, counting=True)


WRONG = {
    "NaN": lambda g: np.full_like(g, np.nan),
    "wrong shape": lambda g: g[:, :1],
    "integers": lambda g: np.ones(g.shape, dtype=int),
    "nothing": lambda g: None,
}


@ARROWS
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_broken_promise_that_shows_is_a_breach(arrow: Any, wrong: Any) -> None:
    asked = TensorAttention([[1.0, 0.5]], [[[1.0, 0.0], [2.0, 1.0]]], [[[1.0], [0.5]]], 0.5, 0.1)
    answer = run(arrow(asked), lambda instance: wrong(exact_gradient(instance)))
    assert isinstance(answer, Undecided)
    assert answer.breach


@ARROWS
def test_an_oracle_may_give_up(arrow: Any) -> None:
    asked = TensorAttention([[1.0]], [[[1.0], [2.0]]], [[[1.0], [0.5]]], 1.0, 0.1)
    assert run(arrow(asked), lambda instance: Undecided("too hard")) == Undecided("too hard")


@pytest.mark.parametrize(
    ("scale", "value", "message"), [(2.0, 1.0, "scale of at most 1/d"), (1.0, 2.0, "products of values")]
)
def test_integration_refuses_what_its_claim_does_not_cover(scale: float, value: float, message: str) -> None:
    asked = TensorAttention([[1.0]], [[[1.0], [2.0]]], [[[1.0], [value]]], scale, 0.1)
    with pytest.raises(ValueError, match=message):
        run(integrated_gradient(asked), exact_gradient)


def test_integration_of_vanishing_logits_needs_no_call() -> None:
    asked = TensorAttention([[0.0]], [[[0.0], [0.0]]], [[[1.0], [0.5]]], 1.0, 0.1)
    assert run(integrated_gradient(asked), lambda instance: 1 / 0).tolist() == [[0.75]]


def test_the_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        adversarial_gradient("sideways", rng=np.random.default_rng(0))


def test_instances_ask_as_many_products_as_claimed() -> None:
    asked = random_attention(1, 3, 1.0, 0.1)
    target = next(doubled_keys(asked))
    assert isinstance(target, AttentionGradient)
    assert target.size.measures()["tuples"] == 2 * asked.columns * prod(asked.tokens)
