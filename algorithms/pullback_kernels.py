"""Reverse mode through monomials, compiled: values and gradients of a few polynomials at many points.

For polynomials F_c(x) = Σ_α A[α,c] x^α over a downward closed set of monomials and weights v_c, at every
point x of a list

    F_c(x)    and    ∂_l Σ_c v_c F_c(x) = Σ_α h_α ∂_l x^α,    h_α = Σ_c v_c A[α,c].

Monomials are generated from their parents, x^α = x^parent · x_l, so derivatives flow back along the same
links: in decreasing order h_parent += h_α x_l and ∂_l += h_α x^parent. That is two multiply-adds a monomial
whatever the dimension; the formula ∂_l x^α = α_l x^{α-e_l}, column by column, takes a factor d more [TAT24].

Most monomials are nobody's parent, and those *leaves* are never generated. With E_l,c = Σ_p A[(p,l),c] x^p
over the leaves of variable l,

    F_c = Σ_made A[α,c] x^α + Σ_l x_l E_l,c        ∂_l gets Σ_c v_c E_l,c
    h_p gets Σ_l,c A[(p,l),c] (x_l v_c)

so that all but a small part are two products of matrices, (C, R)·(R, LANES) and (R, C)·(C, LANES). They run
in register tiles of eight by two vectors, written in LLVM's own language as in `attention_kernels`. numba's
cache watches this file only: after editing the helpers there, touch it.

Time: n R (2C + 2) multiply-adds. Memory: a buffer of twice the made monomials by LANES a slot.

Glossary
--------
lanes      points that stand side by side in a buffer.
made       a monomial that is generated, as the parent of some other; leaf: one that is not.
line       LANES numbers of a flat buffer.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numba.core import cgutils, types

from .attention_kernels import (
    _I64,
    _VECTOR,
    _aligned,
    _at,
    _broadcast,
    _intrinsic,
    _load,
    _multiply_add,
    _pointer,
    _register,
    _splat,
    _store,
)

LANES = 16
TALL = 8  # monomials of a tile of h
COLUMNS = 3  # numbers of columns are multiples of it

_VECTORS = LANES // 8


def _line(builder: Any, index: Any) -> Any:
    return builder.mul(index, _at(LANES))


def _add_products(builder: Any, tile: Any, A: Any, place: Any, right: Any) -> None:
    """tile[r][v] += A[place + r] right[v]."""
    for r, registers in enumerate(tile):
        left = _broadcast(builder, builder.load(builder.gep(A, [builder.add(place, _at(r))])))
        for register, value in zip(registers, right, strict=True):
            builder.store(_multiply_add(builder, left, value, builder.load(register)), register)


def _empty_tile(builder: Any, rows: int) -> Any:
    tile = [[_register(builder, _VECTOR) for _ in range(_VECTORS)] for _ in range(rows)]
    for registers in tile:
        for register in registers:
            builder.store(_splat(0.0), register)
    return tile


def _keep_tile(builder: Any, tile: Any, target: Any, line: Any) -> None:
    for r, registers in enumerate(tile):
        place = builder.add(_line(builder, line), _at(LANES * r))
        for v, register in enumerate(registers):
            _store(builder, builder.load(register), target, place, v)


def _combination(columns: int) -> Any:
    """Make F[f + c] = Σ_j A[a + j·stride + c] T[rows[first + j]] for `columns` lines from f on."""

    @_intrinsic  # type: ignore[untyped-decorator]
    def combine(
        typing: Any, F: Any, f: Any, A: Any, a: Any, stride: Any, rows: Any, first: Any, count: Any, T: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            F, f, A, a, stride, rows, first, count, T = arguments
            F, A, rows, T = (
                _pointer(context, builder, signature.args[i], x)
                for i, x in ((0, F), (2, A), (5, rows), (8, T))
            )
            tile = _empty_tile(builder, columns)
            with cgutils.for_range(builder, count, intp=_I64) as loop:
                row = builder.load(builder.gep(rows, [builder.add(first, loop.index)]))
                right = [_load(builder, T, _line(builder, row), v) for v in range(_VECTORS)]
                _add_products(builder, tile, A, builder.add(a, builder.mul(loop.index, stride)), right)
            _keep_tile(builder, tile, F, f)
            return context.get_dummy_value()

        index = types.intp
        return types.void(F, index, A, index, index, rows, index, index, T), emit

    return combine


@_intrinsic  # type: ignore[untyped-decorator]
def _pull_tile(typing: Any, H: Any, h: Any, P: Any, p: Any, E: Any, own: Any, first: Any, count: Any) -> Any:
    """H[h + r] = Σ_k P[p + TALL·k + r] E[k]: first k is from 0 to `own`, then E's line from `first` on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        H, h, P, p, E, own, first, count = arguments
        H, P, E = (_pointer(context, builder, signature.args[i], x) for i, x in ((0, H), (2, P), (4, E)))
        tile = _empty_tile(builder, TALL)
        later = builder.add(p, builder.mul(own, _at(TALL)))
        for start, lines, place in ((_at(0), own, p), (first, count, later)):
            with cgutils.for_range(builder, lines, intp=_I64) as loop:
                line = _line(builder, builder.add(start, loop.index))
                right = [_load(builder, E, line, v) for v in range(_VECTORS)]
                column = builder.add(place, builder.mul(loop.index, _at(TALL)))
                _add_products(builder, tile, P, column, right)
        _keep_tile(builder, tile, H, h)
        return context.get_dummy_value()

    index = types.intp
    return types.void(H, index, P, index, E, index, index, index), emit


