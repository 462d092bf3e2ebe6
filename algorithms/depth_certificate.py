"""How far a model's output and gradients can be from the exact ones, layer by layer and in sum.

Forward errors are measured by |A| = max_i ‖A_i‖, the largest Euclidean norm of a row, gradients by its dual
|G|* = Σ_i ‖G_i‖: a stage F with |F(A) - F(B)| ≤ L·|A - B| then has |F'(T)ᵀG|* ≤ L·|G|*, with no factor n.
Write r for the error of a stage's input, ε for what the stage adds, M for a bound on its second derivative,

    r_out = ε + L r_in,          b_in = ε' + L b_out + M r_in |G̃|*,

b the errors of gradients, ε' what the stage's reverse pass adds, G̃ the upstream as computed. L and M hold
on the ball of radius r around the computed input. An entry of a weight's gradient obeys the second rule with
the bounds of that entry's direction in the place of L and M.

Attention O = Σ_j P_j v_j moves, in directions a and b of its arguments, by

    DO[a]     = E v_a + Cov(v, s_a)
    D²O[a,b]  = E v_ab + Cov(v_a, s_b) + Cov(v_b, s_a) + Cov(v, s_ab) + κ₃(v, s_a, s_b)

under P, and ‖Cov(v, s)‖ ≤ max‖v‖ · max|s|, ‖κ₃(v, s, s')‖ ≤ 2 max‖v‖ · max|s| · max|s'|. Logits and values
are products of one factor a matrix, so s_a, s_ab, v_a, v_ab are bounded by sums of products of sizes and
rates. These bounds are those of the worst model of its sizes: they grow by the product of the L's with
depth, where measured errors hardly do.

Glossary
--------
size       largest norm of a row of Q, K_t or V_t; for k = 2, K and V centred, which changes no covariance.
rate       by how much a size can change when the direction has length one.
mixed      the second derivative of one factor in two directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..instances.transformer import Layer, Transformer
from .activations import FUNCTIONS
from .attention_layers import UNIT, Head, HeadGradient, Reals
from .losses import Loss
from .transformer_passes import Stage, TransformerGradient


@dataclass(frozen=True)
class StageCertificate:
    """What one stage adds to the errors, and what they have come to.

    Parameters
    ----------
    layer : int
        Which layer it belongs to.
    attends : bool
        Whether it is an attention.
    forward_added, reverse_added : float
        ε and ε'.
    lipschitz, bend : float
        L and M.
    output_error : float
        Bound on the largest norm of a row of the error of the stage's output.
    gradient_error : float
        Bound on the sum of the norms of the rows of the error of the gradient by the stage's input.
    """

    layer: int
    attends: bool
    forward_added: float
    reverse_added: float
    lipschitz: float
    bend: float
    output_error: float
    gradient_error: float


@dataclass(frozen=True)
class WeightCertificate:
    """Bounds on the largest error of an entry of the gradients by one layer's weights.

    Parameters
    ----------
    product : float or None
        Of ∂W.
    query, mixing : float
        Of ∂W_Q and ∂W_g.
    keys, values : tuples of k - 1 floats
        Of ∂W_K and ∂W_V.
    """

    product: float | None
    query: float
    keys: tuple[float, ...]
    values: tuple[float, ...]
    mixing: float


@dataclass(frozen=True)
class DepthCertificate:
    """Sound bounds on the errors of a whole model.

    Parameters
    ----------
    stages : tuple of StageCertificate
        In the order of running.
    layers : tuple of WeightCertificate
        By layer.
    output_error : float
        Bound on the largest norm of a row of the error of the output.
    input_error : float
        Bound on the sum of the norms of the rows of the error of ∂X.
    """

    stages: tuple[StageCertificate, ...]
    layers: tuple[WeightCertificate, ...]
    output_error: float
    input_error: float


def certified(model: Transformer, loss: Loss, gradient: TransformerGradient) -> DepthCertificate:
    """Bound the errors of a gradient that `transformer_gradient` returned.

    Parameters
    ----------
    model : Transformer
        The model.
    loss : Loss
        The loss.
    gradient : TransformerGradient
        What was computed, by whichever attention.

    Returns
    -------
    DepthCertificate

    Notes
    -----
    Complexity: O(m n D).

    Examples
    --------
    >>> from ..instances.transformer import random_transformer
    >>> from .causal_attention import FastAttention
    >>> from .losses import mean_square
    >>> from .transformer_gradient import transformer_gradient
    >>> model = random_transformer(2, 1, 4, 0.2, rng=np.random.default_rng(0))
    >>> X, loss = np.random.default_rng(1).uniform(-1, 1, (600, 4)), mean_square(np.zeros((600, 4)))
    >>> found = transformer_gradient(model, X, loss, FastAttention(causal=True, tolerance=1e-6))
    >>> certified(model, loss, found).output_error < 1e-5
    True
    """
    forward = gradient.forward
    added: list[float] = []
    radii, slopes, bends = [0.0], [], []
    for stage in forward.stages:
        bounds = _stage_bounds(model, stage, radii[-1])
        dense = _dense(model) * (1 + bounds[0]) * (1 + _longest(stage.tokens))
        error = math.sqrt((model.width // model.heads) * sum(head.error**2 for head in stage.heads)) + dense
        added.append(error)
        slopes.append(bounds[0])
        bends.append(bounds[1])
        radii.append(_sound((error + bounds[0] * radii[-1]) * (1 + 8 * UNIT)))
    b = loss.smoothness * radii[-1] + 8 * UNIT * (gradient.reverse[-1].upstream if gradient.reverse else 0.0)
    stages: list[StageCertificate] = []
    attended: dict[int, tuple[float | None, float, tuple[float, ...], tuple[float, ...]]] = {}
    mixed: dict[int, float] = {}
    for i in range(len(forward.stages) - 1, -1, -1):
        stage, seen, r = forward.stages[i], gradient.reverse[i], radii[i]
        layer, G = model.layers[stage.layer], gradient.reverse[i].upstream
        if stage.heads:
            attended[stage.layer] = _attention_weights(
                layer, stage, seen.heads, r, b, G, gradient.layers[stage.layer].product is not None
            )
        else:
            mixed[stage.layer] = _mixing_weight(model, layer, stage, r, b, G)
        dense = _dense(model) * G * (slopes[i] + bends[i] * (1 + _longest(stage.tokens)))
        local = dense + _reverse_added(layer, seen.heads, gradient.layers[stage.layer].product is not None)
        b = _sound((local + slopes[i] * b + bends[i] * r * G) * (1 + 8 * UNIT))
        stages.append(
            StageCertificate(
                stage.layer, bool(stage.heads), added[i], local, slopes[i], bends[i], radii[i + 1], b
            )
        )
    layers = tuple(WeightCertificate(*attended[i], mixed[i]) for i in range(len(model.layers)))
    return DepthCertificate(tuple(reversed(stages)), layers, radii[-1], b)


@dataclass(frozen=True)
class _Direction:
    """Rates of the sizes of (Q, K_1, ...) and of (V_1, ...)."""

    logits: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class _Sizes:
    """Sizes of (Q, K_1, ...) and of (V_1, ...), and σ."""

    logits: tuple[float, ...]
    values: tuple[float, ...]
    scale: float

    def lipschitz(self, a: _Direction) -> float:
        """Bound DO[a]."""
        return _first(self.values, a.values) + math.prod(self.values) * self.scale * _first(
            self.logits, a.logits
        )

    def bend(self, a: _Direction, b: _Direction, mixed: _Direction) -> float:
        """Bound D²O[a,b]; `mixed` holds the factors' own second derivatives."""
        v, v_a, v_b = math.prod(self.values), _first(self.values, a.values), _first(self.values, b.values)
        s_a, s_b = (self.scale * _first(self.logits, x.logits) for x in (a, b))
        s_ab = self.scale * _second(self.logits, a.logits, b.logits, mixed.logits)
        v_ab = _second(self.values, a.values, b.values, mixed.values)
        return v_ab + v_a * s_b + v_b * s_a + v * s_ab + 2 * v * s_a * s_b


