"""The signed encoding: k-orthogonal vectors -> tensor attention of order k with large entries.

Theorem (after [AS24]; marker coordinates ours). For sets A_1..A_k of 0/1 vectors in m
coordinates let violations(j) be the number of coordinates in which all vectors of a tuple are 1. There is
an attention instance with d = m + 2^(k-1) - 2 coordinates and entries of size B = (βd)^(1/k)
whose output tells S_i = Σ_j exp(-β violations(i, j)) for every row i; with β = ln(8 Π(N_t+1)) a
row is decided by any oracle of additive accuracy 0.17.

How. Every key matrix ends with one *rest* token. A tuple of real tokens gets the logit
-β violations; all-rest gets 0; a mixture gets exactly -β, because for each pattern of real and rest
that is neither pure there is one marker coordinate which is 1 just on it. The value columns
count the softmax mass of the all-real tuples (O_0) and of the all-rest one (O_1 = 1/D), so
S = O_0/O_1 exactly, and with D = S + 1 + mixed e^-β

    some tuple orthogonal: S ≥ 1,            O_0 ≥ 1/(1 + 1 + 1/8) = 8/17
    none:                  S ≤ ΠN_t e^-β,    O_0 ≤ (1/8)/(1 + 1/8)  = 1/9

and 0.17 is just under half of the gap.

Glossary
--------
β          inverse temperature: the logit that one violation costs (`beta`).
B          entry bound.
D          the softmax denominator, a partition function.
rest       the token that stands for "none of them"; its tuple is the yardstick of the softmax.
marker     a coordinate that makes a mixture of real and rest tokens cost one violation.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import log, prod

import numpy as np
import numpy.typing as npt

from ..instances.answer import Answer, No, Undecided, Yes
from ..instances.attention import AttentionSize, TensorAttention
from ..instances.orthogonal_vectors import OrthogonalVectors, VectorsSize
from ..instances.provenance import Provenance
from .reduction import Claim, Steps, reduction

YES_AT_LEAST = 8 / 17
NO_AT_MOST = 1 / 9
ACCURACY = 0.17

Floats = npt.NDArray[np.float64]
Reply = Floats | Undecided
Rows = npt.NDArray[np.intp]
Ask = Callable[[Rows, list[Rows]], TensorAttention]


def _claim(size: VectorsSize, *, beta: float | None = None) -> Claim:
    beta = decision_beta(size.sets) if beta is None else beta
    target = encoded_size(size, beta, ACCURACY)
    return Claim(calls=search_calls(size.sets), target=target, exact=frozenset({"n", "tuples", "d", "eps"}))


@reduction(
    source=OrthogonalVectors,
    target=TensorAttention,
    claim=_claim,
    statement="attention of order {k} in n^({k}-δ) time ⇒ {k}-OV in N^({k}-δ) time",
    reference="[AS24], read-out ours",
)
def signed_encoding(
    vectors: OrthogonalVectors, *, beta: float | None = None
) -> Steps[TensorAttention, Reply, Answer]:
    """Decide k-OV, with a witness, by attention of order k of accuracy 0.17.

    The first call decides every row at once. If some row says yes, its key sets are halved in
    turn and asked again for that row alone: Σ_t ⌈log2 N_t⌉ calls of at most ΠN_t triples each,
    all with the same constant gap.

    Parameters
    ----------
    vectors : OrthogonalVectors
        k ≥ 2 sets of N_g vectors in m coordinates.
    beta : float, optional
        Inverse temperature, ln(8 Π(N_t+1)) unless given. A smaller one voids the claim; it is
        here so that one can watch the decision break.

    Yields
    ------
    TensorAttention
        N_1 query rows, N_t + 1 key rows, d = m + 2^(k-1) - 2, two value columns.

    Returns
    -------
    Answer
        ``Yes(indices)``, `No`, or `Undecided` when the oracle gave up or broke its promise.

    Examples
    --------
    >>> from cubicwall.algorithms.oracles import exact
    >>> from cubicwall.reductions.reduction import run
    >>> vectors = OrthogonalVectors(([[1, 1], [0, 1]], [[1, 0], [1, 1]]))
    >>> run(signed_encoding(vectors), exact)
    Yes(witness=(1, 0))
    """
    return (yield from find_tuple(vectors.sizes, lambda rows, keys: _ask(vectors, rows, keys, beta)))


def find_tuple(sizes: tuple[int, ...], ask: Ask) -> Steps[TensorAttention, Reply, Answer]:
    """Decide whether some tuple says yes, and find one by halving key sets.

    Parameters
    ----------
    sizes : tuple of int
        The number of vectors in each set.
    ask : callable
        ``ask(rows, keys)`` makes the instance for some rows of the first set and of each other set;
        at accuracy 0.17 its output decides every row, see `decisive_row`.

    Yields
    ------
    TensorAttention
        One instance for all rows; then, if some row says yes, Σ_t ⌈log2 N_t⌉ for that row.
    """
    rows, *keys = [np.arange(n) for n in sizes]
    if 0 in sizes:
        return No()
    found = decisive_row((yield ask(rows, keys)), len(rows))
    if not isinstance(found, int):
        return found
    row = rows[found : found + 1]
    for t, listed in enumerate(keys):
        while len(listed) > 1:
            first, second = np.array_split(listed, 2)
            keys[t] = first
            found = decisive_row((yield ask(row, keys)), 1)
            if isinstance(found, Undecided):
                return found
            listed = first if isinstance(found, int) else second
        keys[t] = listed
    return Yes((int(row[0]), *(int(listed[0]) for listed in keys)))


def search_calls(sizes: tuple[int, ...]) -> int:
    """Count the calls of `find_tuple`, at most."""
    return 1 + sum((n - 1).bit_length() for n in sizes[1:] if n)


def decision_beta(sizes: tuple[int, ...]) -> float:
    """Inverse temperature at which 0.17 decides: β = ln(8 Π(N_t+1)), the product over the key sets."""
    return log(8 * prod(n + 1 for n in sizes[1:]))


def encoded_size(
    size: VectorsSize, beta: float, accuracy: float, weighted: bool = False, *, copies: int = 1
) -> AttentionSize:
    """Size of the encoding of k-OV of `size` at inverse temperature `beta`; see `encode`."""
    order = len(size.sets)
    dimension = max(1, size.dimension + copies * (2 ** (order - 1) - 2) + weighted)
    tokens = (size.sets[0], *(n + 1 for n in size.sets[1:]))
    return AttentionSize(tokens, dimension, 2, (beta * dimension) ** (1 / order), accuracy)


def encode(
    vectors: OrthogonalVectors,
    beta: float,
    accuracy: float,
    log_rest: Floats | None = None,
    *,
    copies: int = 1,
) -> TensorAttention:
    """Write `vectors` as an attention instance at inverse temperature `beta`.

    With `log_rest`, of shape (N_1,), row i's all-rest tuple gets that logit instead of 0, at
    most β, for one more coordinate: then S_i = exp(log_rest_i) O_0/O_1. With `copies` of every
    marker coordinate a mixture of real and rest tokens costs that many violations.
    """
    order = vectors.order
    mixtures = [p for p in product((0, 1), repeat=order - 1) if 0 < sum(p) < order - 1] * copies
    size = encoded_size(vectors.size, beta, accuracy, weighted=log_rest is not None, copies=copies)
    d, B = size.dimension, size.entry_bound
    m, markers = vectors.dimension, slice(vectors.dimension, vectors.dimension + len(mixtures))

    query = np.zeros((vectors.sizes[0], d))
    query[:, :m] = vectors.sets[0]
    query[:, markers] = 1
    if log_rest is not None:
        query[:, -1] = -log_rest / beta
    keys, values = [], []
    for t, real in enumerate(vectors.sets[1:]):
        key = np.zeros((len(real) + 1, d))
        key[:-1, :m] = real
        key[:-1, markers] = [p[t] for p in mixtures]
        key[-1, markers] = [1 - p[t] for p in mixtures]
        if log_rest is not None:
            key[-1, -1] = 1
        keys.append(B * key)
        values.append(real_or_rest(len(real)))
    return TensorAttention(
        query=-B * query,
        keys=tuple(keys),
        values=tuple(values),
        scale=1 / d,
        accuracy=accuracy,
        provenance=Provenance(f"signed encoding at beta={beta:.6g} of {vectors.provenance.maker}"),
    )


def real_or_rest(count: int) -> Floats:
    """Value columns that tell `count` real tokens from the rest token after them, shape (count + 1, 2)."""
    value = np.zeros((count + 1, 2))
    value[:-1, 0] = value[-1, 1] = 1
    return value


def checked_output(reply: Reply, rows: int, accuracy: float) -> Reply:
    """Return the oracle's output, or `Undecided` if it gave up or visibly broke its promise."""
    if isinstance(reply, Undecided):
        return reply
    if not isinstance(reply, np.ndarray) or reply.dtype.kind != "f":
        return Undecided(f"the oracle must return a float array, not {type(reply).__name__}", breach=True)
    if reply.shape != (rows, 2):
        return Undecided(f"the oracle must return shape {(rows, 2)}, not {reply.shape}", breach=True)
    low, high = -accuracy - 1e-12, 1 + accuracy + 1e-12
    if not ((reply >= low) & (reply <= high)).all():
        worst = reply[~((reply >= low) & (reply <= high))][0]
        return Undecided(
            f"the oracle must return softmax masses in [0, 1] to within {accuracy:g}, not {worst}",
            breach=True,
        )
    return reply