@_intrinsic  # type: ignore[untyped-decorator]
def _multiply_lines(typing: Any, C: Any, c: Any, A: Any, a: Any, B: Any, b: Any) -> Any:
    """C[c] = A[a] B[b], lines."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        C, c, A, a, B, b = arguments
        C, A, B = (_pointer(context, builder, signature.args[i], x) for i, x in ((0, C), (2, A), (4, B)))
        a, b, c = (_line(builder, x) for x in (a, b, c))
        for v in range(_VECTORS):
            _store(builder, builder.fmul(_load(builder, A, a, v), _load(builder, B, b, v)), C, c, v)
        return context.get_dummy_value()

    return types.void(C, types.intp, A, types.intp, B, types.intp), emit


@_intrinsic  # type: ignore[untyped-decorator]
def _add_lines(typing: Any, C: Any, c: Any, A: Any, a: Any, B: Any, b: Any) -> Any:
    """C[c] += A[a] B[b], lines."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        C, c, A, a, B, b = arguments
        C, A, B = (_pointer(context, builder, signature.args[i], x) for i, x in ((0, C), (2, A), (4, B)))
        a, b, c = (_line(builder, x) for x in (a, b, c))
        for v in range(_VECTORS):
            x, y, z = _load(builder, A, a, v), _load(builder, B, b, v), _load(builder, C, c, v)
            _store(builder, _multiply_add(builder, x, y, z), C, c, v)
        return context.get_dummy_value()

    return types.void(C, types.intp, A, types.intp, B, types.intp), emit


_combine_nine, _combine_six, _combine_three = _combination(9), _combination(6), _combination(3)


@nb.njit(boundscheck=False)
def _combine(
    F: Any, line: int, A: Any, begin: int, columns: int, rows: Any, first: int, count: int, T: Any
) -> None:
    """F[line + c] = Σ_j A[begin + j, c] T[rows[first + j]] for every column."""
    c = 0
    while c < columns:
        place = begin * columns + c
        if columns - c >= 9:
            _combine_nine(F, line + c, A, place, columns, rows, first, count, T)
            c += 9
        elif columns - c == 6:
            _combine_six(F, line + c, A, place, columns, rows, first, count, T)
            c += 6
        else:
            _combine_three(F, line + c, A, place, columns, rows, first, count, T)
            c += 3


@nb.njit(boundscheck=False)
def _evaluate(
    X: Any, first: int, valid: int, factor: float, links: Any, made: Any, leaves: Any, columns: int,
    x: Any, T: Any, E: Any, F: Any,
) -> None:  # fmt: skip
    """Load points, zeros past the end; fill T with made monomials, E with E_l,c and F with values."""
    parents, variables, leaf_rows, leaf_starts, every, _, _ = links
    d = len(leaf_starts) - 1
    for l in range(d):
        for lane in range(LANES):
            x[l * LANES + lane] = 0.0
        for lane in range(valid):
            x[l * LANES + lane] = X[first + lane, l] * factor
    for lane in range(LANES):
        T[lane] = 1.0
    for f in range(1, len(parents)):
        _multiply_lines(T, f, T, parents[f], x, variables[f])
    _combine(F, 0, made, 0, columns, every, 0, len(parents), T)
    for l in range(d):
        begin, count = leaf_starts[l], leaf_starts[l + 1] - leaf_starts[l]
        if count:
            _combine(E, l * columns, leaves, begin, columns, leaf_rows, begin, count, T)
            for c in range(columns):
                _add_lines(F, c, x, l, E, l * columns + c)


