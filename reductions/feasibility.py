"""Predict what a path would cost, from its claims alone, before any work is done."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod

from ..algorithms.exact_attention import predicted_cost
from ..instances.attention import AttentionSize
from ..instances.max_inner_product import GapSize
from ..instances.orthogonal_vectors import VectorsSize
from .arrows import Path
from .reduction import Claim, Size

PATIENCE = 3600.0  # seconds: "would take hours" begins here


@dataclass(frozen=True, slots=True)
class Prediction:
    """Upper bounds for a run: seconds of exact attention, bytes in memory, tuples in one call."""

    seconds: float
    bytes: float
    tuples: float


def predict(path: Path, size: Size) -> Prediction:
    """Predict the cost of running `path` on a source of `size` with the exact oracle.

    The first attention call of each source dominates: halving key sets adds less than it again.
    """
    claims = path.claims(size)
    seconds = memory = tuples = 0.0
    runs = 1
    for i, claim in enumerate(claims):
        target = claim.target
        if isinstance(target, VectorsSize):
            memory += 2.0 * sum(target.sets) * max(1, target.dimension)
        elif isinstance(target, GapSize):
            # Both the lasting part and the instance of one message.
            memory += 3.0 * sum(target.sets) * max(1, target.dimension)
        elif isinstance(target, AttentionSize):
            cost = predicted_cost(target.tokens, target.dimension, target.columns)
            whole = _whole_calls(path, i, claim)
            seconds += runs * whole * cost.seconds
            memory += 3 * 8.0 * sum(target.tokens) * (target.dimension + target.columns) + cost.bytes
            tuples = prod(float(n) for n in target.tokens)
        runs *= min(claim.calls, 10**9)  # beyond that it is years in any case, and floats overflow
    return Prediction(seconds, memory, tuples)


def refusal(prediction: Prediction) -> str | None:
    """Say why a run is refused, or None where it fits in this machine's memory and an hour."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if prediction.bytes > 0.8 * available:
        return (
            f"this would need up to {prediction.bytes / 2**30:.3g} GiB of memory, "
            f"and the machine has {available / 2**30:.3g}"
        )
    if prediction.seconds > PATIENCE:
        return (
            f"this would take up to {_duration(prediction.seconds)} "
            f"for {prediction.tuples:.2g} tuples a call, on two cores of 2024"
        )
    return None


def _whole_calls(path: Path, hop: int, claim: Claim) -> int:
    # A count asks its (at most two) calls over all tuples, a decision only its first one; the
    # halved ones that follow it are for one query row and cost less than that one together.
    return claim.calls if path.arrows[hop].contract.counting else 2


def _duration(seconds: float) -> str:
    for unit, length in (("years", 31557600.0), ("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 60:.0f} minutes"
