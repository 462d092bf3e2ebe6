"""Fast models stay within the certificate of their whole depth, for outputs and for every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.attention_layers import Attention, ExactAttention, Head, HeadGradient
from cubicwall.algorithms.causal_attention import FastAttention
from cubicwall.algorithms.depth_certificate import certified
from cubicwall.algorithms.losses import linear, mean_log_cosh, mean_square
from cubicwall.algorithms.tensor_layers import FastTensorAttention
from cubicwall.algorithms.transformer_gradient import transformer_gradient
from cubicwall.algorithms.transformer_passes import TransformerGradient
from cubicwall.instances.transformer import random_transformer

LOSSES = {"linear": linear, "mean square": mean_square, "log cosh": mean_log_cosh}


def rows(array: Any) -> float:
    return float(np.linalg.norm(array, axis=1).sum())


def check(model: Any, loss: Any, fast: TransformerGradient, exact: TransformerGradient) -> None:
    """Every error within its bound, the exact run's own bounds added: it rounds too."""
    bound, own = (certified(model, loss, found) for found in (fast, exact))
    difference = np.linalg.norm(fast.forward.output - exact.forward.output, axis=1).max()
    assert difference <= bound.output_error + own.output_error
    assert rows(fast.input - exact.input) <= bound.input_error + own.input_error
    for i, stage in enumerate(bound.stages):
        moved = fast.reverse[i].tokens - exact.reverse[i].tokens
        assert rows(moved) <= stage.gradient_error + own.stages[i].gradient_error
    for a, b, one, two in zip(fast.layers, exact.layers, bound.layers, own.layers, strict=True):
        pairs = [(a.query, b.query, one.query + two.query), (a.mixing, b.mixing, one.mixing + two.mixing)]
        pairs += list(zip(a.keys, b.keys, np.add(one.keys, two.keys), strict=True))
        pairs += list(zip(a.values, b.values, np.add(one.values, two.values), strict=True))
        if a.product is not None and b.product is not None:
            assert one.product is not None
            assert two.product is not None
            pairs.append((a.product, b.product, one.product + two.product))
        for computed, true, error in pairs:
            assert np.abs(computed - true).max() <= error


def sweep(
    layers: int, heads: int, activation: Any, causal: bool, residual: bool, loss: str, tolerance: float
) -> None:
    rng = np.random.default_rng(layers)
    model = random_transformer(
        layers, heads, 4, 0.5, rng=rng, activation=activation, causal=causal, residual=residual
    )
    X, A = rng.uniform(-1, 1, (2, 520, 4))
    made = LOSSES[loss](A)
    fast = transformer_gradient(model, X, made, FastAttention(causal, tolerance))
    check(model, made, fast, transformer_gradient(model, X, made, ExactAttention(causal)))


CASES = [
    (layers, heads, activation, causal, residual, loss, tolerance)
    for layers in (1, 2, 3, 4, 6)
    for heads in (1, 2)
    for activation in ("identity", "tanh", "silu", "gelu")
    for causal in (True, False)
    for residual in (True, False)
    for loss in LOSSES
    for tolerance in (1e-3, 1e-7)
]


@pytest.mark.parametrize("case", CASES[:: len(CASES) // 24 + 1], ids=str)
def test_fast_models_keep_their_certificate(case: Any) -> None:
    sweep(*case)


@pytest.mark.full
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_fast_model_keeps_its_certificate(case: Any) -> None:
    sweep(*case)


class Worst:
    """An attention wrong by what it is allowed: the certificate must hold for it, not for luck."""

    def __init__(self, attention: Attention, error: float, seed: int) -> None:
        self.attention, self.error, self.rng = attention, error, np.random.default_rng(seed)

    def forward(self, query: Any, keys: Any, values: Any, scale: float) -> Head:
        head = self.attention.forward(query, keys, values, scale)
        moved = head.output + self.error * self.rng.choice([-1.0, 1.0], head.output.shape)
        return Head(query, keys, values, scale, moved, head.error + self.error, (head.output, head.kept))

    def backward(self, head: Head, upstream: Any, carried: Any) -> HeadGradient:
        honest = Head(head.query, head.keys, head.values, head.scale, *self.unpacked(head))
        found = self.attention.backward(honest, upstream, carried)
        total = self.error * rows(upstream)

        def moved(array: Any) -> Any:
            direction = self.rng.normal(size=array.shape)
            return array + direction * (total / rows(direction))

        return HeadGradient(
            moved(found.query),
            tuple(map(moved, found.keys)),
            tuple(map(moved, found.values)),
            found.query_error + total,
            tuple(error + total for error in found.key_errors),
            tuple(error + total for error in found.value_errors),
        )

    def unpacked(self, head: Head) -> tuple[Any, float, Any]:
        output, kept = head.kept
        return output, head.error - self.error, kept


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("error", [1e-6, 1e-2, 0.3])
def test_attentions_wrong_by_all_they_may_keep_the_certificate(causal: bool, error: float) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        model = random_transformer(2, 2, 4, 0.6, rng=rng, causal=causal, residual=seed % 2 == 0)
        X, A = rng.uniform(-1, 1, (2, 30, 4))
        loss = mean_square(A)
        wrong = transformer_gradient(model, X, loss, Worst(ExactAttention(causal), error, seed))
        check(model, loss, wrong, transformer_gradient(model, X, loss, ExactAttention(causal)))


@pytest.mark.parametrize("residual", [True, False])
def test_tensor_layers_keep_their_certificate(residual: bool) -> None:
    rng = np.random.default_rng(3)
    model = random_transformer(2, 2, 4, 0.4, rng=rng, order=3, residual=residual)
    X, A = rng.uniform(-1, 1, (2, 60, 4))
    loss = mean_square(A)
    fast = transformer_gradient(model, X, loss, FastTensorAttention(1e-4))
    check(model, loss, fast, transformer_gradient(model, X, loss, ExactAttention(False)))


def test_certificates_scale_with_the_tolerance() -> None:
    rng = np.random.default_rng(4)
    model = random_transformer(2, 1, 4, 0.3, rng=rng)
    X, A = rng.uniform(-1, 1, (2, 600, 4))
    loss = mean_square(A)
    bounds = [
        certified(
            model, loss, transformer_gradient(model, X, loss, FastAttention(True, tolerance))
        ).input_error
        for tolerance in (1e-3, 1e-6)
    ]
    assert bounds[1] < 1e-2 * bounds[0]
