"""How one question becomes another: coroutines that yield instances and are sent answers."""

from .arrows import find_path, graph, paths
from .counting import counting_encoding
from .encoding import signed_encoding
from .gap import distributed_pcp
from .reduction import Claim, OracleError, Reduction, chain, run
from .sparsification import sparsify
from .splitting import split_and_list
from .threshold_encodings import complement_encoding, threshold_encoding

__all__ = [
    "Claim",
    "OracleError",
    "Reduction",
    "chain",
    "complement_encoding",
    "counting_encoding",
    "distributed_pcp",
    "find_path",
    "graph",
    "paths",
    "run",
    "signed_encoding",
    "sparsify",
    "split_and_list",
    "threshold_encoding",
]
