"""``cubicwall constants``: what the distributed PCP costs in entries, and from which n it would pay.

Glossary
--------
D       coordinates of the gap instance, all of them or those that compression leaves.
κ       d/(t - t_no), or d for the direct encoding; B^k = κ ln(8 Π(N_t+1)).
b       B/(ln n)^(1/k), n the most tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import log, log10
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Output, cell, power_of_ten
from .tuning import numbers

if TYPE_CHECKING:
    from ..instances.orthogonal_vectors import VectorsSize
    from ..reductions.constants import Constants, Encoded

MOST_VARIABLES = 10_000

Orders = Annotated[str, typer.Option("--order", "-k", help="Orders k, joined by commas.")]
Variables = Annotated[
    int | None,
    typer.Option("-n", "--variables", help="Variables of a formula, split and listed.", show_default="24"),
]
Ratio = Annotated[float, typer.Option("-r", "--ratio", help="Clauses per variable.")]
Vectors = Annotated[
    int | None,
    typer.Option("--vectors", help="Instead of a formula: vectors in each set; goes with --dimension."),
]
Dimension = Annotated[
    int | None, typer.Option("-d", "--dimension", help="Coordinates of the vectors; goes with --vectors.")
]
Columns = Annotated[
    str, typer.Option("--columns", help="Numbers L of bits a codeword carries, joined by commas.")
]
Save = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="A picture of κ against n: .svg, .png or .pdf.", show_default="none"),
]


def constants(
    out: Output,
    order: Orders = "2,3,4",
    variables: Variables = None,
    ratio: Ratio = 4.26,
    vectors: Vectors = None,
    dimension: Dimension = None,
    columns: Columns = "1,2,3,4",
    output: Save = None,
) -> int:
    """Tabulate the distributed PCP: fields, messages, κ, B, b, regime, and the n from which it would pay."""
    from ..reductions.constants import constants_table

    orders, widths = numbers("order", order), numbers("columns", columns)
    for name, given, least in (("order", orders, 2), ("columns", widths, 1)):
        if min(given) < least:
            raise ValueError(f"Argument {name!r} must be at least {least}, not {min(given)}.")
    if not 0 < ratio < float("inf"):
        raise ValueError(f"Argument 'ratio' must be positive, not {ratio:g}.")
    found = {k: constants_table(_size(k, variables, ratio, vectors, dimension), widths) for k in orders}
    pays = {k: list(_crossovers(k, ratio)) for k in orders}
    if output is not None:
        from ..experiments.constants_figure import draw_constants

        draw_constants(orders, output, density=ratio)
    for k, rows in found.items():
        print_constants(out, f"Order {k}: {described(rows[0].size)}", rows)
        out.table(
            f"Order {k}: the n at which entries are smaller than the direct encoding's, "
            f"for {ratio:g} clauses per variable",
            ("codes", "coordinates", "from n", "to n", "q", "T", "log2 messages / n", "hard for SAT"),
            [tuple(row.values()) for row in pays[k]],
        )
    if output is not None:
        out.note(f"Picture: {output}")
    out.document(
        constants=[constants_fields(row) for rows in found.values() for row in rows],
        crossovers=[{"order": k, **row} for k, rows in pays.items() for row in rows],
        picture=output,
    )
    return 0


def print_constants(out: Output, title: str, found: list[Constants]) -> None:
    """Print a table with two lines a scheme, compressed and not, after one for the direct encoding."""
    size = found[0].size
    direct = (f"m = {size.dimension}", *_encoded(size, found[0].direct))
    out.table(
        title,
        (
            "code",
            "q",
            "T",
            "L",
            "points",
            "messages",
            "regime",
            "coordinates",
            "D",
            "κ",
            "B",
            "b",
            "< direct",
        ),
        [
            ("direct encoding", *("",) * 6, *direct, ""),
            *(row for constants in found for row in _two_lines(constants)),
        ],
    )


def described(size: VectorsSize) -> str:
    """Say a size in words."""
    sets = f"{len(size.sets)} sets of {cell(size.sets[0])}"
    if len(set(size.sets)) > 1:
        sets = f"sets of {', '.join(map(cell, size.sets))}"
    return f"{sets} vectors in {size.dimension} coordinates"


def constants_fields(found: Constants) -> dict[str, Any]:
    """Return constants as JSON can hold them."""
    fields = asdict(found)
    fields["scheme"] = {
        "family": type(found.scheme.code).__name__,
        "field": found.scheme.code.field,
        "rows": found.scheme.rows,
        "columns": found.scheme.code.columns,
        "length": found.scheme.code.length,
        "agreement": found.scheme.agreement,
    }
    return fields


def _size(
    order: int, variables: int | None, ratio: float, vectors: int | None, dimension: int | None
) -> VectorsSize:
    from ..instances.cnf import CNFSize
    from ..instances.orthogonal_vectors import VectorsSize
    from ..reductions.splitting import split_and_list

    if (vectors is None) != (dimension is None):
        raise ValueError("Arguments 'vectors' and 'dimension' must be given together.")
    if vectors is not None and dimension is not None:
        if variables is not None:
            raise ValueError("Argument 'variables' must not be given beside 'vectors'.")
        if vectors < 1 or dimension < 1:
            raise ValueError(
                f"Arguments 'vectors' and 'dimension' must be at least 1, not {vectors} and {dimension}."
            )
        return VectorsSize((vectors,) * order, dimension)
    n = 24 if variables is None else variables
    if not 1 <= n <= MOST_VARIABLES:
        raise ValueError(f"Argument 'variables' must be in 1..{MOST_VARIABLES}, not {n}.")
    size = split_and_list.contract.claim(CNFSize(n, max(1, round(ratio * n)), 3), order=order).target
    assert isinstance(size, VectorsSize)
    return size


def _two_lines(found: Constants) -> Iterator[tuple[object, ...]]:
    scheme, code = found.scheme, found.scheme.code
    name = {"ReedSolomon": "Reed-Solomon"}.get(type(code).__name__, type(code).__name__)
    head: tuple[object, ...] = (
        name,
        code.field,
        scheme.rows,
        code.columns,
        code.length,
        found.messages,
        found.regime,
    )
    for kind, dimension, best in (
        ("compressed", found.compressed, found.best),
        ("all", found.full, found.best_full),
    ):
        smaller = "yes" if best.log10_kappa < found.direct.log10_kappa else "no"
        yield (*head, kind, dimension, *_encoded(found.size, best)[1:], smaller)
        head = ("",) * len(head)


def _encoded(size: VectorsSize, encoded: Encoded) -> tuple[object, ...]:
    """d, κ, B and b, by their logarithms where they are too large for a float."""
    from ..reductions.encoding import decision_beta

    order = len(size.sets)
    bound = (encoded.log10_kappa + log10(decision_beta(size.sets))) / order
    tokens = log(max(size.sets) + 1)
    logarithms = (encoded.log10_kappa, bound, bound - log10(tokens) / order)
    values = (encoded.kappa, encoded.entry_bound, encoded.coordinate)
    return (
        encoded.dimension,
        *(v if v < 1e9 else power_of_ten(x) for v, x in zip(values, logarithms, strict=True)),
    )


def _crossovers(order: int, density: float) -> Iterator[dict[str, object]]:
    """Say from which n and up to which n each kind of code has smaller entries than the direct encoding."""
    from ..reductions.crossovers import crossover, saturated_until, tower_crossover

    last = saturated_until(order, density=density)
    for family, name in (("reed-solomon", "Reed-Solomon"), ("hermitian", "Hermitian")):
        found = crossover(family, order, density=density)
        yield {
            "codes": name,
            "coordinates": "all",
            "from": "never" if found is None else round(found.variables),
            "to": "",
            "field": "" if found is None else found.field,
            "rows": "" if found is None else found.rows,
            "message_bits": "" if found is None else found.message_bits,
            "hard": "" if found is None else "no: more messages than assignments",
        }
        yield {
            "codes": name,
            "coordinates": "compressed",
            "from": 1 if last else "never",
            "to": last or "",
            "field": "",
            "rows": "",
            "message_bits": 0 if last else "",
            "hard": "no: brute force in disguise" if last else "",
        }
    tower = tower_crossover(order, density=density)
    yield {
        "codes": "tower of curves",
        "coordinates": "all",
        "from": power_of_ten(tower.log10_variables),
        "to": "",
        "field": tower.field,
        "rows": tower.rows,
        "message_bits": tower.message_bits,
        "hard": "yes",
    }
