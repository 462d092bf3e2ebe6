"""The graph of arrows: which question becomes which, and the paths between them.

Nodes are the types of instances, edges the reductions. Anyone can add an arrow by the entry
point group ``cubicwall.arrows``, whose entries load a `Reduction`.

Glossary
--------
via     the name of a path: an alias such as ``direct``, or arrow names joined by commas.
path    arrows that fit head to tail, with their options bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import product
from typing import TYPE_CHECKING, Any

from ..instances.answer import Answer
from ..instances.attention import TensorAttention
from .counting import counting_encoding
from .encoding import signed_encoding
from .gap import distributed_pcp
from .gradient import doubled_keys, integrated_gradient
from .reduction import Claim, Reduction, Size, chain, run
from .sparsification import sparsify
from .splitting import split_and_list
from .threshold_encodings import complement_encoding, threshold_encoding
from .trace import Hop, traced

if TYPE_CHECKING:
    import networkx as nx

Arrow = Reduction[Any, Any, Any, Any, Any]

BUILT_IN: tuple[Arrow, ...] = (
    sparsify,
    split_and_list,
    signed_encoding,
    counting_encoding,
    distributed_pcp,
    threshold_encoding,
    complement_encoding,
    doubled_keys,
    integrated_gradient,
)
ALIASES: dict[str, dict[bool, tuple[str, ...]]] = {
    # name: {counting?: the arrows}
    "direct": {False: ("split_and_list", "signed_encoding"), True: ("split_and_list", "counting_encoding")},
    "gap": {False: ("sparsify", "split_and_list", "distributed_pcp", "threshold_encoding")},
    "gap-complement": {False: ("sparsify", "split_and_list", "distributed_pcp", "complement_encoding")},
    "gap-gradient": {
        False: ("sparsify", "split_and_list", "distributed_pcp", "threshold_encoding", "doubled_keys")
    },
    "gradient": {False: ("split_and_list", "signed_encoding", "doubled_keys")},
    "gradient-integral": {False: ("split_and_list", "signed_encoding", "integrated_gradient")},
}


def arrows() -> dict[str, Arrow]:
    """Return every arrow by name: the built-in ones, then those of other packages."""
    found = {arrow.__name__: arrow for arrow in BUILT_IN}
    for entry in entry_points(group="cubicwall.arrows"):
        arrow = entry.load()
        if not isinstance(arrow, Reduction):
            raise TypeError(f"Entry point {entry.name!r} must load a Reduction, not {type(arrow).__name__}.")
        if arrow.__name__ in found:
            raise ValueError(f"Entry point {entry.name!r} repeats the arrow {arrow.__name__!r}.")
        found[arrow.__name__] = arrow
    return found


def graph() -> nx.MultiDiGraph:
    """Return the arrows as a networkx graph: nodes are instance types, edge keys arrow names.

    Every edge carries ``arrow`` (the `Reduction`), ``reference``, ``statement``, ``counting``
    and ``parsimonious``.

    Examples
    --------
    >>> sorted(graph().edges(keys=True))[1]
    ('CNF', 'OrthogonalVectors', 'split_and_list')
    """
    import networkx as nx

    whole = nx.MultiDiGraph()
    for name, arrow in arrows().items():
        terms = arrow.contract
        whole.add_edge(
            terms.source.__name__,
            terms.target.__name__,
            key=name,
            arrow=arrow,
            reference=terms.reference,
            statement=terms.statement,
            counting=terms.counting,
            parsimonious=terms.parsimonious,
        )
    return whole


@dataclass(frozen=True)
class Path:
    """Arrows head to tail, each with the options that it takes."""

    arrows: tuple[Arrow, ...]
    options: tuple[dict[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The arrows' names, first to last."""
        return tuple(arrow.__name__ for arrow in self.arrows)

    @property
    def target(self) -> type:
        """The type of instance that the path ends in."""
        end: type = self.arrows[-1].contract.target
        return end

    def claims(self, size: Size) -> list[Claim]:
        """Claim hop by hop for a source of `size`, each hop starting from what the last one claims."""
        claimed: list[Claim] = []
        for arrow, options in zip(self.arrows, self.options, strict=True):
            claimed.append(arrow.contract.claim(size, **options))
            size = claimed[-1].target
        return claimed

    def run(self, source: Any, oracle: Callable[[Any], Any]) -> tuple[Answer, list[Hop]]:
        """Reduce `source` along the path, ask `oracle` at its end, and return the answer and the trace."""
        hops = [Hop(a.__name__, a.contract.reference, a.contract.statement) for a in self.arrows]
        first, *rest = (
            traced(arrow, hop, options)
            for arrow, hop, options in zip(self.arrows, hops, self.options, strict=True)
        )
        steps = first(source)
        for inner in rest:
            steps = chain(steps, inner)
        answer: Answer = run(steps, oracle)
        return answer, hops


