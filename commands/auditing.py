"""What the command line says about a run: claims beside measurements, regimes and constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .console import BrokenPromiseError, Output
from .tabulating import constants_fields, described, print_constants

if TYPE_CHECKING:
    from ..reductions.arrows import Path
    from ..reductions.trace import Hop

MOST_REGIMES = 3  # lines for one arrow


def print_audit(out: Output, trace: list[Hop]) -> None:
    """Print the table of claims and measurements."""
    from ..verification.audit import audit

    rows = [(f.arrow, f.measure, f.claimed, f.relation, f.measured, f.holds) for f in audit(trace)]
    out.table("Claims and measurements", ("arrow", "measure", "claimed", "", "measured", "holds"), rows)


def print_regimes(out: Output, route: Path, trace: list[Hop]) -> dict[str, Any]:
    """Print what each arrow proves and in which regime it ran, and the constants of a distributed PCP.

    Returns
    -------
    dict
        The constants as JSON can hold them; empty where there are none.
    """
    from ..reductions.constants import trace_constants

    order = _order(trace)
    for hop, options in zip(trace, route.options, strict=True):
        bound = ", ".join(f"{name}={value}" for name, value in options.items())
        out.note(f"{hop.arrow}({bound})  {hop.reference}")
        out.note(f"    {hop.statement.format(k=order)}")
        for line in regime_lines(hop.regimes):
            out.note(f"    {line}")
    found = trace_constants(route, trace)
    if found is None:
        return {}
    out.note("")
    print_constants(
        out, f"Constants of the largest source of distributed_pcp: {described(found.size)}", [found]
    )
    return {"constants": constants_fields(found)}


def regime_lines(regimes: Mapping[str, int]) -> list[str]:
    """Say how many sources ran in which regime, the most frequent first.

    Examples
    --------
    >>> regime_lines({"genuine": 1, "saturated": 3})
    ['saturated (3 sources)', 'genuine (1 source)']
    """
    ranked = sorted(regimes.items(), key=lambda item: -item[1])
    lines = [f"{what} ({times} source{'s' * (times > 1)})" for what, times in ranked[:MOST_REGIMES]]
    rest = sum(times for _, times in ranked[MOST_REGIMES:])
    return [*lines, f"and {rest} more sources"] if rest else lines


def trace_fields(trace: list[Hop]) -> list[dict[str, Any]]:
    """Return a trace as JSON can hold it."""
    order = _order(trace)
    told = [{"statement": hop.statement.format(k=order), "exact": sorted(hop.exact)} for hop in trace]
    return [{**asdict(hop), **fields} for hop, fields in zip(trace, told, strict=True)]


def refuse_broken_claims(trace: list[Hop]) -> None:
    """Raise BrokenPromiseError if a measurement exceeds its claim."""
    from ..verification.audit import breaches

    if broken := breaches(trace):
        raise BrokenPromiseError(f"claims broken: {'; '.join(broken)}")


def _order(trace: list[Hop]) -> int | str:
    """Return k where a run met vectors, else the letter."""
    from ..instances.orthogonal_vectors import VectorsSize

    return next((len(hop.source.sets) for hop in trace if isinstance(hop.source, VectorsSize)), "k")
