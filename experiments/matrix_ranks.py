"""The numerical rank of the attention matrix itself: no algorithm that goes through a low rank can do better.

P = D⁻¹ exp(S) has n rows and n^{k−1} columns. Its numerical rank at accuracy 1/n is the least r for which the
singular values beyond r have at most 1/n of the Frobenius norm: the rank of the best approximation of that
relative error. Squared singular values are the eigenvalues of P Pᵀ, which is summed block by block, so that
P is never stored; at errors of 1/n nothing is lost by squaring.

Glossary
    signs, uniform   random tokens with entries ±B, or uniform in [−B, B]
    direct           the signed encoding of a random 3-SAT formula at ratio 4.26, n assignments a group
    gap              the threshold encoding of a random gap instance (of a saturated one the rank is 2: its
                     tuples are all alike but one, which is hard to find but easy to store)

Cost: n^{k+1} flops and n^k exponentials; n² numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt

from ..algorithms.exact_attention import attention
from ..instances import generate
from ..instances.attention import TensorAttention
from ..instances.gap_families import sparse_gap
from ..reductions.encoding import ACCURACY, encode
from ..reductions.splitting import split_and_list
from ..reductions.threshold_encodings import encode_threshold
from .exponents_measured import random_tokens
from .store import Configuration, Outcome

Floats = npt.NDArray[np.float64]


def matrix_rank(*, order: int, n: int, b: float, entries: str, seed: int, c: float = 1.0) -> Outcome:
    """Find the numerical rank at accuracy 1/n of one attention matrix.

    Parameters
    ----------
    order, n, b
        k; tokens; B/(ln n)^{1/k}.
    entries : str
        ``signs``, ``uniform``, ``direct`` or ``gap``; see the glossary.
    seed : int
        Of the tokens or the instance.
    c : float
        d = round(c ln n), for random tokens; the encodings bring their own d.

    Returns
    -------
    Outcome
        ``rank``, ``exponent`` ln r/ln n, ``dimension`` and ``entry_bound``.

    Raises
    ------
    ValueError
        If `entries` is unknown.
    """
    query, keys, scale = _tokens(order, n, b, entries, seed, c)
    rank = numerical_rank(query, keys, scale, 1.0 / n)
    bound = max(float(np.abs(array).max()) for array in (query, *keys))
    return Outcome(
        {
            "rank": rank,
            "exponent": math.log(rank) / math.log(n),
            "dimension": query.shape[1],
            "entry_bound": bound,
        }
    )


def numerical_rank(query: Floats, keys: list[Floats], scale: float, tail: float) -> int:
    """Return the least rank of an approximation whose Frobenius error is at most `tail` of the norm.

    Parameters
    ----------
    query : (n, d) array
        Q.
    keys : list of k−1 (n_t, d) arrays
        K_t.
    scale : float
        σ.
    tail : float
        In (0, 1).

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If `tail` is out of range.

    Examples
    --------
    >>> tokens = np.eye(4)
    >>> [numerical_rank(tokens, [tokens], scale, 0.1) for scale in (0.0, 9.0)]
    [1, 4]
    """
    if not 0.0 < tail < 1.0:
        raise ValueError(f"Argument 'tail' must lie in (0, 1), not {tail}.")
    gram = np.zeros((len(query), len(query)))
    _, lse = attention(query, keys, [np.ones((len(key), 1)) for key in keys], scale=scale, return_lse=True)
    *others, last = keys
    for picked in product(*others):
        rows = scale * query * np.prod(picked, axis=0)  # (n, d)
        weights = np.exp(rows @ last.T - lse[:, None])  # (n, n_{k−1})
        gram += weights @ weights.T
    squares = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)
    tails = np.append(np.cumsum(squares[::-1])[::-1][1:], 0.0)  # what is left after 1, 2, ... of them
    return 1 + int(np.flatnonzero(tails <= tail**2 * squares.sum())[0])


def expected_seconds(configuration: Configuration) -> float:
    """Guess how long `matrix_rank` takes."""
    n, k = configuration["n"], configuration["order"]
    return float(0.02 + 1e-8 * n**k + 1e-10 * n ** (k + 1))


def _tokens(
    order: int, n: int, b: float, entries: str, seed: int, c: float
) -> tuple[Floats, list[Floats], float]:
    if entries in ("signs", "uniform"):
        query, keys, _ = random_tokens(order, c, n, b, entries, seed)
        return query, keys, 1.0 / query.shape[1]
    rng = np.random.default_rng(seed)
    write: Callable[..., TensorAttention]
    if entries == "direct":
        variables = order * round(math.log2(n))
        formula = generate.random_ksat(variables, ratio=4.26, rng=rng)
        vectors = next(split_and_list.__wrapped__(formula, order=order, prune=False))
        write = partial(encode, vectors, accuracy=ACCURACY)
    elif entries == "gap":
        gap = sparse_gap([n - 1] * order, target=12, bound=6, kappa=4.0, rng=rng, planted=True)
        write = partial(encode_threshold, gap)
    else:
        raise ValueError(f"Argument 'entries' must be signs, uniform, direct or gap, not {entries!r}.")
    instance = write(beta=b**order * math.log(n) / write(beta=1.0).dimension)
    return np.array(instance.query), [np.array(key) for key in instance.keys], instance.scale
