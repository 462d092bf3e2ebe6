"""The fast algorithm: its certificate against the truth, its choices, its streaming, and what it refuses."""

import math
from dataclasses import dataclass
from pathlib import Path

import mpmath
import numpy as np
import pytest
from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.fast_attention import FastResult, fast_attention, plan
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class RandomProblem:
    Q: Array
    keys: list[Array]
    values: list[Array]
    scale: float | None
    tolerance: float
    structured: bool


def random_problem(rng: np.random.Generator, largest: int = 40) -> RandomProblem:
    """Draw order, sizes, entries, values, scale, type and tolerance."""
    order = int(rng.integers(2, 5))
    d = int(rng.integers(1, 25))
    e = int(rng.integers(1, 5))
    most = {2: largest * 4, 3: largest, 4: max(2, largest // 3)}[order]
    n = [1 if rng.random() < 0.05 else int(rng.integers(1, most + 1)) for _ in range(order)]
    entries = str(
        rng.choice(["uniform", "normal", "skewed", "positive", "constant", "binary", "uneven", "balanced"])
    )
    matrices = [_matrix(rng, entries, tokens, d) for tokens in n]
    reach = 10.0 ** rng.uniform(-3.0, 0.9)
    scale = None if rng.random() < 0.5 else float(rng.choice([1.0, -1.0])) / d ** rng.uniform(0.3, 1.0)
    sigma = 1.0 / d if scale is None else abs(scale)
    peaks = np.prod([np.abs(matrix).max(axis=0) for matrix in matrices], axis=0)
    factor = (reach / (sigma * peaks.sum())) ** (1.0 / order) if peaks.any() else 1.0
    matrices = [matrix * factor for matrix in matrices]
    if entries == "balanced":  # nothing but the logit is of ordinary size
        shift = 10.0 ** rng.uniform(-60, 60)
        matrices[0] = matrices[0] * shift
        matrices[1] = matrices[1] / shift
    structured = rng.random() < 0.5
    values = [_values(rng, key, matrices[0], e, structured) for key in matrices[1:]]
    if rng.random() < 0.1:
        values = [value * 10.0 ** rng.uniform(-100, 100) for value in values]
    if rng.random() < 0.15 and entries != "balanced" and all(np.abs(value).max() < 1e9 for value in values):
        matrices = [matrix.astype(np.float32) for matrix in matrices]
        values = [value.astype(np.float32) for value in values]
    width = np.prod([np.abs(value.astype(float)).max(axis=0) for value in values], axis=0).max()
    tolerance = max(float(width), 1e-290) * 10.0 ** rng.uniform(-9.0, 0.0)
    return RandomProblem(matrices[0], matrices[1:], values, scale, tolerance, structured)


def _matrix(rng: np.random.Generator, entries: str, tokens: int, d: int) -> Array:
    if entries == "normal":
        return rng.standard_normal((tokens, d))
    if entries == "skewed":
        return rng.standard_normal((tokens, d)) * 10.0 ** rng.uniform(-4.0, 0.0, (tokens, 1))
    if entries == "positive":
        return rng.uniform(0.0, 1.0, (tokens, d))
    if entries == "constant":
        matrix = rng.uniform(-1.0, 1.0, (tokens, d))
        matrix[:, rng.random(d) < 0.7] = rng.uniform(-1.0, 1.0)
        return matrix * (rng.random(d) < 0.8)
    if entries == "binary":
        return float(rng.choice([-0.7, 1.3])) * (rng.random((tokens, d)) < 0.4)
    if entries == "uneven":
        return rng.uniform(-1.0, 1.0, (tokens, d)) * 2.0 ** -np.arange(d)
    return rng.uniform(-1.0, 1.0, (tokens, d))


def _values(rng: np.random.Generator, keys: Array, queries: Array, e: int, structured: bool) -> Array:
    if not structured:
        kind = rng.integers(4)
        if kind == 0:
            return np.full((len(keys), e), rng.uniform(-2.0, 2.0))
        return rng.uniform(-1.0, 1.0, (len(keys), e)) + (5.0 if kind == 1 else 0.0)
    # a value tells how well its token fits some query, so that attention does not average it away
    fit = (keys / max(np.abs(keys).max(), 1e-300)) @ np.sign(queries[rng.integers(len(queries), size=e)]).T
    return np.sign(fit) if rng.random() < 0.5 else np.tanh(fit)


def uniform(rng, n, d, e=3, order=3, bound=1.0):
    Q, *keys = (rng.uniform(-bound, bound, (n + 3 * t, d)) for t in range(order))
    return Q, keys, [rng.uniform(-1, 1, (len(key), e)) for key in keys]


def solve(p: RandomProblem, method: str, **options) -> FastResult:
    return fast_attention(
        p.Q, p.keys, p.values, tolerance=p.tolerance, scale=p.scale, method=method, max_rank=4000, **options
    )


def sweep(seeds) -> list[float]:
    """Check certificates against the exact kernel; return bound over true error on structured values."""
    ratios, answered = [], 0
    for seed in seeds:
        p = random_problem(np.random.default_rng([20240, seed]), largest=20)
        scale = 1.0 / p.Q.shape[1] if p.scale is None else p.scale
        double = [[m.astype(np.float64) for m in matrices] for matrices in ([p.Q], p.keys, p.values)]
        truth = attention(double[0][0], double[1], double[2], scale=scale)
        try:
            result = solve(p, "fast")
        except WallError:
            continue
        answered += 1
        certificate = result.certificate
        error = float(np.max(np.abs(result.output.astype(np.float64) - truth)))
        # the truth is rounded as well, by no more than the exact algorithm's own certificate says
        doubt = fast_attention(
            *double[0], *double[1:], tolerance=1.0, scale=scale, method="exact"
        ).certificate.bound
        assert error <= certificate.bound + doubt, (seed, certificate)
        assert certificate.bound <= p.tolerance, (seed, certificate)
        if p.structured and error > 100 * doubt:
            ratios.append(certificate.bound / error)
    assert answered >= 0.8 * len(seeds)
    return ratios


@pytest.mark.parametrize("block", range(4))
def test_true_error_never_exceeds_the_certificate_and_the_certificate_is_not_idle(block):
    ratios = sweep(range(250 * block, 250 * (block + 1)))
    assert len(ratios) > 25
    assert np.median(ratios) <= 30


@pytest.mark.full
@pytest.mark.parametrize("block", range(4, 40))
def test_true_error_never_exceeds_the_certificate_in_the_long_form(block):
    assert np.median(sweep(range(250 * block, 250 * (block + 1)))) <= 30


def with_many_digits(Q, keys, values, scale):
    """Order 3, n = a few, by the definition."""
    mpmath.mp.dps = 60
    O = np.empty((len(Q), values[0].shape[1]))
    for i, q in enumerate(Q):
        total, sums = mpmath.mpf(0), [mpmath.mpf(0)] * O.shape[1]
        for k1, v1 in zip(keys[0], values[0], strict=True):
            for k2, v2 in zip(keys[1], values[1], strict=True):
                s = sum(
                    (mpmath.mpf(a) * mpmath.mpf(b) * mpmath.mpf(c) for a, b, c in zip(q, k1, k2, strict=True))
                )
                weight = mpmath.exp(mpmath.mpf(scale) * s)
                total += weight
                sums = [
                    x + weight * mpmath.mpf(a) * mpmath.mpf(b) for x, a, b in zip(sums, v1, v2, strict=True)
                ]
        O[i] = [float(x / total) for x in sums]
    return O


@pytest.mark.parametrize("seed", range(12))
def test_certificate_holds_against_sixty_digits_near_its_rounding(seed):
    rng = np.random.default_rng(seed)
    Q, keys, values = uniform(rng, 5, 2, e=2, bound=rng.uniform(0.1, 1.5))
    result = fast_attention(Q, keys, values, tolerance=1e-11, scale=0.5, method="fast")
    truth = with_many_digits(Q, keys, values, 0.5)
    assert np.max(np.abs(result.output - truth)) <= result.certificate.bound + 2.0**-53 * np.max(
        np.abs(truth)
    )
    assert result.certificate.rounding > 0.0


@pytest.mark.parametrize("seed", range(6))
def test_exact_certificate_holds_against_sixty_digits(seed):
    rng = np.random.default_rng(seed)
    Q, keys, values = uniform(rng, 5, 3, e=2, bound=3.0)
    result = fast_attention(Q, keys, values, tolerance=1e-6, scale=1.0, method="exact")
    truth = with_many_digits(Q, keys, values, 1.0)
    assert np.max(np.abs(result.output - truth)) <= result.certificate.bound <= 1e-10


@pytest.mark.parametrize("order", [2, 3, 4])
def test_auto_gives_the_exact_answer_where_that_is_cheaper(order):
    rng = np.random.default_rng(order)
    Q, keys, values = uniform(rng, 4, 8, order=order)
    result = fast_attention(Q, keys, values, tolerance=1e-8)
    assert result.certificate.method == "exact"
    assert "exact" in result.certificate.reason
    np.testing.assert_array_equal(result.output, attention(Q, keys, values))


def test_auto_falls_back_to_the_exact_algorithm_beyond_the_wall_and_says_why():
    rng = np.random.default_rng(1)
    Q, keys, values = uniform(rng, 60, 6, bound=9.0)
    result = fast_attention(Q, keys, values, tolerance=1e-3)
    assert result.certificate.method == "exact"
    assert "cannot meet the tolerance" in result.certificate.reason
    assert result.certificate.met


def test_auto_is_fast_where_tokens_are_many():
    rng = np.random.default_rng(2)
    Q, keys, values = uniform(rng, 3000, 4)
    result = fast_attention(Q, keys, values, tolerance=1e-3)
    assert result.certificate.method == "fast"
    rows = rng.integers(3000, size=20)
    truth = attention(Q[rows], keys, values)
    assert np.max(np.abs(result.output[rows] - truth)) <= result.certificate.bound


def test_wall_error_names_entry_bound_b_rank_and_ways_out():
    rng = np.random.default_rng(3)
    Q, keys, values = uniform(rng, 100, 20, bound=1.8)
    with pytest.raises(WallError) as wall:
        fast_attention(Q, keys, values, tolerance=1e-6, method="fast", max_rank=1000)
    largest = max(np.abs(m).max() for m in (Q, *keys))
    assert wall.value.entry_bound == largest
    assert wall.value.b == pytest.approx(largest / math.log(106) ** (1 / 3))
    assert wall.value.rank is not None
    assert wall.value.rank > 1000
    for part in (
        f"B = {largest:.4g}",
        f"{wall.value.rank:,}",
        "exact algorithm",
        "'max_rank'",
        "entries below",
        "tolerance",
    ):
        assert part in str(wall.value)
    assert fast_attention(Q, keys, values, tolerance=1e-6, max_rank=wall.value.rank).certificate.met


def test_wall_error_where_float64_has_too_few_digits_names_no_rank():
    rng = np.random.default_rng(4)
    Q, keys, values = uniform(rng, 30, 1, order=2, bound=4.5)
    with pytest.raises(WallError) as wall:
        fast_attention(Q, keys, values, tolerance=1e-9, method="fast")
    assert wall.value.rank is None


def test_wall_error_where_storing_float32_costs_more_than_the_tolerance():
    ones = np.ones((4, 2), dtype=np.float32)
    values = np.arange(4, dtype=np.float32)[:, None]
    with pytest.raises(WallError, match="storing the output alone"):
        fast_attention(ones, [ones], [values], tolerance=1e-9, method="fast")
    assert not fast_attention(ones, [ones], [values], tolerance=1e-9).certificate.met


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", [2, 3])
def test_mapped_files_give_the_answer_of_arrays(tmp_path: Path, dtype, order):
    rng = np.random.default_rng(5)
    Q, keys, values = uniform(rng, 5000, 3, order=order)
    arrays = [a.astype(dtype) for a in (Q, *keys, *values)]
    mapped = []
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
        mapped.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    out = np.lib.format.open_memmap(tmp_path / "out.npy", mode="w+", dtype=dtype, shape=(5000, 3))
    here = fast_attention(arrays[0], arrays[1:order], arrays[order:], tolerance=1e-3, method="fast")
    there = fast_attention(mapped[0], mapped[1:order], mapped[order:], tolerance=1e-3, method="fast", out=out)
    np.testing.assert_array_equal(here.output, out)
    assert there.output is out
    assert there.certificate == here.certificate


@pytest.mark.parametrize("tolerance", [3e-2, 1e-4])
def test_float32_keeps_its_certificate_in_either_arithmetic(tolerance):
    rng = np.random.default_rng(6)
    Q, keys, values = uniform(rng, 200, 4)
    single = [[m.astype(np.float32) for m in matrices] for matrices in ([Q], keys, values)]
    truth = attention(
        *[m.astype(np.float64) for m in single[0]], *[[m.astype(np.float64) for m in ms] for ms in single[1:]]
    )
    for dtype in (None, np.float32, np.float64):
        if dtype is np.float32 and tolerance < 1e-3:
            continue
        result = fast_attention(*single[0], *single[1:], tolerance=tolerance, method="fast", dtype=dtype)
        assert result.output.dtype == np.float32
        assert np.max(np.abs(result.output - truth)) <= result.certificate.bound <= tolerance
    rough = fast_attention(*single[0], *single[1:], tolerance=3e-2, method="fast", dtype=np.float32)
    fine = fast_attention(*single[0], *single[1:], tolerance=3e-2, method="fast", dtype=np.float64)
    assert rough.certificate.rounding > fine.certificate.rounding


def test_output_is_bitwise_the_same_for_any_number_of_threads():
    import numba

    rng = np.random.default_rng(7)
    Q, keys, values = uniform(rng, 3000, 5)
    before = numba.get_num_threads()
    outputs = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            outputs.append(fast_attention(Q, keys, values, tolerance=1e-4, method="fast").output)
    finally:
        numba.set_num_threads(before)
    for output in outputs:
        np.testing.assert_array_equal(output, outputs[0])


def test_pruning_cuts_the_rank_twentyfold_on_geometric_columns():
    rng = np.random.default_rng(8)
    scales = 0.7 ** np.arange(24)
    Q, K1, K2 = (rng.uniform(-1, 1, (80, 24)) * 1.2 * scales for _ in range(3))
    values = [rng.uniform(-1, 1, (80, 2)) for _ in range(2)]
    result = fast_attention(Q, [K1, K2], values, tolerance=1e-4, scale=1.0, method="fast")
    assert result.certificate.monomials == "pruned"
    assert result.certificate.rank * 20 <= math.comb(24 + result.certificate.degree, 24)
    truth = attention(Q, [K1, K2], values, scale=1.0)
    assert np.max(np.abs(result.output - truth)) <= result.certificate.bound <= 1e-4


def test_zero_one_columns_merge_monomials():
    rng = np.random.default_rng(9)
    Q = -0.9 * (rng.random((50, 14)) < 0.3)
    keys = [0.9 * (rng.random((40, 14)) < 0.3) for _ in range(2)]
    values = [rng.uniform(-1, 1, (40, 2)) for _ in range(2)]
    result = fast_attention(Q, keys, values, tolerance=1e-5, scale=0.5, method="fast")
    assert result.certificate.monomials == "merged"
    assert result.certificate.rank < math.comb(14 + result.certificate.degree, 14)
    truth = attention(Q, keys, values, scale=0.5)
    assert np.max(np.abs(result.output - truth)) <= result.certificate.bound <= 1e-5


def test_rows_counted_from_their_own_middle_need_a_lower_degree():
    rng = np.random.default_rng(10)
    Q = rng.uniform(-1, 1, (60, 3)) + np.where(rng.random((60, 1)) < 0.5, 4.0, -4.0)
    keys = [rng.uniform(0.5, 1, (50, 3)) for _ in range(2)]
    values = [rng.uniform(-1, 1, (50, 2)) for _ in range(2)]
    result = fast_attention(Q, keys, values, tolerance=1e-4, scale=1.0, method="fast")
    low, high = result.certificate.interval
    assert result.certificate.half_width < 0.3 * (high - low)
    truth = attention(Q, keys, values, scale=1.0)
    assert np.max(np.abs(result.output - truth)) <= result.certificate.bound <= 1e-4


def test_keys_far_from_zero_are_centred_at_order_two():
    rng = np.random.default_rng(11)
    Q, K, V = rng.uniform(-1, 1, (50, 2)), rng.uniform(99, 101, (60, 2)), rng.uniform(-1, 1, (60, 2))
    result = fast_attention(Q, [K], [V], tolerance=1e-9, scale=1.0, method="fast")
    truth = attention(Q, [K], [V], scale=1.0)
    assert np.max(np.abs(result.output - truth)) <= result.certificate.bound + 1e-12
    assert result.certificate.bound <= 1e-9


def test_plan_says_what_is_done():
    rng = np.random.default_rng(12)
    Q, keys, values = uniform(rng, 2000, 4)
    planned = plan(Q, keys, values, tolerance=1e-3)
    done = fast_attention(Q, keys, values, tolerance=1e-3).certificate
    for name in ("method", "reason", "degree", "rank", "monomials", "interval"):
        assert getattr(planned, name) == getattr(done, name)
    assert done.bound <= planned.bound <= 1e-3
    assert planned.fast_seconds < planned.exact_seconds
    beyond = plan(20 * Q, keys, values, tolerance=1e-3)
    assert (beyond.method, beyond.rank) == ("exact", None)


BAD = [
    ({"tolerance": 0.0}, ValueError, "'tolerance' must be positive"),
    ({"tolerance": -1.0}, ValueError, "'tolerance' must be positive and finite, not -1.0"),
    ({"tolerance": math.nan}, ValueError, "'tolerance'"),
    ({"tolerance": "1e-3"}, TypeError, "'tolerance'"),
    ({"method": "quick"}, ValueError, "'method'"),
    ({"max_rank": 0}, ValueError, "'max_rank'"),
    ({"dtype": np.float16}, TypeError, "'dtype'"),
    ({"Q": np.full((4, 2), np.nan)}, ValueError, "'Q' must hold finite numbers, not NaN"),
    ({"keys": [np.ones((3, 2)), np.ones((4, 2))]}, ValueError, r"'values\[1\]' must have as many tokens"),
    ({"keys": [np.ones((3, 2)), np.full((5, 2), -np.inf)]}, ValueError, r"'keys\[1\]' .* not infinities"),
    ({"values": [np.ones((3, 1)), np.full((5, 1), np.nan)]}, ValueError, r"'values\[1\]' must hold finite"),
    ({"values": [np.ones((3, 1))]}, ValueError, "'values' must hold as many"),
    ({"values": [np.ones((3, 1)), np.ones((5, 2))]}, ValueError, r"'values\[1\]'"),
    ({"values": [np.ones((4, 1)), np.ones((5, 1))]}, ValueError, r"'values\[0\]' must have as many tokens"),
    ({"keys": [np.ones((3, 3)), np.ones((5, 2))]}, ValueError, r"'keys\[0\]'"),
    ({"keys": [np.ones((0, 2))] * 2, "values": [np.ones((0, 1))] * 2}, ValueError, r"'keys\[0\]'"),
    ({"keys": []}, ValueError, "'keys'"),
    ({"keys": np.ones((2, 3, 2))}, TypeError, "'keys'"),
    ({"Q": np.ones((4, 2), dtype=complex)}, TypeError, "'Q'"),
    ({"Q": np.ones((4, 2), dtype=object)}, TypeError, "'Q'"),
    ({"Q": np.ones((4, 2), dtype=np.float16)}, TypeError, "'Q'"),
    ({"Q": np.ones(4)}, ValueError, "'Q'"),
    ({"Q": np.ones((2, 4, 2))}, ValueError, "'Q'"),
    ({"Q": np.ones((0, 2))}, ValueError, "'Q'"),
    ({"scale": math.inf}, ValueError, "'scale'"),
    ({"out": np.ones((4, 2))}, ValueError, "'out'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "message"), BAD)
@pytest.mark.parametrize("method", ["auto", "fast"])
def test_bad_input_is_refused_by_name(change, kind, message, method):
    arguments = {
        "Q": np.ones((4, 2)),
        "keys": [np.ones((3, 2)), np.ones((5, 2))],
        "values": [np.ones((3, 1)), np.ones((5, 1))],
        "tolerance": 1e-3,
        "method": method,
    } | change
    with pytest.raises(kind, match=message):
        fast_attention(**arguments)


def test_lists_and_integers_are_taken():
    result = fast_attention([[1, 0]], [[[0, 1], [1, 1]]], [[[3], [5]]], tolerance=1e-6, method="fast")
    np.testing.assert_allclose(
        result.output, attention([[1, 0]], [[[0, 1], [1, 1]]], [[[3], [5]]]), atol=1e-6
    )


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_problems_without_logits_or_spread_average_the_values(method):
    rng = np.random.default_rng(13)
    values = [rng.uniform(-1, 1, (7, 2)), rng.uniform(-1, 1, (5, 2))]
    mean = np.mean([a * b for a in values[0] for b in values[1]], axis=0)
    for Q, keys in (
        (np.zeros((3, 2)), [rng.uniform(-1, 1, (7, 2)), rng.uniform(-1, 1, (5, 2))]),
        (rng.uniform(-1, 1, (3, 2)), [np.zeros((7, 2)), rng.uniform(-1, 1, (5, 2))]),
        (rng.uniform(-1, 1, (3, 2)), [np.full((7, 2), 9.0), np.full((5, 2), -9.0)]),
        (rng.uniform(-1, 1, (3, 2)) * 5e-324, [np.full((7, 2), 5e-324), rng.uniform(-1, 1, (5, 2))]),
    ):
        result = fast_attention(Q, keys, values, tolerance=1e-9, method=method)
        assert np.max(np.abs(result.output - mean)) <= result.certificate.bound <= 1e-9


def test_denormal_and_enormous_entries_keep_the_certificate():
    rng = np.random.default_rng(14)
    Q, keys, values = uniform(rng, 20, 3)
    truth = attention(Q, keys, values)
    for exponent in (-1000, -300, 300, 900):
        moved = fast_attention(
            np.ldexp(Q, exponent),
            [np.ldexp(keys[0], -exponent), keys[1]],
            values,
            tolerance=1e-6,
            method="fast",
        )
        assert np.max(np.abs(moved.output - truth)) <= moved.certificate.bound + 1e-13
    for exponent in (-1060, -500, 500):
        small = fast_attention(
            Q,
            keys,
            [np.ldexp(values[0], exponent), values[1]],
            tolerance=max(2.0**exponent, 1e-300) * 1e-3,
            method="fast",
        )
        assert np.max(np.abs(small.output - np.ldexp(truth, exponent))) <= small.certificate.bound * (
            1 + 1e-6
        )


sizes = st.integers(1, 9)
number = st.floats(-1.5, 1.5, width=32)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_outputs_stay_in_the_range_of_the_values_and_within_the_certificate(data):
    order, d = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 3))

    def matrix(columns):
        rows = data.draw(sizes)
        return np.array(
            data.draw(st.lists(number, min_size=rows * columns, max_size=rows * columns))
        ).reshape(rows, columns)

    Q, *keys = (matrix(d) for _ in range(order))
    values = [np.resize(matrix(1), (len(key), 1)) for key in keys]
    tolerance = data.draw(st.sampled_from([1e-2, 1e-5, 1e-8]))
    result = fast_attention(Q, keys, values, tolerance=tolerance, method="fast")
    products = values[0].ravel()
    for value in values[1:]:
        products = np.outer(products, value).ravel()
    slack = 1e-14 * np.max(np.abs(products))
    assert products.min() - slack <= result.output.min()
    assert result.output.max() <= products.max() + slack
    truth = attention(Q, keys, values)
    assert np.max(np.abs(result.output - truth)) <= result.certificate.bound + 1e-13
    assert result.certificate.bound <= tolerance
