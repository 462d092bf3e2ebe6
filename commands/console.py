"""How every command talks: results on stdout, progress on stderr, one clear line for an error.

Glossary
--------
verb    a command of the command line: a function of `Output` and its own arguments.
exit    0 done (or undecided), 1 a promise was broken, 2 bad input, 10 YES, 20 NO, 130 interrupted.
"""

from __future__ import annotations

import functools
import inspect
import json as jsonlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, log10
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from types import FrameType

_MOST_DIGITS = 4000  # Python prints 4300 by default
PATIENCE = 2.0  # seconds before a progress bar appears


class BrokenPromiseError(Exception):
    """An oracle, or a claim, turned out wrong: exit code 1."""


@dataclass(frozen=True)
class Output:
    """Where a verb writes: tables and lines for people, or one JSON document for programs."""

    json: bool
    quiet: bool

    def line(self, text: str) -> None:
        """Print one line of the result (not with ``--json``)."""
        if not self.json:
            print(text)

    def note(self, text: str) -> None:
        """Print one line that ``--quiet`` and ``--json`` leave out."""
        if not self.quiet:
            self.line(text)

    def table(self, title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Print a table (not with ``--json`` or ``--quiet``)."""
        if self.json or self.quiet:
            return
        from io import StringIO
        from shutil import get_terminal_size

        from rich import box
        from rich.console import Console
        from rich.table import Table

        # A pipe has no width: let tables there be as wide as they are.
        width = get_terminal_size().columns if sys.stdout.isatty() else 200
        text = StringIO()
        table = Table(title=title, title_justify="left", box=box.SIMPLE)
        for i, column in enumerate(columns):
            table.add_column(column, justify="left" if i == 0 else "right")
        for row in rows:
            table.add_row(*(cell(value) for value in row))
        Console(file=text, width=width, markup=False, highlight=False).print(table)
        print("\n".join(line.rstrip() for line in text.getvalue().splitlines()))

    def document(self, **fields: Any) -> None:
        """Print the result as one JSON document (only with ``--json``)."""
        if self.json:
            print(jsonlib.dumps(_speakable(fields), default=_plain))

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[float], None]]:
        """Give a function that takes the fraction done; on a terminal a bar appears after two seconds."""
        if self.json or self.quiet or not sys.stderr.isatty():
            yield lambda fraction: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        task = bar.add_task(what, total=1.0)
        began = monotonic()

        def advance(fraction: float) -> None:
            if monotonic() - began > PATIENCE:
                bar.start()
                bar.update(task, completed=fraction)

        try:
            yield advance
        finally:
            if bar.live.is_started:
                bar.stop()


def verb(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a function ``f(out, ...) -> exit code`` as a command with the options that all share."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def command(
            *, json: bool, quiet: bool, threads: int | None, timeout: float | None, **arguments: Any
        ) -> None:
            if threads is not None:
                _use_threads(threads)

            def run() -> int:
                with _alarm(timeout):
                    return function(Output(json, quiet), **arguments)

            raise typer.Exit(_guarded(run))

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        shared = inspect.signature(_shared, eval_str=True).parameters.values()
        command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]  # typer reads it
        app.command(name or function.__name__.replace("_", "-"))(command)
        return function

    return decorate


def _shared(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and nothing else.")] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads to use.", show_default="all cores")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0.0, help="Give up after this many seconds.", show_default="never"),
    ] = None,
) -> None:
    """Hold the options that every verb has."""


class _OutOfTime(BaseException):
    pass


def run_app(app: typer.Typer) -> NoReturn:
    """Run the command line; a usage error becomes one line and exit code 2."""
    try:
        code = app(prog_name="cubicwall", standalone_mode=False)
    except Exception as error:
        # typer may bring click along or use the installed one; usage errors are told by their method.
        if not hasattr(error, "format_message"):
            raise
        code = _fail(_one_line(error.format_message()), 2)
    sys.exit(code or 0)


def _guarded(function: Callable[[], int]) -> int:
    """Turn every way in which a verb may end into an exit code, and errors into one line."""
    try:
        code = function()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except _OutOfTime as late:
        print("s UNKNOWN")
        print(f"c {late}")
        return 0
    except BrokenPromiseError as broken:
        return _fail(str(broken), 1)
    except BrokenPipeError:
        # The reader went away, as `head` does; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as bad:
        named = bad.strerror and bad.filename is not None
        return _fail(f"{bad.filename}: {bad.strerror}" if named else _one_line(str(bad)), 2)
    except ValueError as bad:
        return _fail(_one_line(str(bad)), 2)
    return code


def _fail(message: str, code: int) -> int:
    print(f"cubicwall: {message}", file=sys.stderr)
    return code


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _use_threads(threads: int) -> None:
    # Read when numba and OpenBLAS are loaded, which no verb has done yet.
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> NoReturn:
        raise _OutOfTime(f"gave up after {seconds:g} seconds, as --timeout asks")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def cell(value: object) -> str:
    """Write a value as tables show it."""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**9 else power_of_ten(log10(abs(value)), negative=value < 0)
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.4g}"
    return str(value)


def power_of_ten(exponent: float, *, negative: bool = False) -> str:
    """Write a number too long for its digits by its logarithm.

    Examples
    --------
    >>> power_of_ten(86.9549), power_of_ten(12414.297)
    ('10^86.95', '10^12414')
    """
    digits = f"{exponent:.4g}" if exponent < 1000 else f"{exponent:.0f}"
    return f"{'-' * negative}10^{digits}"


def _speakable(value: Any) -> Any:
    """Write integers with more digits than Python agrees to print by their logarithm, wherever they are."""
    if isinstance(value, dict):
        return {key: _speakable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_speakable(part) for part in value]
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        return power_of_ten(log10(abs(value)), negative=value < 0)
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # JSON has no infinity
    return value


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value)
