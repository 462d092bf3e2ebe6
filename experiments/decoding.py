"""How large entries must be for a reduction to decide under the worst error: predicted and measured.

An instance is encoded at inverse temperature β, every answer of the oracle is moved by the whole error ε
toward the wrong side, and each row is read off against one cut. With the gap g = t − t_no (1 for the direct
encoding), ΠN_t tuples of real tokens and mixtures that each weigh e^{−βh} against the rest token, a row has

    a tuple at the target:    mass ≥ Y = 1/(2 + M),           M = mixed e^{−βh}
    all at the bound or less: mass ≤ N = S/(S + 1 + M),       S = ΠN_t e^{−βg}

and the cut (Y+N)/2 is right under every error ε iff Y − N ≥ 2ε: the *exact read-out formula*, which has one
root β. Writing S = 1/A it reads β g = ln(A ΠN_t), A(ε) near 8 for ε = 0.17, and with B^k = βd and κ = d/g

    B^k = κ ln(A ΠN_t),    b = B/(ln n)^{1/k} → ((k−1)κ)^{1/k}.

*Saturated* instances meet N with equality, so there the measured b is the predicted one. Random ones stay far
below N: a cut chosen in hindsight reads them right at smaller entries, but no promise tells which.

Glossary
    β, ε        inverse temperature, error of the oracle
    Y, N        least mass of a row that says yes, largest of one that says no
    g, h        what a wrong tuple and a mixture cost, in units of β
    κ           d/g
    separable   the b at which a cut chosen in hindsight would do

Reference: section 5.5 of the mathematics; reductions/encoding.py, reductions/threshold_encodings.py.
Cost: some dozens of exact attention calls a cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..algorithms.inner_products import inner_products
from ..algorithms.oracles import exact
from ..instances import generate
from ..instances.answer import Yes
from ..instances.attention import TensorAttention
from ..instances.gap_families import saturated_gap, sparse_gap
from ..instances.max_inner_product import GapMaxInnerProduct
from ..instances.orthogonal_vectors import OrthogonalVectors
from ..instances.vector_families import saturated_orthogonal_vectors
from ..reductions.encoding import ACCURACY, encode, signed_encoding
from ..reductions.reduction import run
from ..reductions.splitting import split_and_list
from ..reductions.threshold_encodings import encode_threshold, threshold_encoding
from ..verification.oracles import adversarial
from .readout_formula import ReadOut, closed_form, read_out
from .store import Configuration, Outcome

Encode = Callable[[float], TensorAttention]

RATIOS = tuple(round(0.30 + 0.05 * i, 2) for i in range(23))  # of b, against the prediction


def decode(
    *,
    family: str,
    order: int,
    size: int,
    epsilon: float,
    seed: int,
    copies: int = 1,
    target: int = 0,
    bound: int = 0,
    kappa: float = 0.0,
    dimension: int = 0,
    ratio: float = 0.0,
) -> Outcome:
    """Measure the least b from which on every answer of a family is right, and predict it.

    Parameters
    ----------
    family : str
        ``saturated`` or ``sparse``: gap instances under the general threshold encoding; ``vectors``
        (saturated orthogonal vectors) or ``formulas`` (random 3-SAT): the direct encoding.
    order : int
        k.
    size : int
        Vectors a set; variables for ``formulas``.
    epsilon : float
        Error of the oracle, in (0, 1/4).
    seed, copies : int
        So many pairs of a YES and a NO instance are drawn from the seed.
    target, bound, kappa
        t, t_no and D/(t − t_no), for gap instances.
    dimension : int
        m, for ``vectors``.
    ratio : float
        Clauses a variable, for ``formulas``.

    Returns
    -------
    Outcome
        b as ``predicted`` by the exact read-out formula, ``measured`` with its cut, ``separable`` (the least
        b at which some cut, chosen in hindsight, reads all rows right: where there is slack, it shows here),
        ``closed`` (with A(ε)) and ``limit``; whether the ``reduction`` itself, witnesses included, decides
        all of them right against the adversary at its own β and ε = 0.17; κ; the number of tokens; and the
        share of right ``answers`` (instances all of whose rows are read right) against ``points`` of b. None
        where no b will do.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(copies):
        for planted in (True, False):
            if family in ("saturated", "sparse"):
                make = saturated_gap if family == "saturated" else sparse_gap
                gap = make([size] * order, target=target, bound=bound, kappa=kappa, rng=rng, planted=planted)
                cases.append(gap_case(gap))
            elif family == "vectors":
                vectors = saturated_orthogonal_vectors([size] * order, dimension, rng=rng, planted=planted)
                cases.append(direct_case(vectors))
            elif family == "formulas":
                draw = generate.planted_ksat if planted else generate.forced_unsat_ksat
                formula = draw(size, ratio=ratio, rng=rng)
                cases.append(direct_case(next(split_and_list.__wrapped__(formula, order=order, prune=False))))
            else:
                raise ValueError(
                    f"Argument 'family' must be saturated, sparse, vectors or formulas, not {family!r}."
                )
    return search(cases, order, epsilon)


