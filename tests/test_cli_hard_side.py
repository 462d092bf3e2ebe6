"""The hard side on the command line: options of arrows, audits with regimes, the table of constants."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.oracles import exact
from cubicwall.cli import app
from cubicwall.commands.auditing import regime_lines
from cubicwall.commands.console import cell, power_of_ten
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.families import complete_cnf
from cubicwall.instances.generate import forced_unsat_ksat
from cubicwall.instances.vector_families import orthogonal_free_vectors
from typer.testing import CliRunner, Result

Call = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Call the command line in a folder with an unsatisfiable formula and vectors without a solution."""
    monkeypatch.chdir(tmp_path)
    complete_cnf(3).write("f.cnf")
    forced_unsat_ksat(6, 40, rng=np.random.default_rng(2)).write("dense.cnf")
    orthogonal_free_vectors([64, 64], 4, 0.8, rng=np.random.default_rng(1)).write("v.npz")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--field", "6"], ["'field' must be a prime power, not 6"]),
        (["--field", "1"], ["'field' must be a prime power, not 1"]),
        (["--field", "2", "--rows", "4"], ["characteristic above the number of rows, 4", "characteristic 2"]),
        (["--field", "4", "--rows", "2"], ["characteristic above the number of rows, 2", "characteristic 2"]),
        (["--field", "3", "--columns", "4"], ["too few points: 3"]),
        (["--field", "5", "--columns", "4"], ["degree overflow", "9 zeros on 5 points"]),
        (["--rows", "1", "--columns", "2"], ["'rows' and 'columns'", "at least 8", "1 · 2"]),
        (["--rows", "0"], ["'rows' must be at least 1, not 0"]),
        (["--family", "goppa"], ["'family' must be one of", "'goppa'"]),
        (["--family", "hermitian", "--field", "5"], ["square of a prime power", "not 5"]),
        (["--epsilon", "0"], ["'epsilon' must be positive, not 0"]),
        (["--epsilon", "nan"], ["'epsilon' must be"]),
        (["--epsilon", "1e-300"], ["'epsilon' must be"]),
        (["--alpha", "-1"], ["'alpha' must be positive, not -1"]),
        (["--alpha", "1e300"], ["'alpha' must be"]),
        (["--thresholds", "3"], ["'thresholds' must hold 2 numbers, not 1"]),
        (["--thresholds", "1,3"], ["'thresholds' must be at least 2"]),
        (["--thresholds", "few"], ["'thresholds' must be integers joined by commas, not 'few'"]),
    ],
)
@pytest.mark.parametrize("verb", ["solve", "audit"])
def test_wrong_options_of_arrows_are_refused_by_name(
    call: Call, verb: str, options: list[str], words: list[str]
) -> None:
    refused(call(verb, "f.cnf", "--via", "gap", *options), *words)


def test_options_that_fit_no_arrow_of_the_path_are_refused(call: Call) -> None:
    refused(
        call("solve", "f.cnf", "--field", "7"), "'field' is an option of distributed_pcp, but the path is"
    )
    refused(call("solve", "v.npz", "--via", "gap", "--epsilon", "1"), "'epsilon'", "sparsify")
    refused(call("count", "f.cnf", "--columns", "2"), "'columns'")


def test_coordinates_beyond_memory_are_refused_even_by_force(call: Call) -> None:
    command = ["solve", "dense.cnf", "--via", "gap", "--no-compress"]
    result = call(*command)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "s UNKNOWN")
    refused(call(*command, "--force"), "'compress' must be True", "10^")


def test_options_reach_their_arrows(call: Call) -> None:
    options = ["--rows", "4", "--columns", "2", "--field", "7", "--thresholds", "9,9", "--no-prune"]
    result = call("audit", "f.cnf", "--via", "gap", "--json", *options)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["answer"] == "no"
    scheme = {"family": "ReedSolomon", "field": 7, "rows": 4, "columns": 2, "length": 7, "agreement": 3}
    assert found["constants"]["scheme"] == scheme
    assert found["trace"][0]["regimes"] == {
        "nothing branches below 4 variables at the thresholds 9, 9: one leaf": 1
    }
    assert found["trace"][2]["calls"] == found["constants"]["messages"] == 49


@pytest.mark.parametrize(("via", "family"), [("gap", "hermitian"), ("gap-complement", "reed-solomon")])
@pytest.mark.parametrize("order", ["2", "3"])
def test_both_families_decide_from_the_command_line(call: Call, via: str, family: str, order: str) -> None:
    options = ["--via", via, "--family", family, "--columns", "1", "-k", order]
    assert call("solve", "f.cnf", "--check", *options).exit_code == 20


def test_short_names_of_paths_are_listed_and_statements_say_the_order(call: Call) -> None:
    lines = call("path").stdout.splitlines()
    for alias in ("direct", "gap", "gap-complement"):
        assert f"    for short: --via {alias}" in lines
    assert "--via" not in call("path", "-q").stdout
    assert "attention of order 2" in call("audit", "v.npz", "--via", "gap").stdout


