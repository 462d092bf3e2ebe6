"""The audit sets claim beside measurement, and truth beside both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cubicwall.instances.answer import No, Undecided, Yes
from cubicwall.instances.cnf import CNF
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions import trace as tracing
from cubicwall.reductions.solving import UndecidedError, count, solve
from cubicwall.verification import truth
from cubicwall.verification.audit import audit, breaches

FORMULA = CNF.from_clauses([[1, 2, 3], [-1, 4], [-2, -4], [5]])


def test_every_measure_of_every_hop_is_audited_and_holds() -> None:
    findings = audit(solve(FORMULA).trace)
    seen = {(f.arrow, f.measure): f for f in findings}
    assert {m for a, m in seen if a == "split_and_list"} == {"calls", "N", "tuples", "m"}
    assert {m for a, m in seen if a == "signed_encoding"} == {"calls", "n", "tuples", "d", "B", "eps"}
    assert all(f.holds for f in findings)
    assert seen["signed_encoding", "d"].relation == "="
    assert seen["signed_encoding", "eps"].measured == 0.17


def test_unpruned_lists_meet_their_claims_exactly() -> None:
    from cubicwall.reductions.arrows import find_path
    from cubicwall.verification.oracles import named_oracle

    path = find_path("direct", CNF, order=3, prune=False)
    _, trace = path.run(FORMULA, named_oracle("exact"))
    findings = [f for f in audit(trace) if f.arrow == "split_and_list"]
    assert {f.measure: (f.relation, f.claimed == f.measured) for f in findings if f.measure != "calls"} == {
        "N": ("=", True),
        "tuples": ("=", True),
        "m": ("=", True),
    }


def test_measured_above_claimed_is_an_error_whatever_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tracing.Hop.enter

    def modest(hop: tracing.Hop, claim: Any) -> tracing.Visit:
        return honest(hop, replace(claim, calls=1)) if hop.arrow == "signed_encoding" else honest(hop, claim)

    monkeypatch.setattr(tracing.Hop, "enter", modest)
    solution = solve(FORMULA)
    assert isinstance(solution.answer, Yes)
    assert len(breaches(solution.trace)) == 1
    assert [f.measure for f in audit(solution.trace) if not f.holds] == ["calls"]


def test_a_source_that_needs_no_call_has_nothing_to_break() -> None:
    solution = solve(CNF.from_clauses([[], [1]], variables=4))
    assert solution.answer == No()
    assert breaches(solution.trace) == []


def test_count_raises_where_the_oracle_gives_up() -> None:
    with pytest.raises(UndecidedError, match="tired"):
        count(FORMULA, oracle=lambda target: Undecided("tired"))
    assert solve(FORMULA, oracle=lambda target: Undecided("tired")).answer == Undecided("tired")


def test_truth_decides_and_counts_formulas_and_vectors() -> None:
    assert isinstance(truth.decide(FORMULA), Yes)
    assert truth.count(FORMULA) == count(FORMULA)
    vectors = OrthogonalVectors([np.ones((2, 1), dtype=int)] * 3)
    assert truth.decide(vectors) == No()
    assert truth.count(vectors) == 0 == count(vectors)