@nb.njit(boundscheck=False)
def _pull(
    v: Any, links: Any, packed: Any, columns: int, x: Any, T: Any, E: Any, V: Any, H: Any, dx: Any
) -> None:
    """Set dx to the gradient of Σ_c v_c F_c, with V for v_c, x_l v_c."""
    parents, variables, _, leaf_starts, _, tiles, places = links
    d = len(leaf_starts) - 1
    dx[:] = 0.0
    for c in range(columns):
        for lane in range(LANES):
            V[c * LANES + lane] = v[c * LANES + lane]
    for l in range(d):
        if leaf_starts[l + 1] > leaf_starts[l]:
            for c in range(columns):
                _multiply_lines(V, (l + 1) * columns + c, x, l, v, c)
                _add_lines(dx, l, v, c, E, l * columns + c)
    for tile in range(len(tiles)):
        low, count, place = tiles[tile]
        _pull_tile(
            H, tile * TALL, packed, place * columns * TALL, V, columns, (low + 1) * columns, count * columns
        )
    for f in range(len(parents) - 1, 0, -1):
        h, l = places[f], variables[f]
        _add_lines(dx, l, H, h, T, parents[f])
        _add_lines(H, places[parents[f]], H, h, x, l)


@nb.njit(boundscheck=False)
def _buffers(links: Any, columns: int) -> Any:
    """x, dx, T, H, E, V, F, v."""
    parents, tiles, d = links[0], links[5], len(links[3]) - 1
    return (
        _aligned(d * LANES), _aligned(d * LANES), _aligned(len(parents) * LANES),
        _aligned(len(tiles) * TALL * LANES), _aligned(d * columns * LANES),
        _aligned((d + 1) * columns * LANES), _aligned(columns * LANES), _aligned(columns * LANES),
    )  # fmt: skip


