"""A transformer's gradient measured: error against depth, time against the number of tokens, tolerance for a target.

Everything compares one model run twice, by `ExactAttention` and by `FastAttention`, and sets what was measured
beside what `depth_certificate` claims.

Glossary
--------
bound        B: the largest entry of every layer's queries and keys, to which weights are rescaled.
b            B/(ln n)^{1/2}, the coordinate of the wall for order 2.
error        of the output: the longest row of the difference; of a gradient by tokens: the sum of the lengths
             of its rows, here relative to that of the computed gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..algorithms.attention_layers import Attention, ExactAttention, Head, HeadGradient
from ..algorithms.causal_attention import FastAttention
from ..algorithms.depth_certificate import DepthCertificate, certified
from ..algorithms.losses import Loss, mean_square
from ..algorithms.transformer_gradient import TransformerGradient, renormalised, transformer_gradient
from ..instances.arguments import integer, number
from ..instances.transformer import Transformer, random_transformer
from .figures import BLUE, GREY, ORANGE, save

Reals = NDArray[np.float64]


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
    fast, clock, fast_seconds = _timed(problem, FastAttention(causal, tolerance))
    certificate = certified(model, problem.loss, fast)
    exact: TransformerGradient | None = None
    exact_clocks, exact_seconds = [math.nan] * len(model.layers), math.nan
    if exactly:
        exact, exact_clock, exact_seconds = _timed(problem, ExactAttention(causal))
        exact_clocks = exact_clock.by_layer(model.heads)
    errors = _errors(fast, exact, certificate, len(model.layers))
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


@dataclass(frozen=True)
class DepthRow:
    """Errors at one depth; as in `Run`, of the input's gradient relative to its size.

    Parameters
    ----------
    layers : int
        m.
    b : float
        Coordinate of the wall.
    output_error, output_bound, input_error, input_bound : float
        Measured and claimed.
    """

    layers: int
    b: float
    output_error: float
    output_bound: float
    input_error: float
    input_bound: float


def error_against_depth(
    depths: Sequence[int], coordinates: Sequence[float], n: int, tolerance: float, *, seed: int = 0
) -> list[DepthRow]:
    """Measure errors against depth for entries b·(ln n)^{1/2}.

    Parameters
    ----------
    depths : sequence of int
        Numbers of layers.
    coordinates : sequence of float
        The values of b.
    n : int
        Tokens.
    tolerance : float
        Of every layer.
    seed : int
        Of the random generator.

    Returns
    -------
    list of DepthRow

    Raises
    ------
    WallError
        If the entries are too large for the tolerance.

    Notes
    -----
    Complexity: an exact and a fast gradient a row.

    Examples
    --------
    >>> [row.input_error <= row.input_bound for row in error_against_depth([1, 2], [0.3], 300, 1e-4)]
    [True, True]
    """
    found = []
    for b in coordinates:
        for m in depths:
            problem = drawn_problem(n, layers=m, bound=b * math.sqrt(math.log(n)), seed=seed)
            run = compared(problem, tolerance)
            first = run.rows[0]
            found.append(DepthRow(m, b, run.output_error, run.output_bound, first.error, first.certificate))
    return found


@dataclass(frozen=True)
class TimeRow:
    """Seconds for a gradient, forward pass included.

    Parameters
    ----------
    n : int
        Tokens.
    exact_seconds, fast_seconds : float
        The exact one is NaN where it was not run.
    """

    n: int
    exact_seconds: float
    fast_seconds: float


def time_against_tokens(
    sizes: Sequence[int], tolerance: float, *, exact_up_to: int, repeats: int = 2, causal: bool = True, seed: int = 0
) -> list[TimeRow]:
    """Measure time against the number of tokens: four layers, width 8, entries of queries and keys up to 1.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of tokens.
    tolerance : float
        Of every layer.
    exact_up_to : int
        The largest size at which the exact model runs.
    repeats : int
        Runs in turns, of which the fastest counts.
    causal : bool
        The mask.
    seed : int
        Of the random generator.

    Returns
    -------
    list of TimeRow

    Notes
    -----
    Complexity: as many gradients.

    Examples
    --------
    >>> [row.n for row in time_against_tokens([64, 128], 1e-3, exact_up_to=64, repeats=1)]
    [64, 128]
    """
    found = []
    for n in sizes:
        problem = drawn_problem(n, causal=causal, seed=seed)
        runs = [compared(problem, tolerance, exactly=n <= exact_up_to) for _ in range(repeats)]
        found.append(TimeRow(n, min(run.exact_seconds for run in runs), min(run.fast_seconds for run in runs)))
    return found


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Fit the exponent of a power law, without the runs that did not take place.

    Examples
    --------
    >>> round(slope([1, 2, 4], [3, 12, 48]), 9)
    2.0
    """
    kept = [(math.log(n), math.log(t)) for n, t in zip(sizes, seconds, strict=True) if t == t]
    return float(np.polyfit(*np.transpose(kept), 1)[0])


