"""What the fast algorithm knows of a problem before it chooses a polynomial: numbers, no tokens.

Two looks at the queries and one at everything else (`column_statistics`, `logit_range`) are all it takes;
the expansion, its certificate and the wall's message are functions of this alone. Shards agree on one.

Cost: O(d + e) memory.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .certificate import ValueRange
from .column_statistics import UNIT
from .logit_range import Geometry, RowSummary


@dataclass(frozen=True, eq=False)
class Problem:
    """What is known of an attention problem after two looks at its queries and one at everything else.

    Parameters
    ----------
    tokens : tuple of int
        n, n_1, ..., n_{k−1}.
    frame : Geometry
        Scaled coordinates.
    binary : Geometry or None
        Coordinates in {0, 1}, where the columns allow them.
    rows : RowSummary
        Ranges of logits.
    values : ValueRange
        Ranges of products of values.
    entry_bound : float
        B.
    logit_bound : float
        Largest absolute logit of all columns, dropped ones too, as the exact algorithm meets it.
    dimension : int
        d.
    dtype : dtype
        Of the output.
    shards : int
        Into how many shards the tokens of a key matrix are cut, at most.
    """

    tokens: tuple[int, ...]
    frame: Geometry
    binary: Geometry | None
    rows: RowSummary
    values: ValueRange
    entry_bound: float
    logit_bound: float
    dimension: int
    dtype: np.dtype[Any]
    shards: int = 1

    @property
    def order(self) -> int:
        """The order k."""
        return len(self.tokens)

    @property
    def b(self) -> float:
        """The coordinate of the wall, B/(ln n)^{1/k}, for the largest number of tokens, at least 2."""
        return self.entry_bound / float(math.log(max(2, *self.tokens)) ** (1 / self.order))

    @property
    def half_width(self) -> float:
        """Half-width of a row's logits, at most."""
        return min(self.rows.half_width, (self.rows.high - self.rows.low) / 2)

    @cached_property
    def deviation(self) -> NDArray[np.float64]:
        """Bound |O − mean v| beforehand: by the logits' half-width and by the values' range."""
        v = self.values
        by_range = np.maximum(v.high - v.mean, v.mean - v.low)
        with np.errstate(invalid="ignore"):
            by_width = v.oscillation * math.tanh(self.half_width / 2)
        return np.minimum(by_range, by_width) * (1 + 8 * UNIT) + v.mean_error
