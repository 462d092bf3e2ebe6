"""Exact attention against 50-digit arithmetic, against its plain twin, and against its own symmetries.

Tolerances follow from the docstring of `exact_attention`: a logit is off by at most
(d + k + 4) u x̄, x̄ = |scale| Σ|Q|Π|K|, which moves each weight by that much relatively; sums of m terms
add m u, the exponential 1e-15. All of it is relative to Σ_j P_i(j) |Π V|.
"""

from __future__ import annotations

import itertools
import math
import threading
import tracemalloc

import mpmath
import numba
import numpy as np
import pytest
from cubicwall.algorithms import attention_sums
from cubicwall.algorithms.attention_arguments import checked
from cubicwall.algorithms.exact_attention import attention, attention_by_blocks, predicted_cost
from hypothesis import given, settings
from hypothesis import strategies as st

U = 2.0**-53


def problem(sizes, d=3, e=2, size=1.0, seed=0):
    """Random queries, keys and values; `size` scales the logits."""
    rng = np.random.default_rng([seed, *sizes, d, e])
    Q, *keys = (rng.normal(size=(n, d)) for n in sizes)
    return Q * size, keys, [rng.normal(size=(n, e)) for n in sizes[1:]]


def terms(keys):
    """The longest chain of additions that either implementation makes."""
    return math.prod(len(key) for key in keys[:-1]) + len(keys[-1])


def tolerances(Q, keys, values, scale=None):
    """Absolute tolerances for the output (n, e) and for lse (n,)."""
    d, order = Q.shape[1], len(keys) + 1
    scale = (1 / d if d else 1.0) if scale is None else scale
    largest = math.prod([np.abs(key).max(axis=0) for key in keys])
    x_bar = abs(scale) * (np.abs(Q) * largest).sum(axis=1)
    logit = (d + order + 4) * U * x_bar
    weight = 2e-15 + terms(keys) * U
    typical, _ = attention_by_blocks(Q, keys, [np.abs(value) for value in values], scale=scale)
    # Twice, as both sides may err; an output errs in its moments and in its mass.
    return 2 * (2 * logit + 2 * weight)[:, None] * typical + 1e-300, 2 * (logit + weight + U * x_bar)


def assert_agree(given_arguments, ours, theirs, scale=None):
    output, lse = tolerances(*given_arguments, scale=scale)
    assert (np.abs(ours[0] - theirs[0]) <= output).all()
    assert (np.abs(ours[1] - theirs[1]) <= lse).all()


def with_fifty_digits(Q, keys, values, scale=None):
    scale = 1 / Q.shape[1] if scale is None else scale
    output, lse = np.empty((len(Q), values[0].shape[1])), np.empty(len(Q))
    with mpmath.workdps(50):
        real = mpmath.mpf
        for i, row in enumerate(Q):
            mass, moments = real(0), [real(0)] * output.shape[1]
            for j in itertools.product(*(range(len(key)) for key in keys)):
                tokens = [key[a] for key, a in zip(keys, j, strict=True)]
                logit = sum(
                    real(float(row[l])) * mpmath.fprod(float(token[l]) for token in tokens)
                    for l in range(len(row))
                )
                weight = mpmath.exp(real(scale) * logit)
                mass += weight
                for c in range(len(moments)):
                    moments[c] += weight * mpmath.fprod(
                        float(value[a, c]) for value, a in zip(values, j, strict=True)
                    )
            output[i] = [float(moment / mass) for moment in moments]
            lse[i] = float(mpmath.log(mass))
    return output, lse


@pytest.mark.parametrize("size", [1.0, 40.0, 2000.0])
@pytest.mark.parametrize(
    "sizes", [(3, 5), (2, 33), (2, 3, 4), (2, 1, 5), (2, 5, 1), (2, 2, 3, 4), (1, 2, 2, 2, 3)]
)
def test_every_order_agrees_with_fifty_digits(sizes, size):
    arguments = problem(sizes, size=size)
    exact = with_fifty_digits(*arguments)
    assert_agree(arguments, attention(*arguments, return_lse=True), exact)
    assert_agree(arguments, attention_by_blocks(*arguments), exact)


