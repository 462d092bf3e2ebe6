"""How one question becomes another: coroutines that yield instances and are sent answers."""

from .arrows import find_path, graph, paths
from .counting import counting_encoding
from .encoding import signed_encoding
from .reduction import Claim, OracleError, Reduction, chain, run
from .splitting import split_and_list

__all__ = [
    "Claim",
    "OracleError",
    "Reduction",
    "chain",
    "counting_encoding",
    "find_path",
    "graph",
    "paths",
    "run",
    "signed_encoding",
    "split_and_list",
]
