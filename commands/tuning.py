"""Options of arrows on the command line: the same on every command that runs a path.

A command that is `tunable` is written with one argument `options`, a dictionary of what was
given, and shows the options below. Which of them fit depends on the path: `find_path` refuses the others.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

PANEL = "Options of arrows, for --via gap and its like"


def tunable(function: Callable[..., int]) -> Callable[..., int]:
    """Replace the argument `options` of a command by one option of the command line for each."""

    @functools.wraps(function)
    def command(*arguments: Any, **given: Any) -> int:
        options = {name: given.pop(name) for name in _OPTIONS}
        if options["thresholds"] is not None:
            options["thresholds"] = numbers("thresholds", options["thresholds"])
        chosen = {name: value for name, value in options.items() if value is not None}
        return function(*arguments, options=chosen, **given)

    own = inspect.signature(function, eval_str=True).parameters.values()
    kept = [parameter for parameter in own if parameter.name != "options"]
    command.__signature__ = inspect.Signature([*kept, *_OPTIONS.values()])  # type: ignore[attr-defined]
    return command


def numbers(argument: str, text: str) -> list[int]:
    """Read integers joined by commas. Raises ValueError that names the argument.

    Examples
    --------
    >>> numbers("order", "2,3")
    [2, 3]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"Argument {argument!r} must be integers joined by commas, not {text!r}.") from None


def _option(name: str, about: str, default: str) -> Any:
    return typer.Option(name, help=about, show_default=default, rich_help_panel=PANEL)


def _shown(
    epsilon: Annotated[float | None, _option("--epsilon", "sparsify: at most 2^(εn) leaves.", "0.5")] = None,
    alpha: Annotated[
        float | None,
        _option(
            "--alpha",
            "sparsify: α of the thresholds.",
            "from --epsilon",
        ),
    ] = None,
    thresholds: Annotated[
        str | None,
        _option(
            "--thresholds",
            "sparsify: clauses that make a flower, by size of the petals, such as 3,4; small ones branch.",
            "from --alpha",
        ),
    ] = None,
    family: Annotated[
        str | None,
        _option(
            "--family",
            "distributed_pcp: reed-solomon or hermitian codes.",
            "reed-solomon",
        ),
    ] = None,
    field: Annotated[
        int | None,
        _option(
            "--field",
            "distributed_pcp: q, a prime power whose characteristic exceeds --rows.",
            "the least that is sound",
        ),
    ] = None,
    rows: Annotated[
        int | None,
        _option(
            "--rows",
            "distributed_pcp: T, the rows in which coordinates are laid out.",
            "from --columns",
        ),
    ] = None,
    columns: Annotated[
        int | None,
        _option(
            "--columns",
            "distributed_pcp: L, the bits that a codeword carries; 1 leaves one message.",
            "fewest messages where genuine, else 2",
        ),
    ] = None,
    compress: Annotated[
        bool | None,
        _option(
            "--compress/--no-compress",
            "distributed_pcp: drop coordinates in which some party is silent.",
            "compress",
        ),
    ] = None,
    prune: Annotated[
        bool | None,
        _option(
            "--prune/--no-prune",
            "split_and_list: drop what cannot be part of a solution.",
            "prune",
        ),
    ] = None,
) -> None:
    """Hold the options of arrows."""


_OPTIONS = inspect.signature(_shown, eval_str=True).parameters