def test_an_audit_tells_the_regime_of_every_arrow(call: Call) -> None:
    result = call("audit", "v.npz", "--via", "gap", "--field", "3", "--rows", "2", "--columns", "2")
    assert result.exit_code == 0
    assert "genuine: ReedSolomon(field=3, columns=2), rows=2 (1 source)" in result.stdout
    result = call("audit", "f.cnf", "--via", "gap")
    assert "saturated, brute force in disguise" in result.stdout
    assert "nothing branches below 68 variables" in result.stdout
    assert "gap 3-MaxIP in N^(3-δ) time" in result.stdout
    assert "Constants of the largest source" in result.stdout
    assert "Constants" not in call("audit", "f.cnf").stdout


def test_an_audit_of_a_branching_run_passes_and_prints_huge_claims_by_their_logarithm(call: Call) -> None:
    result = call("audit", "dense.cnf", "--via", "gap", "-k", "2", "--thresholds", "3,4", "--force")
    assert result.exit_code == 0
    assert "may branch, from 3 variables on, at the thresholds 3, 4 (1 source)" in result.stdout
    calls = next(
        line.split() for line in result.stdout.splitlines() if line.split()[:2] == ["sparsify", "calls"]
    )
    assert calls[2].startswith("10^")
    assert int(calls[4]) > 1
    assert calls[5] == "yes"


def test_a_waiting_reduction_remembers_its_options(call: Call) -> None:
    step = call("reduce", "v.npz", "-o", "w", "--via", "gap", "--field", "3", "--rows", "2", "--columns", "2")
    rounds = 0
    while step.exit_code == 0:
        np.save("o.npy", exact(TensorAttention.read("w/pending.npz")))
        step = call("lift", "w", "o.npy")
        rounds += 1
    assert (step.exit_code, rounds) == (20, 3)  # q messages


def test_sources_beyond_all_floats_are_refused_in_words(call: Call) -> None:
    Path("huge.cnf").write_text("p cnf 9000 1\n1 2 9000 0\n")
    for via in ("direct", "gap"):
        result = call("solve", "huge.cnf", "--via", via)
        assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "s UNKNOWN")
        assert "10^300 bytes" in result.stdout


def test_constants_are_tabulated_for_all_orders(call: Call) -> None:
    result = call("constants", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    schemes = [(len(row["size"]["sets"]), row["scheme"]["family"]) for row in found["constants"]]
    assert schemes == [(k, f) for k in (2, 3, 4) for _ in range(4) for f in ("ReedSolomon", "Hermitian")]
    assert {row["regime"] for row in found["constants"]} == {"saturated"}
    towers = [row for row in found["crossovers"] if row["codes"] == "tower of curves"]
    assert [row["from"] for row in towers] == ["10^1382", "10^12414", "10^46192"]
    never = [(row["order"], row["codes"]) for row in found["crossovers"] if row["from"] == "never"]
    assert never == [
        (2, "Reed-Solomon"),
        (3, "Reed-Solomon"),
        (3, "Hermitian"),
        (4, "Reed-Solomon"),
        (4, "Hermitian"),
    ]


def test_constants_for_given_vectors_show_the_genuine_regime(call: Call) -> None:
    result = call("constants", "-k", "2", "--vectors", "4096", "-d", "4", "--columns", "2")
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "genuine" in line)
    assert line.split()[:7] == ["Reed-Solomon", "3", "2", "2", "3", "3", "genuine"]


def test_no_cell_of_the_table_is_longer_than_a_word(call: Call) -> None:
    result = call("constants", "-n", "10000", "-k", "3", "--columns", "2")
    assert result.exit_code == 0
    assert max(len(word.strip("─")) for word in result.stdout.split()) <= 13
    assert "10^" in result.stdout


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["-k", "1"], "'order' must be at least 2, not 1"),
        (["-k", "two"], "'order' must be integers joined by commas"),
        (["-n", "0"], "'variables' must be in 1..10000, not 0"),
        (["-n", "20000"], "'variables' must be in 1..10000, not 20000"),
        (["-r", "0"], "'ratio' must be positive"),
        (["-r", "inf"], "'ratio' must be positive"),
        (["--columns", "0"], "'columns' must be at least 1"),
        (["--vectors", "4"], "'vectors' and 'dimension' must be given together"),
        (["--vectors", "4", "-d", "0"], "must be at least 1, not 4 and 0"),
        (["--vectors", "4", "-d", "4", "-n", "3"], "'variables' must not be given beside"),
        (["-o", "c.txt"], "picture's suffix"),
    ],
)
def test_wrong_arguments_of_constants_are_refused_by_name(call: Call, options: list[str], word: str) -> None:
    refused(call("constants", *options), word)


def test_long_numbers_are_written_by_their_logarithm_everywhere() -> None:
    long: Any = 10**5000
    assert cell(long) == "10^5000"
    assert cell(-(10**12)) == "-10^12"
    assert cell(123_456_789) == "123456789"
    assert power_of_ten(9.41) == "10^9.41"


def test_regimes_are_listed_by_frequency_and_the_tail_is_counted() -> None:
    assert regime_lines({"a": 1, "b": 4, "c": 2, "d": 1, "e": 1}) == [
        "b (4 sources)",
        "c (2 sources)",
        "a (1 source)",
        "and 2 more sources",
    ]
