"""Solve and count: an instance, a path of arrows, an oracle; an answer and what was seen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..algorithms.oracles import exact
from ..instances.answer import Answer, Count, Undecided
from .arrows import find_path
from .trace import Hop


@dataclass(frozen=True)
class Solution:
    """An answer and the trace of how it came about, one `Hop` an arrow."""

    answer: Answer
    trace: list[Hop]


class UndecidedError(Exception):
    """A count could not be determined; the message says why."""


def solve(
    instance: Any,
    *,
    via: str = "direct",
    order: int = 3,
    oracle: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Solution:
    """Decide `instance` by reducing it along a path of arrows and asking an oracle.

    Parameters
    ----------
    instance : CNF or OrthogonalVectors
        The question.
    via : str
        The path, see `find_path`; ``direct`` ends in tensor attention with large entries.
    order : int
        The order k ≥ 2 of the attention. An OrthogonalVectors instance brings its own.
    oracle : callable, optional
        ``oracle(target_instance)``, exact attention unless given.
    **options
        For the arrows of the path, such as ``columns=3`` for the distributed PCP; see `find_path`.

    Returns
    -------
    Solution
        ``.answer`` is ``Yes(witness)``, `No` or `Undecided`; ``.trace`` is for the audit.

    Raises
    ------
    OracleError
        If the oracle raises.
    ValueError
        If no such path exists from this kind of instance, or an option is wrong or fits no arrow.

    Complexity
    ----------
    Along ``direct``: O(2^n (m + 2^k)) time for n variables and m clauses; 2^(n/k) m bytes.

    Examples
    --------
    >>> from cubicwall.instances.cnf import CNF
    >>> solve(CNF.from_clauses([[1, 2], [-1], [3]])).answer
    Yes(witness=(-1, 2, 3))
    """
    path = find_path(via, type(instance), order=order, **options)
    answer, trace = path.run(instance, oracle or exact)
    return Solution(answer, trace)


def count(
    instance: Any,
    *,
    via: str = "direct",
    order: int = 3,
    oracle: Callable[[Any], Any] | None = None,
    **options: Any,
) -> int:
    """Count the solutions of `instance` along parsimonious arrows; parameters as for `solve`.

    Raises
    ------
    UndecidedError
        If the oracle gave up or broke its promise.

    Examples
    --------
    >>> from cubicwall.instances.cnf import CNF
    >>> count(CNF.from_clauses([[1, 2]], variables=4))
    12
    """
    path = find_path(via, type(instance), counting=True, order=order, **options)
    answer, _ = path.run(instance, oracle or exact)
    if isinstance(answer, Undecided):
        raise UndecidedError(answer.reason)
    assert isinstance(answer, Count)
    return answer.value
