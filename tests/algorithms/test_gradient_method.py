"""Which gradient is taken, and that either is right."""

from __future__ import annotations

import numpy as np
import pytest
from cubicwall.algorithms.attention_gradient import attention_gradient
from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.gradient_method import gradient_by


@pytest.mark.parametrize(
    ("n", "spread", "expected"), [(20, 1.0, "exact"), (1500, 1.0, "fast"), (100, 6.0, "exact")]
)
def test_auto_takes_the_cheaper_one_and_the_exact_one_at_the_wall(
    n: int, spread: float, expected: str
) -> None:
    rng = np.random.default_rng(n)
    Q, K_1, K_2, V_1, V_2, G = spread * rng.uniform(-1, 1, size=(6, n, 3))
    tolerance = 1e-3 * float(np.abs(G).sum())
    method, found, reason = gradient_by(Q, [K_1, K_2], [V_1, V_2], G, tolerance=tolerance)
    assert method == expected
    assert reason
    exact = attention_gradient(Q, [K_1, K_2], [V_1, V_2], G)
    for one, other in zip((found.query, *found.keys), (exact.query, *exact.keys), strict=True):
        assert np.abs(one - other).max() <= tolerance
    assert (found.certificate is None) == (expected == "exact")


def test_fast_raises_at_the_wall_and_other_methods_are_refused() -> None:
    rng = np.random.default_rng(0)
    Q, K, V, G = 9 * rng.uniform(-1, 1, size=(4, 50, 6))
    with pytest.raises(WallError):
        gradient_by(Q, [K], [V], G, tolerance=1e-3, method="fast")
    with pytest.raises(ValueError, match="'method' must be one of"):
        gradient_by(Q, [K], [V], G, tolerance=1e-3, method="quick")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'tolerance' must be positive"):
        gradient_by(Q, [K], [V], G, tolerance=0.0)
