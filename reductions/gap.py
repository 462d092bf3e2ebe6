"""The distributed PCP: k-orthogonal vectors -> an OR of gap maximum inner products [ARW17], [KLM18].

Write the m coordinates as T rows of L columns and let a code turn row r of a vector a into a word
a_r of values in GF(q) whose first L are its bits. For a tuple a_1..a_k the *proof* is the word

    Σ_r Π_g a_{g,r}     at every point.

At each of the first L points it is the number of rows with a violation in that column, at most T.
So if the characteristic exceeds T, the tuple is orthogonal iff its proof vanishes on the first L
points, and Merlin's messages are all words P of the k-fold space that do. One instance a message:
for each point y, parties 1..k-1 say by a single 1 which values (a_{s,r}(y))_r they have there, and
party k has a 1 for just those values which with its own would give P(y). Then the inner product of
a tuple is the number of points where its proof agrees with the message:

    all `length` points   if the proof is the message: an orthogonal tuple, for exactly one message;
    at most `agreement`   for every other tuple and message, as two words of the k-fold space differ.

So every message makes an instance that keeps its promise, and messages need not be chosen: they
are all tried, in a fixed order.

Columns. Of the length · q^((k-1)T) coordinates those are dropped where one of the parties 1..k-1 is
0 in all its vectors; at most length · Π_{s<k} N_s remain. (Those where party k is 0 depend on the
message; the encodings that follow drop them.) Where that cap binds, the step is *saturated*: there is
one coordinate per point and tuple of the first k-1 parties, brute force in disguise. Otherwise it is
*genuine*.

Cost: preparation O(D N_k T), a message O(D N_k) time; O(D Σ N_g) bytes.

Glossary
--------
rows, columns  T and L.
point          y, one of the `length` points at which words have values.
proof          the sum over rows of the products of the parties' words.
message        P, a word that could be a proof of orthogonality.
party          g: the owner of set A_g.

References
----------
[ARW17] Abboud, Rubinstein, Williams. Distributed PCP theorems for hardness of approximation in P.
[KLM18] Karthik, Laekhanukar, Manurangsi. On the parameterized complexity of approximating
dominating set (k parties).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ..instances.answer import Answer, No
from ..instances.max_inner_product import GapMaxInnerProduct, GapSize
from ..instances.orthogonal_vectors import OrthogonalVectors, VectorsSize
from ..instances.provenance import Provenance
from .disjunction import any_of
from .finite_fields import Symbols, contract, multiply
from .reduction import Claim, Steps, reduction
from .schemes import Scheme, choose_scheme

Bools = npt.NDArray[np.bool_]

BLOCK = 2**20  # numbers held at once beside the instance itself


def _claim(
    size: VectorsSize,
    *,
    family: str = "reed-solomon",
    field: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
    compress: bool = True,
) -> Claim:
    scheme = choose_scheme(size, family=family, field=field, rows=rows, columns=columns)
    dimension = scheme.compressed(size.sets) if compress else scheme.dimension
    target = GapSize(size.sets, dimension, scheme.code.length, scheme.agreement)
    exact = {"N", "tuples", "gap"}
    exact |= set() if compress else {"D", "kappa"}
    return Claim(calls=scheme.messages, target=target, exact=frozenset(exact))


@reduction(
    source=OrthogonalVectors,
    target=GapMaxInnerProduct,
    claim=_claim,
    statement="gap {k}-MaxIP in N^({k}-δ) time ⇒ {k}-OV in messages · N^({k}-δ) time",
    reference="[ARW17], [KLM18]",
)
def distributed_pcp(
    vectors: OrthogonalVectors,
    *,
    family: str = "reed-solomon",
    field: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
    compress: bool = True,
) -> Steps[GapMaxInnerProduct, Answer, Answer]:
    """Ask, for each of Merlin's messages, whether some tuple proves it everywhere.

    Parameters
    ----------
    vectors : OrthogonalVectors
        k ≥ 2 sets of N_g vectors in m coordinates.
    family, field, rows, columns
        The code and the layout, see `choose_scheme`; chosen from the size unless given.
    compress : bool
        Drop coordinates on which one of the first k-1 parties is 0 in all its vectors. Without,
        there are length · q^((k-1)T) coordinates, for tiny cases only.

    Yields
    ------
    GapMaxInnerProduct
        The same numbers of vectors; target `length`, bound `agreement`. The first k-1 sets of every
        tuple meet in exactly `length` coordinates, one a point.

    Returns
    -------
    Answer
        ``Yes(indices)``, the tuple that proves some message.

    Raises
    ------
    ValueError
        If the code does not fit, see `choose_scheme`.

    Examples
    --------
    >>> steps = distributed_pcp(OrthogonalVectors(([[1, 0]], [[1, 1], [0, 1]])), field=3, columns=2)
    >>> next(steps)
    GapMaxInnerProduct(sizes=(1, 2), dimension=3, target=3, bound=2)
    """
    scheme = choose_scheme(vectors.size, family=family, field=field, rows=rows, columns=columns)
    if 0 in vectors.sizes:
        return No()
    return (yield from any_of(Verifier.of(vectors, scheme, compress=compress).instances()))


@dataclass(frozen=True)
class Verifier:
    """What stays the same from message to message.

    Parameters
    ----------
    vectors : OrthogonalVectors
        The source.
    scheme : Scheme
        The code and the layout.
    parties : tuple of k-1 boolean arrays, number s of shape (N_s, D)
        The first k-1 sets.
    point : integers of shape (D,)
        The point to which a coordinate belongs.
    needed : integers of shape (N_k, D)
        The value of the proof there, given that the first k-1 parties are 1: party k is 1 where the
        message says the same.
    """

    vectors: OrthogonalVectors
    scheme: Scheme
    parties: tuple[Bools, ...]
    point: npt.NDArray[np.intp]
    needed: npt.NDArray[Any]

    @staticmethod
    def of(vectors: OrthogonalVectors, scheme: Scheme, *, compress: bool = True) -> Verifier:
        """Encode the vectors and lay out the coordinates, point by point."""
        words = [scheme.words(bits) for bits in vectors.sets]  # (N_g, T, length) each
        symbol = np.min_scalar_type(scheme.code.field - 1)
        parties: list[list[Bools]] = [[] for _ in words[:-1]]
        needed, point = [], []
        for y in range(scheme.code.length):
            told = [_alphabet(word[:, :, y], scheme, compress) for word in words[:-1]]
            picks = np.indices([len(values) for values, _ in told]).reshape(len(told), -1)
            for party, pick, (_, said) in zip(parties, picks, told, strict=True):
                party.append(said[:, None] == pick[None, :])
            for block in _blocks(picks.shape[1], scheme.rows + vectors.sizes[-1]):
                chosen = [values[pick[block]] for pick, (values, _) in zip(picks, told, strict=True)]
                needed.append(_proofs(scheme, chosen, words[-1][:, :, y]).astype(symbol))
                point.append(np.full(needed[-1].shape[1], y))
        return Verifier(
            vectors,
            scheme,
            tuple(np.concatenate(party, axis=1) for party in parties),
            np.concatenate(point),
            np.concatenate(needed, axis=1),
        )

    def instances(self) -> Iterator[GapMaxInnerProduct]:
        """Make the instance of every message, one at a time, in the order of `Scheme.messages_in_order`."""
        maker = f"distributed_pcp({self.scheme}) of {self.vectors.provenance.maker}"
        for word in self.scheme.messages_in_order():
            yield GapMaxInnerProduct(
                (*self.parties, self.last_party(word)),
                target=self.scheme.code.length,
                bound=self.scheme.agreement,
                provenance=Provenance(maker),
            )

    def last_party(self, message: Symbols) -> Bools:
        """Return party k's set, shape (N_k, D), for a message of shape (length,)."""
        agrees: Bools = self.needed == message.astype(self.needed.dtype)[self.point]
        return agrees


def _alphabet(values: Symbols, scheme: Scheme, compress: bool) -> tuple[Symbols, npt.NDArray[np.intp]]:
    """List what a party may say at a point, shape (n, T), and which of it each vector says, shape (N,)."""
    if compress:
        number: dict[bytes, int] = {}
        said = [number.setdefault(row.tobytes(), len(number)) for row in np.ascontiguousarray(values)]
        _, first = np.unique(said, return_index=True)
        return values[first], np.array(said)
    q, rows = scheme.code.field, scheme.rows
    everything = np.array(list(product(range(q), repeat=rows)), dtype=np.int64)
    return everything, (values @ q ** np.arange(rows)[::-1]).astype(np.intp)


def _proofs(scheme: Scheme, told: list[Symbols], last: Symbols) -> Symbols:
    """Σ_r of the products, shape (N_k, C), for C choices of values, shape (C, T) a party."""
    return contract(scheme.code.field, last, multiply(scheme.code.field, *told).T)


def _blocks(count: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // width)
    return (slice(start, start + step) for start in range(0, count, step))
