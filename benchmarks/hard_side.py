"""How long the hard side at its true scale takes: UNSAT formulas through the PCP, every message.

Usage: python benchmarks/hard_side.py [VARIABLES:CLAUSES ...]    (6:40 and 9:60; 15:64 takes minutes)

CNF -> sparse CNF -> 3-OV -> gap 3-MaxIP -> attention, unpruned lists, both threshold encodings.
The formulas are unsatisfiable, so all of Merlin's messages are asked. ``largest O`` is the largest
softmax mass that any of them gave to real tuples: at most 1/9 by the claim.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

import numpy as np
from cubicwall import CNF, No, TensorAttention
from cubicwall.algorithms.oracles import exact
from cubicwall.instances.generate import forced_unsat_ksat
from cubicwall.reductions.arrows import find_path
from cubicwall.verification.audit import breaches
from turns import dgemm_rate, print_table

ORDER = 3


def work(variables: int, clauses: int, via: str) -> list[Any]:
    """Run one formula along one path and return a row of the table."""
    formula = forced_unsat_ksat(variables, clauses, rng=np.random.default_rng(variables))
    largest = asking = 0.0

    def oracle(instance: TensorAttention) -> Any:
        nonlocal largest, asking
        began = perf_counter()
        output = exact(instance)
        asking += perf_counter() - began
        largest = max(largest, float(output[:, 0].max()))
        return output

    path = find_path(via, CNF, order=ORDER, prune=False)
    began = perf_counter()
    answer, trace = path.run(formula, oracle)
    seconds = perf_counter() - began
    assert answer == No()
    assert breaches(trace) == []
    proofs, attention = trace[-2:]
    assert proofs.calls == proofs.claimed_calls
    measured = attention.measured
    return [
        f"{variables}:{clauses}",
        via,
        proofs.calls,
        int(proofs.measured["D"]),
        int(measured["d"]),
        round(measured["B"], 2),
        round(largest, 3),
        round(seconds, 2),
        round(asking, 2),
    ]


def main() -> None:
    """Run every formula along both paths and print one table."""
    find_path("gap", CNF).run(CNF.from_clauses([[1, 2, 3]]), exact)  # compiles what there is to compile
    cases = [tuple(map(int, case.split(":"))) for case in sys.argv[1:] or ["6:40", "9:60"]]
    rows = [work(n, m, via) for n, m in cases for via in ("gap", "gap-complement")]
    print_table(
        f"Unsatisfiable 3-SAT through every message, order {ORDER}; dgemm {dgemm_rate():.0f} GF/s",
        ["n:m", "path", "messages", "D", "d", "B", "largest O", "s", "of it attention s"],
        rows,
    )


if __name__ == "__main__":
    main()
