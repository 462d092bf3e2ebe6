"""What the two passes through a transformer leave behind: outputs, derivatives, and what certificates need.

Glossary
--------
stage     one attention with all its heads, or one g.
tokens    T or Z: a stage's input, one row a token.
product   W = W_Q W_Kᵀ, of order 2 alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from .attention_layers import Head, HeadGradient, Reals


@dataclass(frozen=True, eq=False)
class Stage:
    """What the forward pass leaves of one stage.

    Parameters
    ----------
    layer : int
        Which layer it belongs to.
    tokens : (n, D) array
        Its input.
    heads : tuple of Head
        Of an attention; empty for a g.
    """

    layer: int
    tokens: Reals
    heads: tuple[Head, ...]


@dataclass(frozen=True, eq=False)
class Forward:
    """The forward pass.

    Parameters
    ----------
    stages : tuple of Stage
        In the order of running.
    output : (n, D) array
        T_m.
    """

    stages: tuple[Stage, ...]
    output: Reals


@dataclass(frozen=True, eq=False)
class LayerGradient:
    """The derivatives of the loss by one layer's weights; shapes as in `Layer`.

    Parameters
    ----------
    product : (heads, D, D) array or None
        ∂W; None unless of order 2 and asked for.
    query : (heads, D, d) array
        ∂W_Q.
    keys, values : tuples of k - 1 such arrays
        ∂W_K and ∂W_V.
    mixing : (D, D) array
        ∂W_g.
    """

    product: Reals | None
    query: Reals
    keys: tuple[Reals, ...]
    values: tuple[Reals, ...]
    mixing: Reals


@dataclass(frozen=True, eq=False)
class Reverse:
    """What the reverse pass saw at one stage.

    Parameters
    ----------
    tokens : (n, D) array
        The derivative by the stage's input.
    upstream : float
        Sum of the norms of the rows of the derivative by its output.
    heads : tuple of HeadGradient
        Their errors; the arrays have served and are gone.
    """

    tokens: Reals
    upstream: float
    heads: tuple[HeadGradient, ...]


@dataclass(frozen=True, eq=False)
class TransformerGradient:
    """A loss and its derivatives.

    Parameters
    ----------
    value : float
        The loss.
    input : (n, D) array
        ∂L/∂X.
    layers : tuple of LayerGradient
        By the weights of every layer.
    forward : Forward
        The forward pass.
    reverse : tuple of Reverse
        The reverse pass, by stage, in the order of `forward.stages`.
    """

    value: float
    input: Reals
    layers: tuple[LayerGradient, ...]
    forward: Forward
    reverse: tuple[Reverse, ...]


def flattened(gradient: TransformerGradient) -> list[tuple[str, Reals]]:
    """List every array of a gradient with its name: the input's first, then layer by layer.

    Examples
    --------
    >>> import numpy as np
    >>> none = np.empty((0, 0))
    >>> [name for name, _ in flattened(TransformerGradient(0.0, none, (), Forward((), none), ()))]
    ['input']
    """
    arrays = [("input", gradient.input)]
    for i, layer in enumerate(gradient.layers):
        if layer.product is not None:
            arrays.append((f"layer {i} W", layer.product))
        arrays.append((f"layer {i} W_Q", layer.query))
        arrays += [(f"layer {i} W_K{t}", W) for t, W in enumerate(layer.keys)]
        arrays += [(f"layer {i} W_V{t}", W) for t, W in enumerate(layer.values)]
        arrays.append((f"layer {i} W_g", layer.mixing))
    return arrays
