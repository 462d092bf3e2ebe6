"""Transformers whose layers attend by pairs or by tuples: the model whose gradient [MLT24] approximates.

Without residual connections a model of m layers is

    T_0 = X,    T_i = Attn_i(g_i(T_{i-1})),    g_i(Z) = φ(Z W_g)

and with them  Z = T_{i-1} + Attn_i(T_{i-1}),  T_i = Z + g_i(Z).  A head attends with the queries T W_Q, the
keys T W_K and the values T W_V; the outputs of the heads stand side by side. Order 3 has two keys and two
values a head: tensor attention as a layer, beyond the paper.

Glossary
--------
width         D: columns of the tokens between the layers.
head width    d = D / heads: columns of queries, keys and values of one head.
activation    φ, applied entry by entry.
mixing        W_g.

References: [MLT24] Liang, Sha, Shi, Song, Zhou. Multi-Layer Transformers Gradient Can be Approximated in
Almost Linear Time. arXiv 2408.13233.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import generator, integer, number

Activation = Literal["identity", "tanh", "silu", "gelu"]
Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Layer:
    """The weights of one layer.

    Parameters
    ----------
    query : array_like, shape (heads, D, d)
        W_Q of every head.
    keys, values : sequences of k - 1 array_like, shape (heads, D, d)
        W_K and W_V of every head, one for each place of a tuple.
    mixing : array_like, shape (D, D)
        W_g.

    Raises
    ------
    ValueError
        If shapes do not fit or an entry is not finite.

    Notes
    -----
    Arrays are copied to read-only float64.

    Examples
    --------
    >>> one = [[[1.0]]]
    >>> Layer(one, [one], [one], [[0.5]]).order
    2
    """

    query: Reals
    keys: tuple[Reals, ...]
    values: tuple[Reals, ...]
    mixing: Reals

    def __init__(
        self, query: ArrayLike, keys: Sequence[ArrayLike], values: Sequence[ArrayLike], mixing: ArrayLike
    ) -> None:
        W_Q = _weights("query", query, 3)
        heads, D, d = W_Q.shape
        if min(heads, D, d) < 1 or heads * d != D:
            raise ValueError(f"Argument 'query' must have shape (heads, D, D / heads), not {W_Q.shape}.")
        if len(keys) < 1 or len(keys) != len(values):
            raise ValueError(
                "Arguments 'keys' and 'values' must be as many as each other and at least one, "
                f"not {len(keys)} and {len(values)}."
            )
        sides = []
        for name, given in (("keys", keys), ("values", values)):
            side = tuple(_weights(f"{name}[{t}]", one, 3) for t, one in enumerate(given))
            for t, W in enumerate(side):
                if W.shape != W_Q.shape:
                    raise ValueError(f"Argument '{name}[{t}]' must have shape {W_Q.shape}, not {W.shape}.")
            sides.append(side)
        W_g = _weights("mixing", mixing, 2)
        if W_g.shape != (D, D):
            raise ValueError(f"Argument 'mixing' must have shape {(D, D)}, not {W_g.shape}.")
        for name, value in (("query", W_Q), ("keys", sides[0]), ("values", sides[1]), ("mixing", W_g)):
            object.__setattr__(self, name, value)

    @property
    def order(self) -> int:
        """The order k of the attention."""
        return len(self.keys) + 1

    @property
    def heads(self) -> int:
        """Number of heads."""
        return len(self.query)

    @property
    def width(self) -> int:
        """D."""
        return int(self.query.shape[1])


@dataclass(frozen=True, slots=True)
class Transformer:
    """A model: its layers and what is common to them.

    Parameters
    ----------
    layers : tuple of Layer
        At least one, all of one width.
    activation : {"identity", "tanh", "silu", "gelu"}
        φ.
    causal : bool
        Whether a token sees only itself and earlier ones; for order 2 alone.
    residual : bool
        Whether every stage adds its input to its output.

    Raises
    ------
    ValueError
        If the layers do not fit together, or an option is none of those above.

    Examples
    --------
    >>> model = random_transformer(2, 2, 8, 0.5, rng=np.random.default_rng(0))
    >>> model.width, model.heads, model.scale
    (8, 2, 0.25)
    """

    layers: tuple[Layer, ...]
    activation: Activation = "tanh"
    causal: bool = True
    residual: bool = True

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("Argument 'layers' must hold at least one layer, not none.")
        for i, layer in enumerate(self.layers):
            if layer.query.shape != self.layers[0].query.shape:
                raise ValueError(
                    f"Argument 'layers[{i}]' must have queries of shape {self.layers[0].query.shape}, "
                    f"those of the first layer, not {layer.query.shape}."
                )
            if self.causal and layer.order > 2:
                raise ValueError(
                    f"Argument 'causal' must be False for layers of order above 2, and 'layers[{i}]' is of "
                    f"order {layer.order}."
                )
        if self.activation not in get_args(Activation):
            raise ValueError(
                f"Argument 'activation' must be one of {', '.join(get_args(Activation))}, "
                f"not {self.activation!r}."
            )

    @property
    def width(self) -> int:
        """D."""
        return self.layers[0].width

    @property
    def heads(self) -> int:
        """Heads in every layer."""
        return self.layers[0].heads

    @property
    def scale(self) -> float:
        """σ = 1/d, d the width of a head."""
        return self.heads / self.width

    def first(self, layers: int) -> Transformer:
        """Return the model of the first so many layers.

        Raises
        ------
        TypeError, ValueError
            Unless 1 ≤ layers ≤ the number there is.
        """
        return replace(self, layers=self.layers[: integer("layers", layers, 1, len(self.layers))])


def random_transformer(
    layers: int,
    heads: int,
    width: int,
    bound: float,
    *,
    rng: np.random.Generator,
    order: int = 2,
    activation: Activation = "tanh",
    causal: bool | None = None,
    residual: bool = True,
) -> Transformer:
    """Draw a model whose weights are uniform in [-bound, bound].

    Parameters
    ----------
    layers, heads, width : int
        m, the number of heads, and D; the heads divide the width.
    bound : float
        B, on the magnitude of every weight.
    rng : numpy.random.Generator
        Where the weights come from.
    order : int
        k, of every layer.
    activation : {"identity", "tanh", "silu", "gelu"}
        φ.
    causal : bool, optional
        The mask; on for order 2 unless given, off beyond.
    residual : bool
        Whether there are residual connections.

    Returns
    -------
    Transformer

    Raises
    ------
    TypeError, ValueError
        For an argument outside its range.

    Notes
    -----
    Complexity: O(layers · D²) time and memory.

    Examples
    --------
    >>> model = random_transformer(1, 1, 4, 0.25, rng=np.random.default_rng(1))
    >>> bool(abs(model.layers[0].query).max() <= 0.25)
    True
    """
    m, h, D = (
        integer(name, value, 1) for name, value in (("layers", layers), ("heads", heads), ("width", width))
    )
    k, B = integer("order", order, 2), number("bound", bound, 0.0)
    if D % h:
        raise ValueError(f"Argument 'heads' must divide the width {D}, not be {h}.")
    draw = generator(rng).uniform
    shape = (h, D, D // h)
    return Transformer(
        tuple(
            Layer(
                draw(-B, B, shape),
                [draw(-B, B, shape) for _ in range(k - 1)],
                [draw(-B, B, shape) for _ in range(k - 1)],
                draw(-B, B, (D, D)),
            )
            for _ in range(m)
        ),
        activation,
        k == 2 if causal is None else causal,
        residual,
    )


def _weights(name: str, given: ArrayLike, axes: int) -> Reals:
    weights = np.array(given, dtype=np.float64, order="C")
    if weights.ndim != axes:
        raise ValueError(f"Argument '{name}' must have {axes} axes, not shape {weights.shape}.")
    if not np.isfinite(weights).all():
        raise ValueError(f"Argument '{name}' must hold finite numbers.")
    weights.setflags(write=False)
    return weights
