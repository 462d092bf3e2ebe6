"""The OR of many questions: one Yes decides, and an Undecided must not hide a Yes that follows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from ..instances.answer import Answer, No, Undecided, Yes
from .reduction import Steps

Target = TypeVar("Target")


def any_of(targets: Iterable[Target]) -> Steps[Target, Answer, Answer]:
    """Ask one target after the other, lazily, until one says yes.

    Parameters
    ----------
    targets : iterable
        Drawn from only as far as needed.

    Returns
    -------
    Answer
        The first Yes; failing that the first Undecided; failing that No.

    Examples
    --------
    >>> from cubicwall.reductions.reduction import run
    >>> run(any_of("abc"), {"a": No(), "b": Yes(7)}.get)
    Yes(witness=7)
    """
    doubt: Undecided | None = None
    for target in targets:
        answer = yield target
        if isinstance(answer, Yes):
            return answer
        if isinstance(answer, Undecided) and doubt is None:
            doubt = answer
    return No() if doubt is None else doubt