def _first(sizes: Sequence[float], rates: Sequence[float]) -> float:
    return sum(rate * math.prod(_without(sizes, t)) for t, rate in enumerate(rates))


def _second(sizes: Sequence[float], a: Sequence[float], b: Sequence[float], mixed: Sequence[float]) -> float:
    pairs = sum(
        a[t] * b[u] * math.prod(_without(sizes, t, u))
        for t in range(len(sizes))
        for u in range(len(sizes))
        if t != u
    )
    return pairs + _first(sizes, mixed)


def _without(sizes: Sequence[float], *places: int) -> list[float]:
    return [size for t, size in enumerate(sizes) if t not in places]


def _by_tokens(layer: Layer, head: int) -> _Direction:
    """The direction that moves every row of the tokens by one."""
    return _Direction(
        (_norm(layer.query[head]), *(_norm(W[head]) for W in layer.keys)),
        tuple(_norm(W[head]) for W in layer.values),
    )


def _sizes(head: Head, tokens: _Direction, r: float) -> _Sizes:
    """Sizes on the ball of radius r around the computed tokens."""
    k = len(head.keys) + 1
    keys, values = head.keys, head.values
    if k == 2:
        keys, values = tuple(K - _middle(K) for K in keys), tuple(V - _middle(V) for V in values)
    logits = [_longest(array) for array in (head.query, *keys)]
    peaks = [_longest(V) for V in values]
    return _Sizes(
        tuple(size * (1 + 64 * UNIT) + r * rate for size, rate in zip(logits, tokens.logits, strict=True)),
        tuple(size * (1 + 64 * UNIT) + r * rate for size, rate in zip(peaks, tokens.values, strict=True)),
        head.scale,
    )


