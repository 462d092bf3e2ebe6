"""A transformer's output and all its gradients, with whichever attention it is handed [MLT24].

With Q = T W_Q, K = T W_K, V = T W_V, W = W_Q W_Kᵀ and the weights w of `attention_gradient`,

    ∂W   = σ Tᵀ w T                        ∂W_Q = Tᵀ ∂Q,   ∂W_K = Tᵀ ∂K,   ∂W_V = Tᵀ ∂V
    ∂T   = ∂Q W_Qᵀ + ∂K W_Kᵀ + ∂V W_Vᵀ     ∂Q = σ w T W_K

and through g(Z) = φ(Z W_g): ∂W_g = Zᵀ (G∘φ'(Z W_g)), ∂Z = (G∘φ'(Z W_g)) W_gᵀ. One code path does this for
every model; `ExactAttention` makes it quadratic, `FastAttention` almost linear in n. What the errors of the
layers add up to is for `depth_certificate` to say.

Time: m layers of h heads cost what their attention costs, plus O(m n D²). Memory: the inputs of all stages
and the heads' queries, keys and values, O(m n D).

Glossary
--------
stage     one attention with all its heads, or one g.
tokens    T or Z: a stage's input, one row a token.
product   W = W_Q W_Kᵀ, of order 2 alone.

References: [MLT24] Liang, Sha, Shi, Song, Zhou. Multi-Layer Transformers Gradient Can be Approximated in
Almost Linear Time. arXiv 2408.13233; docs/MATH.md section 4.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..instances.arguments import number
from ..instances.transformer import Layer, Transformer
from .activations import FUNCTIONS
from .attention_layers import Attention, Head, HeadGradient, Reals
from .blas_threads import single_threaded_products
from .losses import Loss
from .transformer_passes import Forward, LayerGradient, Reverse, Stage, TransformerGradient


def transformer_output(model: Transformer, tokens: ArrayLike, attention: Attention) -> Forward:
    """Run the model.

    Parameters
    ----------
    model : Transformer
        m layers of width D.
    tokens : (n, D) array_like
        X.
    attention : Attention
        Masked as the model is.

    Returns
    -------
    Forward

    Raises
    ------
    ValueError
        For tokens that do not fit the model.

    Examples
    --------
    >>> from ..instances.transformer import random_transformer
    >>> from .attention_layers import ExactAttention
    >>> model = random_transformer(3, 2, 4, 0.5, rng=np.random.default_rng(0))
    >>> transformer_output(model, np.ones((5, 4)), ExactAttention(causal=True)).output.shape
    (5, 4)
    """
    T = _tokens(model, tokens)
    with single_threaded_products():
        return _run(model, T, attention)


def transformer_gradient(
    model: Transformer, tokens: ArrayLike, loss: Loss, attention: Attention, *, products: bool = True
) -> TransformerGradient:
    """Differentiate a loss of the model's output by its input and by every weight.

    Parameters
    ----------
    model : Transformer
        m layers of width D.
    tokens : (n, D) array_like
        X.
    loss : Loss
        Of the output.
    attention : Attention
        Masked as the model is.
    products : bool
        Whether ∂W is wanted of layers of order 2. It carries D numbers a pair where ∂W_Q alone needs d.

    Returns
    -------
    TransformerGradient

    Raises
    ------
    ValueError
        For tokens that do not fit the model.
    WallError
        If a fast attention meets entries too large for its tolerance.

    Notes
    -----
    Complexity: see the file. Results do not depend on the number of threads.

    References
    ----------
    [MLT24, Thm 4.2]

    Examples
    --------
    >>> from ..instances.transformer import random_transformer
    >>> from .causal_attention import FastAttention
    >>> from .losses import mean_square
    >>> model = random_transformer(2, 1, 4, 0.5, rng=np.random.default_rng(0))
    >>> X = np.random.default_rng(1).uniform(-1, 1, (600, 4))
    >>> fast = FastAttention(causal=True, tolerance=1e-4)
    >>> gradient = transformer_gradient(model, X, mean_square(X), fast)
    >>> gradient.input.shape, gradient.layers[0].product.shape
    ((600, 4), (1, 4, 4))
    """
    T = _tokens(model, tokens)
    with single_threaded_products():
        forward = _run(model, T, attention)
        G = loss.gradient(forward.output)
        reverse: list[Reverse] = []
        attended: dict[int, tuple[Reals | None, Reals, tuple[Reals, ...], tuple[Reals, ...]]] = {}
        mixed: dict[int, Reals] = {}
        for stage in reversed(forward.stages):
            layer, size = model.layers[stage.layer], float(np.linalg.norm(G, axis=1).sum())
            if stage.heads:
                back, attended[stage.layer], heads = _unattend(layer, stage, G, attention, products)
            else:
                back, mixed[stage.layer] = _unmix(model, layer, stage.tokens, G)
                heads = ()
            G = back + G if model.residual else back
            reverse.append(Reverse(G, size, heads))
    layers = tuple(LayerGradient(*attended[i], mixed[i]) for i in range(len(model.layers)))
    return TransformerGradient(loss.value(forward.output), G, layers, forward, tuple(reversed(reverse)))


def renormalised(model: Transformer, tokens: ArrayLike, bound: float, attention: Attention) -> Transformer:
    """Rescale W_Q and the W_K of every layer so that the queries and keys of these tokens reach a bound.

    Parameters
    ----------
    model : Transformer
        Its values and mixing stay.
    tokens : (n, D) array_like
        X.
    bound : float
        B: the largest magnitude of T W_Q, and of every T W_K, in every layer.
    attention : Attention
        What finds the inputs of later layers.

    Returns
    -------
    Transformer

    Raises
    ------
    ValueError
        For tokens that do not fit the model, a bound below 0, or queries or keys that vanish.

    Notes
    -----
    Complexity: one forward pass.

    Examples
    --------
    >>> from ..instances.transformer import random_transformer
    >>> from .attention_layers import ExactAttention
    >>> exact, X = ExactAttention(causal=True), np.ones((3, 2))
    >>> model = random_transformer(2, 1, 2, 0.5, rng=np.random.default_rng(0))
    >>> bounded = renormalised(model, X, 1.0, exact)
    >>> round(float(abs(X @ bounded.layers[0].query[0]).max()), 12)
    1.0
    """
    T, B = _tokens(model, tokens), number("bound", bound, 0.0)
    layers: list[Layer] = []
    with single_threaded_products():
        for layer in model.layers:
            below = Transformer((layer,), model.activation, model.causal, model.residual)
            seen = T if model.residual else _mix(below, layer, T)
            W_Q = layer.query * (B / _peak(seen, layer.query))
            layer = Layer(W_Q, [W * (B / _peak(seen, W)) for W in layer.keys], layer.values, layer.mixing)
            layers.append(layer)
            T = _run(replace(below, layers=(layer,)), T, attention).output
    return replace(model, layers=tuple(layers))


def _tokens(model: Transformer, tokens: ArrayLike) -> Reals:
    T = np.ascontiguousarray(tokens, dtype=np.float64)
    if T.ndim != 2 or T.shape[1] != model.width or len(T) == 0:
        raise ValueError(f"Argument 'tokens' must have shape (n, {model.width}), n ≥ 1, not {T.shape}.")
    if not np.isfinite(T).all():
        raise ValueError("Argument 'tokens' must hold finite numbers.")
    return T


def _peak(T: Reals, weights: Reals) -> float:
    peak = max(float(np.abs(T @ W).max()) for W in weights)
    if peak == 0.0:
        raise ValueError("Argument 'model' must have queries and keys that do not vanish on these tokens.")
    return peak


def _run(model: Transformer, T: Reals, attention: Attention) -> Forward:
    stages: list[Stage] = []
    for i, layer in enumerate(model.layers):
        for attends in (True, False) if model.residual else (False, True):
            heads = _attend(model, layer, T, attention) if attends else ()
            stages.append(Stage(i, T, heads))
            moved = (
                np.concatenate([head.output for head in heads], axis=1) if attends else _mix(model, layer, T)
            )
            T = T + moved if model.residual else moved
    return Forward(tuple(stages), T)


def _attend(model: Transformer, layer: Layer, T: Reals, attention: Attention) -> tuple[Head, ...]:
    return tuple(
        attention.forward(
            T @ layer.query[a],
            tuple(T @ W[a] for W in layer.keys),
            tuple(T @ W[a] for W in layer.values),
            model.scale,
        )
        for a in range(layer.heads)
    )


def _unattend(
    layer: Layer, stage: Stage, G: Reals, attention: Attention, products: bool
) -> tuple[
    Reals,
    tuple[Reals | None, Reals, tuple[Reals, ...], tuple[Reals, ...]],
    tuple[HeadGradient, ...],
]:
    """Go back through all heads: derivatives by the tokens and by W, W_Q, W_K and W_V."""
    T, d = stage.tokens, layer.query.shape[2]
    carried = T if products and layer.order == 2 else None
    back = np.zeros_like(T)
    by_query, product = np.empty_like(layer.query), np.empty((layer.heads, layer.width, layer.width))
    by_keys, by_values = ([np.empty_like(W) for W in side] for side in (layer.keys, layer.values))
    errors: list[HeadGradient] = []
    for a, head in enumerate(stage.heads):
        found = attention.backward(head, np.ascontiguousarray(G[:, a * d : (a + 1) * d]), carried)
        grad_Q = found.query
        if carried is not None:
            product[a] = T.T @ found.query
            grad_Q = found.query @ layer.keys[0][a]
        by_query[a] = T.T @ grad_Q
        back += grad_Q @ layer.query[a].T
        for weights, grads, into in (
            (layer.keys, found.keys, by_keys),
            (layer.values, found.values, by_values),
        ):
            for W, grad, room in zip(weights, grads, into, strict=True):
                room[a] = T.T @ grad
                back += grad @ W[a].T
        errors.append(replace(found, query=_NONE, keys=(), values=()))
    gradients = (product if carried is not None else None, by_query, tuple(by_keys), tuple(by_values))
    return back, gradients, tuple(errors)


_NONE = np.empty((0, 0))


def _mix(model: Transformer, layer: Layer, Z: Reals) -> Reals:
    mixed: Reals = FUNCTIONS[model.activation].value(Z @ layer.mixing)
    return mixed


def _unmix(model: Transformer, layer: Layer, Z: Reals, G: Reals) -> tuple[Reals, Reals]:
    inner = G * FUNCTIONS[model.activation].derivative(Z @ layer.mixing)
    return inner @ layer.mixing.T, Z.T @ inner
