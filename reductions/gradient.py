"""Attention -> its gradient, twice: whoever can differentiate attention can compute it.

Both arrows answer any attention instance of any order k by an oracle that returns nothing but gradients with
respect to the queries. After the signed encoding they decide SAT, so [TAT24]'s lower bound for the gradient
follows from [AS24]'s for attention. Query rows are asked once for each value column c, with upstream e_c.

**By one call** (ours). Give query and keys one more coordinate z: 0 on queries, Z on keys. List K_1's tokens
twice, the second time with z = -Z and values -V_1:

    Q' = [0 | Q],   K_1' = [Z | K_1; -Z | K_1],   V_1' = [V_1; -V_1],   K_t' = [Z | K_t],   V_t' = V_t.

Logits do not see z, since queries vanish there. So the two copies of a tuple j have the softmax mass P_i(j)/2
each, the output is Σ_j (P_i(j)/2)(v_j - v_j) = 0, hence δ = 0, and for the row (i, c) with upstream G e_c

    ∂Q'[(i,c), z] = σ Σ_j (P_i(j)/2) [G v_jc · Z·Z^{k-2} + G (-v_jc) · (-Z) Z^{k-2}] = σ G Z^{k-1} O[i,c].

The signs of value and coordinate cancel where the z-products meet them: that is all. G = 1/(σ Z^{k-1})
makes it O itself, for every k ≥ 2, and an oracle of accuracy ε is enough for accuracy ε: with σ = 1/d and the
signed encoding, relative to the upstream it may err by 0.17 B^{k-1}/d, which *grows* with log n.
(In the form of [TAT24] take A1[:,z] = Z, E = -1: ∂Loss/∂X[z,(z,z)] = (Z³/d) Σ_i O[i], all rows at once.)

**By integration** (after [TAT24, section 6], [AS24a, Appendix E]). With the queries λQ, dO[i,c]/dλ =
Σ_l Q[i,l] ∂Q[(i,c),l], and O at λ = 0 is the mean of the values, so

    O[i,c] = Π_t mean V_t[:,c] + ∫_0^1 Σ_l Q[i,l] ∂Q[(i,c),l](λQ) dλ.

Gauss-Legendre takes as many calls as `quadrature.nodes_needed` proves enough for half the error; the oracle
may spend the other half: ε/(2dB) an entry, for Σ_l |Q[i,l]| ≤ dB and the weights sum to 1. [TAT24] integrate
½‖O‖² instead, which mixes the rows and costs another ½ ln n in β; a loss linear in O needs none of it.

Glossary
--------
Z        magnitude of the new coordinate: the entry bound B, or 1 where all entries vanish.
λ        factor of the queries, and so of all logits.
nodes    points λ at which the gradient is asked.

References
----------
[TAT24] Liang, Shi, Song, Zhou. Tensor Attention Training. arXiv 2405.16411.
[AS24a] Alman, Song. The fine-grained complexity of gradient computation for training large language
models. arXiv 2402.04497.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from ..instances.answer import Undecided
from ..instances.attention import AttentionSize, TensorAttention
from ..instances.attention_gradient import AttentionGradient
from ..instances.provenance import Provenance
from .quadrature import legendre, nodes_needed
from .reduction import Claim, Steps, reduction

Floats = npt.NDArray[np.float64]
Reply = Floats | Undecided

_ROOM = 1e-9  # what rounding may take from widths and products computed here


def _claim_doubling(size: AttentionSize) -> Claim:
    n, n_1, *others = size.tokens
    tokens = (n * size.columns, 2 * n_1, *others)
    target = AttentionSize(
        tokens, size.dimension + 1, size.columns, size.entry_bound or 1.0, accuracy=size.accuracy
    )
    return Claim(calls=1, target=target, exact=frozenset({"n", "tuples", "d", "eps"}))


@reduction(
    source=TensorAttention,
    target=AttentionGradient,
    claim=_claim_doubling,
    statement="gradients of order-{k} attention in n^({k}-δ) time ⇒ attention of order {k} in n^({k}-δ) time",
    reference="[TAT24], single call ours",
)
def doubled_keys(attention: TensorAttention) -> Steps[AttentionGradient, Reply, Reply]:
    """Compute attention by a single call for its gradient, of the same accuracy.

    Parameters
    ----------
    attention : TensorAttention
        Any order, scale and values.

    Yields
    ------
    AttentionGradient
        e rows a query, twice the tokens of K_1, one more coordinate, the same entry bound.

    Returns
    -------
    (n, e) array or Undecided
        The output; `Undecided` where the oracle gave up or its answer is no finite (n·e, d+1) array.

    Examples
    --------
    >>> from cubicwall.algorithms.gradient_oracles import exact_gradient
    >>> from cubicwall.reductions.reduction import run
    >>> two = TensorAttention([[0.0]], [[[1.0], [1.0]]], [[[2.0], [4.0]]], scale=1.0, accuracy=0.1)
    >>> run(doubled_keys(two), exact_gradient).tolist()
    [[3.0]]
    """
    first, *rest = attention.keys
    Z = attention.entry_bound or 1.0
    queries, upstream = _rows_by_column(attention, 1 / (attention.scale * Z ** (attention.order - 1)))
    keys = [np.vstack([_with(Z, first), _with(-Z, first)]), *(_with(Z, key) for key in rest)]
    values = [np.vstack([attention.values[0], -attention.values[0]]), *attention.values[1:]]
    asked = TensorAttention(
        _with(0.0, queries),
        keys,
        values,
        attention.scale,
        attention.accuracy,
        Provenance(f"doubled keys of {attention.provenance.maker}"),
    )
    reply = _checked((yield AttentionGradient(asked, upstream)), asked)
    if isinstance(reply, Undecided):
        return reply
    output: Floats = reply[:, 0].reshape(len(attention.query), attention.columns)
    return output


def _claim_integration(size: AttentionSize, *, nodes: int | None = None) -> Claim:
    order, d, B = len(size.tokens), size.dimension, size.entry_bound
    tokens = (size.tokens[0] * size.columns, *size.tokens[1:])
    target = AttentionSize(tokens, d, size.columns, B, size.accuracy / (2 * d * (B or 1.0)))
    calls = nodes_needed(2 * B**order * (1 + _ROOM), 2.0, size.accuracy / 2) if nodes is None else nodes
    return Claim(calls=calls, target=target, exact=frozenset({"n", "tuples", "d"}))


@reduction(
    source=TensorAttention,
    target=AttentionGradient,
    claim=_claim_integration,
    statement="gradients of order-{k} attention in n^({k}-δ) time ⇒ attention of order {k} in n^({k}-δ) time",
    reference="after [TAT24], [AS24a]",
)
def integrated_gradient(
    attention: TensorAttention, *, nodes: int | None = None
) -> Steps[AttentionGradient, Reply, Reply]:
    """Compute attention by integrating its gradient from queries 0 to Q, by Gauss-Legendre.

    Parameters
    ----------
    attention : TensorAttention
        Of scale at most 1/d, with products of values in [-1, 1]: the claim rests on it.
    nodes : int, optional
        The number of calls, the proven one unless given. Fewer void the claim; it is here so that one
        can watch the error grow.

    Yields
    ------
    AttentionGradient
        e rows a query, at most `quadrature.nodes_needed` times; accuracy ε/(2dB).

    Returns
    -------
    (n, e) array or Undecided
        The output; `Undecided` where the oracle gave up or its answer is no finite (n·e, d) array.

    Raises
    ------
    ValueError
        For a larger scale or larger values.

    Examples
    --------
    >>> from cubicwall.algorithms.gradient_oracles import exact_gradient
    >>> from cubicwall.reductions.reduction import run
    >>> two = TensorAttention([[2.0]], [[[1.0], [-1.0]]], [[[1.0], [0.0]]], scale=1.0, accuracy=0.01)
    >>> run(integrated_gradient(two), exact_gradient).round(2).tolist()
    [[0.98]]
    """
    _require_bounded(attention)
    queries, upstream = _rows_by_column(attention, 1.0)
    mean = np.prod([value.mean(axis=0) for value in attention.values], axis=0)
    output: Floats = np.tile(mean, (len(attention.query), 1))
    bound = attention.entry_bound * attention.dimension
    if bound == 0:
        return output
    if nodes is None:
        nodes = nodes_needed(
            _logit_width(attention) * (1 + _ROOM), _value_width(attention), attention.accuracy / 2
        )
    for factor, weight in zip(*legendre(nodes), strict=True):
        asked = TensorAttention(
            factor * queries,
            attention.keys,
            attention.values,
            attention.scale,
            attention.accuracy / (2 * bound),
            Provenance(f"queries times {factor:.6g} of {attention.provenance.maker}"),
        )
        reply = _checked((yield AttentionGradient(asked, upstream)), asked)
        if isinstance(reply, Undecided):
            return reply
        output += weight * (queries * reply).sum(axis=1).reshape(output.shape)
    return output


def _rows_by_column(attention: TensorAttention, weight: float) -> tuple[Floats, Floats]:
    """Repeat every query e times, once for each column, and say so by the upstream."""
    n, e = len(attention.query), attention.columns
    return np.repeat(attention.query, e, axis=0), np.tile(weight * np.eye(e), (n, 1))


def _with(coordinate: float, matrix: Floats) -> Floats:
    return np.column_stack([np.full(len(matrix), coordinate), matrix])


def _logit_width(attention: TensorAttention) -> float:
    """Bound the width of every row's interval of logits, from the boxes of the keys' columns."""
    low, high = np.ones(attention.dimension), np.ones(attention.dimension)
    for key in attention.keys:
        corners = [x * y for x in (low, high) for y in (key.min(axis=0), key.max(axis=0))]
        low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    widths = attention.scale * np.abs(attention.query) @ (high - low)
    return float(widths.max(initial=0.0))


def _value_width(attention: TensorAttention) -> float:
    largest = np.prod([np.abs(value).max(axis=0) for value in attention.values], axis=0)
    signed = any((value < 0).any() for value in attention.values)
    return float(largest.max()) * (2 if signed else 1)


def _require_bounded(attention: TensorAttention) -> None:
    if attention.scale * attention.dimension > 1 + _ROOM:
        raise ValueError(
            f"Argument 'attention' must have a scale of at most 1/d = {1 / attention.dimension:.6g}, "
            f"not {attention.scale:.6g}: move the factor into the entries."
        )
    largest = prod(float(np.abs(value).max()) for value in attention.values)
    if largest > 1 + _ROOM:
        raise ValueError(f"Argument 'attention' must have products of values in [-1, 1], not {largest:.6g}.")


def _checked(reply: Reply, asked: TensorAttention) -> Reply:
    if isinstance(reply, Undecided):
        return reply
    if not isinstance(reply, np.ndarray) or reply.dtype.kind != "f":
        return Undecided(f"the oracle must return a float array, not {type(reply).__name__}", breach=True)
    if reply.shape != asked.query.shape:
        return Undecided(f"the oracle must return shape {asked.query.shape}, not {reply.shape}", breach=True)
    if not np.isfinite(reply).all():
        return Undecided("the oracle must return finite numbers", breach=True)
    return reply
