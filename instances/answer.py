"""Answers to questions, so that no float is ever mistaken for a decision.

Glossary
--------
Yes        there is a solution, and here is one: the *witness*.
No         there is none.
Undecided  the answer could not be known: the oracle gave up or left its promise.
Count      how many solutions there are; another question, with arrows of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

Witness = TypeVar("Witness")


@dataclass(frozen=True, slots=True)
class Yes(Generic[Witness]):
    """A solution exists and `witness` is one."""

    witness: Witness

    def map(self, lift: Callable[[Witness], Any]) -> Yes[Any]:
        """Carry the witness back along a reduction: ``Yes(lift(witness))``."""
        return Yes(lift(self.witness))

    def __bool__(self) -> NoReturn:
        _refuse_truth(self)


@dataclass(frozen=True, slots=True)
class No:
    """No solution exists."""

    def map(self, lift: Callable[[Any], Any]) -> No:
        """Return this answer: there is nothing to lift."""
        return self

    def __bool__(self) -> NoReturn:
        _refuse_truth(self)


@dataclass(frozen=True, slots=True)
class Undecided:
    """The question stays open, for `reason`.

    `breach` says that an oracle visibly broke its promise (wrong shape, NaN, out of range,
    inside the gap that a promise forbids, or a witness that fails), as opposed to giving up.
    """

    reason: str
    breach: bool = False

    def map(self, lift: Callable[[Any], Any]) -> Undecided:
        """Return this answer: there is nothing to lift."""
        return self

    def __bool__(self) -> NoReturn:
        _refuse_truth(self)


@dataclass(frozen=True, slots=True)
class Count:
    """Exactly `value` solutions exist. `map` is the identity, which is what *parsimonious* means."""

    value: int

    def map(self, lift: Callable[[Any], Any]) -> Count:
        """Return this answer: a parsimonious reduction keeps the number of solutions."""
        return self

    def __bool__(self) -> NoReturn:
        _refuse_truth(self)


Answer = Yes[Any] | No | Undecided | Count


def _refuse_truth(answer: object) -> NoReturn:
    raise TypeError(f"{answer!r} has no truth value; ask isinstance(answer, Yes)")
