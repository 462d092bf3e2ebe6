"""The compiled loops of the polynomial method, written in vectors; `polynomial_kernels` calls them.

A *tile* is up to 8 monomials × 3 columns of a block of tokens, its accumulators in registers. numba's loop
vectoriser stops at half of AVX-512's width and reorders sums only where order is said not to matter, so
tiles are LLVM vectors: twice as fast, and every sum has one order that an error analysis can count.

Glossary
    height      monomials of a tile
    lanes       tokens that one vector holds
    features    [row][token], the generated monomials of a block
    extended    [column][token], what the features are summed against: values, or values times one coordinate

Numba's cache watches one file: everything that is inlined into these kernels stands here.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

numba.config.THREADING_LAYER = "omp"  # type: ignore[attr-defined]  # the workqueue layer is not safe under two Python threads

# numba's annotations describe what these do at compile time, not what they become.
_intrinsic: Any = intrinsic
_extents: Any = cgutils.unpack_tuple

COLUMNS = 3
"""Columns of a tile: a multiple of it is what kernels are given."""

GRAIN = 64
"""Tokens come in multiples of it: the strip that evaluation keeps in registers."""

_VECTOR_BYTES = 64 if llvm.get_host_cpu_features().get("avx512f", False) else 32
_TALL = 8 if _VECTOR_BYTES == 64 else 4  # accumulators: 24 of 32 registers, or 12 of 16
STRIP = _TALL * _VECTOR_BYTES // 8
"""Tokens of which evaluation keeps the sums in registers."""

_INDEX = ir.IntType(64)
_LANE = ir.IntType(32)
_DOUBLE = ir.DoubleType()
_FUSED = ("contract",)


def _shuffle(builder: Any, left: Any, right: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(_LANE, len(lanes)), lanes))


def _sums(builder: Any, vectors: list[Any], lanes: int) -> Any:
    """Sum each of a power of two of vectors over its lanes: pairs share one addition at every level."""
    count, step = len(vectors), 1
    while len(vectors) > 1:
        starts = range(0, lanes, 2 * step)
        low = [i for s in starts for base in (s, lanes + s) for i in range(base, base + step)]
        high = [i + step for i in low]
        vectors = [
            builder.fadd(_shuffle(builder, a, b, low), _shuffle(builder, a, b, high))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        step *= 2
    total = vectors[0]
    while lanes > count:
        lanes //= 2
        halves = (list(range(lanes)), list(range(lanes, 2 * lanes)))
        total = builder.fadd(*(_shuffle(builder, total, total, half) for half in halves))
    return total


class _Matrix:
    """A C-contiguous array inside generated code."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        self.shape = _extents(builder, array.shape)
        self.bytes = kind.dtype.bitwidth // 8

    def entry(self, *indices: Any) -> Any:
        place = indices[0]
        for index, extent in zip(indices[1:], self.shape[1:], strict=True):
            place = self.builder.add(self.builder.mul(place, extent), index)
        return self.builder.gep(self.data, [place])

    def vectors(self, row: Any, vector: Any) -> Any:
        return self.builder.bitcast(self.entry(row, _INDEX(0)), vector.as_pointer())