@dataclass(frozen=True, eq=False)
class Case:
    """An instance ready to be encoded at any β, and what its rows should say.

    Parameters
    ----------
    encode : callable
        The attention instance at an inverse temperature.
    truth : (N_1,) bool array
        Whether some tuple with this row reaches the target.
    formula : ReadOut
        Of the encoding.
    solves : callable
        Whether the reduction itself, at its own β, decides right against the adversary of ε = 0.17.
    """

    encode: Encode
    truth: npt.NDArray[np.bool_]
    formula: ReadOut
    solves: Callable[[], bool]

    def extremes(self, beta: float) -> tuple[float, float]:
        """Return the least mass of a row that should say yes, and the largest of one that should not."""
        mass = exact(self.encode(beta))[:, 0]
        return (
            float(mass[self.truth].min(initial=math.inf)),
            float(mass[~self.truth].max(initial=-math.inf)),
        )

    def cut(self, beta: float) -> float:
        """Return the cut (Y+N)/2, known before the instance is seen."""
        return sum(self.formula.masses(beta)) / 2


def gap_case(instance: GapMaxInnerProduct) -> Case:
    """Prepare a gap instance for the general threshold encoding."""
    formula = read_out(instance.sizes, instance.target - instance.bound, instance.target)
    reached = _best_of_rows(instance.sets, largest=True) >= instance.target
    return Case(
        lambda beta: encode_threshold(instance, beta),
        reached,
        formula,
        lambda: isinstance(run(threshold_encoding(instance), adversarial("toward")), Yes) == reached.any(),
    )


def direct_case(vectors: OrthogonalVectors) -> Case:
    """Prepare orthogonal vectors for the signed encoding."""
    orthogonal = _best_of_rows(vectors.sets, largest=False) == 0
    return Case(
        lambda beta: encode(vectors, beta, ACCURACY),
        orthogonal,
        read_out(vectors.sizes, 1, 1),
        lambda: isinstance(run(signed_encoding(vectors), adversarial("toward")), Yes) == orthogonal.any(),
    )


def expected_seconds(configuration: Configuration) -> float:
    """Guess how long `decode` takes."""
    k, size = configuration["order"], configuration["size"]
    if configuration["family"] == "formulas":
        size = 2 ** (size / k)
    calls = 2 * configuration.get("copies", 1) * 40
    return float(0.2 + calls * (1e-4 + 3e-9 * size**k * (1.0 if k <= 3 else 8.0)))


def search(cases: Sequence[Case], order: int, epsilon: float) -> Outcome:
    """Find the least b from which on all cases are decided right; the result of `decode`."""
    instances = [case.encode(1.0) for case in cases]
    dimension = max(instance.dimension for instance in instances)
    tokens = max(max(instance.tokens) for instance in instances)
    betas = [case.formula.least_beta(epsilon) for case in cases]
    predicted, formula = max(zip(betas, (case.formula for case in cases), strict=True), key=lambda p: p[0])
    kappa = dimension / formula.gap
    closed = (math.log(closed_form(epsilon)) + (order - 1) * math.log(tokens)) / formula.gap

    def coordinate(beta: float) -> float:
        return float((beta * dimension / math.log(tokens)) ** (1 / order))

    @cache
    def seen(ratio: float) -> tuple[float, bool]:
        """The share of instances read right by the cut, and whether any one cut would read all right."""
        beta = predicted * ratio**order
        extremes = [case.extremes(beta) for case in cases]
        right = [
            yes - epsilon >= cut > no + epsilon
            for (yes, no), cut in zip(extremes, (case.cut(beta) for case in cases), strict=True)
        ]
        least, most = (min(yes for yes, _ in extremes), max(no for _, no in extremes))
        return sum(right) / len(right), least - most >= 2 * epsilon

    measured = _least_ratio(lambda ratio: seen(ratio)[0] == 1.0)
    separable = _least_ratio(lambda ratio: seen(ratio)[1])
    scale = coordinate(predicted)
    return Outcome(
        {
            "tokens": tokens,
            "dimension": dimension,
            "kappa": kappa,
            "predicted": scale,
            "measured": measured * scale if measured else None,
            "separable": separable * scale if separable else None,
            "closed": coordinate(closed),
            "limit": ((order - 1) * kappa) ** (1 / order),
            "reduction": all(case.solves() for case in cases),
            "entry_bound": measured * (predicted * dimension) ** (1 / order) if measured else None,
            "points": [ratio * scale for ratio in RATIOS],
            "answers": [seen(ratio)[0] for ratio in RATIOS],
        }
    )


def _least_ratio(holds: Callable[[float], bool]) -> float | None:
    """Return the least ratio from which on all of `RATIOS` hold, to 5e-4; None where the last does not."""
    failing = [i for i, ratio in enumerate(RATIOS) if not holds(ratio)]
    if not failing:
        return RATIOS[0]
    if failing[-1] == len(RATIOS) - 1:
        return None
    outside, inside = RATIOS[failing[-1]], RATIOS[failing[-1] + 1]
    while inside - outside > 5e-4:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


def _best_of_rows(sets: Sequence[npt.NDArray[Any]], *, largest: bool) -> npt.NDArray[np.float64]:
    """Return each row's largest, or least, inner product over all tuples of the other sets."""
    best = np.full(len(sets[0]), -np.inf)
    sign = 1.0 if largest else -1.0
    # the first set goes last, so that a block holds all its rows
    for _, products in inner_products((*sets[1:], sets[0])):
        np.maximum(best, (sign * products).max(axis=0), out=best)
    return sign * best