@pytest.mark.parametrize("size", [1.0, 100.0])
@pytest.mark.parametrize("sizes", [(200, 600), (10, 300, 200)])
def test_positive_values_have_a_relative_error_below_1e12_of_the_largest_logit(sizes, size):
    Q, keys, values = problem(sizes, d=16, e=16, size=size)
    values = [np.abs(value) for value in values]
    tuples = keys[0] if len(keys) == 1 else (keys[0][:, None] * keys[1]).reshape(-1, 16)
    largest = np.abs(Q @ tuples.T).max() / 16
    twin = attention_by_blocks(Q, keys, values)[0]
    np.testing.assert_allclose(attention(Q, keys, values), twin, rtol=1e-12 * (1 + largest))


BORDERS = (1, 3, 4, 5, 31, 32, 33, 127, 128, 129, 255, 256, 257)


@pytest.mark.parametrize("size", [1.0, 900.0])
@pytest.mark.parametrize("n_1", BORDERS)
@pytest.mark.parametrize("n", [*BORDERS, 513])
def test_order_two_agrees_with_its_twin_around_block_borders(n, n_1, size):
    arguments = problem((n, n_1), size=size)
    assert_agree(arguments, attention(*arguments, return_lse=True), attention_by_blocks(*arguments))


@pytest.mark.parametrize("size", [1.0, 900.0])
@pytest.mark.parametrize("n_2", BORDERS)
@pytest.mark.parametrize("n_1", BORDERS)
def test_order_three_agrees_with_its_twin_around_block_borders(n_1, n_2, size):
    arguments = problem((3, n_1, n_2), size=size)
    assert_agree(arguments, attention(*arguments, return_lse=True), attention_by_blocks(*arguments))


@pytest.mark.parametrize("sizes", [(5, 40), (5, 9, 37), (2, 3, 4, 5)])
@pytest.mark.parametrize("d", [*range(41), 150])
def test_every_dimension_agrees_with_the_twin(sizes, d):
    arguments = problem(sizes, d=d, size=3.0)
    scale = 0.5 if d == 0 else None
    ours, twin = (
        attention(*arguments, scale=scale, return_lse=True),
        attention_by_blocks(*arguments, scale=scale),
    )
    assert_agree(arguments, ours, twin, scale)


@pytest.mark.parametrize("sizes", [(5, 40), (5, 9, 37), (2, 3, 4, 5)])
@pytest.mark.parametrize("e", range(1, 18))
def test_every_number_of_columns_agrees_with_the_twin(sizes, e):
    arguments = problem(sizes, e=e)
    assert_agree(arguments, attention(*arguments, return_lse=True), attention_by_blocks(*arguments))


def test_without_a_dimension_the_output_is_the_mean_of_the_products():
    values = [np.array([[1.0], [2.0]]), np.array([[3.0], [4.0], [8.0]])]
    O, lse = attention(
        np.empty((2, 0)), [np.empty((2, 0)), np.empty((3, 0))], values, scale=1.0, return_lse=True
    )
    np.testing.assert_allclose(O, 1.5 * 5.0, rtol=1e-15)
    np.testing.assert_allclose(lse, math.log(6), rtol=1e-15)


@pytest.mark.parametrize("exponent_range", [(-399, 0), (-1074, 0), (-1200, -1076)])
def test_the_kernels_own_exponential_is_good_to_1e15(exponent_range):
    """With the scale ln 2 the kernels see t itself; beside a logit of 0 the second token weighs 2^t."""
    low, high = exponent_range
    for t in np.random.default_rng(0).uniform(low, high, 400):
        weight = attention([[1.0]], [[[0.0], [t]]], [[[0.0], [1.0]]], scale=math.log(2.0))[0, 0]
        with mpmath.workdps(50):
            power = mpmath.mpf(2) ** mpmath.mpf(float(t))
            error = abs(mpmath.mpf(float(weight)) - power / (1 + power))
            assert error <= 1e-15 * power + mpmath.mpf(2) ** -1075
        assert t > -1076 or weight == 0.0


