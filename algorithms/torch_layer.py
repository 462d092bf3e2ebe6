"""Tensor attention in PyTorch: a function with gradients of its own, and a layer. Needs the extra [torch].

Both passes run in the kernels of this package, on the CPU, in float32 or float64: exactly
(`attention_gradient`), or by the polynomial method with a certified error (`fast_attention`,
`fast_gradient`). Nothing of size n² is kept between the passes.

What a mask means. A tuple j = (j_1, ..., j_{k-1}) is seen if every one of its positions is. A padding mask
then takes key rows away, so attention over what is left is exact or fast as before. A causal mask lets
query i see j_t ≤ i for every t. At order 2 without padding that is what `attention_layers` and
`causal_attention` do, exactly and fast; elsewhere the exact method takes the queries one by one, each over
its own prefix, and there is no fast one.
A query that sees no tuple at all gets the output 0 and passes no gradient on.

Cost: as the algorithms for each entry of the batch and each head; a causal mask halves it at order 2, and
at order 3 leaves a third, with a call of the kernel a query.

Glossary
--------
group    queries that see the same tokens: what one call of the algorithms answers.

torch and numba each bring threads of their own; where torch's own layers are small,
`torch.set_num_threads(1)` keeps one's from waiting for the other's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .attention_gradient import Gradient, attention_gradient, attention_vjp
from .attention_layers import Attention, ExactAttention
from .causal_attention import FastAttention
from .certificate import WallError
from .fast_attention import MAX_RANK, fast_attention
from .fast_gradient import fast_gradient

Method = Literal["exact", "fast", "auto"]
Rows = slice | NDArray[np.int64]
Group = tuple[slice, slice, tuple[Rows, ...]]
Pull = Callable[[Any], Gradient]


def tensor_attention(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    *,
    padding: Tensor | Sequence[Tensor] | None = None,
    causal: bool = False,
    method: Method = "exact",
    tolerance: float = 1e-6,
    scale: float | None = None,
    max_rank: int = MAX_RANK,
) -> Tensor:
    """Attention of order k = len(keys) + 1, differentiable by query, keys and values.

    Parameters
    ----------
    query : Tensor, shape (..., n, d)
        float32 or float64, on the CPU.
    keys, values : sequence of k - 1 Tensor, shapes (..., n_t, d) and (..., n_t, e)
        Leading axes broadcast.
    padding : bool Tensor of shape (..., n_t), or one for each of the keys, optional
        True where a token may be seen.
    causal : bool
        Let query i see the tokens up to i only; all arrays then have n tokens.
    method : {"exact", "fast", "auto"}
        "fast" raises where entries are too large for the tolerance; "auto" takes the exact algorithm there,
        and where it is cheaper.
    tolerance : float
        Of the fast method: absolute on every entry of the output, and times Σ|upstream| of one entry of the
        batch on every entry of the gradients.
    scale : float, optional
        What the logits are multiplied by; 1/d unless given.
    max_rank : int
        Largest rank of the fast method.

    Returns
    -------
    Tensor, shape (..., n, e)

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be meant, and for a causal mask with the fast method but for order 2
        without padding.
    WallError
        If the method is "fast" and no polynomial meets the tolerance, in either pass.

    Notes
    -----
    Complexity: that of the algorithms, entry by entry of the batch. Differentiable once.

    Examples
    --------
    >>> q, k, v = (torch.ones(1, 1, dtype=torch.float64) for _ in range(3))
    >>> two = torch.tensor([[1.0], [5.0]], dtype=torch.float64, requires_grad=True)
    >>> output = tensor_attention(q, [torch.zeros(2, 1, dtype=torch.float64)], [two])
    >>> output.sum().backward()
    >>> output.tolist(), two.grad.tolist()
    ([[3.0]], [[0.5], [0.5]])
    """
    tensors = (query, *keys, *values)
    _require_tensors(tensors, len(keys), len(values))
    if method not in get_args(Method):
        raise ValueError(f"Argument 'method' must be one of {get_args(Method)}, not {method!r}.")
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"Argument 'tolerance' must be positive and finite, not {tolerance}.")
    pairs = causal and len(keys) == 1 and padding is None
    if causal and method == "fast" and not pairs:
        raise ValueError(
            "Argument 'causal' goes with the fast method at order 2 without padding only, "
            f"not at order {len(keys) + 1}{' with padding' if padding is not None else ''}."
        )
    tokens = [tensor.shape[-2] for tensor in (query, *keys)]
    if causal and len(set(tokens)) > 1:
        raise ValueError(f"Argument 'causal' needs as many keys as queries, not {tokens}.")
    masks = _masks(padding, tokens[1:])
    shapes = [tensor.shape[:-2] for tensor in tensors] + [mask.shape[:-1] for mask in masks]
    batch = torch.broadcast_shapes(*shapes)
    flat = [tensor.expand(*batch, *tensor.shape[-2:]).reshape(-1, *tensor.shape[-2:]) for tensor in tensors]
    seen = [mask.expand(*batch, mask.shape[-1]).reshape(-1, mask.shape[-1]).numpy() for mask in masks]
    chosen: Method = "exact" if causal and method == "auto" else method
    options = {"scale": scale, "tolerance": tolerance, "max_rank": max_rank}
    output = _Attention.apply((seen, causal, pairs, chosen, options), *flat)
    return output.reshape(*batch, *output.shape[-2:])


class _Attention(torch.autograd.Function):
    """Arrays (batch, tokens, width), all of the same batch."""

    @staticmethod
    def forward(ctx: Any, asked: Any, *tensors: Tensor) -> Tensor:
        seen, causal, pairs, method, options = asked
        arrays = [tensor.detach().numpy() for tensor in tensors]
        order = (len(arrays) + 1) // 2
        output = np.zeros((*arrays[0].shape[:2], arrays[-1].shape[2]), np.result_type(*arrays))
        pulls: list[tuple[Group, Pull]] = []
        alone = pairs or method != "exact"
        for group in _groups(arrays[:order], seen, causal and not pairs, alone=alone):
            entries, queries, _ = group
            own = _of_group(arrays, group)
            if pairs:
                output[entries, queries], pull = _causal_pairs(own, method, options)
            elif method == "exact":
                output[entries, queries], pull = attention_vjp(
                    own[0], own[1:order], own[order:], scale=options["scale"]
                )
            else:
                output[entries, queries], pull = _fast(own, method, options)
            pulls.append((group, pull))
        ctx.save_for_backward(*tensors)
        ctx.pulls = pulls
        return torch.from_numpy(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors  # refuses those that were changed since the forward pass
        order, above = (len(tensors) + 1) // 2, upstream.numpy()
        gradients = [np.zeros(tensor.shape, tensor.numpy().dtype) for tensor in tensors]
        for (entries, queries, tokens), pull in ctx.pulls:
            found = pull(above[entries, queries])
            gradients[0][entries, queries] += found.query
            for t, rows in enumerate(tokens):
                gradients[1 + t][entries, rows] += found.keys[t]
                gradients[order + t][entries, rows] += found.values[t]
        return None, *(
            torch.from_numpy(gradient) if needed else None
            for gradient, needed in zip(gradients, ctx.needs_input_grad[1:], strict=True)
        )


class TensorAttention(nn.Module):
    """A layer of multi-head self-attention of any order: order 3 lets a query see pairs of tokens.

    Parameters
    ----------
    width : int
        Of the tokens, in and out.
    heads : int
        Number of heads.
    order : int
        k ≥ 2.
    head_width : int, optional
        d = e of a head; width // heads unless given.
    causal, method, tolerance, scale, max_rank
        As for `tensor_attention`.

    Raises
    ------
    ValueError
        For numbers that cannot be meant.

    Notes
    -----
    Complexity: `heads` calls of `tensor_attention` for each entry of the batch, and two linear maps.

    Examples
    --------
    >>> layer = TensorAttention(8, heads=2, order=3)
    >>> layer(torch.zeros(5, 6, 8)).shape
    torch.Size([5, 6, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int = 1,
        *,
        order: int = 3,
        head_width: int | None = None,
        causal: bool = False,
        method: Method = "exact",
        tolerance: float = 1e-6,
        scale: float | None = None,
        max_rank: int = MAX_RANK,
    ) -> None:
        super().__init__()
        for name, number, least in (("width", width, 1), ("heads", heads, 1), ("order", order, 2)):
            if number < least:
                raise ValueError(f"Argument {name!r} must be at least {least}, not {number}.")
        own = width // heads if head_width is None else head_width
        if own < 1:
            raise ValueError(f"Argument 'head_width' must be at least 1, not {own}.")
        self.parts = (2 * order - 1, heads, own)
        self.options: dict[str, Any] = {
            "causal": causal, "method": method, "tolerance": tolerance, "scale": scale, "max_rank": max_rank,
        }  # fmt: skip
        self.inward = nn.Linear(width, math.prod(self.parts))
        self.outward = nn.Linear(heads * own, width)

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return tokens (..., n, width) for tokens (..., n, width); `padding` (..., n) is True where real."""
        mixed = self.inward(tokens).unflatten(-1, self.parts)  # (..., n, 2k-1, heads, d)
        query, *others = mixed.movedim(-3, 0).transpose(-3, -2).unbind(0)  # each (..., heads, n, d)
        half = len(others) // 2
        mask = None if padding is None else padding.unsqueeze(-2)
        output = tensor_attention(query, others[:half], others[half:], padding=mask, **self.options)
        result: Tensor = self.outward(output.transpose(-3, -2).flatten(-2))
        return result

    def extra_repr(self) -> str:
        """Show order, heads, their width, and the options."""
        parts, heads, own = self.parts
        return f"order={(parts + 1) // 2}, heads={heads}, head_width={own}, {self.options}"


def _require_tensors(tensors: Sequence[Any], keys: int, values: int) -> None:
    if keys < 1 or keys != values:
        raise ValueError(
            f"Arguments 'keys' and 'values' must hold as many tensors, one or more, not {keys} and {values}."
        )
    names = ["query"] + [f"{side}[{t}]" for side in ("keys", "values") for t in range(keys)]
    for name, tensor in zip(names, tensors, strict=True):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Argument '{name}' must be a Tensor, not {type(tensor).__name__}.")
        if tensor.dtype not in (torch.float32, torch.float64) or tensor.device.type != "cpu":
            raise TypeError(
                f"Argument '{name}' must hold float32 or float64 on the CPU, "
                f"not {tensor.dtype} on {tensor.device.type}."
            )
        if tensor.dtype != tensors[0].dtype:
            raise TypeError(
                f"Argument '{name}' must hold {tensors[0].dtype} as query does, not {tensor.dtype}."
            )
        if tensor.ndim < 2:
            raise ValueError(
                f"Argument '{name}' must have two axes or more, not shape {tuple(tensor.shape)}."
            )


def _masks(padding: Tensor | Sequence[Tensor] | None, tokens: Sequence[int]) -> list[Tensor]:
    if padding is None:
        return []
    masks = [padding] * len(tokens) if isinstance(padding, Tensor) else list(padding)
    if len(masks) != len(tokens):
        raise ValueError(
            f"Argument 'padding' must hold a mask for each of {len(tokens)} keys, not {len(masks)}."
        )
    for mask, count in zip(masks, tokens, strict=True):
        if mask.dtype != torch.bool or mask.ndim < 1 or mask.shape[-1] != count:
            raise ValueError(
                f"Argument 'padding' must hold booleans for {count} tokens, "
                f"not {mask.dtype} of shape {tuple(mask.shape)}."
            )
    return masks


def _groups(arrays: Sequence[Any], seen: Sequence[Any], causal: bool, *, alone: bool) -> Iterator[Group]:
    """Split the batch into groups; `alone`: an entry of the batch at a time."""
    batch, n = arrays[0].shape[:2]
    if not batch or not n:
        return
    single = alone or bool(seen)
    for entries in [slice(i, i + 1) for i in range(batch)] if single else [slice(None)]:
        for queries in [slice(i, i + 1) for i in range(n)] if causal else [slice(None)]:
            stop = queries.stop if causal else None
            tokens: tuple[Rows, ...] = tuple(slice(stop) for _ in arrays[1:])
            if seen:
                tokens = tuple(np.flatnonzero(mask[entries][0, :stop]) for mask in seen)
                if not all(map(len, tokens)):  # type: ignore[arg-type]
                    continue
            yield entries, queries, tokens


def _of_group(arrays: Sequence[Any], group: Group) -> list[Any]:
    entries, queries, tokens = group
    rows = (queries, *tokens, *tokens)
    return [array[entries, own] for array, own in zip(arrays, rows, strict=True)]


def _causal_pairs(own: list[Any], method: Method, options: dict[str, Any]) -> tuple[Any, Pull]:
    """Answer one entry of the batch, arrays (1, n, width) of order 2 under a causal mask."""
    query, key, value = (array[0].astype(np.float64) for array in own)
    scale = options["scale"]
    attention: Attention = ExactAttention(causal=True)
    if method == "fast":
        attention = FastAttention(True, options["tolerance"], options["max_rank"])
    head = attention.forward(query, (key,), (value,), 1.0 / query.shape[1] if scale is None else scale)

    def pull(upstream: Any) -> Gradient:
        found = attention.backward(head, np.ascontiguousarray(upstream[0], dtype=np.float64), None)
        return Gradient(found.query, found.keys, found.values)

    return head.output, pull


def _fast(own: list[Any], method: Method, options: dict[str, Any]) -> tuple[Any, Pull]:
    """Answer one entry of the batch, arrays (1, tokens, width), by the fast method or as `auto` decides."""
    arrays = [array[0] for array in own]
    order = (len(arrays) + 1) // 2
    arguments: tuple[Any, ...] = (arrays[0], arrays[1:order], arrays[order:])
    result = fast_attention(*arguments, method=method, **options)
    forced = method == "fast"
    fast = forced or result.certificate.method == "fast"
    return result.output, partial(_pull, arguments, options, fast=fast, forced=forced)


def _pull(
    arguments: tuple[Any, ...], options: dict[str, Any], upstream: Any, *, fast: bool, forced: bool
) -> Gradient:
    query, keys, values = arguments
    above = upstream[0]
    size = float(np.abs(above).sum(dtype=np.float64))
    if fast and size > 0.0:
        relative = {**options, "tolerance": options["tolerance"] * size}
        try:
            found = fast_gradient(query, keys, values, above, **relative)
        except WallError:
            if forced:
                raise
        else:
            return Gradient(found.query, found.keys, found.values)
    return attention_gradient(query, keys, values, above, scale=options["scale"])
