"""The DRUP checker: true proofs pass, and a naive twin says of every mutant whether it still is one."""

import random

import numpy as np
import pytest
from cubicwall.algorithms.satisfiability import PROVERS, drup_proof, satisfiable
from cubicwall.instances.answer import No
from cubicwall.instances.cnf import CNF
from cubicwall.instances.families import complete_cnf, ordering, parity, pigeonhole
from cubicwall.instances.generate import random_ksat
from cubicwall.verification.proofs import ProofError, check_drup

SQUARE = CNF(2, ((1, 2), (-1, 2), (1, -2), (-1, -2)))
FAMILIES = {"complete": complete_cnf(4), "pigeons": pigeonhole(4), "parity": parity(3), "order": ordering(5)}


def unsatisfiable(count, variables=(4, 12), ratio=6.0):
    """Random formulas without models."""
    found, seed = [], 0
    while len(found) < count:
        rng = np.random.default_rng(seed)
        cnf = random_ksat(int(rng.integers(*variables)), ratio=ratio, rng=rng)
        if satisfiable(cnf) == No():
            found.append(cnf)
        seed += 1
    return found


def closure(clauses, true):
    """What follows by unit propagation, scanning all clauses until nothing changes; None on conflict."""
    true, changed = set(true), True
    while changed:
        changed = False
        for clause in clauses:
            if clause & true:
                continue
            left = [literal for literal in clause if -literal not in true]
            if not left:
                return None
            if len(left) == 1:
                true.add(left[0])
                changed = True
    return true


def naive_verdict(cnf, proof):
    """The first bad line, or None: the definition, without watches or a trail that is undone."""
    clauses = [frozenset(clause) for clause in cnf.clauses]
    if frozenset() in clauses:
        return None
    root = closure(clauses, set())
    for number, line in enumerate(proof, start=1):
        *literals, zero = line.removeprefix("d").split()
        assert zero == "0"
        clause = frozenset(map(int, literals))
        if line.startswith("d"):
            if clause not in clauses:
                return number
            clauses.remove(clause)
            continue
        if root is not None:
            assumed = root | {-literal for literal in clause}
            if not any(-literal in assumed for literal in assumed) and closure(clauses, assumed) is not None:
                return number
        if not clause:
            return None
        clauses.append(clause)
        root = root if root is None else closure(clauses, root)
    return len(proof) + 1


def verdict(cnf, proof):
    try:
        check_drup(cnf, proof)
    except ProofError as error:
        return error.line
    return None


def mutants(proof, rng):
    """Proofs with a line dropped, a literal flipped, dropped or moved, two lines swapped, or the end cut."""
    for _ in range(6):
        at = rng.randrange(len(proof))
        yield proof[:at] + proof[at + 1 :]
        yield proof[:at]
        other = rng.randrange(len(proof))
        swapped = list(proof)
        swapped[at], swapped[other] = swapped[other], swapped[at]
        yield swapped
        words = proof[at].split()
        places = [i for i, word in enumerate(words) if word not in ("d", "0")]
        if places:
            i = rng.choice(places)
            flipped = words[i].removeprefix("-") if words[i].startswith("-") else f"-{words[i]}"
            yield [*proof[:at], " ".join([*words[:i], flipped, *words[i + 1 :]]), *proof[at + 1 :]]
            yield [*proof[:at], " ".join(words[:i] + words[i + 1 :]), *proof[at + 1 :]]


@pytest.mark.parametrize("solver", PROVERS)
@pytest.mark.parametrize("name", FAMILIES)
def test_true_proofs_of_families_pass(solver, name):
    check_drup(FAMILIES[name], drup_proof(FAMILIES[name], solver=solver))


@pytest.mark.parametrize("solver", PROVERS)
def test_true_proofs_of_random_formulas_pass(solver):
    for cnf in unsatisfiable(25, variables=(4, 50)):
        proof = drup_proof(cnf, solver=solver)
        check_drup(cnf, proof)
        assert naive_verdict(cnf, proof) is None


@pytest.mark.parametrize("solver", PROVERS)
def test_mutants_get_the_verdict_of_the_naive_twin(solver):
    rng = random.Random(7)
    refused = kept = 0
    for cnf in [*unsatisfiable(12, variables=(6, 16), ratio=5.5), FAMILIES["pigeons"], FAMILIES["complete"]]:
        proof = drup_proof(cnf, solver=solver)
        for mutant in mutants(proof, rng):
            line = naive_verdict(cnf, mutant)
            assert verdict(cnf, mutant) == line
            refused += line is not None
            kept += line is None
    assert refused > 100
    assert kept > 20


@pytest.mark.parametrize("solver", PROVERS)
def test_no_truncated_proof_passes(solver):
    for cnf in unsatisfiable(5):
        proof = drup_proof(cnf, solver=solver)
        for length in range(len(proof)):
            assert verdict(cnf, proof[:length]) == length + 1


def test_no_proof_passes_for_a_formula_with_a_model():
    rng = random.Random(3)
    for unsat in unsatisfiable(10):
        proof = drup_proof(unsat)
        clauses = list(unsat.clauses)
        while True:
            clauses.pop(rng.randrange(len(clauses)))
            loosened = CNF(unsat.variables, tuple(clauses))
            if satisfiable(loosened) != No():
                break
        additions = [line for line in proof if not line.startswith("d")]
        for candidate in (proof, additions, ["0"], []):
            with pytest.raises(ProofError):
                check_drup(loosened, candidate)


def test_an_empty_clause_needs_no_proof_and_anything_else_does():
    check_drup(CNF(1, ((1,), ())), [])
    with pytest.raises(ProofError, match="Line 1 of the proof must be the empty clause"):
        check_drup(CNF(1, ((1,), (-1,))), [])
    check_drup(CNF(1, ((1,), (-1,))), ["0"])


@pytest.mark.parametrize(
    ("proof", "line", "rule"),
    [
        (["2 0", "1 2"], 2, "must be literals and a 0"),
        (["2 0", "x 0"], 2, "must be literals and a 0"),
        (["2 0", ""], 2, "must be literals and a 0"),
        (["2 0 0"], 1, "must be literals and a 0"),
        (["d"], 1, "must be literals and a 0"),
        (["3 0"], 1, r"must hold variables 1\.\.2, not 3"),
        (["2 0", "d 1 0"], 2, r"\('d 1 0'\) must delete a clause that is there"),
        (["d 1 2 0", "d 2 1 0"], 2, "must delete a clause that is there"),
        (["d 1 2 0", "2 0"], 2, r"\('2 0'\) must follow by unit propagation"),
        (["2 0"], 2, "must be the empty clause"),
    ],
)
def test_the_first_bad_line_is_named_with_its_rule(proof, line, rule):
    with pytest.raises(ProofError, match=f"^Line {line} of the proof .*{rule}") as error:
        check_drup(SQUARE, proof)
    assert error.value.line == line


def test_deletions_delete_one_copy_and_keep_what_was_propagated():
    twice = CNF(2, (*SQUARE.clauses, (1, 2)))
    check_drup(twice, ["d 2 1 0", "2 0", "0"])
    units = CNF(3, ((1,), (-1, 2), (-2, 3), (-3, -2)))
    check_drup(units, ["d 1 0", "0"])


def test_tautologies_and_repeated_literals_are_clauses_like_others():
    awkward = CNF(2, ((1, -1), (1, 1), (-1, 2, 2), (-2, -2)))
    check_drup(awkward, ["d 1 -1 0", "1 2 -1 0", "0"])
    assert verdict(CNF(2, ((1, -1), (2, 2))), ["1 0"]) == 1
