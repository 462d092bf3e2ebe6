"""One transformer differentiated twice, exactly and fast: seconds, errors and claims, layer by layer.

Glossary
--------
bound        B: the largest entry of every layer's queries and keys, to which weights are rescaled.
b            B/(ln n)^{1/2}, the coordinate of the wall for order 2.
error        of the output: the longest row of the difference; of a gradient by tokens: the sum of the lengths
             of its rows, here relative to that of the computed gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ..algorithms.attention_layers import Attention, ExactAttention, Head, HeadGradient
from ..algorithms.causal_attention import FastAttention
from ..algorithms.depth_certificate import DepthCertificate, certified
from ..algorithms.losses import Loss, mean_square
from ..algorithms.transformer_gradient import renormalised, transformer_gradient
from ..algorithms.transformer_passes import TransformerGradient
from ..instances.arguments import integer, number
from ..instances.transformer import Transformer, random_transformer

Reals = NDArray[np.float64]

# Seconds a pair, forward and reverse: constant, and for each column. See `benchmarks/transformer.py`.
_PER_PAIR = (1.0e-9, 3e-11)
_ARRAYS_A_LAYER, _ARRAYS = 16, 64  # arrays of n rows of D


@dataclass
class Clocked:
    """An attention and the seconds of each of its calls, in order.

    Parameters
    ----------
    attention : Attention
        What does the work.
    forward_seconds, backward_seconds : list of float
        Filled as it runs.
    """

    attention: Attention
    forward_seconds: list[float] = field(default_factory=list)
    backward_seconds: list[float] = field(default_factory=list)

    def forward(self, query: Reals, keys: tuple[Reals, ...], values: tuple[Reals, ...], scale: float) -> Head:
        """Run and clock the forward pass of a head."""
        began = perf_counter()
        head = self.attention.forward(query, keys, values, scale)
        self.forward_seconds.append(perf_counter() - began)
        return head

    def backward(self, head: Head, upstream: Reals, carried: Reals | None) -> HeadGradient:
        """Run and clock the reverse pass of a head."""
        began = perf_counter()
        gradient = self.attention.backward(head, upstream, carried)
        self.backward_seconds.append(perf_counter() - began)
        return gradient

    def by_layer(self, heads: int) -> list[float]:
        """Return the seconds of every layer, both ways."""
        forward = np.reshape(self.forward_seconds, (-1, heads)).sum(axis=1)
        backward = np.reshape(self.backward_seconds, (-1, heads)).sum(axis=1)[::-1]
        seconds: list[float] = (forward + backward).tolist()
        return seconds


@dataclass(frozen=True)
class Problem:
    """A model, tokens and a loss.

    Parameters
    ----------
    model : Transformer
        Rescaled so that queries and keys reach the bound in every layer.
    tokens : (n, D) array
        X, uniform in [-1, 1].
    loss : Loss
        Half the mean square distance from a target drawn likewise.
    """

    model: Transformer
    tokens: Reals
    loss: Loss


def drawn_problem(
    n: int,
    *,
    layers: int = 4,
    heads: int = 1,
    width: int = 8,
    bound: float = 1.0,
    causal: bool = True,
    residual: bool = True,
    weight_bound: float | None = None,
    seed: int = 0,
) -> Problem:
    """Draw a model, tokens and a target.

    Parameters
    ----------
    n : int
        Number of tokens.
    layers, heads, width : int
        m, heads, D.
    bound : float
        B.
    causal, residual : bool
        As in `Transformer`.
    weight_bound : float, optional
        On the entries of W_V and W_g; 1/(2 m^{1/2}) unless given, so that residual streams keep their size.
    seed : int
        Of the random generator.

    Returns
    -------
    Problem

    Raises
    ------
    TypeError, ValueError
        For an argument outside its range.

    Notes
    -----
    Complexity: one forward pass, fast where that can be done.

    Examples
    --------
    >>> drawn_problem(8, layers=2).model.width
    8
    """
    n, m = integer("n", n, 2), integer("layers", layers, 1)
    B = number("bound", bound, 1e-12)
    rng = np.random.default_rng(seed)
    entries = 0.5 / math.sqrt(m) if weight_bound is None else weight_bound
    model = random_transformer(m, heads, width, entries, rng=rng, causal=causal, residual=residual)
    X, target = rng.uniform(-1, 1, (2, n, width))
    guide: Attention = ExactAttention(causal) if n <= 4096 else FastAttention(causal, 1e-3)
    return Problem(renormalised(model, X, B, guide), X, mean_square(target))


def exact_cost(n: int, *, layers: int, heads: int, width: int, causal: bool) -> float:
    """Predict the seconds of an exact gradient on two cores, forward pass included, good to a factor of two.

    Examples
    --------
    >>> exact_cost(2, layers=1, heads=1, width=8, causal=True) < 1.0
    True
    """
    constant, slope = _PER_PAIR
    columns = 6 * width // heads + width  # six sums of a head's width, and one that carries the tokens
    return (constant + slope * columns) * float(n) ** 2 * layers * heads / (2 if causal else 1)


def fast_memory(n: int, *, layers: int, width: int) -> float:
    """Predict the bytes of a fast gradient: inputs, queries, keys, values and derivatives of every stage.

    Examples
    --------
    >>> fast_memory(2**16, layers=4, width=8) < 2e9
    True
    """
    return 8.0 * n * width * (_ARRAYS_A_LAYER * layers + _ARRAYS)


@dataclass(frozen=True)
class LayerRow:
    """One layer, both ways.

    Parameters
    ----------
    layer : int
        Counted from 1.
    exact_seconds, fast_seconds : float
        Of its attention, forward and reverse; exact is NaN where it was not run.
    error : float
        Of the gradient by the layer's first stage's tokens, relative; NaN where exact was not run.
    certificate : float
        The claimed bound on that.
    """

    layer: int
    exact_seconds: float
    fast_seconds: float
    error: float
    certificate: float


@dataclass(frozen=True)
class Run:
    """One comparison.

    Parameters
    ----------
    rows : tuple of LayerRow
        By layer.
    exact_seconds, fast_seconds : float
        Of everything, forward and reverse.
    output_error, output_bound : float
        Measured and claimed.
    weight_errors, weight_bounds : tuple of float
        Largest error of an entry of ∂W by layer, measured and claimed.
    ranks : tuple of int
        Rank of every layer's first head; 1 where nothing was approximated.
    """

    rows: tuple[LayerRow, ...]
    exact_seconds: float
    fast_seconds: float
    output_error: float
    output_bound: float
    weight_errors: tuple[float, ...]
    weight_bounds: tuple[float, ...]
    ranks: tuple[int, ...]

    @property
    def sound(self) -> bool:
        """Whether everything measured is within what was claimed."""
        pairs = [(row.error, row.certificate) for row in self.rows]
        pairs += [(self.output_error, self.output_bound)]
        pairs += list(zip(self.weight_errors, self.weight_bounds, strict=True))
        return not any(error > bound for error, bound in pairs)


def compared(problem: Problem, tolerance: float, *, exactly: bool = True) -> Run:
    """Differentiate a model fast, and exactly too unless told not to.

    Parameters
    ----------
    problem : Problem
        What to differentiate.
    tolerance : float
        Of every layer, as in `FastAttention`.
    exactly : bool
        Whether to run the exact model, whose time is quadratic.

    Returns
    -------
    Run

    Raises
    ------
    WallError
        If the entries are too large for the tolerance.

    Notes
    -----
    Complexity: that of both gradients.

    Examples
    --------
    >>> run = compared(drawn_problem(600, layers=2), 1e-4)
    >>> run.sound
    True
    """
    model, causal = problem.model, problem.model.causal
    fast, clock, fast_seconds = timed(problem, FastAttention(causal, tolerance))
    certificate = certified(model, problem.loss, fast)
    exact: TransformerGradient | None = None
    exact_clocks, exact_seconds = [math.nan] * len(model.layers), math.nan
    if exactly:
        exact, exact_clock, exact_seconds = timed(problem, ExactAttention(causal))
        exact_clocks = exact_clock.by_layer(model.heads)
    errors = gradient_errors(fast, exact, certificate, len(model.layers))
    rows = [
        LayerRow(i + 1, exact_clocks[i], seconds, *errors[i])
        for i, seconds in enumerate(clock.by_layer(model.heads))
    ]
    kernels = [stage.heads[0].kept.kernel for stage in fast.forward.stages if stage.heads]
    weights = [layer.product or 0.0 for layer in certificate.layers]
    if exact is None:
        output, weight_errors = math.nan, [math.nan] * len(weights)
    else:
        output = float(np.linalg.norm(exact.forward.output - fast.forward.output, axis=1).max())
        weight_errors = [
            float(np.abs(a.product - b.product).max())
            for a, b in zip(exact.layers, fast.layers, strict=True)
            if a.product is not None and b.product is not None
        ]
    return Run(
        tuple(rows),
        exact_seconds,
        fast_seconds,
        output,
        certificate.output_error,
        tuple(weight_errors),
        tuple(weights),
        tuple(1 if kernel is None else len(kernel.indices) for kernel in kernels),
    )


def timed(problem: Problem, attention: Attention) -> tuple[TransformerGradient, Clocked, float]:
    """Differentiate a model and clock it, all of it and head by head."""
    clock = Clocked(attention)
    began = perf_counter()
    gradient = transformer_gradient(problem.model, problem.tokens, problem.loss, clock)
    return gradient, clock, perf_counter() - began


def gradient_errors(
    fast: TransformerGradient, exact: TransformerGradient | None, certificate: DepthCertificate, layers: int
) -> list[tuple[float, float]]:
    """Return the relative errors of the gradients by the inputs of the first layers, measured and claimed."""
    found = []
    for i in range(layers):
        stage = 2 * i
        computed = fast.reverse[stage].tokens
        size, error = _length(computed), math.nan
        if exact is not None:
            error = _length(computed - exact.reverse[stage].tokens) / size
        found.append((error, certificate.stages[stage].gradient_error / size))
    return found


def _length(rows: Reals) -> float:
    return float(np.linalg.norm(rows, axis=1).sum())
