"""Many small matrix products on several cores: one thread a product, several products at a time.

A BLAS that wakes its threads for a product of a millisecond waits for them longer than it works as soon as
anything else runs: 12 ms against 1 ms on a machine with more threads than cores. And one thread a product
makes results the same to the last bit for any number of threads.

Glossary
--------
tasks    functions without arguments that do not depend on each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

Result = TypeVar("Result")


def single_threaded_products() -> AbstractContextManager[Any]:
    """Return a context in which the BLAS uses one thread a product.

    Notes
    -----
    Complexity: microseconds, after milliseconds of the first call.

    Examples
    --------
    >>> import numpy as np
    >>> with single_threaded_products():
    ...     float(np.ones(3) @ np.ones(3))
    3.0
    """
    context: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return context


def side_by_side(*tasks: Callable[[], Result]) -> list[Result]:
    """Run tasks in as many threads as there are cores, and return their results in order.

    Notes
    -----
    Complexity: that of the tasks.

    Examples
    --------
    >>> side_by_side(lambda: 1, lambda: 2)
    [1, 2]
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return [future.result() for future in [threads.submit(task) for task in tasks]]


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
