"""Gradients of whole models: exact ones against complex steps, torch and themselves; fast ones in their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.attention_layers import ExactAttention
from cubicwall.algorithms.losses import Loss, linear, mean_log_cosh, mean_square
from cubicwall.algorithms.transformer_gradient import (
    flattened,
    renormalised,
    transformer_gradient,
    transformer_output,
)
from cubicwall.instances.transformer import Layer, Transformer, random_transformer
from scipy.special import erf

# φ and the losses once more, for complex numbers and from the definitions.
ACTIVATIONS = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
}
LOSSES = {
    "linear": (linear, lambda T, A: (A * T).sum()),
    "mean square": (mean_square, lambda T, A: ((T - A) ** 2).mean() / 2),
    "log cosh": (mean_log_cosh, lambda T, A: np.log(np.cosh(T - A)).mean()),
}
Weights = list[dict[str, Any]]


def weights_of(model: Transformer) -> Weights:
    """Return arrays by the names of `flattened`, W = W_Q W_Kᵀ as its own argument."""
    found = []
    for layer in model.layers:
        named: dict[str, Any] = {"W_Q": layer.query, "W_g": layer.mixing}
        named |= {f"W_K{t}": W for t, W in enumerate(layer.keys)}
        named |= {f"W_V{t}": W for t, W in enumerate(layer.values)}
        found.append(named)
    return found


def define(model: Transformer, X: Any, weights: Weights) -> Any:
    """Run a model by its definition: whole matrices, complex numbers; a W, where given, stands for W_Q W_Kᵀ."""
    T, phi, n = X, ACTIVATIONS[model.activation], len(X)
    places = model.layers[0].order - 1

    def attend(T: Any, w: dict[str, Any]) -> Any:
        outputs = []
        for a in range(model.heads):
            Q = T @ w["W_Q"][a]
            keys, values = ([T @ w[f"{side}{t}"][a] for t in range(places)] for side in ("W_K", "W_V"))
            if "W" in w:
                Q, keys = T @ w["W"][a], [T]
            K, V = keys[0], values[0]
            for other, value in zip(keys[1:], values[1:], strict=True):
                K = (K[:, None, :] * other).reshape(-1, K.shape[1])
                V = (V[:, None, :] * value).reshape(-1, V.shape[1])
            E = np.exp(model.scale * Q @ K.T)
            if model.causal:
                E = np.tril(E)
            outputs.append(E @ V / E.sum(axis=1, keepdims=True))
        return np.concatenate(outputs, axis=1)

    assert n
    for w in weights:
        if model.residual:
            T = T + attend(T, w)
            T = T + phi(T @ w["W_g"])
        else:
            T = attend(phi(T @ w["W_g"]), w)
    return T


def complex_steps(model: Transformer, X: Any, loss: Any) -> dict[str, Any]:
    """Differentiate by the input and every weight without cancellation."""
    h = 1e-100
    base = weights_of(model)

    def steps(array: Any, run: Any) -> Any:
        gradient = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            moved = array.astype(complex)
            moved[place] += 1j * h
            gradient[place] = loss(run(moved)).imag / h
        return gradient

    found = {"input": steps(X, lambda moved: define(model, moved, base))}
    for i, layer in enumerate(model.layers):
        arrays = dict(base[i])
        if layer.order == 2:
            arrays["W"] = np.stack([q @ k.T for q, k in zip(layer.query, layer.keys[0], strict=True)])
        for name, array in arrays.items():

            def run(moved: Any, i: int = i, name: str = name) -> Any:
                return define(model, X, [*base[:i], {**base[i], name: moved}, *base[i + 1 :]])

            found[f"layer {i} {name}"] = steps(array, run)
    return found


MODELS = [
    # layers, heads, width, order, activation, causal, residual, loss
    (1, 1, 3, 2, "tanh", True, False, "linear"),
    (1, 2, 4, 2, "silu", False, True, "mean square"),
    (2, 1, 3, 2, "gelu", True, True, "log cosh"),
    (2, 2, 2, 2, "identity", False, False, "mean square"),
    (3, 2, 4, 2, "tanh", True, True, "mean square"),
    (4, 1, 2, 2, "silu", True, False, "log cosh"),
    (5, 3, 3, 2, "gelu", False, True, "linear"),
    (6, 2, 2, 2, "tanh", True, True, "mean square"),
    (6, 1, 2, 2, "tanh", True, False, "linear"),
    (1, 1, 2, 3, "tanh", False, True, "mean square"),
    (2, 2, 4, 3, "silu", False, False, "log cosh"),
    (1, 1, 2, 4, "gelu", False, True, "linear"),
]


def drawn(spec: Any, n: int, seed: int = 0) -> tuple[Transformer, Any, Loss, Any]:
    layers, heads, width, order, activation, causal, residual, loss = spec
    rng = np.random.default_rng(seed)
    model = random_transformer(
        layers, heads, width, 1.0, rng=rng, order=order, activation=activation, causal=causal, residual=residual
    )
    X, A = rng.normal(size=(2, n, width))
    make, define_loss = LOSSES[loss]
    return model, X, make(A), lambda T: define_loss(T, A)


@pytest.mark.parametrize("spec", MODELS, ids=str)
def test_exact_gradients_agree_with_complex_steps_to_ten_digits(spec: Any) -> None:
    model, X, loss, defined = drawn(spec, 5)
    found = dict(flattened(transformer_gradient(model, X, loss, ExactAttention(model.causal))))
    expected = complex_steps(model, X, defined)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert np.abs(found[name] - gradient).max() <= 1e-10 * np.abs(gradient).max(), name