def test_the_ceiling_rises_late_and_often_without_loss():
    """Logits that climb from -5000 to 5000 in every lane, so that each chunk overtakes the last."""
    steps = np.linspace(-1.0, 1.0, 200)[:, None]
    for keys in ([steps], [steps, np.linspace(0.9, 1.0, 70)[:, None]], [steps, -steps]):
        values = problem((1, *(len(key) for key in keys)), d=1)[2]
        arguments = np.array([[5000.0], [-5000.0], [0.0]]), keys, values
        assert_agree(arguments, attention(*arguments, return_lse=True), attention_by_blocks(*arguments))


def test_a_logit_of_zero_survives_beside_logits_of_minus_3000():
    Q, many, one = np.array([[-3000.0]]), np.ones((300, 1)), np.ones((1, 1))
    many[-1] = 0.0
    last = np.hstack([many, 1.0 - many])
    for keys, values in (([many], [last]), ([many, one], [last, [[1, 1]]]), ([one, many], [[[1, 1]], last])):
        O, lse = attention(Q, keys, values, return_lse=True)
        assert O.tolist() == [[0.0, 1.0]]
        assert lse.tolist() == [0.0]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        (1e300, [1.0]),
        (1e200, [1e100, 1.0]),
        (1e200, [1e200, 1e-100]),
        (1e-200, [1e-200, 1e300]),
        (1e-250, [1e250, 1.0]),
        (5e-324, [5e-324, 1.0]),
    ],
)
def test_products_that_pass_the_float_range_do_not(query, keys):
    """Two tokens whose logits are ±bound (or both nearly zero): the answer is known."""
    bound = float(mpmath.fprod([query, *keys]))
    signs = np.array([[1.0], [-1.0]])
    arguments = (
        np.array([[query]]),
        [signs * keys[0], *(np.full((1, 1), key) for key in keys[1:])],
        [np.array([[2.0], [6.0]]), *(np.ones((1, 1)) for _ in keys[1:])],
    )
    for O, lse in (attention(*arguments, return_lse=True), attention_by_blocks(*arguments)):
        expected = 4.0 - 2.0 * math.tanh(bound)
        assert O[0, 0] == pytest.approx(expected, rel=1e-14)
        assert lse[0] == pytest.approx(bound if bound > 100 else math.log(2 * math.cosh(bound)), rel=1e-13)


def test_huge_and_tiny_values_keep_their_product():
    keys = [np.zeros((2, 1)), np.zeros((2, 1))]
    O = attention([[1.0]], keys, [np.array([[1e200], [3e200]]), np.array([[1e-250], [1e-250]])])
    assert O[0, 0] == pytest.approx(2e-50, rel=1e-14)


@pytest.mark.parametrize("sizes", [(7, 33), (7, 9, 37), (2, 3, 4, 5)])
def test_float32_is_computed_in_float64_and_rounded_once(sizes):
    Q, keys, values = problem(sizes)
    narrow = [np.float32(Q), [np.float32(key) for key in keys], [np.float32(value) for value in values]]
    widened = [np.float64(narrow[0]), [np.float64(x) for x in narrow[1]], [np.float64(x) for x in narrow[2]]]
    O, lse = attention(*narrow, return_lse=True)
    O_wide, lse_wide = attention(*widened, return_lse=True)
    assert O.dtype == lse.dtype == np.float32
    np.testing.assert_array_equal(O, O_wide.astype(np.float32))
    np.testing.assert_array_equal(lse, lse_wide.astype(np.float32))


