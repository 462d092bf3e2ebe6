"""What a sweep found: the tables that are printed, reported and tested, made from the rows of the store.

Every table says in its title what is analytic and what was measured. Tables of times are marked, since
another run finds others; all further ones are functions of the configurations.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .exponents import limit_exponent
from .growth import exact_factor, explained_exponent, growth_exponent
from .scaling import fitted_exponent
from .store import Row
from .threshold import LISTED, SEED
from .window import decode_limit, easy_line

DECADES = 12  # from n = 10^12 on curves lie closer together


@dataclass(frozen=True)
class Table:
    """A table with a title; `timed` where it would come out otherwise in another run."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    timed: bool = False


def tables(rows: Sequence[Row]) -> list[Table]:
    """Make all tables for which there are rows.

    Parameters
    ----------
    rows : sequence of Row
        Of the store.

    Returns
    -------
    list of Table
        None of them empty.
    """
    makers = (
        collapse, planned_ranks, decoded, growth, sat_decoding, verdict, crossovers, time_exponents,
        easy_sources,
    )  # fmt: skip
    return [table for maker in makers if (table := maker(rows)).rows]


def of_kind(rows: Iterable[Row], kind: str, **wanted: Any) -> list[Row]:
    """Pick the rows of a kind whose configuration has the wanted values."""
    return [
        row
        for row in rows
        if row.configuration["kind"] == kind
        and all(row.configuration.get(name) == value for name, value in wanted.items())
    ]


def collapse(rows: Sequence[Row]) -> Table:
    """How far the exponent curves of all n are apart at fixed b, for k = 3, c = 1, accuracy 1/n."""
    curves = [
        row
        for row in of_kind(rows, "analytic ranks", order=3, accuracy="relative 1/n", c=1.0)
        if row.configuration["log10_n"] >= 3
    ]
    points = curves[0].configuration["points"] if curves else []
    found = []
    for i, b in enumerate(points):
        exponents = {row.configuration["log10_n"]: row.outcome.result["exponent"][i] for row in curves}
        large = [rho for size, rho in exponents.items() if size >= DECADES]
        if b in LISTED and large:
            low, high = min(exponents.values()), max(exponents.values())
            found.append((b, low, high, high - low, max(large) - min(large), limit_exponent(b)))
    sizes = [row.configuration["log10_n"] for row in curves]
    span = f"10^{min(sizes):g}..10^{max(sizes):g}" if sizes else ""
    return Table(
        f"Rank exponents at fixed b, k = 3, c = 1, accuracy 1/n (analytic, n = {span})",
        ("b", "least", "largest", "spread", f"from n = 10^{DECADES} on", "limit"),
        tuple(found),
    )


def planned_ranks(rows: Sequence[Row]) -> Table:
    """What the real algorithm takes, for k = 3, beside the formula."""
    found = []
    for row in of_kind(rows, "algorithm rank", order=3):
        made, result = row.configuration, row.outcome.result
        if made["b"] in LISTED:
            found.append((made["n"], made["b"], result["degree"], result["rank"], result["exponent"]))
    return Table(
        "Ranks that the real algorithm takes on random signs ±B at accuracy 1/n, k = 3 (measured)",
        ("n", "b", "degree", "rank", "exponent"),
        tuple((n, b, *("-" if x is None else x for x in rest)) for n, b, *rest in sorted(found, key=str)),
    )


def decoded(rows: Sequence[Row]) -> Table:
    """The least b that decides gap instances, measured beside the exact read-out formula."""
    found = []
    for family in ("saturated", "sparse"):
        for row in of_kind(rows, "decode", family=family):
            made, result = row.configuration, row.outcome.result
            measured = result["measured"]
            off = "-" if measured is None else f"{100 * (measured / result['predicted'] - 1):+.2f}%"
            found.append(
                (
                    family, made["order"], made["size"], made["epsilon"], result["kappa"],
                    _or_dash(measured), result["predicted"], off, result["closed"],
                    _or_dash(result["separable"]), result["limit"], result["reduction"],
                )
            )  # fmt: skip
    return Table(
        "Least b that decides gap instances under the worst error ε: measured; predicted by the exact "
        "read-out formula at that N and ε; with A(ε) in closed form; by a cut chosen in hindsight; N → ∞",
        (
            "family", "k", "N", "ε", "κ", "measured", "predicted", "off", "closed form", "hindsight", "limit",
            "reduction right",
        ),
        tuple(sorted(found)),
    )  # fmt: skip


def sat_decoding(rows: Sequence[Row]) -> Table:
    """The least b that decides formulas by the direct encoding."""
    found = []
    for row in of_kind(rows, "decode", family="formulas"):
        made, result = row.configuration, row.outcome.result
        found.append(
            (
                made["order"], made["size"], result["tokens"], result["dimension"], made["epsilon"],
                _or_dash(result["measured"]), result["predicted"], _or_dash(result["separable"]),
                result["reduction"],
            )
        )  # fmt: skip
    return Table(
        "Least b that decides random 3-SAT (YES and NO) through the direct encoding: measured, predicted,"
        " and by a cut chosen in hindsight",
        ("k", "variables", "tokens", "d", "ε", "measured", "predicted", "hindsight", "reduction right"),
        tuple(sorted(found)),
    )


