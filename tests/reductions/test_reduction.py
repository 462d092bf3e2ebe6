"""The coroutine machinery: composition, failure, cleaning up, and what it refuses."""

from __future__ import annotations

import pickle
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest
from cubicwall.instances.answer import Count, No, Undecided, Yes
from cubicwall.reductions.reduction import Claim, OracleError, Reduction, chain, reduction, run
from cubicwall.reductions.trace import Hop, traced


@dataclass(frozen=True)
class Size:
    bits: int
    accuracy: float = 0.5

    def measures(self) -> dict[str, float]:
        return {"bits": self.bits, "eps": self.accuracy}


@dataclass(frozen=True)
class Number:
    """Toy problem: is there a divisor d of `value` with 1 < d < value?"""

    value: int
    accuracy: float = 0.5

    @property
    def size(self) -> Size:
        return Size(self.value.bit_length(), self.accuracy)

    def accepts(self, witness: int) -> bool:
        return 1 < witness < self.value and self.value % witness == 0


def _claim(size: Size, *, calls: int = 2, slack: int = 0) -> Claim:
    return Claim(calls=calls, target=Size(size.bits + 1 - slack), exact=frozenset({"eps"}))


@reduction(source=Number, target=Number, claim=_claim, statement="-", reference="[toy]")
def double(number: Number, *, calls: int = 2, slack: int = 0) -> Generator[Number, Any, Any]:
    """Ask about 2v, twice; its witnesses lift by halving."""
    answer = No()
    for _ in range(2):
        answer = yield Number(2 * number.value)
        if isinstance(answer, Yes):
            return answer.map(lambda w: w // 2 if w % 2 == 0 and w > 2 else w)
    return answer


def test_run_returns_what_the_coroutine_returns() -> None:
    assert run(double(Number(9)), lambda target: Yes(6)) == Yes(3)
    assert run(double(Number(9)), lambda target: No()) == No()


def test_chain_composes_like_functions() -> None:
    asked = []

    def oracle(target: Number) -> Any:
        asked.append(target.value)
        return Yes(12)

    assert run(chain(double(Number(9)), double), oracle) == Yes(3)
    assert asked == [36]


def test_a_witness_that_the_target_rejects_is_a_breach() -> None:
    answer = run(double(Number(9)), lambda target: Yes(5))
    assert isinstance(answer, Undecided)
    assert answer.breach


def test_a_witness_that_the_source_rejects_is_a_breach() -> None:
    @reduction(source=Number, target=Number, claim=_claim, statement="-", reference="[toy]")
    def wrong(number: Number) -> Generator[Number, Any, Any]:
        yield number
        return Yes(4)

    answer = run(wrong(Number(9)), lambda target: No())
    assert isinstance(answer, Undecided)
    assert answer.breach


def test_a_malformed_witness_is_a_breach_not_a_crash() -> None:
    answer = run(double(Number(9)), lambda target: Yes("six"))
    assert isinstance(answer, Undecided)
    assert answer.breach


@pytest.mark.parametrize("leaked", [StopIteration(No()), ZeroDivisionError("no"), GeneratorExit()])
def test_an_oracle_that_raises_never_turns_into_an_answer(leaked: BaseException) -> None:
    def oracle(target: Number) -> Any:
        raise leaked

    with pytest.raises((OracleError, GeneratorExit)):
        run(double(Number(9)), oracle)


def test_the_coroutine_can_handle_a_failing_oracle_and_go_on() -> None:
    @reduction(source=Number, target=Number, claim=_claim, statement="-", reference="[toy]")
    def patient(number: Number) -> Generator[Number, Any, Any]:
        try:
            yield number
        except OracleError as failure:
            return (yield Number(4)) if isinstance(failure.__cause__, ZeroDivisionError) else No()
        return No()

    replies = iter([ZeroDivisionError("first"), Yes(2)])

    def oracle(target: Number) -> Any:
        reply = next(replies)
        if isinstance(reply, Exception):
            raise reply
        return reply

    assert run(patient(Number(8)), oracle) == Yes(2)


@pytest.mark.parametrize("composed", [False, True])
def test_finally_blocks_run_at_once_when_the_oracle_fails(composed: bool) -> None:
    closed = []

    @reduction(source=Number, target=Number, claim=_claim, statement="-", reference="[toy]")
    def careful(number: Number) -> Generator[Number, Any, Any]:
        try:
            return (yield number)
        finally:
            closed.append(number.value)

    def oracle(target: Number) -> Any:
        raise ValueError("no")

    steps = chain(careful(Number(9)), careful) if composed else careful(Number(9))
    with pytest.raises(OracleError) as caught:
        run(steps, oracle)
    assert isinstance(caught.value.__cause__, ValueError)
    assert closed == ([9, 9] if composed else [9])


def test_closing_the_whole_closes_every_part() -> None:
    closed = []

    @reduction(source=Number, target=Number, claim=_claim, statement="-", reference="[toy]")
    def careful(number: Number) -> Generator[Number, Any, Any]:
        try:
            return (yield Number(number.value + 1))
        finally:
            closed.append(number.value)

    steps = chain(chain(careful(Number(1)), careful), careful)
    next(steps)
    steps.close()
    assert closed == [3, 2, 1]


def test_wrong_source_and_unknown_option_are_refused_at_the_call() -> None:
    with pytest.raises(TypeError, match="'source' of double must be of type Number, not int"):
        double(9)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes the options \['calls', 'slack'\], not \['order'\]"):
        double(Number(9), order=3)  # type: ignore[call-arg]


def test_a_reduction_keeps_its_name_doc_and_home_and_is_picklable() -> None:
    from cubicwall.reductions.splitting import split_and_list

    assert isinstance(split_and_list, Reduction)
    assert split_and_list.__name__ == "split_and_list"
    assert split_and_list.__module__ == "cubicwall.reductions.splitting"
    assert "Examples" in (split_and_list.__doc__ or "")
    assert pickle.loads(pickle.dumps(split_and_list)) is split_and_list
    assert "CNF -> OrthogonalVectors" in repr(split_and_list)


def _hop_of(reply: Any, **options: Any) -> Hop:
    hop = Hop("double", "[toy]", "-")
    run(traced(double, hop, options)(Number(9)), lambda target: reply)
    return hop


def test_a_trace_counts_calls_and_measures_against_the_claim() -> None:
    hop = _hop_of(No())
    assert (hop.sources, hop.calls, hop.most_calls, hop.claimed_calls) == (1, 2, 2, 2)
    assert hop.measured == {"bits": 5, "eps": 0.5}
    assert hop.breaches == []


def test_a_trace_reports_too_many_calls_and_too_large_targets() -> None:
    assert _hop_of(No(), calls=1).breaches == ["double: 2 calls, claimed at most 1"]
    assert _hop_of(No(), slack=1).breaches == ["double: bits = 5, claimed 4"]


def test_a_trace_reports_an_instance_that_asks_for_too_much_accuracy() -> None:
    @reduction(source=Number, target=Number, claim=_claim, statement="-", reference="[toy]")
    def greedy(number: Number) -> Generator[Number, Any, Any]:
        return (yield Number(number.value, accuracy=0.25))

    hop = Hop("greedy", "[toy]", "-")
    run(traced(greedy, hop, {})(Number(9)), lambda target: No())
    assert hop.breaches == ["greedy: eps = 0.25, claimed 0.5"]


def test_answers_have_no_truth_value() -> None:
    for answer in (Yes(1), No(), Undecided("?"), Count(0)):
        with pytest.raises(TypeError, match="truth value"):
            bool(answer)


def test_counts_pass_through_map_unchanged() -> None:
    assert Count(3).map(str) == Count(3)
    assert No().map(str) == No()
    assert Undecided("x").map(str) == Undecided("x")