def test_one_float64_array_makes_the_output_float64():
    Q, keys, values = problem((2, 3))
    assert attention(np.float32(Q), keys, values).dtype == np.float64


def test_integers_and_booleans_count_as_float64():
    O = attention([[True, False]], [[[2, 1], [0, 3]]], [[[1], [2]]])
    assert O.dtype == np.float64
    np.testing.assert_array_equal(O, attention([[1.0, 0.0]], [[[2.0, 1.0], [0.0, 3.0]]], [[[1.0], [2.0]]]))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_leading_axes_broadcast(order):
    rng = np.random.default_rng(order)
    Q = rng.normal(size=(2, 1, 4, 3))
    keys = [rng.normal(size=shape) for shape in ((5, 6, 3), (7, 3), (2, 1, 2, 3))[: order - 1]]
    values = [rng.normal(size=shape) for shape in ((6, 2), (2, 5, 7, 2), (1, 2, 2))[: order - 1]]
    O, lse = attention(Q, keys, values, return_lse=True)
    assert O.shape == (2, 5, 4, 2)
    assert lse.shape == (2, 5, 4)
    full = [np.broadcast_to(x, (2, 5, *x.shape[-2:])) for x in (Q, *keys, *values)]
    for b in np.ndindex(2, 5):
        single = full[0][b], [x[b] for x in full[1:order]], [x[b] for x in full[order:]]
        assert_agree(single, (O[b], lse[b]), attention_by_blocks(*single))


@pytest.mark.parametrize(("batch", "n"), [((), 0), ((0,), 3), ((2, 0), 3), ((2,), 0)])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_no_queries_give_an_empty_output(batch, n, order):
    tokens = [np.ones((5, 3))] * (order - 1)
    O, lse = attention(np.ones((*batch, n, 3)), tokens, tokens, return_lse=True)
    assert O.shape == (*batch, n, 3)
    assert lse.shape == (*batch, n)


def test_any_memory_layout_gives_the_same_answer_and_none_is_written_to(tmp_path):
    Q, keys, values = problem((6, 7, 35), d=4)
    expected = attention(Q, keys, values)
    np.save(tmp_path / "K.npy", keys[1])
    mapped = np.load(tmp_path / "K.npy", mmap_mode="r")
    reverse = np.ascontiguousarray(values[0][::-1])[::-1]
    swapped = values[1].astype(">f8")
    arrays = np.asfortranarray(Q), [np.repeat(keys[0], 2, axis=1)[:, ::2], mapped], [reverse, swapped]
    for array in (arrays[0], reverse, swapped):
        array.flags.writeable = False
    np.testing.assert_array_equal(attention(*arrays), expected)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("size", [1.0, 900.0])
@pytest.mark.parametrize("sizes", [(700, 500), (40, 129, 300), (1, 700, 1000)])
def test_the_number_of_threads_changes_no_bit(sizes, size):
    arguments = problem(sizes, d=16, e=16, size=size)
    shared = attention(*arguments, return_lse=True)
    numba.set_num_threads(1)
    try:
        alone = attention(*arguments, return_lse=True)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(shared[0], alone[0])
    np.testing.assert_array_equal(shared[1], alone[1])


