"""Descriptions of transformers: shapes, bounds, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from cubicwall.instances.transformer import Layer, Transformer, random_transformer


@pytest.mark.parametrize("order", [2, 3, 4])
def test_random_weights_obey_the_bound_and_fill_it(order: int) -> None:
    model = random_transformer(3, 2, 16, 0.25, rng=np.random.default_rng(0), order=order)
    for layer in model.layers:
        arrays = [layer.query, *layer.keys, *layer.values, layer.mixing]
        assert layer.order == order
        assert all(array.shape[-2] == 16 for array in arrays)
        assert 0.24 < max(np.abs(array).max() for array in arrays) <= 0.25
    assert model.causal == (order == 2)
    assert model.scale == 1 / 8


def test_the_same_seed_gives_the_same_model() -> None:
    one, two = (random_transformer(2, 1, 4, 1.0, rng=np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one.layers[1].mixing, two.layers[1].mixing)


def test_models_cannot_be_changed_by_changing_what_they_were_made_of() -> None:
    W = np.ones((1, 2, 2))
    layer = Layer(W, [W], [W], W[0])
    W[:] = 5.0
    assert layer.query.max() == 1.0
    with pytest.raises(ValueError, match="read-only"):
        layer.query[0] = 1.0


def test_first_layers_are_a_model() -> None:
    model = random_transformer(3, 1, 2, 0.5, rng=np.random.default_rng(0), residual=False)
    assert model.first(2) == Transformer(model.layers[:2], "tanh", True, False)
    with pytest.raises(ValueError, match=r"'layers' must be an integer in 1\.\.3"):
        model.first(4)


def test_what_does_not_fit_is_refused() -> None:
    rng, W, g = np.random.default_rng(0), np.ones((2, 4, 2)), np.ones((4, 4))
    with pytest.raises(ValueError, match=r"'query' must have shape \(heads, D, D / heads\)"):
        Layer(np.ones((2, 4, 3)), [W], [W], g)
    with pytest.raises(ValueError, match=r"'values\[0\]' must have shape \(2, 4, 2\)"):
        Layer(W, [W], [np.ones((1, 4, 4))], g)
    with pytest.raises(ValueError, match="as many as each other"):
        Layer(W, [W, W], [W], g)
    with pytest.raises(ValueError, match=r"'mixing' must have shape \(4, 4\)"):
        Layer(W, [W], [W], np.ones((4, 3)))
    with pytest.raises(ValueError, match="finite"):
        Layer(W, [W * np.nan], [W], g)
    with pytest.raises(ValueError, match="3 axes"):
        Layer(g, [W], [W], g)
    tensor = Layer(W, [W, W], [W, W], g)
    with pytest.raises(ValueError, match=r"'causal' must be False.*order 3"):
        Transformer((tensor,))
    with pytest.raises(ValueError, match="at least one layer"):
        Transformer(())
    with pytest.raises(ValueError, match=r"'layers\[1\]'"):
        Transformer(
            (
                Layer(W, [W], [W], g),
                Layer(np.ones((1, 4, 4)), [np.ones((1, 4, 4))] * 1, [np.ones((1, 4, 4))], g),
            )
        )
    with pytest.raises(ValueError, match="'activation' must be one of"):
        Transformer((tensor,), "relu", False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'heads' must divide the width 4"):
        random_transformer(1, 3, 4, 1.0, rng=rng)
    with pytest.raises(TypeError, match="'rng'"):
        random_transformer(1, 1, 4, 1.0, rng=3)  # type: ignore[arg-type]
