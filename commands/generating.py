"""``cubicwall generate``: one command a family of instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from .console import Output, verb

generate_app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

File = Annotated[
    str,
    typer.Option(
        "-o", "--output", help="Where to write; the suffix picks the format, - is stdout (formulas)."
    ),
]
Variables = Annotated[int, typer.Option("-n", "--variables", help="Number of variables.")]
Clauses = Annotated[int | None, typer.Option("-m", "--clauses", help="Number of clauses; or give --ratio.")]
Ratio = Annotated[
    float | None, typer.Option("-r", "--ratio", help="Clauses per variable.", show_default="4.26")
]
Width = Annotated[int, typer.Option("-w", "--width", help="Literals in a clause.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed; the same seed gives the same bytes.")]
Degree = Annotated[int, typer.Option("--degree", help="Degree of the random regular graph.")]
Vertices = Annotated[int, typer.Option("--vertices", help="Vertices of the random regular graph.")]
Sizes = Annotated[str, typer.Option("--sizes", help="Vectors in each set, joined by commas.")]
Dimension = Annotated[int, typer.Option("-d", "--dimension", help="Number of coordinates.")]
Density = Annotated[float, typer.Option("--density", help="Chance that a bit is 1.")]


def _ksat(name: str, maker: str, about: str) -> None:
    """Register one of the four random families of k-SAT, which take the same options."""

    def family(
        out: Output,
        output: File = "-",
        variables: Variables = 20,
        clauses: Clauses = None,
        ratio: Ratio = None,
        width: Width = 3,
        seed: Seed = 0,
    ) -> int:
        from ..instances import generate

        if clauses is None and ratio is None:
            ratio = 4.26
        make: Callable[..., Any] = getattr(generate, maker)
        return _write(
            out, output, make(variables, clauses, ratio=ratio, width=width, rng=_generator(seed), seed=seed)
        )

    family.__doc__ = about
    verb(generate_app, name)(family)


_ksat("ksat", "random_ksat", "Uniform random k-SAT.")
_ksat("planted", "planted_ksat", "Random k-SAT that a hidden model satisfies.")
_ksat("unique", "unique_solution_ksat", "Random k-SAT with exactly one model.")
_ksat("unsat", "forced_unsat_ksat", "Random k-SAT made unsatisfiable.")


@verb(generate_app)
def pigeonhole(
    out: Output,
    holes: Annotated[int, typer.Option("--holes", help="Holes; one pigeon more.")] = 4,
    output: File = "-",
) -> int:
    """Pigeonhole principle: more pigeons than holes, unsatisfiable."""
    from ..instances.families import pigeonhole as make

    return _write(out, output, make(holes))


@verb(generate_app)
def parity(
    out: Output,
    pairs: Annotated[int, typer.Option("--pairs", help="n, for 2n + 1 people.")] = 2,
    output: File = "-",
) -> int:
    """Parity principle: an odd number of people cannot pair up, unsatisfiable."""
    from ..instances.families import parity as make

    return _write(out, output, make(pairs))


@verb(generate_app)
def ordering(
    out: Output,
    elements: Annotated[int, typer.Option("--elements", help="Elements of the order.")] = 4,
    output: File = "-",
) -> int:
    """Ordering principle: every finite order has a minimal element; unsatisfiable negation."""
    from ..instances.families import ordering as make

    return _write(out, output, make(elements))


@verb(generate_app)
def complete(out: Output, width: Width = 3, output: File = "-") -> int:
    """All 2^k clauses on k variables: unsatisfiable, every assignment falsifies exactly one."""
    from ..instances.families import complete_cnf

    return _write(out, output, complete_cnf(width))


@verb(generate_app)
def tseitin(
    out: Output,
    vertices: Vertices = 8,
    degree: Degree = 3,
    satisfiable: Annotated[bool, typer.Option("--satisfiable", help="Even total charge.")] = False,
    seed: Seed = 0,
    output: File = "-",
) -> int:
    """Tseitin parities on a random regular graph: unsatisfiable when the total charge is odd."""
    from ..instances.families import tseitin as make

    charges = [0 if satisfiable else 1] + [0] * (vertices - 1)
    return _write(out, output, make(_regular(degree, vertices, seed), charges))


@verb(generate_app)
def colouring(
    out: Output,
    vertices: Vertices = 10,
    degree: Degree = 4,
    colours: Annotated[int, typer.Option("--colours", help="Colours.")] = 3,
    seed: Seed = 0,
    output: File = "-",
) -> int:
    """Colouring of a random regular graph so that neighbours differ."""
    from ..instances.families import colouring as make

    return _write(out, output, make(_regular(degree, vertices, seed), colours))


def _vectors(name: str, maker: str, about: str) -> None:
    """Register one of the three families of orthogonal vectors, which take the same options."""

    def family(
        out: Output,
        output: File,
        sizes: Sizes = "64,64,64",
        dimension: Dimension = 30,
        density: Density = 0.5,
        seed: Seed = 0,
    ) -> int:
        from ..instances import vector_families

        try:
            numbers = [int(part) for part in sizes.split(",")]
        except ValueError:
            raise ValueError(f"Argument 'sizes' must be integers joined by commas, not {sizes!r}.") from None
        make: Callable[..., Any] = getattr(vector_families, maker)
        return _write(out, output, make(numbers, dimension, density, rng=_generator(seed), seed=seed))

    family.__doc__ = about
    verb(generate_app, name)(family)


_vectors("vectors", "random_orthogonal_vectors", "Random k-OV.")
_vectors("planted-vectors", "planted_orthogonal_vectors", "k-OV with an orthogonal tuple hidden in it.")
_vectors("free-vectors", "orthogonal_free_vectors", "k-OV without an orthogonal tuple.")


def _generator(seed: int) -> Any:
    import numpy as np

    if seed < 0:
        raise ValueError(f"Argument 'seed' must not be negative, not {seed}.")
    return np.random.default_rng(seed)


def _regular(degree: int, vertices: int, seed: int) -> Any:
    import networkx as nx

    try:
        return nx.random_regular_graph(degree, vertices, seed=_generator(seed))
    except nx.NetworkXError as rule:
        raise ValueError(
            f"Arguments 'degree' and 'vertices' must allow a regular graph, "
            f"not {degree} and {vertices}: {rule}"
        ) from None


def _write(out: Output, output: str, instance: Any) -> int:
    if output == "-" and (out.json or not hasattr(instance, "to_dimacs")):
        raise ValueError("Argument 'output' must name a file here, not '-'.")
    instance.write(output)
    measures = instance.size.measures()
    if output != "-":
        out.note(f"{output}: " + ", ".join(f"{name}={value:g}" for name, value in measures.items()))
    out.document(file=output, sha256=instance.sha256, maker=instance.provenance.maker, **measures)
    return 0
