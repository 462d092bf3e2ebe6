"""The gradient of attention, streamed through register tiles: the compiled half of `attention_gradient`.

One kernel serves every order. It differentiates attention of order 3 with *outer rows* q_i, g_i in the
place of queries and upstream: P = 2^(logit - lse), R = Σ_c g_i[c] V_1[a,c] V_2[b,c],
W = P (R - δ), and six sums, each a small matrix product over a chunk of K_1 and a panel of K_2:

    T[l,b] += Σ_a W[a,b] K_1[a,l]     then  ∂K_2[b,l] += q_i[l] T[l,b],  ∂q_i[l] += Σ_b T[l,b] K_2[b,l]
    U[c,b] += Σ_a P[a,b] V_1[a,c]     then  ∂V_2, ∂g_i likewise
    ∂K_1[a,l] += Σ_b W[a,b] q_i[l] K_2[b,l]         ∂V_1[a,c] += Σ_b P[a,b] g_i[c] V_2[b,c]

Order 3: outer rows are queries. Order 2: one outer row of ones, K_2 = Q and V_2 = upstream, with lse and δ
by lane. Higher orders: an outer row is a query times a token of each of the first k - 3 keys.

Time: 3 (d + e) + 17 vector operations a tuple, given lse and δ from the forward pass. Memory: the gradients,
once a slot. Slots are cut by the sizes alone and added in order: the result is the same to the last bit for
any number of threads.

The tiles over lanes are those of `attention_kernels`. numba's cache watches the file of the kernel only:
after editing the tiles there, touch this file.

Glossary
--------
panel, chunk   as in `attention_kernels`: LANES tokens of K_2, ROWS tokens of K_1.
lse            log2 of the sum of exponentials of an outer row's query.
δ              Σ_c G[i,c] O[i,c] of it.
slot           a range of (outer row, panel) pairs with accumulators of its own.
"""

from __future__ import annotations

from typing import Any

import numba as nb
from numba.core import cgutils, types

from .attention_kernels import (
    _I64,
    _VECTOR,
    _VECTORS,
    _WIDTH,
    LANES,
    ROWS,
    TILE,
    _aligned,
    _at,
    _broadcast,
    _exp2,
    _intrinsic,
    _load,
    _multiply,
    _multiply_accumulate,
    _multiply_add,
    _pointer,
    _register,
    _store,
)

STRIP = 8  # rows of a tile whose lanes are coordinates
assert ROWS % STRIP == 0