def crossover(rows: Sequence[TimeRow]) -> float:
    """Estimate the number of tokens from which on the fast model is the faster one.

    Returns
    -------
    float
        Between the last measured size at which it lost and the next, by a power law; 0 or infinite where one
        side always won.

    Examples
    --------
    >>> crossover([TimeRow(100, 1.0, 2.0), TimeRow(400, 16.0, 8.0)])
    200.0
    """
    both = [row for row in rows if row.exact_seconds == row.exact_seconds]
    lost = [i for i, row in enumerate(both) if row.exact_seconds < row.fast_seconds]
    if not lost:
        return 0.0
    if lost[-1] == len(both) - 1:
        return math.inf
    a, b = both[lost[-1]], both[lost[-1] + 1]
    low, high = (math.log(row.exact_seconds / row.fast_seconds) for row in (a, b))
    share = -low / (high - low)
    return float(round(a.n * (b.n / a.n) ** share, 6))


def tolerance_for(problem: Problem, target: float, *, measured: bool = False) -> tuple[float, float]:
    """Find a tolerance of every layer that brings the relative error of ∂X below a target.

    Parameters
    ----------
    problem : Problem
        What to differentiate.
    target : float
        On the error of the gradient by the input, relative to it.
    measured : bool
        Whether the error against the exact model counts, rather than the certificate.

    Returns
    -------
    tolerance, error : float
        The largest power of 10^{1/2} tried that meets the target, and what it led to.

    Raises
    ------
    ValueError
        For a target that is not positive, or that no tolerance from 1 down to 1e-12 meets.

    Notes
    -----
    Complexity: a fast gradient a step, after one exact one where it is measured against.

    Examples
    --------
    >>> tolerance, error = tolerance_for(drawn_problem(300, layers=1, bound=0.5), 1e-3)
    >>> error <= 1e-3
    True
    """
    if not target > 0.0:
        raise ValueError(f"Argument 'target' must be positive, not {target}.")
    causal = problem.model.causal
    exact = _timed(problem, ExactAttention(causal))[0] if measured else None
    for step in range(25):
        tolerance = 10.0 ** (-step / 2)
        fast = transformer_gradient(
            problem.model, problem.tokens, problem.loss, FastAttention(causal, tolerance), products=False
        )
        certificate = certified(problem.model, problem.loss, fast)
        error, bound = _errors(fast, exact, certificate, 1)[0]
        reached = error if measured else bound
        if reached <= target:
            return tolerance, reached
    raise ValueError(f"Argument 'target' must be within reach of tolerances down to 1e-12, and {target} is not.")


def draw_depth(rows: Sequence[DepthRow], file: Path) -> None:
    """Draw the input gradient's error against depth, measured and claimed, a pair of lines for each b."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for b, colour in zip(sorted({row.b for row in rows}), (BLUE, ORANGE, GREY, "black"), strict=False):
        chosen = [row for row in rows if row.b == b]
        depth = [row.layers for row in chosen]
        axes.semilogy(depth, [row.input_error for row in chosen], "o-", color=colour, label=f"measured, b = {b:g}")
        axes.semilogy(depth, [row.input_bound for row in chosen], "--", color=colour, label=f"claimed, b = {b:g}")
    axes.set(xlabel="layers", ylabel="relative error of the gradient by the input")
    axes.legend(frameon=False, fontsize="small")
    save(figure, file)


def draw_times(rows: Sequence[TimeRow], file: Path) -> None:
    """Draw seconds against tokens, exact and fast."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    sizes = [row.n for row in rows]
    for name, seconds, colour in (
        ("exact", [row.exact_seconds for row in rows], ORANGE),
        ("fast", [row.fast_seconds for row in rows], BLUE),
    ):
        axes.loglog(sizes, seconds, "o-", base=2, color=colour, label=name)
    axes.set(xlabel="tokens", ylabel="seconds, forward and reverse")
    axes.legend(frameon=False)
    save(figure, file)


def draw_layers(run: Run, file: Path) -> None:
    """Draw seconds and errors of a run, layer by layer."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    layers = [row.layer for row in run.rows]
    left.semilogy(layers, [row.exact_seconds for row in run.rows], "o-", color=ORANGE, label="exact")
    left.semilogy(layers, [row.fast_seconds for row in run.rows], "o-", color=BLUE, label="fast")
    left.set(xlabel="layer", ylabel="seconds")
    right.semilogy(layers, [row.error for row in run.rows], "o-", color=BLUE, label="measured")
    right.semilogy(layers, [row.certificate for row in run.rows], "--", color=GREY, label="claimed")
    right.set(xlabel="layer", ylabel="relative error of the gradient by its input")
    for axes in (left, right):
        axes.legend(frameon=False)
    save(figure, file)


def _timed(problem: Problem, attention: Attention) -> tuple[TransformerGradient, Clocked, float]:
    clock = Clocked(attention)
    began = perf_counter()
    gradient = transformer_gradient(problem.model, problem.tokens, problem.loss, clock)
    return gradient, clock, perf_counter() - began


def _errors(
    fast: TransformerGradient, exact: TransformerGradient | None, certificate: DepthCertificate, layers: int
) -> list[tuple[float, float]]:
    """Errors of the gradients by the inputs of layers, measured and claimed, relative."""
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
