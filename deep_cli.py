"""The verb `transformer`: a whole model's gradient, exact and fast, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import BrokenPromiseError, Output

EXACT_UP_TO = 8192  # tokens: the exact model takes a minute there


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
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw the table (.svg, .png, .pdf).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help=f"Run the exact model beyond {EXACT_UP_TO} tokens too.")
    ] = False,
) -> int:
    """Differentiate a random transformer, exactly and in almost linear time, and compare layer by layer."""
    from .experiments.transformer_comparison import compared, drawn_problem

    problem = drawn_problem(
        tokens, layers=layers, heads=heads, width=width, bound=bound, causal=causal, seed=seed
    )
    run = compared(problem, tolerance, exactly=force or tokens <= EXACT_UP_TO)
    out.table(
        f"{layers} layers, n = {tokens}, width {width}, {'causal' if causal else 'full'}, entries up to "
        f"{bound:g}, tolerance {tolerance:g}; errors are relative, of the gradient by a layer's input",
        ["layer", "rank", "exact, s", "fast, s", "error", "claimed"],
        [
            [row.layer, rank, row.exact_seconds, row.fast_seconds, row.error, row.certificate]
            for row, rank in zip(run.rows, run.ranks, strict=True)
        ],
    )
    out.line(
        f"gradient in {run.fast_seconds:.3g} s fast, {run.exact_seconds:.3g} s exact; "
        f"output off by {run.output_error:.3g}, claimed {run.output_bound:.3g}"
    )
    fields = vars(run) | {"rows": [_numbers(vars(row)) for row in run.rows]}
    out.document(**_numbers(fields), sound=run.sound)
    if figure is not None:
        from .experiments.transformer_figures import draw_layers

        draw_layers(run, figure)
        out.note(f"c {figure}: seconds and errors by layer")
    if not run.sound:
        raise BrokenPromiseError("an error exceeds its certificate")
    return 0


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what was not measured is null."""

    def known(value: Any) -> Any:
        if isinstance(value, tuple):
            return [known(one) for one in value]
        return None if value != value else value

    return {name: known(value) for name, value in fields.items()}
