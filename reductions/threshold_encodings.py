"""Threshold encodings: gap maximum inner product of order k -> attention with entries Θ((log n)^(1/k)).

An instance has a target t and a bound t_no: some tuple reaches t, or none exceeds t_no. At inverse
temperature β = ln(8 Π(N_t+1))/(t - t_no) the softmax weights of the two kinds differ by the factor
that the read-out of encoding.py wants. So any oracle of additive accuracy 0.17 decides, and with d
coordinates, B^k = βd:

    B^k = d/(t - t_no) · ln(8 Π(N_t+1)).

Where d/(t - t_no) stays constant as n grows this is Θ(log n): the hard side of the wall.

General. The rest token stands for inner product t: it has t coordinates of its own, in which every
query is 1 and the real tokens are 0. A tuple of real tokens gets the logit β·(inner product),
all-rest gets βt, a mixture 0. With S = Σ_j e^(-β(t - ip_j)), O_0 = S/(S + 1 + mixed e^(-βt)):

    some tuple reaches t:   S ≥ 1,  mixed e^(-βt) ≤ Π(N_t+1)/(8 Π(N_t+1)) = 1/8,  O_0 ≥ 8/17
    none exceeds t_no:      S ≤ ΠN_t e^(-β(t - t_no)) ≤ 1/8,                      O_0 ≤ 1/9.

Complement. Where the first k-1 vectors of every tuple meet in exactly t coordinates (as from gap.py:
one a point), a tuple fails in t - ip of them, and its fails are the violations of the tuple in
A_1, ..., A_{k-1}, 1 - A_k. So it is the signed encoding at a β smaller by the factor t - t_no, with r
copies of the markers, so that all mixtures together weigh at most 1/8: r = ⌈ln(8 mixed)/β⌉ ≤ t - t_no.
d = D + r(2^(k-1) - 2) in place of D + t; for k = 2 there are no markers.

Coordinates in which some set is zero throughout change no inner product and are dropped first. What
comes from gap.py loses most of them in the general form, where party k seldom passes, and hardly any
in the complement, where it mostly fails: there the general form has the smaller entries.

Glossary
--------
β        inverse temperature: the logit that one coordinate of the inner product is worth (`beta`).
fail     a coordinate where the first k-1 vectors are 1 and the last is 0.
mixed    Π(N_t+1) - ΠN_t - 1, the number of tuples with both real and rest tokens.
κ        d/(t - t_no).

References
----------
[AS24] Alman, Song (the encoding of gap-MaxIP with large entries; read-out with a rest token ours).
"""

from __future__ import annotations

from math import ceil, log, prod

import numpy as np
import numpy.typing as npt

from ..algorithms.inner_products import inner_products
from ..instances.answer import Answer
from ..instances.attention import AttentionSize, TensorAttention
from ..instances.max_inner_product import GapMaxInnerProduct, GapSize
from ..instances.orthogonal_vectors import OrthogonalVectors, VectorsSize
from ..instances.provenance import Provenance
from .encoding import (
    ACCURACY,
    Reply,
    Rows,
    decision_beta,
    encode,
    encoded_size,
    find_tuple,
    real_or_rest,
    search_calls,
)
from .reduction import Claim, Steps, reduction

Bits = npt.NDArray[np.uint8]

_STATEMENT = (
    "attention of order {k} with entries O((log n)^(1/{k})) in n^({k}-δ) time "
    "⇒ gap {k}-MaxIP in N^({k}-δ) time"
)
_EXACT = frozenset({"n", "tuples", "eps"})


def _threshold_claim(size: GapSize, *, beta: float | None = None) -> Claim:
    target = threshold_size(size, threshold_beta(size) if beta is None else beta)
    return Claim(calls=search_calls(size.sets), target=target, exact=_EXACT)


@reduction(
    source=GapMaxInnerProduct,
    target=TensorAttention,
    claim=_threshold_claim,
    statement=_STATEMENT,
    reference="[AS24], read-out ours",
)
def threshold_encoding(
    instance: GapMaxInnerProduct, *, beta: float | None = None
) -> Steps[TensorAttention, Reply, Answer]:
    """Decide a gap instance, with a witness, by attention of order k of accuracy 0.17.

    Parameters
    ----------
    instance : GapMaxInnerProduct
        k ≥ 2 sets of N_g vectors in D coordinates, target t, bound t_no.
    beta : float, optional
        Inverse temperature, ln(8 Π(N_t+1))/(t - t_no) unless given. A smaller one voids the claim;
        it is here so that one can watch the decision break.

    Yields
    ------
    TensorAttention
        N_1 query rows, N_t + 1 key rows, d ≤ D + t, two value columns.

    Returns
    -------
    Answer
        ``Yes(indices)``, `No`, or `Undecided` when the oracle gave up or broke its promise.

    Examples
    --------
    >>> from cubicwall.algorithms.oracles import exact
    >>> from cubicwall.reductions.reduction import run
    >>> instance = GapMaxInnerProduct([[[1, 0, 0], [1, 1, 1]], [[0, 0, 1], [1, 1, 1]]], target=3, bound=1)
    >>> run(threshold_encoding(instance), exact)
    Yes(witness=(1, 1))
    """

    def ask(rows: Rows, keys: list[Rows]) -> TensorAttention:
        part = _part(instance, rows, keys)
        return encode_threshold(part, threshold_beta(part.size) if beta is None else beta)

    return (yield from find_tuple(instance.sizes, ask))


