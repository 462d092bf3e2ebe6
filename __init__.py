"""cubicwall: both sides of the (log n)^(1/k) wall of tensor attention, as running code.

The public names below are loaded on first use, so that ``import cubicwall`` and
``cubicwall --help`` stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .instances.provenance import VERSION as __version__

if TYPE_CHECKING:
    from .algorithms.attention_gradient import (
        attention_gradient,
        attention_value_and_gradient,
        attention_vjp,
    )
    from .algorithms.exact_attention import attention
    from .algorithms.fast_attention import fast_attention
    from .algorithms.fast_gradient import fast_gradient
    from .algorithms.transformer_gradient import transformer_gradient
    from .instances.answer import Count, No, Undecided, Yes
    from .instances.attention import TensorAttention
    from .instances.cnf import CNF
    from .instances.max_inner_product import GapMaxInnerProduct
    from .instances.orthogonal_vectors import OrthogonalVectors
    from .instances.transformer import Transformer, random_transformer
    from .reductions.solving import Solution, count, solve

_HOMES = {
    "CNF": "instances.cnf",
    "Count": "instances.answer",
    "No": "instances.answer",
    "GapMaxInnerProduct": "instances.max_inner_product",
    "OrthogonalVectors": "instances.orthogonal_vectors",
    "Solution": "reductions.solving",
    "TensorAttention": "instances.attention",
    "Transformer": "instances.transformer",
    "Undecided": "instances.answer",
    "Yes": "instances.answer",
    "attention": "algorithms.exact_attention",
    "attention_gradient": "algorithms.attention_gradient",
    "attention_value_and_gradient": "algorithms.attention_gradient",
    "attention_vjp": "algorithms.attention_gradient",
    "count": "reductions.solving",
    "fast_attention": "algorithms.fast_attention",
    "fast_gradient": "algorithms.fast_gradient",
    "random_transformer": "instances.transformer",
    "solve": "reductions.solving",
    "transformer_gradient": "algorithms.transformer_gradient",
}

__all__ = [
    "CNF",
    "Count",
    "GapMaxInnerProduct",
    "No",
    "OrthogonalVectors",
    "Solution",
    "TensorAttention",
    "Transformer",
    "Undecided",
    "Yes",
    "__version__",
    "attention",
    "attention_gradient",
    "attention_value_and_gradient",
    "attention_vjp",
    "count",
    "fast_attention",
    "fast_gradient",
    "random_transformer",
    "solve",
    "transformer_gradient",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