def _strip(vectors: int) -> Any:
    """Make the intrinsic C (STRIP, 8·vectors) += A B, for A (STRIP, LANES) and B (LANES, 8·vectors)."""

    @_intrinsic  # type: ignore[untyped-decorator]
    def strip(typing: Any, C: Any, c: Any, A: Any, a: Any, B: Any, b: Any, width: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            C, c, A, a, B, b, width = arguments
            C, A, B = (_pointer(context, builder, signature.args[i], x) for i, x in ((0, C), (2, A), (4, B)))
            lines = [builder.add(c, builder.mul(width, _at(r))) for r in range(STRIP)]
            rows = [builder.add(a, _at(LANES * r)) for r in range(STRIP)]
            tile = [(r, v, _register(builder, _VECTOR)) for r in range(STRIP) for v in range(vectors)]
            for r, v, register in tile:
                builder.store(_load(builder, C, lines[r], v), register)
            with cgutils.for_range(builder, _at(LANES), intp=_I64) as loop:
                line = builder.add(b, builder.mul(loop.index, width))
                right = [_load(builder, B, line, v) for v in range(vectors)]
                left = [
                    _broadcast(builder, builder.load(builder.gep(A, [builder.add(row, loop.index)])))
                    for row in rows
                ]
                for r, v, register in tile:
                    builder.store(_multiply_add(builder, left[r], right[v], builder.load(register)), register)
            for r, v, register in tile:
                _store(builder, builder.load(register), C, lines[r], v)
            return context.get_dummy_value()

        return types.void(C, types.intp, A, types.intp, B, types.intp, types.intp), emit

    return strip


@_intrinsic  # type: ignore[untyped-decorator]
def _weigh(typing: Any, S: Any, R: Any, rows: Any, lse: Any, delta: Any) -> Any:
    """S (rows, LANES) = P = 2^(S - lse) and R (rows, LANES) = P (R - δ), lane by lane."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        S, R, rows, lse, delta = arguments
        S, R, lse, delta = (
            _pointer(context, builder, signature.args[i], x)
            for i, x in ((0, S), (1, R), (3, lse), (4, delta))
        )
        lses = [_load(builder, lse, _at(0), v) for v in range(_VECTORS)]
        deltas = [_load(builder, delta, _at(0), v) for v in range(_VECTORS)]
        with cgutils.for_range(builder, rows, intp=_I64) as loop:
            row = builder.mul(loop.index, _at(LANES))
            for v in range(_VECTORS):
                weight = _exp2(builder, builder.fsub(_load(builder, S, row, v), lses[v]), False)
                moved = builder.fsub(_load(builder, R, row, v), deltas[v])
                _store(builder, weight, S, row, v)
                _store(builder, builder.fmul(weight, moved), R, row, v)
        return context.get_dummy_value()

    return types.void(S, R, types.intp, lse, delta), emit


_strip_one, _strip_two = _strip(1), _strip(2)


@nb.njit
def _add_across(C: Any, c: int, A: Any, rows: int, B: Any, width: int) -> None:
    """C (rows, width) += A (rows, LANES) B (LANES, width), width a multiple of eight."""
    for r in range(0, rows, STRIP):
        for l in range(0, width - 8, 16):
            _strip_two(C, c + r * width + l, A, r * LANES, B, l, width)
        if width % 16:
            _strip_one(C, c + r * width + width - 8, A, r * LANES, B, width - 8, width)


@nb.njit
def _panel(
    row: Any, first: int, panel: Any, start: int, width: int, valid: int, lined: Any, tokens: Any
) -> None:
    """Multiply a panel (width, LANES) by an outer row: as lines, and by token, zero past the end."""
    padded = len(tokens) // LANES
    tokens[:] = 0.0
    for l in range(width):
        for lane in range(LANES):
            lined[l * LANES + lane] = row[first + l] * panel[start + l * LANES + lane]
        for lane in range(valid):
            tokens[lane * padded + l] = lined[l * LANES + lane]


@nb.njit(fastmath={"contract", "nsz", "reassoc"})  # sums across lanes: no exponential is near
def _settle(
    sums: Any,
    row: Any,
    first: int,
    panel: Any,
    start: int,
    width: int,
    valid: int,
    into_row: Any,
    into_panel: Any,
) -> None:
    """Add what a panel's sums over K_1 say about the outer row and about the panel."""
    for l in range(width):
        total = 0.0
        for lane in range(valid):
            total += sums[l * LANES + lane] * panel[start + l * LANES + lane]
        for lane in range(LANES):
            into_panel[start + l * LANES + lane] += row[first + l] * sums[l * LANES + lane]
        into_row[first + l] += total


@nb.njit(parallel=True, nogil=True, cache=True)
def sweep(
    q: Any, g: Any, K_1: Any, V_1: Any, K_1_rows: Any, V_1_rows: Any, K_2: Any, V_2: Any,
    lse: Any, delta: Any,
    sizes: Any, d: int, e: int, by_lane: bool,
    grad_q: Any, grad_g: Any, grad_K_1: Any, grad_V_1: Any, grad_K_2: Any, grad_V_2: Any,
) -> None:  # fmt: skip
    """Add the gradients of all outer rows to the accumulators, one row of each a slot.

    Parameters: q (outer, d) and g (outer, e); K_1, V_1 in chunks, K_1 times scale·log2(e), and again row by
    row in whole tiles and chunks; K_2, V_2 in panels, past the end the last token; lse and δ (outer,), or
    (panels · LANES,) if `by_lane`. All flat. Sizes: outer, n_1, n_2. Accumulators, (slots, ...): grad_q and
    grad_g like q, g; grad_K_1, grad_V_1 (chunks · ROWS, whole vectors); grad_K_2, grad_V_2 in panels.
    """
    outer, n_1, n_2 = sizes
    slots, panels, chunks = len(grad_q), -(-n_2 // LANES), -(-n_1 // ROWS)
    tiles_d, tiles_e = -(-d // TILE) * TILE, -(-e // TILE) * TILE
    wide_d, wide_e = -(-d // _WIDTH) * _WIDTH, -(-e // _WIDTH) * _WIDTH
    for slot in nb.prange(slots):
        S, R = _aligned(ROWS * LANES), _aligned(ROWS * LANES)
        T, U = _aligned(tiles_d * LANES), _aligned(tiles_e * LANES)
        K_lines, V_lines = _aligned(max(d, 1) * LANES), _aligned(e * LANES)
        K_tokens, V_tokens = _aligned(wide_d * LANES), _aligned(wide_e * LANES)
        lses, deltas = _aligned(LANES), _aligned(LANES)
        for item in range(slot * outer * panels // slots, (slot + 1) * outer * panels // slots):
            i, panel = item // panels, item % panels
            valid = min(LANES, n_2 - panel * LANES)
            _panel(q, i * d, K_2, panel * d * LANES, d, valid, K_lines, K_tokens)
            _panel(g, i * e, V_2, panel * e * LANES, e, valid, V_lines, V_tokens)
            for lane in range(LANES):
                lses[lane] = lse[panel * LANES + lane if by_lane else i]
                deltas[lane] = delta[panel * LANES + lane if by_lane else i]
            T[:] = 0.0
            U[:] = 0.0
            for chunk in range(chunks):
                rows = min(ROWS, n_1 - chunk * ROWS)
                strips = -(-rows // STRIP) * STRIP
                for r in range(0, strips, TILE):
                    _multiply(S, r * LANES, K_1, chunk * d * ROWS + r, ROWS, K_lines, 0, d)
                    _multiply(R, r * LANES, V_1, chunk * e * ROWS + r, ROWS, V_lines, 0, e)
                _weigh(S, R, strips, lses, deltas)
                for l in range(0, tiles_d, TILE):
                    _multiply_accumulate(
                        T, l * LANES, K_1_rows, chunk * ROWS * tiles_d + l, tiles_d, R, 0, rows
                    )
                if not by_lane:
                    for c in range(0, tiles_e, TILE):
                        _multiply_accumulate(
                            U, c * LANES, V_1_rows, chunk * ROWS * tiles_e + c, tiles_e, S, 0, rows
                        )
                _add_across(grad_K_1[slot], chunk * ROWS * wide_d, R, strips, K_tokens, wide_d)
                _add_across(grad_V_1[slot], chunk * ROWS * wide_e, S, strips, V_tokens, wide_e)
            _settle(T, q, i * d, K_2, panel * d * LANES, d, valid, grad_q[slot], grad_K_2[slot])
            if not by_lane:
                _settle(U, g, i * e, V_2, panel * e * LANES, e, valid, grad_g[slot], grad_V_2[slot])