def find_path(via: str, source: type, *, counting: bool = False, **options: Any) -> Path:
    """Look up the path that `via` names, from instances of type `source`.

    Parameters
    ----------
    via : str
        An alias (``direct``) or arrow names joined by commas. An alias may start after its
        first arrows where the source is already further on.
    source : type
        The type of the source instance.
    counting : bool
        Whether the question is how many: then every arrow but the last must be parsimonious
        and the last one count.
    **options
        Options for the arrows; each arrow gets those that it takes. ``order`` may be superfluous,
        since sources such as OrthogonalVectors bring their own.

    Raises
    ------
    ValueError
        If a name is unknown, two arrows do not fit, an option fits no arrow, or counts do not
        survive an arrow.
    """
    known = arrows()
    if via in ALIASES:
        if counting not in ALIASES[via]:
            raise ValueError(f"Argument 'via' must name arrows that keep counts; {via!r} decides only.")
        names = ALIASES[via][counting]
        starts = [i for i, name in enumerate(names) if known[name].contract.source is source]
        names = names[starts[0] :] if starts else names
    else:
        names = tuple(name.strip() for name in via.split(","))
    for name in names:
        if name not in known:
            raise ValueError(
                f"Argument 'via' must name arrows or one of {sorted(ALIASES)}, not {name!r}; "
                f"the arrows are {sorted(known)}."
            )
    path = tuple(known[name] for name in names)
    _fit(path, source, counting)
    _all_taken(options, path, known)
    return Path(path, tuple({o: v for o, v in options.items() if o in arrow.options} for arrow in path))


def paths(
    source: str, target: str = TensorAttention.__name__, *, counting: bool = False
) -> Iterator[tuple[str, ...]]:
    """Yield every simple path from `source` to `target`, shortest first, as arrow names.

    A path visits no kind of instance twice, but for one arrow from a kind to itself, such as
    ``sparsify``, which may stand before it leaves that kind.

    Raises
    ------
    ValueError
        If either is not a node of the graph.
    """
    import networkx as nx

    whole = graph()
    for argument, name in (("source", source), ("target", target)):
        if name not in whole:
            raise ValueError(f"Argument {argument!r} must be one of {sorted(whole)}, not {name!r}.")
    found = [
        [edge for pair in zip(loops, edges, strict=True) for edge in pair if edge is not None]
        for edges in nx.all_simple_edge_paths(whole, source, target)
        for loops in product(*([None, *_loops(whole, node)] for node, _, _ in edges))
    ]
    for edges in sorted(found, key=len):
        contracts = [whole.edges[edge]["arrow"].contract for edge in edges]
        if contracts[-1].counting == counting and all(
            not c.counting and (c.parsimonious or not counting) for c in contracts[:-1]
        ):
            yield tuple(name for _, _, name in edges)


def _loops(whole: nx.MultiDiGraph, node: str) -> list[tuple[str, str, str]]:
    return [(node, node, name) for name in whole.get_edge_data(node, node, default={})]


def _fit(path: tuple[Arrow, ...], source: type, counting: bool) -> None:
    here = source
    for arrow in path:
        if arrow.contract.source is not here:
            raise ValueError(
                f"Argument 'via' must name arrows that fit: {arrow.__name__} takes "
                f"{arrow.contract.source.__name__}, not {here.__name__}."
            )
        here = arrow.contract.target
    for arrow in path:
        last = arrow is path[-1]
        if counting and not (arrow.contract.counting or arrow.contract.parsimonious):
            raise ValueError(
                f"Argument 'via' must name arrows that keep counts; {arrow.__name__} decides only."
            )
        if arrow.contract.counting and not (counting and last):
            raise ValueError(f"Arrow {arrow.__name__} counts; it can only end the path of a count.")


def _all_taken(options: dict[str, Any], path: tuple[Arrow, ...], known: dict[str, Arrow]) -> None:
    taken = frozenset({"order"}).union(*(arrow.options for arrow in path))
    for name in options.keys() - taken:
        owners = sorted(arrow.__name__ for arrow in known.values() if name in arrow.options)
        raise ValueError(
            f"Argument {name!r} is an option of {' and '.join(owners) or 'no arrow'}, but the path is "
            f"{', '.join(arrow.__name__ for arrow in path)}."
        )
