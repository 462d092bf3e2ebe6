"""The audit: what each arrow claims beside what was measured, hop by hop.

Measured above claimed is an error, whatever the answer was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..reductions.trace import Hop


@dataclass(frozen=True)
class Finding:
    """One line of an audit: a claim, its measurement, and whether it held."""

    arrow: str
    measure: str
    claimed: float
    measured: float
    relation: str
    holds: bool


def audit(trace: list[Hop]) -> list[Finding]:
    """Set claim beside measurement for every measure of every hop.

    Parameters
    ----------
    trace : list of Hop
        From `Solution.trace`.

    Returns
    -------
    list of Finding
        ``relation`` reads measured-to-claimed: ``≤`` for a ceiling, ``=`` for an exact claim,
        ``≥`` for the accuracy, which no instance may ask finer than claimed.

    Examples
    --------
    >>> from cubicwall.instances.cnf import CNF
    >>> from cubicwall.reductions.solving import solve
    >>> findings = audit(solve(CNF.from_clauses([[1], [2, 3]])).trace)
    >>> all(finding.holds for finding in findings)
    True
    """
    return [finding for hop in trace for finding in _findings(hop)]


def breaches(trace: list[Hop]) -> list[str]:
    """Say in words which claims did not hold; empty when all did."""
    return [breach for hop in trace for breach in hop.breaches]


def _findings(hop: Hop) -> Iterator[Finding]:
    if hop.sources:
        ok = hop.most_calls <= hop.claimed_calls
        yield Finding(hop.arrow, "calls", hop.claimed_calls, hop.most_calls, "≤", ok)
    for name, measured in hop.measured.items():
        relation = "=" if name in hop.exact else "≥" if name == "eps" else "≤"
        broken = any(breach.startswith(f"{hop.arrow}: {name} = ") for breach in hop.breaches)
        yield Finding(hop.arrow, name, hop.claimed[name], measured, relation, not broken)
