"""Attention of order 2 and 3, streamed through register tiles: the compiled half of `exact_attention`.

Both orders are one loop. A *panel* of 32 lanes (queries at order 2, tokens of K_2 at order 3) stays
put while *chunks* of rows stream past it (tokens of K_1, at order 3 multiplied by the query, since
s_i(j1, j2) = Σ_l (Q[i,l] K_1[j1,l]) K_2[j2,l]). A chunk is a small matrix product, one
exponential pass, and a second product that adds V_1ᵀ·weights to the moments of the panel. At order 3
the moments meet V_2 once a panel, so no sum crosses lanes inside the loop.

Logits are in base 2 (the caller folds log2(e) into the queries), so 2^t replaces e^s. Where the caller
knows that all of them are small (`bounded`), the ceiling M stays 0; otherwise every lane keeps a
running ceiling that its logits exceed by at most HEADROOM, raised only when they would.

Time: d + e + 16 multiply-adds a tuple, at about the rate of dgemm (measured: 0.96 to 1.2 of its time; 1.3
with running ceilings at d = e = 16).
Memory: a few pages a thread. Items of work are independent and their arithmetic does not depend on
who runs them: the results are the same to the last bit for any number of threads.

LLVM's vectoriser keeps neither the tile in registers nor, on some machines, to the full vector
width. The four inner loops are therefore written out in LLVM's own language, for vectors of eight
doubles, which it splits where the machine's are shorter. numba's cache watches only the file that
defines a kernel: everything the kernels call stays in this file.

Glossary
--------
panel      LANES tokens, stored (dimension, LANES): one coordinate of all of them is one row of memory.
chunk      ROWS tokens, stored (dimension, ROWS).
moments    G[c, lane] = Σ_rows V_1[row, c] · 2^(logit - M[lane]).
mass       D[lane] = Σ_rows 2^(logit - M[lane]).
ceiling    M[lane]: an upper bound, up to HEADROOM, on the lane's logits so far.
item       one independent piece of work: a query row (order 2: panels of them) and a slab of chunks.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic as numba_intrinsic

LANES = 32
ROWS = 32
GROUP = 8  # panels that share a chunk while it is in the nearest cache
TILE = 4  # rows (or columns of values) of a register tile, which is TILE × LANES
HEADROOM = 32.0  # weights stay below 2^HEADROOM
BOUNDED = 400.0  # logits below this, in base 2, need no ceiling: 2^±400 and its sums are ordinary numbers

# numba's annotations describe what these do at compile time, not what they become.
_intrinsic: Any = numba_intrinsic
_register: Any = cgutils.alloca_once

_WIDTH = 8
_VECTORS = LANES // _WIDTH
_F64, _I64 = ir.DoubleType(), ir.IntType(64)
_VECTOR, _INTEGERS = ir.VectorType(_F64, _WIDTH), ir.VectorType(_I64, _WIDTH)

# 2^f on [-1/2, 1/2] with relative error 2.1e-16: the minimax polynomial of degree 10 (Remez).
_EXP2 = (
    1.0,
    0.6931471805599497,
    0.24022650695908768,
    0.05550410866445883,
    0.00961812910803459,
    0.0013333558228561476,
    0.00015403529961135955,
    1.5252658116561384e-05,
    1.3215662831846104e-06,
    1.0208537904552164e-07,
    7.037279530582804e-09,
)
_ROUNDER = 1.5 * 2.0**52  # adding it rounds to an integer, which then sits in the lowest bits
_SMALLEST = -1100.0  # 2^-1100 is already zero
_LIFT = 500  # keeps the exponent field in range for weights that end below the normal numbers


def _at(index: int) -> Any:
    return ir.Constant(_I64, index)


def _splat(value: float) -> Any:
    return ir.Constant(_VECTOR, [value] * _WIDTH)


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _address(builder: Any, pointer: Any, index: Any, vector: int) -> Any:
    element = builder.gep(pointer, [builder.add(index, _at(_WIDTH * vector))])
    return builder.bitcast(element, _VECTOR.as_pointer())


def _load(builder: Any, pointer: Any, index: Any, vector: int) -> Any:
    return builder.load(_address(builder, pointer, index, vector), align=8)


def _store(builder: Any, value: Any, pointer: Any, index: Any, vector: int) -> None:
    builder.store(value, _address(builder, pointer, index, vector), align=8)


def _broadcast(builder: Any, number: Any) -> Any:
    empty = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, empty, ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), [0] * _WIDTH)
    )


def _multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    # `contract` alone: reassociation would undo the rounding trick of the exponential.
    return builder.fadd(builder.fmul(x, y, flags=("contract",)), z, flags=("contract",))


def _larger(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _exp2(builder: Any, t: Any, bounded: bool) -> Any:
    """2^t: a polynomial for the fraction, and the integer part added to the exponent's bits."""
    if not bounded:
        t = _larger(builder, t, _splat(_SMALLEST))
    rounder = _splat(_ROUNDER if bounded else _ROUNDER + _LIFT)
    shifted = builder.fadd(t, rounder)
    fraction = builder.fsub(t, builder.fsub(shifted, rounder))
    power = _splat(_EXP2[-1])
    for coefficient in _EXP2[-2::-1]:
        power = _multiply_add(builder, power, fraction, _splat(coefficient))
    exponent = builder.shl(builder.bitcast(shifted, _INTEGERS), ir.Constant(_INTEGERS, [52] * _WIDTH))
    weight = builder.bitcast(builder.add(builder.bitcast(power, _INTEGERS), exponent), _VECTOR)
    return weight if bounded else builder.fmul(weight, _splat(2.0**-_LIFT))


