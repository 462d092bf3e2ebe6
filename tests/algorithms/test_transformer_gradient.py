"""Exact gradients of whole models against complex steps, torch and themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.attention_layers import ExactAttention
from cubicwall.algorithms.losses import Loss, linear, mean_log_cosh, mean_square
from cubicwall.algorithms.transformer_gradient import (
    renormalised,
    transformer_gradient,
    transformer_output,
)
from cubicwall.algorithms.transformer_passes import flattened
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
    """Run a model by its definition: whole matrices, complex numbers; a W stands for W_Q W_Kᵀ."""
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
        layers,
        heads,
        width,
        1.0,
        rng=rng,
        order=order,
        activation=activation,
        causal=causal,
        residual=residual,
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


@pytest.mark.parametrize("spec", [spec for spec in MODELS if spec[3] == 2], ids=str)
def test_exact_gradients_agree_with_torch(spec: Any) -> None:
    torch = pytest.importorskip("torch")
    model, X, loss, _ = drawn(spec, 40)
    found = dict(
        flattened(transformer_gradient(model, X, loss, ExactAttention(model.causal), products=False))
    )
    phi = {
        "identity": lambda x: x,
        "tanh": torch.tanh,
        "silu": torch.nn.functional.silu,
        "gelu": torch.nn.functional.gelu,
    }[model.activation]
    leaves = {"input": torch.tensor(X, requires_grad=True)}
    for i, named in enumerate(weights_of(model)):
        leaves |= {f"layer {i} {k}": torch.tensor(W, requires_grad=True) for k, W in named.items()}
    mask = torch.ones(len(X), len(X)).tril().bool() if model.causal else torch.ones(len(X), len(X)).bool()

    def attend(T: Any, i: int) -> Any:
        Q, K, V = (
            torch.einsum("nk,hkd->hnd", T, leaves[f"layer {i} {name}"]) for name in ("W_Q", "W_K0", "W_V0")
        )
        S = (model.scale * Q @ K.transpose(1, 2)).masked_fill(~mask, -torch.inf)
        return (S.softmax(dim=-1) @ V).permute(1, 0, 2).reshape(T.shape)

    T = leaves["input"]
    for i in range(len(model.layers)):
        W_g = leaves[f"layer {i} W_g"]
        if model.residual:
            T = T + attend(T, i)
            T = T + phi(T @ W_g)
        else:
            T = attend(phi(T @ W_g), i)
    # The upstream is ours; torch then differentiates ⟨upstream, T⟩.
    (T * torch.tensor(loss.gradient(T.detach().numpy()))).sum().backward()
    for name, leaf in leaves.items():
        expected = leaf.grad.numpy()
        assert np.abs(found[name] - expected).max() <= 1e-10 * np.abs(expected).max(), name


@pytest.mark.parametrize("make", [linear, mean_square, mean_log_cosh])
def test_losses_have_the_gradient_and_the_smoothness_they_state(make: Any) -> None:
    rng = np.random.default_rng(8)
    A, T, step = rng.normal(size=(3, 6, 4))
    loss, h = make(A), 1e-5
    slope = (loss.value(T + h * step) - loss.value(T - h * step)) / (2 * h)
    # Third derivatives of these are below 1 per entry, |step|³ sums to less than 100; and values round.
    assert abs(slope - (loss.gradient(T) * step).sum()) <= 100 * h * h + 1e-14 * 100 / h
    moved = np.linalg.norm(loss.gradient(T + step) - loss.gradient(T), axis=1).sum()
    assert moved <= loss.smoothness * np.linalg.norm(step, axis=1).max() * (1 + 1e-12)


def test_without_products_the_same_gradients_come_out() -> None:
    model, X, loss, _ = drawn((3, 2, 4, 2, "tanh", True, True, "mean square"), 30)
    exact = ExactAttention(True)
    whole = dict(flattened(transformer_gradient(model, X, loss, exact)))
    part = dict(flattened(transformer_gradient(model, X, loss, exact, products=False)))
    assert whole.keys() - part.keys() == {"layer 0 W", "layer 1 W", "layer 2 W"}
    for name, gradient in part.items():
        assert np.abs(gradient - whole[name]).max() <= 1e-12 * np.abs(gradient).max(), name


def test_renormalised_models_reach_the_bound_in_every_layer() -> None:
    for residual in (True, False):
        model = random_transformer(3, 2, 4, 0.7, rng=np.random.default_rng(9), residual=residual)
        X, exact = np.random.default_rng(10).normal(size=(20, 4)), ExactAttention(True)
        bounded = renormalised(model, X, 1.25, exact)
        for stage in transformer_output(bounded, X, exact).stages:
            for side in ("query", "keys") if stage.heads else ():
                arrays = [head.query if side == "query" else head.keys[0] for head in stage.heads]
                assert max(np.abs(array).max() for array in arrays) == pytest.approx(1.25, rel=1e-12)


def test_a_causal_model_differentiates_no_later_token() -> None:
    model, X, _, _ = drawn((3, 1, 3, 2, "tanh", True, True, "linear"), 12)
    weights = np.zeros((12, 3))
    weights[5] = 1.0
    gradient = transformer_gradient(model, X, linear(weights), ExactAttention(True)).input
    assert np.abs(gradient[:6]).min() > 0.0
    assert not gradient[6:].any()


def test_bad_tokens_are_refused() -> None:
    model, exact = random_transformer(1, 1, 2, 0.5, rng=np.random.default_rng(0)), ExactAttention(True)
    with pytest.raises(ValueError, match=r"'tokens' must have shape \(n, 2\)"):
        transformer_output(model, np.ones((3, 3)), exact)
    with pytest.raises(ValueError, match="finite"):
        transformer_output(model, [[np.nan, 0.0]], exact)
    with pytest.raises(ValueError, match="do not vanish"):
        renormalised(model, np.zeros((3, 2)), 1.0, exact)
    zero = np.zeros((1, 2, 2))
    blind = Transformer((Layer(zero, [zero], [zero], np.zeros((2, 2))),))
    with pytest.raises(ValueError, match="do not vanish"):
        renormalised(blind, np.ones((3, 2)), 1.0, exact)
