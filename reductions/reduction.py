"""A reduction is a coroutine: it yields target instances, is sent their answers, and returns the source's.

One yield is a Karp reduction, a loop that stops at the first Yes is an OR of instances, and
several yields whose later ones depend on earlier answers are a Turing reduction. This file holds
all of the machinery; nothing else in the project drives a coroutine.

Glossary
--------
arrow    a `Reduction`: a coroutine function with its source, target, claim and reference.
steps    one run of it: the generator.
oracle   a function target instance -> answer.
claim    what the arrow promises, as a function of the source's size.
chain    composition: answer the outer arrow's instances by the inner arrow.
breach   an oracle's answer that cannot be right: here, a witness that the instance rejects.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

from ..instances.answer import Undecided, Yes

Source = TypeVar("Source")
Target = TypeVar("Target")
Reply = TypeVar("Reply")
Result = TypeVar("Result")
Middle = TypeVar("Middle")
Relayed = TypeVar("Relayed")
Given = TypeVar("Given")
Options = ParamSpec("Options")

Steps = Generator[Target, Reply, Result]


class OracleError(Exception):
    """An oracle raised instead of answering; the original exception is the cause."""


class Size(Protocol):
    """The size of an instance: what claims are functions of."""

    def measures(self) -> dict[str, float]:
        """Name each number that a claim bounds, such as n, d, B and eps."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What an arrow promises for a source of a given size.

    Parameters
    ----------
    calls : int
        At most this many target instances are yielded.
    target : Size
        Every one of them is at most this large. A measure named ``eps`` bounds the other way:
        no instance asks for an accuracy finer than this.
    exact : frozenset of str
        The measures that the largest instance meets with equality.
    """

    calls: int
    target: Size
    exact: frozenset[str] = frozenset()


def chain(
    outer: Steps[Middle, Relayed, Result], inner: Callable[[Middle], Steps[Target, Reply, Relayed]]
) -> Steps[Target, Reply, Result]:
    """Compose: answer each instance that `outer` yields by running `inner` on it.

    An `OracleError` under `inner` is thrown into `outer`, so that its ``finally`` and ``except``
    clauses run at once.
    """
    with closing(outer):
        try:
            target = next(outer)
            while True:
                try:
                    answer = yield from inner(target)
                except OracleError as failure:
                    target = outer.throw(failure)
                else:
                    target = outer.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result


def run(steps: Steps[Target, Reply, Result], oracle: Callable[[Target], Reply]) -> Result:
    """Run `steps` to the end, asking `oracle` for the answer to each instance.

    Raises
    ------
    OracleError
        If the oracle raises an exception (a leaked StopIteration included) and the coroutine
        does not handle it.

    Examples
    --------
    >>> from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
    >>> from cubicwall.instances.cnf import CNF
    >>> from cubicwall.algorithms.vectors import first_orthogonal
    >>> from cubicwall.reductions.splitting import split_and_list
    >>> run(split_and_list(CNF.from_clauses([[1, 2], [-1]]), order=2), first_orthogonal)
    Yes(witness=(-1, 2))
    """

    def ask(target: Target) -> Generator[Any, Any, Reply]:
        yield from ()
        try:
            return oracle(target)
        except Exception as failure:
            raise OracleError(f"The oracle raised {type(failure).__name__}: {failure}") from failure

    whole = chain(steps, ask)
    try:
        next(whole)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    raise AssertionError("unreachable: a chain into an oracle yields nothing")


class Reduction(Generic[Source, Options, Target, Reply, Result]):
    """An arrow: call it with a source instance and its options to get the steps.

    Witnesses are checked at both doors: one that the target rejects is not lifted, and one that
    the source rejects is not returned; either becomes ``Undecided(..., breach=True)``.
    """

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(
        self,
        coroutine: Callable[Concatenate[Source, Options], Steps[Target, Reply, Result]],
        contract: reduction[Source, Target],
    ) -> None:
        update_wrapper(self, coroutine)
        self.contract = contract
        parameters = inspect.signature(coroutine).parameters.values()
        self.options = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    def __call__(
        self, source: Source, /, *args: Options.args, **options: Options.kwargs
    ) -> Steps[Target, Reply, Result]:
        """Start on `source`; nothing runs before the first step. TypeError for a wrong source or option."""
        if not isinstance(source, self.contract.source):
            raise TypeError(
                f"Argument 'source' of {self.__name__} must be of type {self.contract.source.__name__}, "
                f"not {type(source).__name__}."
            )
        if unknown := options.keys() - self.options:
            raise TypeError(
                f"{self.__name__} takes the options {sorted(self.options)}, not {sorted(unknown)}."
            )

        def door(target: Target) -> Steps[Target, Reply, Reply]:
            return _verified(target, (yield target))

        def between_doors() -> Steps[Target, Reply, Result]:
            answer: Result = yield from chain(self.__wrapped__(source, *args, **options), door)
            return _verified(source, answer)

        return between_doors()

    def __repr__(self) -> str:
        return (
            f"<reduction {self.__name__}: {self.contract.source.__name__} -> {self.contract.target.__name__}>"
        )

    def __reduce__(self) -> str:
        return self.__name__


@dataclass(frozen=True)
class reduction(Generic[Source, Target]):  # a decorator, written like one
    """Decorator that turns a coroutine function into an arrow.

    Parameters
    ----------
    source, target : type
        The instances it takes and yields.
    claim : callable
        ``claim(source_size, **options) -> Claim``, with the options of the coroutine.
    statement : str
        The fine-grained consequence, with ``{k}`` for the order.
    reference : str
        The paper, as in docs/MATH.md.
    parsimonious : bool
        Solutions of source and target are in bijection, so counts pass through unchanged.
    counting : bool
        The arrow answers how many, not whether.
    regime : callable, optional
        ``regime(source_size, **options) -> str`` says in which of its regimes the arrow runs, where it
        has several; the audit tells.
    """

    source: type[Source]
    target: type[Target]
    claim: Callable[..., Claim]
    statement: str
    reference: str
    parsimonious: bool = False
    counting: bool = False
    regime: Callable[..., str] | None = None

    def __call__(
        self, coroutine: Callable[Concatenate[Source, Options], Steps[Target, Reply, Result]]
    ) -> Reduction[Source, Options, Target, Reply, Result]:
        """Decorate `coroutine`."""
        return Reduction(coroutine, self)


def _verified(question: object, answer: Given) -> Given:
    accepts = getattr(question, "accepts", None)
    if not isinstance(answer, Yes) or accepts is None:
        return answer
    try:
        if accepts(answer.witness):
            return answer
        reason = f"the witness {answer.witness!r} is not one"
    except (TypeError, ValueError) as malformed:
        reason = f"the witness is malformed: {malformed}"
    # Whoever can give a Yes can give an Undecided: both are answers.
    return cast(Given, Undecided(reason, breach=True))
