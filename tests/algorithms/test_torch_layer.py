"""Tensor attention in PyTorch: gradients checked, masks against the definition, types, refusals."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra [torch] is not installed")

import torch
from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.torch_layer import TensorAttention, tensor_attention


def problem(
    seed: int, order: int, batch: tuple[int, ...] = (), n: int = 5, spread: float = 1.0, dtype: Any = None
) -> tuple[Any, list[Any], list[Any]]:
    """Query, keys of n, n+1, ... tokens and values, all asking for gradients."""
    generator = torch.Generator().manual_seed(seed)

    def entries(*shape: int) -> Any:
        drawn = spread * (2 * torch.rand(*batch, *shape, generator=generator, dtype=torch.float64) - 1)
        return drawn.to(dtype or torch.float64).requires_grad_()

    sizes = [n + t for t in range(1, order)]
    return entries(n, 3), [entries(size, 3) for size in sizes], [entries(size, 2) for size in sizes]


def definition(query: Any, keys: Any, values: Any, allowed: Any = None) -> Any:
    """Attention of order 2 or 3 from its definition; `allowed` (..., n, n_1[, n_2])."""
    letters = "jm"[: len(keys)]
    inputs = ",".join(f"...{letter}l" for letter in letters)
    logits = torch.einsum(f"...il,{inputs}->...i{letters}", query, *keys) / query.shape[-1]
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    weights = logits.flatten(-len(keys)).softmax(-1).unflatten(-1, logits.shape[-len(keys) :])
    inputs = inputs.replace("l", "c")
    return torch.einsum(f"...i{letters},{inputs}->...ic", weights.nan_to_num(), *values)


def agree(one: Any, other: Any, tensors: Any, tolerance: float = 1e-12) -> None:
    """Outputs agree, and so do the gradients of a loss with weights."""
    weights = torch.linspace(-1, 1, one.numel(), dtype=one.dtype).reshape(one.shape)
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
    found, expected = (torch.autograd.grad((x * weights).sum(), tensors) for x in (one, other))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(weights.abs().sum()))


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("method", ["exact", "fast", "auto"])
def test_gradcheck_accepts_every_method(order: int, method: Any) -> None:
    query, keys, values = problem(order, order, n=3, spread=0.6)

    def attend(*tensors: Any) -> Any:
        return tensor_attention(tensors[0], tensors[1:order], tensors[order:], method=method, tolerance=1e-12)

    assert torch.autograd.gradcheck(attend, (query, *keys, *values))


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("masked", ["padding", "causal", "both"])
def test_gradcheck_accepts_masks(order: int, masked: str) -> None:
    query, keys, values = problem(order, order, (2,), n=4)
    keys, values = ([x[..., :4, :] for x in side] for side in (keys, values))
    padding = torch.tensor([[True, True, False, True], [False, True, True, False]])
    options = {"padding": padding if masked != "causal" else None, "causal": masked != "padding"}

    def attend(*tensors: Any) -> Any:
        return tensor_attention(tensors[0], tensors[1:order], tensors[order:], **options)

    assert torch.autograd.gradcheck(attend, (query, *keys, *values))


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize(("method", "tolerance"), [("exact", 1e-12), ("fast", 1e-7)])
def test_a_padding_mask_is_the_definition_with_both_positions_seen(
    order: int, method: Any, tolerance: float
) -> None:
    query, keys, values = problem(1, order, (2, 3))
    padding = [torch.rand(2, 1, key.shape[-2]) < 0.7 for key in keys]
    for mask in padding:
        mask[..., 0] = True
    found = tensor_attention(query, keys, values, padding=padding, method=method, tolerance=tolerance)
    allowed = padding[0][..., None, :]
    if order == 3:
        allowed = allowed[..., None] & padding[1][..., None, None, :]
    agree(found, definition(query, keys, values, allowed), (query, *keys, *values), 2 * tolerance)


@pytest.mark.parametrize("order", [2, 3])
def test_a_causal_mask_is_the_definition_with_no_position_after_the_query(order: int) -> None:
    query, keys, values = problem(2, order, (2,), n=6)
    keys, values = ([x[..., :6, :] for x in side] for side in (keys, values))
    i, j = torch.arange(6), torch.arange(6)
    allowed = j <= i[:, None]
    if order == 3:
        allowed = allowed[:, :, None] & allowed[:, None, :]
    found = tensor_attention(query, keys, values, causal=True)
    agree(found, definition(query, keys, values, allowed), (query, *keys, *values))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("method", ["exact", "fast"])
def test_many_causal_pairs_are_the_definition(method: Any, dtype: Any) -> None:
    query, keys, values = problem(10, 2, (2,), n=600, dtype=dtype)
    keys, values = ([x[..., :600, :] for x in side] for side in (keys, values))
    allowed = torch.arange(600) <= torch.arange(600)[:, None]
    found = tensor_attention(query, keys, values, causal=True, method=method, tolerance=1e-6)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-6 if method == "fast" else 1e-12
    assert found.dtype == dtype
    agree(found, definition(query, keys, values, allowed), (query, *keys, *values), tolerance)


def test_what_sees_nothing_gets_zero_and_passes_no_gradient() -> None:
    query, keys, values = problem(3, 3, n=3)
    keys, values = ([x[:3] for x in side] for side in (keys, values))
    found = tensor_attention(query, keys, values, causal=True, padding=torch.tensor([False, True, True]))
    assert found[0].tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(found.sum(), query)
    assert gradient[0].tolist() == [0.0, 0.0, 0.0]
    assert bool((gradient[1:] != 0).any())


def test_leading_axes_broadcast_and_their_gradients_are_summed() -> None:
    query, _, _ = problem(4, 3, (2, 3))
    _, keys, values = problem(5, 3, (3,))
    found = tensor_attention(query, keys, values)
    agree(found, definition(query, keys, values), (query, *keys, *values))


def test_single_precision_stays_single_and_close() -> None:
    for method in ("exact", "fast"):
        query, keys, values = problem(6, 3, (2,), dtype=torch.float32)
        found = tensor_attention(query, keys, values, method=method, tolerance=1e-4)
        assert found.dtype == torch.float32
        agree(found, definition(query, keys, values), (query, *keys, *values), 1e-4)


def test_at_the_wall_fast_raises_and_auto_is_exact() -> None:
    query, keys, values = problem(7, 3, spread=8.0)
    with pytest.raises(WallError):
        tensor_attention(query, keys, values, method="fast")
    found = tensor_attention(query, keys, values, method="auto", tolerance=1e-9)
    agree(found, definition(query, keys, values), (query, *keys, *values), 1e-9)


def test_tensors_changed_between_the_passes_are_noticed() -> None:
    query, keys, values = problem(8, 2)
    leaf = query.detach().clone().requires_grad_()
    moved = leaf * 1
    found = tensor_attention(moved, keys, values)
    moved += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


@pytest.mark.parametrize("order", [2, 3])
def test_the_layer_learns_and_a_padded_token_changes_nothing(order: int) -> None:
    torch.manual_seed(0)
    layer = TensorAttention(8, heads=2, order=order).double()
    tokens = torch.randn(3, 5, 8, dtype=torch.float64)
    padding = torch.tensor([True, True, True, True, False]).expand(3, 5)
    padded = layer(tokens, padding)[:, :4]
    torch.testing.assert_close(padded, layer(tokens[:, :4]), rtol=0, atol=1e-12)
    changed = torch.cat([tokens[:, :4], torch.randn(3, 1, 8, dtype=torch.float64)], 1)
    torch.testing.assert_close(layer(changed, padding)[:, :4], padded, rtol=0, atol=1e-12)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = ((layer(tokens) - 1) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_a_causal_layer_does_not_look_ahead() -> None:
    layer = TensorAttention(4, order=3, causal=True).double()
    tokens = torch.randn(2, 5, 4, dtype=torch.float64)
    changed = tokens.clone()
    changed[:, 3:] += 1
    torch.testing.assert_close(layer(changed)[:, :3], layer(tokens)[:, :3], rtol=0, atol=0)
    assert "order=3" in repr(layer)


WRONG: dict[str, tuple[Any, str]] = {
    "method": ({"method": "quick"}, "'method' must be one of"),
    "tolerance": ({"tolerance": 0.0}, "'tolerance' must be positive"),
    "fast and causal": ({"causal": True, "method": "fast"}, "'causal' goes with the fast method at order 2"),
    "causal sizes": ({"causal": True}, "'causal' needs as many keys as queries"),
    "mask of numbers": ({"padding": torch.ones(6)}, "'padding' must hold booleans"),
    "one mask too few": ({"padding": [torch.ones(6) > 0]}, "a mask for each of 2 keys"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_refused_by_name(options: Any, message: str) -> None:
    query, keys, values = problem(9, 3)
    with pytest.raises(ValueError, match=message):
        tensor_attention(query, keys, values, **options)


def test_wrong_tensors_and_layers_are_refused_by_name() -> None:
    query, keys, values = problem(9, 3)
    with pytest.raises(ValueError, match="must hold as many tensors"):
        tensor_attention(query, keys, values[:1])
    with pytest.raises(TypeError, match="'query' must be a Tensor"):
        tensor_attention([[1.0]], keys, values)
    with pytest.raises(TypeError, match="'query' must hold float32 or float64 on the CPU"):
        tensor_attention(query.half(), keys, values)
    with pytest.raises(TypeError, match=r"'keys\[0\]' must hold torch.float32"):
        tensor_attention(query.float(), keys, values)
    with pytest.raises(ValueError, match="two axes"):
        tensor_attention(query[0], keys, values)
    with pytest.raises(ValueError, match="'order' must be at least 2"):
        TensorAttention(4, order=1)
    with pytest.raises(ValueError, match="'head_width' must be at least 1"):
        TensorAttention(2, heads=4)
