"""Counting: the number of orthogonal tuples from attention, with a β and an ε of its own.

Every orthogonal tuple adds exactly 1 to Σ_i S_i (see encoding.py) and every other one at most
e^-β. With β = ln(8 N_1 Π(N_t+1)) the others add less than 1/8 together, so the count C is known
once Σ S_i is known to an interval of length below 7/8:  Σ S_i - 1/8 < C ≤ Σ S_i.

What an accuracy ε tells. The oracle's o_0, o_1 are within ε of O_0 = S/D and O_1 = W/D, so

    W (o_0 - ε)/(o_1 + ε) ≤ S ≤ W (o_0 + ε)/(o_1 - ε),

with W the weight of the all-rest tuple. At W = 1 the half-length is about ε(1+S)²; with W
near S both masses are near ½ and it is about 4εS. So: ask with W = 1, which finds each S to
within a sixth at least, and where the interval is still too long ask once more with W_i = S_i.
With ε = 1/(16 N_1 (1 + ΠN_t)) the second interval's length is below 0.6 for every source.

The second call is for sources with very many solutions; ordinary ones are done after one. Near
2^40 tuples ε falls below what float64 can deliver: there an oracle that computes in float64 cannot
keep the promise asked of it.

Cost: at most two attention calls.
"""

from __future__ import annotations

from math import ceil, floor, log, prod

import numpy as np

from ..instances.answer import Answer, Count, Undecided
from ..instances.attention import TensorAttention
from ..instances.orthogonal_vectors import OrthogonalVectors, VectorsSize
from .encoding import Floats, Reply, checked_output, encode, encoded_size
from .reduction import Claim, Steps, reduction

ROUNDING = 2.0**-53  # an oracle that is wrong by exactly ε must not fall outside by the last bit


def counting_beta(sizes: tuple[int, ...]) -> float:
    """Inverse temperature at which non-orthogonal tuples add less than 1/8 in all."""
    return log(8 * sizes[0] * prod(n + 1 for n in sizes[1:])) if sizes[0] else log(8)


def counting_accuracy(sizes: tuple[int, ...]) -> float:
    """Additive accuracy ε = 1/(16 N_1 (1 + ΠN_t)) at which two calls always determine the count."""
    return 1 / (16 * max(1, sizes[0]) * (1 + prod(sizes[1:])))


def _claim(size: VectorsSize) -> Claim:
    target = encoded_size(size, counting_beta(size.sets), counting_accuracy(size.sets), weighted=True)
    return Claim(calls=2, target=target, exact=frozenset({"n", "tuples", "d", "eps"}))


@reduction(
    source=OrthogonalVectors,
    target=TensorAttention,
    claim=_claim,
    statement="attention of order {k} to 1/poly(n) in n^({k}-δ) time ⇒ #{k}-OV in N^({k}-δ) time",
    reference="[AS24], read-out ours",
    counting=True,
)
def counting_encoding(vectors: OrthogonalVectors) -> Steps[TensorAttention, Reply, Answer]:
    """Count the orthogonal tuples by at most two calls to attention of accuracy 1/(16 N_1 (1+ΠN_t)).

    Parameters
    ----------
    vectors : OrthogonalVectors
        k ≥ 2 sets of N_g vectors in m coordinates.

    Yields
    ------
    TensorAttention
        N_1 query rows, N_t + 1 key rows, d = m + 2^(k-1) - 1, two value columns.

    Returns
    -------
    Answer
        `Count`, or `Undecided` when the oracle gave up or broke its promise.

    Examples
    --------
    >>> from cubicwall.algorithms.oracles import exact
    >>> from cubicwall.reductions.reduction import run
    >>> run(counting_encoding(OrthogonalVectors(([[1, 1], [0, 1]], [[1, 0], [0, 0]]))), exact)
    Count(value=3)
    """
    if 0 in vectors.sizes:
        return Count(0)
    beta, accuracy = counting_beta(vectors.sizes), counting_accuracy(vectors.sizes)
    others = prod(vectors.sizes[1:])
    rest = np.ones(vectors.sizes[0])
    for _ in range(2):
        reply = yield encode(vectors, beta, accuracy, log_rest=np.log(rest))
        output = checked_output(reply, vectors.sizes[0], accuracy)
        if isinstance(output, Undecided):
            return output
        low, high = _partition_sums(output, rest, accuracy, others)
        first = max(0, ceil(float(low.sum()) - 1 / 8))
        final = floor(float(high.sum()))
        if first == final:
            return Count(first)
        if first > final:
            return Undecided(
                f"no integer lies between {low.sum() - 1 / 8:.6g} and {high.sum():.6g}", breach=True
            )
        rest = np.clip((low + high) / 2, 1, others)
    return Undecided(f"after two calls the count lies anywhere from {first} to {final}", breach=True)


def _partition_sums(output: Floats, rest: Floats, accuracy: float, others: int) -> tuple[Floats, Floats]:
    """Enclose every S_i, given outputs within `accuracy` and rest weights W_i."""
    real, yardstick = output.T
    accuracy += 4 * ROUNDING
    low = rest * (real - accuracy) / (yardstick + accuracy)
    with np.errstate(divide="ignore"):
        high = np.where(yardstick > accuracy, rest * (real + accuracy) / (yardstick - accuracy), others)
    low, high = low * (1 - 64 * ROUNDING), high * (1 + 64 * ROUNDING)
    # A lower end above what is possible stays: it shows a broken promise.
    return np.maximum(low, 0), np.clip(high, 0, others)
