"""``cubicwall transformer``: a whole model's gradient, exact and fast, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import BrokenPromiseError, Output

PATIENT = 60.0  # seconds that the exact model may be predicted to take without --force
WORTH_SAYING = 2.0  # and from which on it is announced
ROOM = 8e9  # bytes that the fast model may be predicted to need without --force


def transformer(
    out: Output,
    tokens: Annotated[int, typer.Option("-n", min=2, help="Number of tokens.")] = 4096,
    layers: Annotated[int, typer.Option("--layers", min=1, help="Number of layers.")] = 4,
    heads: Annotated[
        int, typer.Option("--heads", min=1, help="Heads of a layer; they divide the width.")
    ] = 1,
    width: Annotated[int, typer.Option("--width", min=1, help="Columns of the tokens.")] = 8,
    bound: Annotated[
        float, typer.Option("--bound", help="Largest entry of queries and keys, in every layer.")
    ] = 1.0,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Error that a fast layer may add.")] = 1e-4,
    causal: Annotated[
        bool, typer.Option("--causal/--full", help="Whether tokens see only earlier ones.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random generator.")] = 0,
    target: Annotated[
        float | None,
        typer.Option("--target", help="Also find what tolerance certifies this relative error of ∂X."),
    ] = None,
    figure: Annotated[
        Path, typer.Option("-o", "--output", help="Where the picture goes (.svg, .png, .pdf).")
    ] = Path("transformer.svg"),
    force: Annotated[
        bool,
        typer.Option("--force", help=f"Run the exact model even if it is to take over {PATIENT:g} s."),
    ] = False,
) -> int:
    """Differentiate a random transformer, exactly and in almost linear time, and compare layer by layer."""
    from ..experiments.figures import picture_kind
    from ..experiments.transformer import tolerance_for
    from ..experiments.transformer_comparison import (
        compared,
        drawn_problem,
        exact_cost,
        fast_memory,
    )
    from ..experiments.transformer_figures import draw_layers

    picture_kind(figure)
    needed = fast_memory(tokens, layers=layers, width=width)
    if needed > ROOM and not force:
        raise ValueError(
            f"Argument 'n' must leave the fast model within {ROOM / 1e9:g} GB, and {tokens} needs about "
            f"{needed / 1e9:.0f} GB (--force runs it all the same)."
        )
    predicted = exact_cost(tokens, layers=layers, heads=heads, width=width, causal=causal)
    exactly = force or predicted <= PATIENT
    if not exactly:
        out.note(f"the exact model is left out: it would take about {predicted:.3g} s (--force runs it)")
    elif predicted > WORTH_SAYING:
        out.note(f"the exact model takes about {predicted:.0f} s")
    problem = drawn_problem(
        tokens, layers=layers, heads=heads, width=width, bound=bound, causal=causal, seed=seed
    )
    run = compared(problem, tolerance, exactly=exactly)
    out.table(
        f"{layers} layers, n = {tokens}, width {width}, {'causal' if causal else 'full'}, entries up to "
        f"{bound:g}, tolerance {tolerance:g}; errors are relative, of the gradient by a layer's input",
        ["layer", "rank", "exact, s", "fast, s", "error", "claimed"],
        [
            [row.layer, rank, *map(_known, (row.exact_seconds, row.fast_seconds, row.error, row.certificate))]
            for row, rank in zip(run.rows, run.ranks, strict=True)
        ],
    )
    out.line(
        f"fast: gradient in {run.fast_seconds:.3g} s, output within {run.output_bound:.3g} by certificate"
    )
    if exactly:
        out.line(
            f"exact: gradient in {run.exact_seconds:.3g} s, output {run.output_error:.3g} from the fast one"
        )
    found = None if target is None else tolerance_for(problem, target)
    if found is not None:
        out.line(f"∂X certified to {found[1]:.3g} relative by tolerance {found[0]:.3g} in every layer")
    fields = vars(run) | {"rows": [_numbers(vars(row)) for row in run.rows]}
    out.document(**_numbers(fields), sound=run.sound, tolerance_for_target=found and found[0])
    draw_layers(run, figure)
    out.note(f"{figure}: seconds and errors by layer")
    if not run.sound:
        raise BrokenPromiseError("an error exceeds its certificate")
    return 0


def _known(number: float) -> float | str:
    return "-" if number != number else number


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what was not measured is null."""

    def known(value: Any) -> Any:
        if isinstance(value, tuple):
            return [known(one) for one in value]
        return None if value != value else value

    return {name: known(value) for name, value in fields.items()}