def test_calls_from_two_python_threads_do_not_mix():
    problems = [problem((20, 90, 200), e=16, seed=seed) for seed in range(6)]
    expected = [attention(*arguments) for arguments in problems]
    answers = [None] * len(problems)

    def answer(i):
        answers[i] = attention(*problems[i])

    threads = [threading.Thread(target=answer, args=(i,)) for i in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(answers, expected)


@pytest.mark.parametrize("sizes", [(1, 3000), (1, 700, 900), (2, 900, 700)])
@pytest.mark.parametrize("size", [1.0, 900.0])
def test_a_single_row_is_cut_into_slabs_that_merge_to_the_whole(sizes, size, monkeypatch):
    arguments = problem(sizes, d=5, e=3, size=size)
    cut = []
    slabs = attention_sums._slabs
    monkeypatch.setattr(attention_sums, "_slabs", lambda *given: cut.append(slabs(*given)) or cut[-1])
    assert_agree(arguments, attention(*arguments, return_lse=True), attention_by_blocks(*arguments))
    assert cut[0] > 4


def test_a_long_run_in_many_calls_is_the_same_as_in_one(monkeypatch):
    arguments = problem((500, 40, 50), d=5, e=3)
    whole = attention(*arguments)
    monkeypatch.setattr(attention_sums, "_TUPLES_A_CALL", 1000.0)
    np.testing.assert_array_equal(attention(*arguments), whole)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Q": [1.0, 2.0]}, ValueError, r"'Q' must have shape \(\.\.\., n, d\), not \(2,\)"),
        ({"Q": [[1.0, 2.0], [3.0]]}, ValueError, "'Q' must be an array of shape"),
        ({"Q": [[1j, 0]]}, TypeError, "'Q' must hold .* not complex128"),
        ({"Q": [["a", "b"]]}, TypeError, "'Q' must hold .* not <U1"),
        ({"Q": [[None, 1]]}, TypeError, "'Q' must hold .* not object"),
        ({"Q": np.ones((1, 2), np.float16)}, TypeError, "'Q' must hold .* not float16"),
        ({"Q": [[np.nan, 1]]}, ValueError, "'Q' must hold finite numbers, not NaN"),
        (
            {"keys": [[[1, 2], [3, -np.inf]]]},
            ValueError,
            r"'keys\[0\]' must hold finite numbers, not infinities",
        ),
        ({"values": [[[1], [np.nan]]]}, ValueError, r"'values\[0\]' must hold finite numbers, not NaN"),
        ({"keys": np.ones((1, 2, 2))}, TypeError, "'keys' must be a sequence .* not ndarray"),
        ({"values": 3}, TypeError, "'values' must be a sequence .* not int"),
        ({"keys": []}, ValueError, "'keys' must hold at least one array"),
        ({"values": [[[1], [2]]] * 2}, ValueError, "'values' must hold as many arrays as keys, 1, not 2"),
        ({"keys": [[[1, 2, 3]] * 2]}, ValueError, r"'keys\[0\]' must have the dimension of Q, 2, not 3"),
        ({"keys": [np.ones((0, 2))]}, ValueError, r"'keys\[0\]' must hold at least one token"),
        ({"values": [[[1]]]}, ValueError, r"'values\[0\]' must have as many tokens as keys\[0\], 2, not 1"),
        ({"values": [np.ones((2, 0))]}, ValueError, r"'values\[0\]' must have at least one column"),
        (
            {"keys": [np.ones((2, 2))] * 2, "values": [np.ones((2, 1)), np.ones((2, 3))]},
            ValueError,
            r"'values\[1\]' must have the columns of values\[0\], 1, not 3",
        ),
        (
            {"Q": np.ones((3, 1, 2)), "keys": [np.ones((2, 2, 2))]},
            ValueError,
            r"'keys\[0\]' must have leading axes that broadcast with \(3,\)",
        ),
        ({"scale": np.inf}, ValueError, "'scale' must be finite, not inf"),
        ({"scale": "1"}, TypeError, "'scale' must be a real number, not '1'"),
        ({"scale": True}, TypeError, "'scale' must be a real number, not True"),
        ({"Q": np.ones((1, 0)), "keys": [np.ones((2, 0))]}, ValueError, "'scale' must be given where d = 0"),
        (
            {"Q": [[1e200, 0]], "keys": [[[1e200, 0]] * 2]},
            ValueError,
            "'Q', 'keys' and 'scale' must keep .* 2\\^1328",
        ),
        (
            {"keys": [np.ones((2, 2))] * 2, "values": [np.full((2, 1), 1e200)] * 2},
            ValueError,
            "'values' must keep Π max.* below 2\\^1000 for float64 output",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, message):
    good = {"Q": [[1.0, 2.0]], "keys": [[[1.0, 2.0], [3.0, 4.0]]], "values": [[[1.0], [2.0]]], "scale": None}
    with pytest.raises(error, match=message):
        checked(**(good | change))


def test_float32_output_that_would_overflow_is_refused():
    big = np.full((2, 1), 1e30, np.float32)
    keys = [np.zeros((2, 1), np.float32)] * 2
    with pytest.raises(ValueError, match=r"'values' must keep .* float32 output"):
        attention(keys[0], keys, [big, big])


@pytest.mark.parametrize("sizes", [(300, 4000), (40, 300, 500), (3, 20, 30, 40)])
def test_the_predicted_memory_covers_what_is_used(sizes):
    arguments = problem(sizes, d=12, e=5)
    attention(*arguments)
    tracemalloc.start()
    try:
        attention(*arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= predicted_cost(sizes, 12, 5).bytes


def test_the_predicted_time_grows_with_every_size():
    cost = predicted_cost((100, 200, 300), 16, 16)
    assert predicted_cost((100, 200, 600), 16, 16).seconds > 1.9 * cost.seconds
    assert predicted_cost((100, 200, 300), 160, 16).seconds > 2 * cost.seconds
    assert predicted_cost((100, 200, 300, 1), 16, 16).seconds > cost.seconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(((4,), 1, 1), "'sizes' must hold"), (((4, -1), 1, 1), "'sizes'"), (((4, 4), -1, 1), "'dimension'")],
)
def test_an_impossible_size_has_no_cost(arguments, message):
    with pytest.raises(ValueError, match=message):
        predicted_cost(*arguments)