def growth(rows: Sequence[Row]) -> Table:
    """The slope of ln B against ln ln n for both encodings, and what ln 8 does to it."""
    found: list[tuple[Any, ...]] = []
    if not of_kind(rows, "decode"):
        return Table("", (), ())
    for encoding, limit in (("direct", 2 / 3), ("gap", 1 / 3)):
        for logarithm in (math.log(64), math.log(1024), 100.0, 1000.0):
            slope = growth_exponent(encoding, logarithm, 0.17)
            explained = [explained_exponent(encoding, logarithm, a) for a in (exact_factor(0.17), 8.0)]
            found.append((encoding, logarithm, slope, *explained, limit, limit - slope))
    return Table(
        "Slope of ln B against ln ln N, k = 3, ε = 0.17 (analytic): by the exact read-out formula; by the"
        f" offset ln A under the logarithm alone, A = {exact_factor(0.17):.2f} without mixtures and 8 in "
        "the closed form",
        ("encoding", "ln N", "slope", "by ln A", "by ln 8", "limit", "missing"),
        tuple(found),
    )


def verdict(rows: Sequence[Row]) -> Table:
    """Both sides on the same instances, and whether the window is shut right of the easy line."""
    found = []
    for row in of_kind(rows, "window"):
        result, order = row.outcome.result, row.configuration["order"]
        decides = result["decides_from"]
        shut = decides > result["fast_up_to"]
        side = "easy" if result["c"] < easy_line(order) else "hard"
        found.append(
            (
                order, row.configuration["n"], result["c"], side, result["kappa"], result["fast_up_to"],
                result["reason"], decides, result["factor"], "shut" if shut else "open",
            )
        )  # fmt: skip
    return Table(
        "The same saturated gap instances on both sides, ε = 0.17: subcubic (rank ≤ n^{k−1}) up to b, right "
        "answers from b on; the source is easy left of c = k/ln 2 (measured)",
        ("k", "n", "c", "source", "κ", "fast up to", "stopped by", "decides from", "factor", "window"),
        tuple(sorted(found)),
    )


def window_is_shut(rows: Sequence[Row]) -> bool:
    """Whether no instance right of the easy line was both fast and decided."""
    return all(row[-1] == "shut" for row in verdict(rows).rows if row[3] == "hard")


def crossovers(rows: Sequence[Row]) -> Table:
    """Where the fast and the exact algorithm take equally long."""
    found = []
    for row in of_kind(rows, "crossover"):
        seen = row.outcome.measured
        found.append(
            (
                row.configuration["order"], row.configuration["n"], seen["b"], seen["predicted"],
                seen["b"] - seen["predicted"], seen["exact_seconds"], seen["reason"],
            )
        )  # fmt: skip
    return Table(
        "Crossover b* of the fast and the exact algorithm on random signs ±B, e = d, accuracy 1/n: by the"
        " clock, and from ranks and rates measured elsewhere",
        ("k", "n", "measured", "predicted", "difference", "exact seconds", "exact wins by"),
        tuple(sorted(found)),
        timed=True,
    )


def time_exponents(rows: Sequence[Row]) -> Table:
    """Fitted exponents of time and operations against n."""
    groups: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in of_kind(rows, "times"):
        b = row.configuration["b"] if row.configuration["method"] == "fast" else math.nan
        groups[row.configuration["method"], -1.0 if math.isnan(b) else b].append(row)
    found = []
    for (method, b), own in sorted(groups.items()):
        own = sorted(own, key=lambda row: row.configuration["n"])
        sizes = [row.configuration["n"] for row in own]
        if len(sizes) < 2:
            continue
        samples = [row.outcome.measured["seconds"] for row in own]
        slope, low, high = fitted_exponent(sizes, samples, np.random.default_rng(SEED), draws=400)
        operations = [[float(row.outcome.result["operations"])] for row in own]
        counted, _, _ = fitted_exponent(sizes, operations, np.random.default_rng(SEED), draws=1)
        found.append(
            (
                method,
                "any" if b < 0 else b,
                f"{sizes[0]}..{sizes[-1]}",
                slope,
                f"{low:.2f}..{high:.2f}",
                counted,
            )
        )
    return Table(
        "Exponent of time against n at fixed b, k = 3: fitted, with a 95% bootstrap interval over "
        "repetitions, and of the operation count",
        ("algorithm", "b", "n", "time", "interval", "operations"),
        tuple(found),
        timed=True,
    )


def easy_sources(rows: Sequence[Row]) -> Table:
    """Superset counts against brute force left of the easy line."""
    found = []
    for row in of_kind(rows, "easy source"):
        made, seen = row.configuration, row.outcome.measured
        found.append(
            (
                made["size"], made["c"], row.outcome.result["dimension"], seen["supersets"],
                seen["brute_force"], seen["brute_force"] / seen["supersets"],
            )
        )  # fmt: skip
    return Table(
        f"3-OV in d = c ln N coordinates: seconds of superset counts and of brute force; easy below "
        f"c = {easy_line(3):.2f} for large N",
        ("N", "c", "d", "supersets", "brute force", "ratio"),
        tuple(sorted(found)),
        timed=True,
    )


def limits() -> str:
    """Say in one line where decoding begins in the limit."""
    numbers = ", ".join(f"{decode_limit(kappa, 3):.3f} at κ = {kappa:g}" for kappa in (1.0, 2.0))
    return f"b_dec → {numbers} (k = 3); easy sources below c = {easy_line(3):.2f}"


def _or_dash(value: float | None) -> Any:
    return "-" if value is None else value
