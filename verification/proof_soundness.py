"""Soundness and completeness of the distributed PCP, tuple by tuple and message by message.

For every message and every tuple the inner product must be `length` for an orthogonal tuple and its
one message, and at most `agreement` otherwise. Whole instances are checked at once: the inner products of
all tuples under all messages are one matrix product over the coordinates that the reduction lays out.

Cost: O(messages · D Π N_g) time for an instance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from ..instances.orthogonal_vectors import OrthogonalVectors
from ..reductions.gap import Verifier
from ..reductions.schemes import Scheme


@dataclass(frozen=True, slots=True)
class Soundness:
    """What a sweep saw: how much was checked, and every instance that broke the claim."""

    instances: int
    tuples: int
    orthogonal: int
    marks: int
    """Inner products checked, one for each tuple and message."""
    highest_wrong: int
    """The most marks that a tuple had under a message that it does not prove."""
    broken: tuple[OrthogonalVectors, ...]


def check_soundness(
    instances: Iterable[OrthogonalVectors], scheme: Scheme, *, compress: bool = True
) -> Soundness:
    """Check every tuple of every instance under every message of `scheme`.

    Parameters
    ----------
    instances : iterable of OrthogonalVectors
        Of the scheme's order, with at most T L coordinates.
    scheme : Scheme
        A code and a layout, with few enough messages to hold all at once.
    compress : bool
        As for `distributed_pcp`.

    Examples
    --------
    >>> from cubicwall.reductions.codes import ReedSolomon
    >>> from cubicwall.verification.exhaustive import all_vectors
    >>> seen = check_soundness(all_vectors(2, 1, 2), Scheme(2, 1, ReedSolomon(3, 2)))
    >>> seen.instances, seen.orthogonal, seen.highest_wrong, seen.broken
    (16, 9, 2, ())
    """
    messages = scheme.message_words(0, scheme.messages)
    broken = []
    count = tuples = orthogonal = highest = 0
    for vectors in instances:
        reached = marks(Verifier.of(vectors, scheme, compress=compress), messages)
        free = orthogonal_tuples(vectors)
        full = reached == scheme.code.length
        if ((full.sum(axis=0) == 1) != free).any() or full[:, ~free].any():
            broken.append(vectors)
        elif (wrong := reached[~full]).size:
            highest = max(highest, int(wrong.max()))
            if highest > scheme.agreement:
                broken.append(vectors)
        count, tuples, orthogonal = count + 1, tuples + free.size, orthogonal + int(free.sum())
    return Soundness(count, tuples, orthogonal, tuples * len(messages), highest, tuple(broken))


def marks(verifier: Verifier, messages: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return all inner products, shape (messages, N_1, ..., N_k), of `messages`, shape (count, length)."""
    dimension = len(verifier.point)
    joint = reduce(
        lambda left, right: (left[:, None, :] & right[None, :, :]).reshape(-1, dimension), verifier.parties
    )
    passes = np.concatenate([verifier.last_party(message) for message in messages])
    table = joint.astype(np.float32) @ passes.T.astype(np.float32)  # (Π_{s<k} N_s, messages · N_k)
    sizes = verifier.vectors.sizes
    counts = table.astype(np.int64).reshape(*sizes[:-1], len(messages), sizes[-1])
    return np.moveaxis(counts, -2, 0)


def orthogonal_tuples(vectors: OrthogonalVectors) -> npt.NDArray[np.bool_]:
    """Say of every tuple, shape (N_1, ..., N_k), whether it is orthogonal, from the vectors alone."""
    shared = reduce(lambda left, right: left[..., None, :] & right, vectors.sets)
    return np.logical_not(shared.any(axis=-1))