@nb.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def pull_slot_tokens(
    slot: int, X: Any, V: Any, factors: Any, links: Any, made: Any, leaves: Any, packed: Any, columns: int,
    slots: int, dV: Any, dX: Any,
) -> None:  # fmt: skip
    """Do for one slot's tokens what `pull_tokens` does for all."""
    of_x, of_v, of_dv, of_dx = factors
    n, d, e = len(X), X.shape[1], V.shape[1]
    blocks = -(-n // LANES)
    x, dx, T, H, E, products, F, v = _buffers(links, columns)
    v[:] = 0.0
    v[e * LANES : (e + 1) * LANES] = 1.0
    for block in range(slot * blocks // slots, (slot + 1) * blocks // slots):
        first = block * LANES
        valid = min(LANES, n - first)
        _evaluate(X, first, valid, of_x, links, made, leaves, columns, x, T, E, F)
        for lane in range(valid):
            for c in range(e):
                v[c * LANES + lane] = V[first + lane, c] * of_v
                dV[first + lane, c] = F[c * LANES + lane] * of_dv
        _pull(v, links, packed, columns, x, T, E, products, H, dx)
        for lane in range(valid):
            for l in range(d):
                dX[first + lane, l] = dx[l * LANES + lane] * of_dx


@nb.njit(parallel=True, nogil=True, cache=True, boundscheck=False)
def pull_tokens(
    X: Any, V: Any, factors: Any, links: Any, made: Any, leaves: Any, packed: Any, columns: int, slots: int,
    dV: Any, dX: Any,
) -> None:  # fmt: skip
    """Tokens X (n, d), weights V (n, e) and 1: fill dV (n, e) with values, all but the last's, and dX (n, d).

    `factors`: of X, of V, of dV and of dX.
    """
    for slot in nb.prange(slots):
        pull_slot_tokens(slot, X, V, factors, links, made, leaves, packed, columns, slots, dV, dX)


@nb.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def pull_slot_queries(
    slot: int, X: Any, G: Any, factors: Any, links: Any, made: Any, leaves: Any, packed: Any,
    columns: int, sizes: Any, O: Any, pulled: Any, dX: Any, largest: Any, by_column: Any, by_value: Any,
) -> None:  # fmt: skip
    """Do for one slot's queries what `pull_queries` does for all."""
    of_x, of_g, of_o, of_dx = factors
    reach, peaks, magnitudes = sizes
    n, d, e, slots = len(X), X.shape[1], G.shape[1], len(largest)
    blocks = -(-n // LANES)
    x, dx, T, H, E, products, F, v = _buffers(links, columns)
    v[:] = 0.0
    for block in range(slot * blocks // slots, (slot + 1) * blocks // slots):
        first = block * LANES
        valid = min(LANES, n - first)
        _evaluate(X, first, valid, of_x, links, made, leaves, columns, x, T, E, F)
        for lane in range(LANES):
            v[e * LANES + lane] = 0.0
        for lane in range(valid):
            i, mass = first + lane, F[e * LANES + lane]
            inverse = 1.0 / mass if mass > 0.0 else 0.0
            weight = 0.0
            for c in range(e):
                above = G[i, c] * of_g
                output = F[c * LANES + lane] * inverse
                O[i, c] = output * of_o
                v[c * LANES + lane] = above * inverse
                v[e * LANES + lane] -= above * inverse * output
                weight += abs(above) * peaks[c]
            for c in range(e + 1):
                pulled[i, c] = v[c * LANES + lane]
            # what rounding may do to the row: sums of the magnitudes of its terms, over its denominator
            absolute = 1e-60
            for l in range(d):
                absolute += abs(x[l * LANES + lane]) * reach[l]
            total, slope = 0.0, 0.0
            for m in range(len(magnitudes) - 1, -1, -1):
                slope = slope * absolute + total
                total = total * absolute + magnitudes[m]
            amplified = total / mass if mass > 0.0 else np.inf
            row = slope / mass * weight * (1.0 + 4.0 * amplified) if mass > 0.0 else np.inf
            largest[slot, 0] = max(largest[slot, 0], amplified)
            largest[slot, 1] = max(largest[slot, 1], row)
            for l in range(d):
                by_column[slot, l] += abs(x[l * LANES + lane]) * row
            for c in range(e):
                by_value[slot, c] += abs(G[i, c] * of_g) * amplified * (1.0 + 2.0 * amplified)
        _pull(v, links, packed, columns, x, T, E, products, H, dx)
        for lane in range(valid):
            for l in range(d):
                dX[first + lane, l] = dx[l * LANES + lane] * of_dx


@nb.njit(parallel=True, nogil=True, cache=True, boundscheck=False)
def pull_queries(
    X: Any, G: Any, factors: Any, links: Any, made: Any, leaves: Any, packed: Any, columns: int, sizes: Any,
    O: Any, pulled: Any, dX: Any, largest: Any, by_column: Any, by_value: Any,
) -> None:  # fmt: skip
    """Queries X (n, d), upstream G (n, e): fill O (n, e), dX (n, d) and pulled (n, e+1).

    The latter are the derivatives by numerators and denominator; rows whose denominator is not positive get
    zeros there, and infinities among the sizes of rounding: `largest` (slots, 2), `by_column` (slots, d) and
    `by_value` (slots, e), for `sizes` = reach of each column, largest products of values and |c_m|.
    `factors`: of X, of G, of O and of dX.
    """
    for slot in nb.prange(len(largest)):
        pull_slot_queries(
            slot, X, G, factors, links, made, leaves, packed, columns, sizes, O, pulled, dX, largest,
            by_column, by_value,
        )  # fmt: skip


@nb.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def scan_slot_rows(
    slot: int, Q: Any, G: Any, factors: Any, low: Any, high: Any, holder: float, order: int, spreads: Any,
    ends: Any, weighed: Any, total: Any,
) -> None:  # fmt: skip
    """Look at a slot's queries and their upstream once, in scaled coordinates.

    `low`, `high` (d,): ends of σ Π_t K_t by column; `holder`: σ times norms of keys, of order `order`;
    `spreads` (e,): widths of products of values. By slot: `ends` (slots, 4) the lowest and the highest
    logit, the widest interval and the largest osc(q_i); `weighed` (slots, d) Σ_i |Q_il| osc(q_i); `total`
    (slots, e) Σ_i |G_ic|.
    """
    of_q, of_g = factors
    n, d, e, slots = len(Q), Q.shape[1], G.shape[1], len(ends)
    slack = (d + 2 * order + 16) * 2.0**-52
    for i in range(slot * n // slots, (slot + 1) * n // slots):
        bottom, top, absolute, power, oscillation = 0.0, 0.0, 0.0, 0.0, 0.0
        for l in range(d):
            q = Q[i, l] * of_q
            one, other = q * low[l], q * high[l]
            bottom += min(one, other)
            top += max(one, other)
            absolute += max(abs(one), abs(other))
            term = abs(q)
            for _ in range(order - 1):
                term *= abs(q)
            power += term
        if power > 1e-250 and holder < 1e200:
            norm = holder * power ** (1.0 / order) * (1.0 + slack)
            bottom, top = max(bottom, -norm), min(top, norm)
            absolute += norm
        bottom -= slack * absolute + 1e-60
        top += slack * absolute + 1e-60
        for c in range(e):
            above = abs(G[i, c] * of_g)
            oscillation += above * spreads[c]
            total[slot, c] += above
        for l in range(d):
            weighed[slot, l] += abs(Q[i, l] * of_q) * oscillation
        ends[slot, 0] = min(ends[slot, 0], bottom)
        ends[slot, 1] = max(ends[slot, 1], top)
        ends[slot, 2] = max(ends[slot, 2], top - bottom)
        ends[slot, 3] = max(ends[slot, 3], oscillation)


@nb.njit(parallel=True, nogil=True, cache=True, boundscheck=False)
def scan_rows(
    Q: Any, G: Any, factors: Any, low: Any, high: Any, holder: float, order: int, spreads: Any, ends: Any,
    weighed: Any, total: Any,
) -> None:  # fmt: skip
    """Do so for every slot, in parallel."""
    for slot in nb.prange(len(ends)):
        scan_slot_rows(slot, Q, G, factors, low, high, holder, order, spreads, ends, weighed, total)