def _product(accumulate: bool) -> Any:
    """Make the intrinsic C (TILE, LANES) = Aᵀ B, or C += Aᵀ B, for A (length, TILE), B (length, LANES)."""

    @_intrinsic  # type: ignore[untyped-decorator]
    def product(typing: Any, C: Any, c: Any, A: Any, a: Any, stride: Any, B: Any, b: Any, length: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            C, c, A, a, stride, B, b, length = arguments
            C, A, B = (_pointer(context, builder, signature.args[i], x) for i, x in ((0, C), (2, A), (5, B)))
            tile = [(r, v, _register(builder, _VECTOR)) for r in range(TILE) for v in range(_VECTORS)]
            rows = [builder.add(c, _at(LANES * r)) for r in range(TILE)]
            for r, v, register in tile:
                builder.store(_load(builder, C, rows[r], v) if accumulate else _splat(0.0), register)
            with cgutils.for_range(builder, length, intp=_I64) as loop:
                line = builder.add(b, builder.mul(loop.index, _at(LANES)))
                right = [_load(builder, B, line, v) for v in range(_VECTORS)]
                column = builder.add(a, builder.mul(loop.index, stride))
                left = [
                    _broadcast(builder, builder.load(builder.gep(A, [builder.add(column, _at(r))])))
                    for r in range(TILE)
                ]
                for r, v, register in tile:
                    builder.store(_multiply_add(builder, left[r], right[v], builder.load(register)), register)
            for r, v, register in tile:
                _store(builder, builder.load(register), C, rows[r], v)
            return context.get_dummy_value()

        return types.void(C, types.intp, A, types.intp, types.intp, B, types.intp, types.intp), emit

    return product


def _weights(bounded: bool) -> Any:
    """Make the intrinsic S (rows, LANES) = 2^(S - M), D += its sum over rows; M = 0 if bounded."""

    @_intrinsic  # type: ignore[untyped-decorator]
    def weights(typing: Any, S: Any, rows: Any, M: Any, m: Any, D: Any, d: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            S, rows, M, m, D, d = arguments
            S, M, D = (_pointer(context, builder, signature.args[i], x) for i, x in ((0, S), (2, M), (4, D)))
            mass = [_register(builder, _VECTOR) for _ in range(_VECTORS)]
            ceiling = [_load(builder, M, m, v) for v in range(_VECTORS)]
            for v in range(_VECTORS):
                builder.store(_load(builder, D, d, v), mass[v])
            with cgutils.for_range(builder, rows, intp=_I64) as loop:
                row = builder.mul(loop.index, _at(LANES))
                for v in range(_VECTORS):
                    logit = _load(builder, S, row, v)
                    weight = _exp2(builder, logit if bounded else builder.fsub(logit, ceiling[v]), bounded)
                    _store(builder, weight, S, row, v)
                    builder.store(builder.fadd(builder.load(mass[v]), weight), mass[v])
            for v in range(_VECTORS):
                _store(builder, builder.load(mass[v]), D, d, v)
            return context.get_dummy_value()

        return types.void(S, types.intp, M, types.intp, D, types.intp), emit

    return weights


@_intrinsic  # type: ignore[untyped-decorator]
def _exceed(typing: Any, S: Any, rows: Any, M: Any, m: Any) -> Any:
    """Whether any of S (rows, LANES) is above M + HEADROOM."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        S, rows, M, m = arguments
        S, M = (_pointer(context, builder, signature.args[i], x) for i, x in ((0, S), (2, M)))
        peak = [_register(builder, _VECTOR) for _ in range(_VECTORS)]
        for v in range(_VECTORS):
            builder.store(_load(builder, S, _at(0), v), peak[v])
        with cgutils.for_range(builder, rows, intp=_I64) as loop:
            row = builder.mul(loop.index, _at(LANES))
            for v in range(_VECTORS):
                builder.store(_larger(builder, builder.load(peak[v]), _load(builder, S, row, v)), peak[v])
        above = ir.Constant(ir.VectorType(ir.IntType(1), _WIDTH), [0] * _WIDTH)
        for v in range(_VECTORS):
            excess = builder.fsub(builder.load(peak[v]), _load(builder, M, m, v))
            above = builder.or_(above, builder.fcmp_ordered(">", excess, _splat(HEADROOM)))
        return builder.icmp_unsigned(
            "!=", builder.bitcast(above, ir.IntType(_WIDTH)), ir.Constant(ir.IntType(_WIDTH), 0)
        )

    return types.boolean(S, types.intp, M, types.intp), emit


_multiply, _multiply_accumulate = _product(False), _product(True)
_bounded_weights, _ceiling_weights = _weights(True), _weights(False)


@nb.njit
def _raise_ceiling(S: Any, rows: int, M: Any, m: int, sums: Any, first: int, depth: int) -> None:
    """Lift M to the lanes' largest logits where it must be, and scale their sums (depth, LANES) down."""
    for lane in range(LANES):
        peak = S[lane]
        for row in range(1, rows):
            peak = max(peak, S[row * LANES + lane])
        if peak > M[m + lane] + HEADROOM:
            factor = np.exp2(M[m + lane] - peak)
            for line in range(depth):
                sums[first + line * LANES + lane] *= factor
            M[m + lane] = peak


@nb.njit
def _absorb(
    A: Any, a: int, rows: int, B: Any, b: int, dimension: int, V: Any, v: int, columns: int,
    S: Any, M: Any, m: int, sums: Any, first: int, depth: int, bounded: bool,
) -> None:  # fmt: skip
    """Add a chunk (A, V) to the sums of a panel B: `columns` lines of moments, then the mass."""
    for r in range(0, rows, TILE):
        _multiply(S, r * LANES, A, a + r, ROWS, B, b, dimension)
    mass = first + columns * LANES
    if bounded:
        _bounded_weights(S, rows, M, m, sums, mass)
    else:
        if _exceed(S, rows, M, m):
            _raise_ceiling(S, rows, M, m, sums, first, depth)
        _ceiling_weights(S, rows, M, m, sums, mass)
    for c in range(0, columns, TILE):
        _multiply_accumulate(sums, first + c * LANES, V, v + c, columns, S, 0, rows)


@nb.njit
def _aligned(size: int) -> Any:
    """Room for `size` numbers that starts on a cache line: loads that straddle two cost double."""
    room = np.empty(size + _WIDTH)
    skipped = (-room.ctypes.data // 8) % _WIDTH
    return room[skipped : skipped + size]


@nb.njit(parallel=True, nogil=True, cache=True)
def order_two(
    Q: Any, K: Any, V: Any, where: Any, n: int, n_1: int, dimension: int, columns: int, bounded: bool,
    first: int, last: int, ceilings: Any, masses: Any, moments: Any,
) -> None:  # fmt: skip
    """Items first..last of order 2: fill ceilings, masses (batch, slabs, n), moments (batch, slabs, n, e).

    Q holds panels, K chunks, V rows of `columns` (a multiple of TILE), each flat and batch by batch;
    where (3, batch) says which of its own batches each array contributes. There are
    batch · ceil(n / (GROUP · LANES)) · slabs items, slabs innermost.
    """
    slabs = masses.shape[1]
    panels, chunks = -(-n // LANES), -(-n_1 // ROWS)
    groups, depth = -(-panels // GROUP), columns + 1
    for item in nb.prange(first, last):
        slab, group, entry = item % slabs, item // slabs % groups, item // slabs // groups
        S, M, sums = _aligned(ROWS * LANES), _aligned(GROUP * LANES), _aligned(GROUP * depth * LANES)
        M[:] = 0.0 if bounded else -np.inf
        sums[:] = 0.0
        members = min(GROUP, panels - group * GROUP)
        for chunk in range(slab * chunks // slabs, (slab + 1) * chunks // slabs):
            rows = min(ROWS, n_1 - chunk * ROWS)
            a = (where[1, entry] * chunks + chunk) * dimension * ROWS
            v = (where[2, entry] * n_1 + chunk * ROWS) * columns
            for member in range(members):
                b = (where[0, entry] * panels + group * GROUP + member) * dimension * LANES
                _absorb(
                    K, a, rows, Q, b, dimension, V, v, columns,
                    S, M, member * LANES, sums, member * depth * LANES, depth, bounded,
                )  # fmt: skip
        for lane in range(min(members * LANES, n - group * GROUP * LANES)):
            i = group * GROUP * LANES + lane
            line = lane // LANES * depth * LANES + lane % LANES
            ceilings[entry, slab, i] = M[lane]
            masses[entry, slab, i] = sums[line + columns * LANES]
            for c in range(moments.shape[3]):
                moments[entry, slab, i, c] = sums[line + c * LANES]


@nb.njit(parallel=True, nogil=True, cache=True)
def order_three(
    Q: Any, K_1: Any, V_1: Any, K_2: Any, V_2: Any, where: Any, n: int, n_1: int, n_2: int,
    dimension: int, columns: int, bounded: bool,
    first: int, last: int, ceilings: Any, masses: Any, moments: Any,
) -> None:  # fmt: skip
    """Items first..last of order 3: fill ceilings, masses (batch, slabs, n), moments (batch, slabs, n, e).

    Q holds rows, K_1 chunks, V_1 rows of `columns` (a multiple of TILE), K_2 panels and V_2 panels with
    a last line of ones, zero past its tokens; the rest is as in `order_two`, with batch · n · slabs items.
    """
    slabs = masses.shape[1]
    panels, chunks = -(-n_2 // LANES), -(-n_1 // ROWS)
    lines = columns + 1
    depth = 2 * lines  # the sums over K_1 for the panel at hand, then those over K_1 and K_2 together
    for item in nb.prange(first, last):
        slab, i, entry = item % slabs, item // slabs % n, item // slabs // n
        S, A = _aligned(ROWS * LANES), _aligned(ROWS * dimension)
        M, sums = _aligned(GROUP * LANES), _aligned(GROUP * depth * LANES)
        M[:] = 0.0 if bounded else -np.inf
        sums[:] = 0.0
        query = (where[0, entry] * n + i) * dimension
        for group in range(0, panels, GROUP):
            members = min(GROUP, panels - group)
            for member in range(members):
                sums[member * depth * LANES : (member * depth + lines) * LANES] = 0.0
            for chunk in range(slab * chunks // slabs, (slab + 1) * chunks // slabs):
                rows = min(ROWS, n_1 - chunk * ROWS)
                a = (where[1, entry] * chunks + chunk) * dimension * ROWS
                for l in range(dimension):
                    for row in range(ROWS):
                        A[l * ROWS + row] = Q[query + l] * K_1[a + l * ROWS + row]
                v = (where[2, entry] * n_1 + chunk * ROWS) * columns
                for member in range(members):
                    b = (where[3, entry] * panels + group + member) * dimension * LANES
                    _absorb(
                        A, 0, rows, K_2, b, dimension, V_1, v, columns,
                        S, M, member * LANES, sums, member * depth * LANES, depth, bounded,
                    )  # fmt: skip
            for member in range(members):
                panel = (where[4, entry] * panels + group + member) * lines * LANES
                fresh = member * depth * LANES
                for x in range(lines * LANES):
                    sums[fresh + lines * LANES + x] += sums[fresh + x] * V_2[panel + x]
        ceiling = M.max()
        ceilings[entry, slab, i] = ceiling
        masses[entry, slab, i] = 0.0
        moments[entry, slab, i] = 0.0
        for lane in range(min(GROUP, panels) * LANES):
            share = np.exp2(M[lane] - ceiling)
            line = (lane // LANES * depth + lines) * LANES + lane % LANES
            masses[entry, slab, i] += share * sums[line + columns * LANES]
            for c in range(moments.shape[3]):
                moments[entry, slab, i, c] += share * sums[line + c * LANES]
