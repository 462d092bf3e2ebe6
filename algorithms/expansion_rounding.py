"""How many roundings a term of an expansion goes through, and what they may cost.

A term is a_m times a product of k coordinates to the power m: it is rounded in features on either side, in
sums over a block of tokens, over blocks and over shards, and in the sum over monomials. `Rounding` is the
relative error γ of a row's sum against the sum of its terms' magnitudes, and what underflow may add.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attention_problem import Problem
from .certificate import Rounding
from .column_statistics import UNIT
from .exp_polynomial import ExpPolynomial
from .monomials import MultiIndices
from .polynomial_kernels import Schedule


def expansion_rounding(
    problem: Problem,
    p: ExpPolynomial,
    shifted: bool,
    indices: MultiIndices,
    plan: Schedule,
    dtype: np.dtype[Any],
) -> Rounding:
    """Count the roundings of one term: u for what is done in `dtype`, w for what is done in float64."""
    g, k = p.degree, problem.order
    key_side = sum(4 * g + 4 + plan.block_additions(n) for n in problem.tokens[1:])
    query_side = (k + 6) * g + plan.value_additions() + 6
    in_dtype = key_side + query_side
    in_double = 4 * g + k + 8 + (4 * g + 2) * shifted
    in_double += sum(plan.moment_additions(n) + problem.shards + 2 for n in problem.tokens[1:])
    unit = float(np.finfo(dtype).eps) / 2
    lost = in_dtype * unit + in_double * UNIT
    tiny = float(np.finfo(dtype).tiny)
    reach = max(1.0, 2.0**k * float(np.max(np.abs(problem.frame.reach), initial=0.0)))
    d = max(1, len(problem.frame.active))
    middle = problem.rows.middle if shifted else 0.0
    if g * math.log2((d * reach + 1.0) * max(1.0, middle)) > (900 if dtype == np.float64 else 110):
        return Rounding(1.0, math.inf)
    largest = evaluated(np.abs(p.coefficients), d * reach + middle + 1.0)
    return Rounding(
        lost / (1.0 - lost) if lost < 0.5 else math.inf,
        8.0 * tiny * reach * (k * (g + 10) + len(indices)) * largest,
    )


def evaluated(coefficients: NDArray[np.float64], x: float) -> float:
    """Evaluate a polynomial with coefficients ≥ 0 at x ≥ 0, rounded up."""
    total = 0.0
    for c in coefficients[::-1].tolist():
        total = total * x + c
    return total * (1 + 4 * len(coefficients) * UNIT)


def majorant(coefficients: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Bound |a_m| in p(s − c) = Σ a_m s^m for every |c| ≤ middle: Σ_r |c_r| C(r, m) |c|^{r−m}."""
    table = np.abs(coefficients)
    for first in range(len(table) - 1):
        for m in range(len(table) - 2, first - 1, -1):
            table[m] += middle * table[m + 1]
    return table * (1 + 8 * len(table) * UNIT)