def _middle(array: Reals) -> Reals:
    middle: Reals = array.min(axis=0) / 2 + array.max(axis=0) / 2
    return middle


def _norm(W: Reals) -> float:
    """Spectral norm, rounded upwards."""
    return float(np.linalg.norm(W, ord=2)) * (1 + 1e-12)


def _longest(rows: Reals) -> float:
    return float(np.linalg.norm(rows, axis=1).max())


def _dense(model: Transformer) -> float:
    """What rounding in products with weights amounts to, relative to norms."""
    return 8 * model.width * (model.width + 8) * UNIT


def _sound(bound: float) -> float:
    """Where a bound overflowed there is none."""
    return bound if bound == bound else math.inf


def _stage_bounds(model: Transformer, stage: Stage, r: float) -> tuple[float, float]:
    """L and M of a stage on the ball of radius r."""
    layer, skip = model.layers[stage.layer], 1.0 if model.residual else 0.0
    if not stage.heads:
        phi, rate = FUNCTIONS[model.activation], _norm(layer.mixing)
        return skip + phi.slope * rate, phi.bend * rate**2
    slopes, bends = [], []
    still = _Direction((0.0,) * layer.order, (0.0,) * (layer.order - 1))
    for a, head in enumerate(stage.heads):
        tokens = _by_tokens(layer, a)
        sizes = _sizes(head, tokens, r)
        slopes.append(sizes.lipschitz(tokens))
        bends.append(sizes.bend(tokens, tokens, still))
    return skip + math.hypot(*slopes), math.hypot(*bends)


def _reverse_added(layer: Layer, heads: Sequence[HeadGradient], carried: bool) -> float:
    """ε': the heads' errors, taken through their weights to the tokens."""
    total = 0.0
    for a, head in enumerate(heads):
        way = layer.keys[0][a] @ layer.query[a].T if carried else layer.query[a].T
        total += head.query_error * _norm(way)
        total += sum(e * _norm(W[a].T) for e, W in zip(head.key_errors, layer.keys, strict=True))
        total += sum(e * _norm(W[a].T) for e, W in zip(head.value_errors, layer.values, strict=True))
    return total


def _attention_weights(
    layer: Layer, stage: Stage, heads: Sequence[HeadGradient], r: float, b: float, G: float, carried: bool
) -> tuple[float | None, float, tuple[float, ...], tuple[float, ...]]:
    """Bound the errors of ∂W, ∂W_Q, ∂W_K and ∂W_V: the worst head counts."""
    t = float(np.abs(stage.tokens).max()) + r
    rounding = 8 * (len(stage.tokens) + layer.width) * UNIT * G
    k = layer.order
    product, sides = 0.0, [[0.0] * k, [0.0] * (k - 1)]
    for a, (head, found) in enumerate(zip(stage.heads, heads, strict=True)):
        tokens = _by_tokens(layer, a)
        sizes = _sizes(head, tokens, r)
        through = _norm(layer.keys[0][a]) if carried else 1.0
        errors = ((found.query_error * through, *found.key_errors), found.value_errors)
        for side, places in enumerate(sides):
            for place in range(len(places)):
                rates = [[0.0] * k, [0.0] * (k - 1)]
                rates[side][place] = 1.0
                mixed = _Direction(tuple(rates[0]), tuple(rates[1]))
                moved = _Direction(tuple(t * x for x in rates[0]), tuple(t * x for x in rates[1]))
                L = sizes.lipschitz(moved)
                bound = (
                    t * errors[side][place] + L * (b + rounding) + sizes.bend(moved, tokens, mixed) * r * G
                )
                places[place] = max(places[place], bound)
        if carried:  # s moves by σ t², and s, T together by 2 σ t
            v, v_b = math.prod(sizes.values), _first(sizes.values, tokens.values)
            s_a, s_b = head.scale * t * t, head.scale * _first(sizes.logits, tokens.logits)
            bend = v_b * s_a + v * 2 * head.scale * t + 2 * v * s_a * s_b
            product = max(product, t * found.query_error + v * s_a * (b + rounding) + bend * r * G)
    return product if carried else None, sides[0][0], tuple(sides[0][1:]), tuple(sides[1])


def _mixing_weight(model: Transformer, layer: Layer, stage: Stage, r: float, b: float, G: float) -> float:
    phi, t = FUNCTIONS[model.activation], float(np.abs(stage.tokens).max()) + r
    rounding = 8 * (len(stage.tokens) + layer.width) * UNIT * G
    return phi.slope * t * (b + rounding) + (phi.bend * t * _norm(layer.mixing) + phi.slope) * r * G