def _vector(context: Any, kind: Any) -> Any:
    return ir.VectorType(context.get_data_type(kind.dtype), _VECTOR_BYTES * 8 // kind.dtype.bitwidth)


def _loop(
    builder: Any, width: Any, lanes: int, start: list[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Run the body for every vector of a row, with values carried in registers; return the last ones."""
    before, loop, after = (
        builder.block,
        builder.append_basic_block("tile"),
        builder.append_basic_block("done"),
    )
    stop = builder.sdiv(width, _INDEX(lanes))
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(_INDEX)
    carried = [builder.phi(value.type) for value in start]
    results = body(index, carried)
    following = builder.add(index, _INDEX(1))
    for phi, first, result in zip([index, *carried], [_INDEX(0), *start], [following, *results], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(result, loop)
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, after)
    builder.position_at_end(after)
    return results


def _moment_tile(height: int) -> Any:
    """Make moments[c, p] += Σ_t features[rows[p], t]·extended[c, t]: `height` positions, COLUMNS columns."""

    @_intrinsic  # type: ignore[untyped-decorator]
    def tile(
        _: Any, features: Any, rows: Any, position: Any, extended: Any, column: Any, width: Any, moments: Any
    ) -> Any:
        signature = types.void(features, rows, types.intp, extended, types.intp, types.intp, moments)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source, index, first, other, column, width, target = arguments
            vector = _vector(context, features)
            source, index, other, target = (
                _Matrix(context, builder, kind, value)
                for kind, value in ((features, source), (rows, index), (extended, other), (moments, target))
            )
            left = [
                source.vectors(builder.load(index.entry(builder.add(first, _INDEX(f)))), vector)
                for f in range(height)
            ]
            right = [other.vectors(builder.add(column, _INDEX(c)), vector) for c in range(COLUMNS)]

            def step(at: Any, sums: list[Any]) -> list[Any]:
                xs = [builder.load(builder.gep(x, [at]), align=other.bytes) for x in right]
                new = []
                for f, row in enumerate(left):
                    value = builder.load(builder.gep(row, [at]), align=source.bytes)
                    for c, x in enumerate(xs):
                        product = builder.fmul(value, x, flags=_FUSED)
                        new.append(builder.fadd(product, sums[COLUMNS * f + c], flags=_FUSED))
                return new

            zero = ir.Constant(vector, [0.0] * vector.count)
            sums = _loop(builder, width, vector.count, [zero] * (height * COLUMNS), step)
            doubles = ir.VectorType(_DOUBLE, height)
            for c in range(COLUMNS):
                total = _sums(builder, sums[c::COLUMNS], vector.count)
                if vector.element != _DOUBLE:
                    total = builder.fpext(total, doubles)
                place = builder.bitcast(
                    target.entry(builder.add(column, _INDEX(c)), first), doubles.as_pointer()
                )
                builder.store(builder.fadd(builder.load(place, align=8), total), place, align=8)
            return context.get_dummy_value()

        return signature, generate

    return tile


@_intrinsic  # type: ignore[untyped-decorator]
def _value_strip(
    _: Any, features: Any, rows: Any, first: Any, last: Any, weights: Any, column: Any, at: Any, factors: Any,
    k: Any, sums: Any,
) -> Any:  # fmt: skip
    """Make sums[c, t] += factors[k, t]·Σ_p features[rows[p], t]·weights[c, p]: COLUMNS × STRIP of them."""
    signature = types.void(
        features, rows, types.intp, types.intp, weights, types.intp, types.intp, factors, types.intp, sums
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, index, first, last, factor, column, at, common, k, target = arguments
        vector = _vector(context, features)
        strip = range(STRIP * features.dtype.bitwidth // 8 // _VECTOR_BYTES)
        source, index, factor, common, target = (
            _Matrix(context, builder, kind, value)
            for kind, value in (
                (features, source), (rows, index), (weights, factor), (factors, common), (sums, target),
            )
        )  # fmt: skip
        columns = [builder.add(column, _INDEX(c)) for c in range(COLUMNS)]

        def spread(number: Any) -> Any:
            undefined = ir.Constant(vector, ir.Undefined)
            one = builder.insert_element(undefined, number, _LANE(0))
            return _shuffle(builder, one, undefined, [0] * vector.count)

        def tokens(matrix: _Matrix, row: Any) -> list[Any]:
            place = builder.bitcast(matrix.entry(row, at), vector.as_pointer())
            return [builder.gep(place, [_INDEX(v)]) for v in strip]

        def step(offset: Any, total: list[Any]) -> list[Any]:
            position = builder.add(first, offset)
            weight = [spread(builder.load(factor.entry(c, position))) for c in columns]
            new = []
            for v, place in enumerate(tokens(source, builder.load(index.entry(position)))):
                value = builder.load(place, align=source.bytes)
                for c, w in enumerate(weight):
                    product = builder.fmul(value, w, flags=_FUSED)
                    new.append(builder.fadd(product, total[COLUMNS * v + c], flags=_FUSED))
            return new

        zero = ir.Constant(vector, [0.0] * vector.count)
        total = _loop(builder, builder.sub(last, first), 1, [zero] * (len(strip) * COLUMNS), step)
        scale = [builder.load(place, align=common.bytes) for place in tokens(common, k)]
        for c, row in enumerate(columns):
            for v, place in enumerate(tokens(target, row)):
                product = builder.fmul(scale[v], total[COLUMNS * v + c], flags=_FUSED)
                before = builder.load(place, align=target.bytes)
                builder.store(builder.fadd(product, before, flags=_FUSED), place, align=target.bytes)
        return context.get_dummy_value()

    return signature, generate


@_intrinsic  # type: ignore[untyped-decorator]
def _multiply(_: Any, left: Any, i: Any, right: Any, j: Any, width: Any, out: Any, k: Any) -> Any:
    """Make out[k, t] = left[i, t]·right[j, t] for a multiple of GRAIN of tokens."""
    signature = types.void(left, types.intp, right, types.intp, types.intp, out, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, i, second, j, width, target, k = arguments
        vector = _vector(context, out)
        unroll = GRAIN // vector.count
        first, second, target = (
            _Matrix(context, builder, kind, value)
            for kind, value in ((left, first), (right, second), (out, target))
        )
        first, second, place = first.vectors(i, vector), second.vectors(j, vector), target.vectors(k, vector)

        def step(at: Any, _: list[Any]) -> list[Any]:
            for u in range(unroll):
                here = [builder.add(builder.mul(at, _INDEX(unroll)), _INDEX(u))]
                a, b = (builder.load(builder.gep(row, here), align=target.bytes) for row in (first, second))
                builder.store(builder.fmul(a, b), builder.gep(place, here), align=target.bytes)
            return []

        _loop(builder, width, GRAIN, [], step)
        return context.get_dummy_value()

    return signature, generate


_moment_tall, _moment_4, _moment_2, _moment_1 = (_moment_tile(height) for height in (_TALL, 4, 2, 1))


@njit(cache=True, boundscheck=False)
def _sum_moments(features, rows, start, stop, extended, width, moments):  # type: ignore[no-untyped-def]
    p = start
    while p + _TALL <= stop:
        for c in range(0, extended.shape[0], COLUMNS):
            _moment_tall(features, rows, p, extended, c, width, moments)
        p += _TALL
    while p + 4 <= stop:
        for c in range(0, extended.shape[0], COLUMNS):
            _moment_4(features, rows, p, extended, c, width, moments)
        p += 4
    if p + 2 <= stop:
        for c in range(0, extended.shape[0], COLUMNS):
            _moment_2(features, rows, p, extended, c, width, moments)
        p += 2
    if p < stop:
        for c in range(0, extended.shape[0], COLUMNS):
            _moment_1(features, rows, p, extended, c, width, moments)


@njit(cache=True, boundscheck=False)
def _sum_values(features, rows, start, stop, weights, width, factors, k, sums):  # type: ignore[no-untyped-def]
    for t in range(0, width, STRIP):
        for c in range(0, sums.shape[0], COLUMNS):
            _value_strip(features, rows, start, stop, weights, c, t, factors, k, sums)


@njit(cache=True, boundscheck=False)
def _buffer(rows, block, like):  # type: ignore[no-untyped-def]
    """Allocate rows of tokens that start on cache lines, without all starting on the same ones."""
    size = like.itemsize
    stride = block + 3 * (64 // size)
    memory = np.empty(rows * stride + 64 // size, like.dtype)
    start = (-memory.ctypes.data % 64) // size
    return memory[start : start + rows * stride].reshape((rows, stride))


@njit(cache=True, boundscheck=False)
def _generate(products, start, stop, x, width, features):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        target, parent, variable = products[i]
        _multiply(features, parent, x, variable, width, features, target)


@njit(cache=True, boundscheck=False, error_model="numpy")
def sum_slot_moments(slot, keys, values, plan, scaling, like, parts):  # type: ignore[no-untyped-def]
    """Add the moments of one slot's tokens into its (C, R) part."""
    products, rows, groups, panels, shared, buffer, block = plan
    active, offset, key_factor, value_factor = scaling
    n, e = values.shape
    d = len(active)
    slots, columns, _ = parts.shape
    blocks = -(-n // block)
    features = _buffer(buffer, block, like)
    x = _buffer(d, block, like)
    values_and_one = _buffer((d + 1) * columns, block, like)  # then times each coordinate
    values_and_one[:] = 0.0
    for b in range(slot * blocks // slots, (slot + 1) * blocks // slots):
        first = b * block
        count = min(block, n - first)
        width = -(-count // GRAIN) * GRAIN
        key_block = keys[first : first + count]
        value_block = values[first : first + count]
        for l in range(d):
            column, middle, factor = active[l], offset[l], key_factor[l]
            for t in range(count):
                x[l, t] = (key_block[t, column] - middle) * factor
            x[l, count:width] = 0.0
        for c in range(e):
            factor = value_factor[c]
            for t in range(count):
                values_and_one[c, t] = value_block[t, c] * factor
            values_and_one[c, count:width] = 0.0
        values_and_one[e, :count] = 1.0
        values_and_one[e, count:width] = 0.0
        features[0, :width] = 1.0
        for l in range(d):
            if shared[l]:
                for c in range(e + 1):
                    _multiply(values_and_one, c, x, l, width, values_and_one, (l + 1) * columns + c)
        for panel in range(len(panels)):
            _generate(products, panels[panel, 0], panels[panel, 1], x, width, features)
            for g in range(panels[panel, 2], panels[panel, 3]):
                above = (groups[g, 0] + 1) * columns
                extended = values_and_one[above : above + columns]
                _sum_moments(features, rows, groups[g, 2], groups[g, 3], extended, width, parts[slot])


@njit(cache=True, parallel=True, boundscheck=False)
def sum_moments(keys, values, plan, scaling, like, parts):  # type: ignore[no-untyped-def]
    """Do so for every slot, in parallel."""
    for slot in prange(len(parts)):
        sum_slot_moments(slot, keys, values, plan, scaling, like, parts)


@njit(cache=True, boundscheck=False)
def _shifted_coefficients(base, shift, width, table, out):  # type: ignore[no-untyped-def]
    """Expand p(s − shift_t) = Σ_m out[m, t] s^m by repeated synthetic division."""
    g = len(base) - 1
    for m in range(g + 1):
        for t in range(width):
            table[m, t] = base[m]
    for first in range(g):
        for m in range(g - 1, first - 1, -1):
            for t in range(width):
                table[m, t] -= shift[t] * table[m + 1, t]
    for m in range(g + 1):
        for t in range(width):
            out[m, t] = table[m, t]


@njit(cache=True, boundscheck=False, error_model="numpy")
def evaluate_slot_rows(  # type: ignore[no-untyped-def]
    slot, queries, plan, weights, base, shifted, frame, bounds, extremes, ranges, out
):
    """Evaluate one slot's rows, divide by their denominators, and keep what the certificate needs."""
    products, rows, groups, panels, _, buffer, block = plan
    active, geometry, output_scale, limits = frame
    magnitudes, rounding, underflow = bounds
    n, e = out.shape
    d = len(active)
    columns, _ = weights.shape
    slots = len(extremes)
    blocks = -(-n // block)
    features = _buffer(buffer, block, weights)
    x = _buffer(d + 1, block, weights)
    x[d] = 1.0
    sums = _buffer(columns, block, weights)
    coefficients = _buffer(len(base), block, weights)
    coefficients[:] = 1.0
    shared = _buffer(1, block, weights)
    table = np.empty((len(base), block))
    low, high, reach, shift, terms, inverse = np.empty((6, block))
    # minima and maxima lane by lane, over all blocks: the vectoriser does not reduce floats
    smallest = np.full(block, np.inf)
    largest = np.zeros(block)
    lowest = np.full((e, block), np.inf)
    highest = np.full((e, block), -np.inf)
    for b in range(slot * blocks // slots, (slot + 1) * blocks // slots):
        first = b * block
        count = min(block, n - first)
        width = -(-count // GRAIN) * GRAIN
        query_block = queries[first : first + count]
        out_block = out[first : first + count]
        low[:width] = 0.0
        high[:width] = 0.0
        reach[:width] = 0.0
        for l in range(d):
            factor, u, bottom, top, peak = geometry[:, l]
            column = active[l]
            for t in range(count):
                q = query_block[t, column] * factor * u
                x[l, t] = q
                reach[t] += abs(q) * peak
                if shifted:
                    low[t] += min(q * bottom, q * top)
                    high[t] += max(q * bottom, q * top)
            x[l, count:width] = 0.0
        for t in range(width):
            shift[t] = 0.5 * (low[t] + high[t])
        if shifted:
            _shifted_coefficients(base, shift, width, table, coefficients)
        for c in range(columns):
            sums[c, :width] = 0.0
        features[0, :width] = 1.0
        for panel in range(len(panels)):
            _generate(products, panels[panel, 0], panels[panel, 1], x, width, features)
            for g in range(panels[panel, 2], panels[panel, 3]):
                variable, degree, start, stop = groups[g]
                # what the group's sums lack: its degree's coefficient, its leaves' variable, or both
                if not shifted:
                    k = variable if variable >= 0 else d
                    _sum_values(features, rows, start, stop, weights, width, x, k, sums)
                elif variable < 0:
                    _sum_values(features, rows, start, stop, weights, width, coefficients, degree, sums)
                else:
                    _multiply(coefficients, degree, x, variable, width, shared, 0)
                    _sum_values(features, rows, start, stop, weights, width, shared, 0, sums)
        terms[:width] = 0.0
        for m in range(len(magnitudes) - 1, -1, -1):
            for t in range(width):
                terms[t] = terms[t] * (reach[t] + abs(shift[t])) + magnitudes[m]
        for t in range(count):
            error = rounding * terms[t] + underflow
            denominator = sums[e, t] - error
            positive = denominator > 0.0  # and a number
            smallest[t] = min(smallest[t], denominator if positive else -np.inf)
            largest[t] = max(largest[t], error / denominator if positive else np.inf)
            inverse[t] = 1.0 / sums[e, t] if positive else 0.0
        for c in range(e):
            scale, bottom, top = output_scale[c], limits[0, c], limits[1, c]
            for t in range(count):
                value = sums[c, t] * inverse[t] * scale
                value = min(max(value, bottom), top)
                terms[t] = value
                lowest[c, t] = min(lowest[c, t], value)
                highest[c, t] = max(highest[c, t], value)
            for t in range(count):
                out_block[t, c] = terms[t]
    extremes[slot] = smallest[0], largest[0]
    ranges[slot, 0] = lowest[:, 0]
    ranges[slot, 1] = highest[:, 0]
    for t in range(1, block):
        extremes[slot, 0] = min(extremes[slot, 0], smallest[t])
        extremes[slot, 1] = max(extremes[slot, 1], largest[t])
        for c in range(e):
            ranges[slot, 0, c] = min(ranges[slot, 0, c], lowest[c, t])
            ranges[slot, 1, c] = max(ranges[slot, 1, c], highest[c, t])


@njit(cache=True, parallel=True, boundscheck=False)
def evaluate_rows(queries, plan, weights, base, shifted, frame, bounds, extremes, ranges, out):  # type: ignore[no-untyped-def]
    """Do so for every slot, in parallel."""
    for slot in prange(len(extremes)):
        evaluate_slot_rows(slot, queries, plan, weights, base, shifted, frame, bounds, extremes, ranges, out)