def _complement_claim(size: GapSize, *, beta: float | None = None) -> Claim:
    # Every call has at most t - t_no copies of the markers: mixed < Π(N_t+1).
    given = threshold_beta(size) if beta is None else beta
    copies = size.target - size.bound if beta is None else marker_copies(size.sets, given)
    target = encoded_size(VectorsSize(size.sets, size.dimension), given, ACCURACY, copies=copies)
    return Claim(calls=search_calls(size.sets), target=target, exact=_EXACT)


@reduction(
    source=GapMaxInnerProduct,
    target=TensorAttention,
    claim=_complement_claim,
    statement=_STATEMENT,
    reference="ours, after [AS24]",
)
def complement_encoding(
    instance: GapMaxInnerProduct, *, beta: float | None = None
) -> Steps[TensorAttention, Reply, Answer]:
    """Decide, by counting fails, a gap instance whose first k-1 sets always meet in t coordinates.

    Parameters
    ----------
    instance : GapMaxInnerProduct
        As made by `distributed_pcp`.
    beta : float, optional
        As for `threshold_encoding`: here the logit that one fail costs.

    Yields
    ------
    TensorAttention
        N_1 query rows, N_t + 1 key rows, d ≤ D + (t - t_no)(2^(k-1) - 2), two value columns.

    Returns
    -------
    Answer
        ``Yes(indices)``, `No`, or `Undecided` when the oracle gave up or broke its promise.

    Raises
    ------
    ValueError
        If the first k-1 sets of some tuple meet in another number of coordinates.

    Examples
    --------
    >>> from cubicwall.algorithms.oracles import exact
    >>> from cubicwall.reductions.reduction import run
    >>> instance = GapMaxInnerProduct([[[1, 0, 1], [0, 1, 1]], [[0, 0, 1], [0, 1, 1]]], target=2, bound=1)
    >>> run(complement_encoding(instance), exact)
    Yes(witness=(1, 1))
    """
    _require_one_meeting_number(instance)

    def ask(rows: Rows, keys: list[Rows]) -> TensorAttention:
        part = _part(instance, rows, keys)
        fails = _live((*part.sets[:-1], 1 - part.sets[-1]))
        cost = threshold_beta(part.size) if beta is None else beta
        vectors = OrthogonalVectors(fails, Provenance(f"fails of {instance.provenance.maker}"))
        return encode(vectors, cost, ACCURACY, copies=marker_copies(part.sizes, cost))

    return (yield from find_tuple(instance.sizes, ask))


def threshold_beta(size: GapSize) -> float:
    """Inverse temperature at which 0.17 decides: ln(8 Π(N_t+1))/(t - t_no), over the key sets."""
    return decision_beta(size.sets) / (size.target - size.bound)


def threshold_size(size: GapSize, beta: float) -> AttentionSize:
    """Size of the general encoding of a gap instance of `size` at inverse temperature `beta`."""
    dimension = size.dimension + size.target
    tokens = (size.sets[0], *(n + 1 for n in size.sets[1:]))
    return AttentionSize(tokens, dimension, 2, (beta * dimension) ** (1 / len(size.sets)), ACCURACY)


def marker_copies(sizes: tuple[int, ...], beta: float) -> int:
    """Markers needed so that all mixed tuples weigh at most 1/8 together: ⌈ln(8 mixed)/β⌉, 0 for k = 2."""
    mixed = prod(n + 1 for n in sizes[1:]) - prod(sizes[1:]) - 1
    return ceil(log(8 * mixed) / beta) if mixed else 0


def encode_threshold(instance: GapMaxInnerProduct, beta: float) -> TensorAttention:
    """Write a gap instance as an attention instance at inverse temperature `beta`, the general way."""
    queries, *real = _live(instance.sets)
    live = GapSize(instance.sizes, queries.shape[1], instance.target, instance.bound)
    size = threshold_size(live, beta)
    B, yardstick = size.entry_bound, instance.target
    keys = []
    for vectors in real:
        key = np.zeros((len(vectors) + 1, size.dimension))
        key[:-1, : live.dimension] = B * vectors
        key[-1, live.dimension :] = B
        keys.append(key)
    return TensorAttention(
        query=B * np.pad(queries, ((0, 0), (0, yardstick)), constant_values=1),
        keys=tuple(keys),
        values=tuple(real_or_rest(len(vectors)) for vectors in real),
        scale=1 / size.dimension,
        accuracy=ACCURACY,
        provenance=Provenance(f"threshold encoding at beta={beta:.6g} of {instance.provenance.maker}"),
    )


def _part(instance: GapMaxInnerProduct, rows: Rows, keys: list[Rows]) -> GapMaxInnerProduct:
    chosen = [vectors[listed] for vectors, listed in zip(instance.sets, (rows, *keys), strict=True)]
    return GapMaxInnerProduct(chosen, instance.target, instance.bound, instance.provenance)


def _live(sets: tuple[Bits, ...]) -> list[Bits]:
    """Drop the coordinates in which some set is zero throughout."""
    live = np.logical_and.reduce([vectors.any(axis=0) for vectors in sets])
    return [np.ascontiguousarray(vectors[:, live]) for vectors in sets]


def _require_one_meeting_number(instance: GapMaxInnerProduct) -> None:
    """Check the condition of the complement in O(D Π_{s<k} N_s) time, less than one attention call."""
    neutral = np.ones((1, instance.dimension), dtype=np.uint8)
    for _, met in inner_products((*instance.sets[:-1], neutral)):
        if (strange := met != instance.target).any():
            raise ValueError(
                f"Argument 'instance' must have first sets that meet in exactly {instance.target} "
                f"coordinates, the target, not in {int(met[strange][0])}; use threshold_encoding."
            )
