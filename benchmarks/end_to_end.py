"""How long the main job takes: random 3-SAT at ratio 4.26, decided and counted through exact attention.

Usage: python benchmarks/end_to_end.py [VARIABLES ...]        (30 and 36 unless given)

Each formula runs in a process of its own, which reports its largest resident set; kernels are
compiled before the clock starts. Answers are compared with a SAT solver and a model counter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from time import perf_counter

from turns import dgemm_rate, print_table

RATIO = 4.26
ORDER = 3


def work(variables: int, seed: int) -> dict[str, object]:
    """Decide and count one formula; runs in a process of its own."""
    import resource

    import numpy as np
    from cubicwall import CNF, Yes, count, solve
    from cubicwall.instances.generate import random_ksat
    from cubicwall.verification import truth

    solve(CNF.from_clauses([[1, 2, 3]]), order=ORDER)
    formula = random_ksat(variables, ratio=RATIO, rng=np.random.default_rng(seed))
    began = perf_counter()
    solution = solve(formula, order=ORDER)
    decided = perf_counter()
    models = count(formula, order=ORDER)
    counted = perf_counter()
    expected = truth.decide(formula)
    assert type(solution.answer) is type(expected)
    assert models == truth.count(formula)
    return {
        "n": variables,
        "clauses": len(formula.clauses),
        "listed": 2 ** -(-variables // ORDER),
        "tokens": solution.trace[0].measured["N"],
        "answer": "YES" if isinstance(expected, Yes) else "NO",
        "models": models,
        "decide s": decided - began,
        "count s": counted - decided,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Run every size in its own process and print one table."""
    if sys.argv[1:2] == ["--work"]:
        print(json.dumps(work(int(sys.argv[2]), int(sys.argv[3]))))
        return
    sizes = [int(argument) for argument in sys.argv[1:]] or [30, 36]
    rows = []
    for variables in sizes:
        for seed in (1, 2):
            command = [sys.executable, __file__, "--work", str(variables), str(seed)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout))
    print_table(
        f"Random 3-SAT at ratio {RATIO}, order {ORDER}; dgemm {dgemm_rate():.0f} GF/s",
        list(rows[0]),
        [list(row.values()) for row in rows],
    )


if __name__ == "__main__":
    main()