def decisive_row(reply: Reply, rows: int) -> int | No | Undecided:
    """Read the decision off the output: the first row that says yes, or `No`.

    Every value must lie within 0.17 of what a yes or a no can produce; one in the gap between
    shows that the oracle broke its promise, and is never rounded to an answer.
    """
    output = checked_output(reply, rows, ACCURACY)
    if isinstance(output, Undecided):
        return output
    yes = output[:, 0] >= YES_AT_LEAST - ACCURACY
    gap = ~yes & (output[:, 0] > NO_AT_MOST + ACCURACY)
    if gap.any():
        i = int(gap.argmax())
        return Undecided(
            f"row {i} says {output[i, 0]:.4f}, which lies in the forbidden gap "
            f"({NO_AT_MOST + ACCURACY:.4f}, {YES_AT_LEAST - ACCURACY:.4f})",
            breach=True,
        )
    return int(yes.argmax()) if yes.any() else No()


def _ask(vectors: OrthogonalVectors, rows: Rows, keys: list[Rows], beta: float | None) -> TensorAttention:
    chosen = (
        vectors.sets[0][rows],
        *(s[listed] for s, listed in zip(vectors.sets[1:], keys, strict=True)),
    )
    part = OrthogonalVectors(chosen, provenance=vectors.provenance)
    return encode(part, decision_beta(part.sizes) if beta is None else beta, ACCURACY)
