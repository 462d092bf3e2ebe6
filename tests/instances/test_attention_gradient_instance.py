"""Gradient instances: what is refused, and files that keep every bit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.attention_gradient import AttentionGradient


def drawn(order: int = 3) -> AttentionGradient:
    rng = np.random.default_rng(order)
    keys, values = ([rng.normal(size=(t + 2, w)) for t in range(order - 1)] for w in (3, 2))
    attention = TensorAttention(rng.normal(size=(4, 3)), keys, values, 0.5, 0.1)
    return AttentionGradient(attention, rng.normal(size=(4, 2)))


@pytest.mark.parametrize("order", [2, 3, 5])
def test_a_file_keeps_every_bit(order: int, tmp_path: Path) -> None:
    instance, path = drawn(order), tmp_path / "gradient.npz"
    instance.write(path)
    again = AttentionGradient.read(path)
    assert again == instance
    assert again.sha256 == instance.sha256
    assert pickle.loads(pickle.dumps(instance)) == instance


def test_a_file_of_attention_is_no_file_of_its_gradient(tmp_path: Path) -> None:
    path = tmp_path / "attention.npz"
    drawn().attention.write(path)
    with pytest.raises(ValueError, match=r"attention\.npz"):
        AttentionGradient.read(path)


@pytest.mark.parametrize(
    ("upstream", "error", "message"),
    [
        (np.ones((4, 3)), ValueError, r"must have shape \(4, 2\), not \(4, 3\)"),
        (np.full((4, 2), np.inf), ValueError, "must be finite"),
        (np.ones((4, 2), dtype=complex), TypeError, "must hold real numbers"),
    ],
)
def test_an_upstream_that_does_not_fit_is_refused(upstream: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        AttentionGradient(drawn().attention, upstream)


def test_upstream_and_attention_tell_instances_apart() -> None:
    one = drawn()
    other = AttentionGradient(one.attention, 2 * one.upstream)
    assert one != other
    assert one.sha256 != other.sha256
    assert hash(one) == hash(other)
    assert one != 3