@st.composite
def problems(draw):
    order = draw(st.integers(2, 4))
    sizes = [draw(st.integers(1, 40 if order < 4 else 6)) for _ in range(order)]
    size = draw(st.sampled_from([0.0, 1e-3, 1.0, 30.0, 3000.0]))
    return problem(sizes, draw(st.integers(1, 9)), draw(st.integers(1, 6)), size, draw(st.integers(0, 10**6)))


@settings(max_examples=60, deadline=None)
@given(problems(), st.floats(-50, 50))
def test_adding_a_constant_to_all_logits_only_moves_lse(arguments, shift):
    Q, keys, values = arguments
    scale = 1 / Q.shape[1]
    shifted = (
        np.hstack([Q, np.full((len(Q), 1), shift / scale)]),
        [np.hstack([key, np.ones((len(key), 1))]) for key in keys],
        values,
    )
    O, lse = attention(*arguments, return_lse=True)
    O_shifted, lse_shifted = attention(*shifted, scale=scale, return_lse=True)
    assert_agree(shifted, (O_shifted, lse_shifted), (O, lse + shift), scale)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_output_lies_between_the_smallest_and_the_largest_product(arguments):
    _, keys, values = arguments
    low = high = np.ones(values[0].shape[1])
    for value in values:
        corners = [
            low * value.min(axis=0),
            low * value.max(axis=0),
            high * value.min(axis=0),
            high * value.max(axis=0),
        ]
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    slack = 4 * U * (terms(keys) + 4) * np.maximum(np.abs(low), np.abs(high))
    excess = np.abs(attention(*arguments) - (low + high) / 2) - (high - low) / 2
    assert (excess <= slack).all()


@settings(max_examples=60, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_tokens_and_of_keys_does_not_matter(arguments, random):
    Q, keys, values = arguments
    moved = []
    for key, value in zip(keys, values, strict=True):
        order = list(range(len(key)))
        random.shuffle(order)
        moved.append((key[order], value[order]))
    random.shuffle(moved)
    permuted = Q, [key for key, _ in moved], [value for _, value in moved]
    assert_agree(arguments, attention(*permuted, return_lse=True), attention(*arguments, return_lse=True))
