"""Structured formulas: principles of combinatorics, parity on graphs, colourings.

Each is known to be satisfiable or not by a theorem, which makes it an independent truth for solvers
and reductions. Variables are numbered from 1 in the order that each docstring states.

Glossary
--------
pigeonhole   h + 1 pigeons do not fit into h holes, one each [H85]
parity       an odd number of people cannot all pair up [A90]
ordering     a finite strict order has a maximal element [K85]
chessboard   dominoes cannot cover a board without two opposite corners [A04]
Tseitin      the degrees of a subgraph sum to an even number [T68]

References
----------
[H85] Haken. The intractability of resolution. TCS 39, 1985.
[A90] Ajtai. Parity and the pigeonhole principle. Feasible Mathematics, 1990.
[K85] Krishnamurthy. Short proofs for tricky formulas. Acta Informatica 22, 1985.
[A04] Alekhnovich. Mutilated chessboard problem is exponentially hard for resolution. TCS 310, 2004.
[T68] Tseitin. On the complexity of derivation in propositional calculus. 1968.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from .arguments import integer
from .cnf import CNF
from .provenance import Provenance

if TYPE_CHECKING:
    import networkx as nx

_MOST_LITERALS = 20  # a parity constraint or a complete formula on w variables has about 2^w clauses


def pigeonhole(holes: int) -> CNF:
    """State that holes + 1 pigeons sit in `holes` holes, no two in one. Unsatisfiable.

    Variable (p − 1)·holes + h says that pigeon p sits in hole h. Resolution needs exponential size.

    Parameters
    ----------
    holes : int
        At least 1.

    Examples
    --------
    >>> pigeonhole(2).size
    CNFSize(variables=6, clauses=9, width=2)
    """
    from pysat.examples.genhard import PHP

    return _principle(PHP, f"pigeonhole(holes={integer('holes', holes, 1)})", holes)


def parity(pairs: int) -> CNF:
    """State that 2·pairs + 1 people form pairs. Unsatisfiable.

    One variable for each two people, numbered as they first occur.

    Parameters
    ----------
    pairs : int
        At least 1.

    Examples
    --------
    >>> parity(1).clauses
    ((1, 2), (1, 3), (2, 3), (-1, -2), (-1, -3), (-2, -3))
    """
    from pysat.examples.genhard import PAR

    return _principle(PAR, f"parity(pairs={integer('pairs', pairs, 1)})", pairs)


def ordering(elements: int) -> CNF:
    """State that a strict partial order on `elements` elements has no maximal one. Unsatisfiable.

    One variable for each ordered pair, numbered as they first occur. Short refutations exist.

    Parameters
    ----------
    elements : int
        At least 2.

    Examples
    --------
    >>> ordering(3).size
    CNFSize(variables=6, clauses=12, width=3)
    """
    from pysat.examples.genhard import GT

    return _principle(GT, f"ordering(elements={integer('elements', elements, 2)})", elements)


def chessboard(half: int) -> CNF:
    """State that dominoes cover a 2·half × 2·half board without two opposite corners. Unsatisfiable.

    One variable for each two neighbouring squares, numbered as they first occur; fields of one
    colour are covered at least once, those of the other at most once.

    Parameters
    ----------
    half : int
        At least 2: without its corners, a board of side 2 has no neighbouring squares.

    Examples
    --------
    >>> chessboard(2).size.variables
    20
    """
    from pysat.examples.genhard import CB

    return _principle(CB, f"chessboard(half={integer('half', half, 2)})", half)


def tseitin(graph: nx.Graph, charges: Sequence[int]) -> CNF:
    """State that at each vertex the sum of the incident edges is its charge, modulo 2.

    Variable i is edge i, edges sorted by the positions of their ends in ``graph.nodes``. Satisfiable
    exactly when the charges of each connected component have an even sum, and then with
    2^(edges − vertices + components) models.

    Parameters
    ----------
    graph : networkx.Graph
        Undirected, without loops and parallel edges, of degree at most 20.
    charges : sequence of int
        0 or 1 for each vertex, in the order of ``graph.nodes``.

    Raises
    ------
    TypeError, ValueError
        If the graph is not simple, or a charge or a degree is out of range.

    Complexity
    ----------
    2^(degree − 1) clauses a vertex.

    Examples
    --------
    >>> import networkx as nx
    >>> tseitin(nx.path_graph(3), [1, 0, 1]).clauses
    ((1,), (1, -2), (-1, 2), (2,))
    """
    edges = _edges(graph)
    if len(charges) != len(graph):
        raise ValueError(f"Argument 'charges' must hold {len(graph)} charges, not {len(charges)}.")
    incident: list[list[int]] = [[] for _ in graph]
    for variable, ends in enumerate(edges, start=1):
        for vertex in ends:
            incident[vertex].append(variable)
    clauses: list[tuple[int, ...]] = []
    for star, charge in zip(incident, charges, strict=True):
        if len(star) > _MOST_LITERALS:
            raise ValueError(
                f"Argument 'graph' must have degrees of at most {_MOST_LITERALS}, not {len(star)}: "
                f"one vertex would take 2^{len(star) - 1} clauses."
            )
        clauses.extend(_sum_modulo_two(star, integer("charges", charge, 0, 1)))
    maker = f"tseitin(edges={edges}, charges={list(charges)})"
    return CNF(len(edges), tuple(clauses), Provenance(maker))


def colouring(graph: nx.Graph, colours: int) -> CNF:
    """State that the vertices have one colour each, and neighbours different ones.

    Variable v·colours + c + 1 gives colour c to vertex v (both from 0, vertices in the order of
    ``graph.nodes``). Models are the proper colourings, so the chromatic polynomial counts them.

    Parameters
    ----------
    graph : networkx.Graph
        Undirected, without loops and parallel edges.
    colours : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        If the graph is not simple or `colours` is out of range.

    Examples
    --------
    >>> import networkx as nx
    >>> colouring(nx.path_graph(2), 2).clauses
    ((1, 2), (-1, -2), (3, 4), (-3, -4), (-1, -3), (-2, -4))
    """
    edges = _edges(graph)
    palette = range(integer("colours", colours, 1))

    def has(vertex: int, colour: int) -> int:
        return vertex * len(palette) + colour + 1

    clauses: list[tuple[int, ...]] = []
    for vertex in range(len(graph)):
        clauses.append(tuple(has(vertex, colour) for colour in palette))
        clauses.extend((-has(vertex, a), -has(vertex, b)) for a, b in combinations(palette, 2))
    for one, other in edges:
        clauses.extend((-has(one, colour), -has(other, colour)) for colour in palette)
    maker = f"colouring(vertices={len(graph)}, edges={edges}, colours={colours})"
    return CNF(len(graph) * len(palette), tuple(clauses), Provenance(maker))


def complete_cnf(width: int) -> CNF:
    """List all 2^width clauses on `width` variables: every assignment falsifies exactly one.

    Parameters
    ----------
    width : int
        In 0..20; with 0 variables the only clause is empty.

    Examples
    --------
    >>> complete_cnf(2).clauses
    ((1, 2), (1, -2), (-1, 2), (-1, -2))
    """
    integer("width", width, 0, _MOST_LITERALS)
    signs = product((1, -1), repeat=width)
    clauses = tuple(tuple(sign * (i + 1) for i, sign in enumerate(pattern)) for pattern in signs)
    return CNF(width, clauses, Provenance(f"complete_cnf(width={width})"))


def _principle(encoder: Callable[[int], Any], maker: str, size: int) -> CNF:
    found = encoder(size)
    return CNF.from_clauses(found.clauses, found.nv, provenance=Provenance(maker))


def _edges(graph: nx.Graph) -> list[tuple[int, int]]:
    """Return the edges as sorted pairs of positions, after checking that the graph is simple."""
    if graph.is_directed() or graph.is_multigraph():
        raise TypeError(f"Argument 'graph' must be an undirected simple graph, not {type(graph).__name__}.")
    position = {vertex: i for i, vertex in enumerate(graph.nodes)}
    edges = sorted(sorted((position[one], position[other])) for one, other in graph.edges)
    if loops := [one for one, other in edges if one == other]:
        raise ValueError(f"Argument 'graph' must have no loops, not one at vertex {loops[0]}.")
    return [(one, other) for one, other in edges]


def _sum_modulo_two(variables: Sequence[int], value: int) -> Iterable[tuple[int, ...]]:
    """Yield a clause against each assignment whose sum is wrong; a clause's negatives are its ones."""
    for signs in product((1, -1), repeat=len(variables)):
        if Counter(signs)[-1] % 2 != value:
            yield tuple(sign * variable for sign, variable in zip(signs, variables, strict=True))
