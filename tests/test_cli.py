"""The command line, used rightly and wrongly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.attention_gradient import attention_gradient
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.oracles import exact
from cubicwall.cli import main
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.cnf import CNF
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.verification.proofs import check_drup

SAT = "p cnf 4 4\n1 2 0\n-1 3 0\n-3 4 0\n-2 -4 0\n"
UNSAT = "p cnf 2 4\n1 2 0\n-1 2 0\n1 -2 0\n-1 -2 0\n"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def cubicwall(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in this process, in a folder with two formulas."""
    monkeypatch.chdir(tmp_path)
    Path("sat.cnf").write_text(SAT)
    Path("unsat.cnf").write_text(UNSAT)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["cubicwall", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Result(int(end.value.code or 0), captured.out, captured.err)

    return run


def one_line(result: Result, *words: str) -> None:
    assert result.code == 2
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


def test_solve_prints_as_in_sat_competitions(cubicwall: Run) -> None:
    yes = cubicwall("solve", "sat.cnf", "--check")
    assert yes.code == 10
    status, *values = yes.out.splitlines()
    assert status == "s SATISFIABLE"
    literals = [int(w) for line in values if line.startswith("v ") for w in line[2:].split()]
    assert literals[-1] == 0
    assert CNF.read("sat.cnf").accepts(tuple(literals[:-1]))
    no = cubicwall("solve", "unsat.cnf", "--check")
    assert (no.code, no.out.splitlines()[0]) == (20, "s UNSATISFIABLE")


def test_no_comes_with_a_drup_proof(cubicwall: Run) -> None:
    assert cubicwall("solve", "unsat.cnf", "--proof", "unsat.drup").code == 20
    check_drup(CNF.read("unsat.cnf"), Path("unsat.drup").read_text().splitlines())
    assert cubicwall("solve", "sat.cnf", "--proof", "sat.drup").code == 10
    assert not Path("sat.drup").exists()


def test_long_models_break_over_lines(cubicwall: Run) -> None:
    CNF.from_clauses([], variables=18).write("long.cnf")
    lines = cubicwall("solve", "long.cnf", "-q").out.splitlines()
    assert all(len(line) <= 78 for line in lines)
    CNF.from_clauses([[v] for v in range(1, 61)]).write("longer.cnf")
    lines = cubicwall("solve", "longer.cnf", "-q", "--force", "-k", "12").out.splitlines()
    assert len(lines) > 2
    assert all(line.startswith("v ") and len(line) <= 78 for line in lines[1:])


@pytest.mark.parametrize("order", ["2", "3", "4"])
@pytest.mark.parametrize("oracle", ["exact", "adversarial", "adversarial:signs", "adversarial:one"])
def test_every_order_and_named_oracle_answers(cubicwall: Run, order: str, oracle: str) -> None:
    assert cubicwall("solve", "sat.cnf", "-k", order, "--oracle", oracle).code == 10
    assert cubicwall("solve", "unsat.cnf", "-k", order, "--oracle", oracle).code == 20
    assert cubicwall("count", "sat.cnf", "-k", order, "--oracle", oracle, "-q").out == "2\n"


def test_formulas_come_from_stdin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cubicwall", "solve", "-"],
        input=SAT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 10, done.stderr


def test_count_agrees_with_an_independent_counter(cubicwall: Run) -> None:
    assert cubicwall("count", "sat.cnf", "--check").out.splitlines()[0] == "2"
    assert cubicwall("count", "unsat.cnf", "--check", "-q").out == "0\n"


def test_vectors_are_solved_and_counted(cubicwall: Run) -> None:
    OrthogonalVectors([[[1, 1], [0, 1]], [[1, 0]], [[1, 1]]]).write("v.kov")
    result = cubicwall("solve", "v.kov", "--check")
    assert (result.code, result.out.splitlines()[:2]) == (10, ["s SATISFIABLE", "v 1 0 0"])
    assert cubicwall("count", "v.kov", "--check", "-q").out == "1\n"


ORACLES = """
import numpy as np
from cubicwall import attention

def honest(instance):
    return attention(instance.query, instance.keys, instance.values, scale=instance.scale)

def always_no(instance):
    return np.zeros((len(instance.query), 2))

def always_yes(instance):
    return np.full((len(instance.query), 2), 0.5)

def nan(instance):
    return np.full((len(instance.query), 2), np.nan)

def raises(instance):
    raise StopIteration

number = 3
"""


def test_anyones_attention_can_be_the_oracle(cubicwall: Run) -> None:
    Path("mine_a.py").write_text(ORACLES)
    assert cubicwall("solve", "sat.cnf", "--oracle", "mine_a:honest").code == 10


@pytest.mark.parametrize(
    ("function", "file", "words"),
    [
        ("nan", "sat.cnf", "softmax masses"),
        ("always_yes", "unsat.cnf", "witness"),
        ("raises", "sat.cnf", "StopIteration"),
        ("always_no", "sat.cnf", "independent solver says Yes"),
    ],
)
def test_an_oracle_that_breaks_its_promise_is_reported(
    cubicwall: Run, function: str, file: str, words: str
) -> None:
    Path("mine_b.py").write_text(ORACLES)
    result = cubicwall("solve", file, "--oracle", f"mine_b:{function}", "--check")
    assert result.code == 1
    assert words in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("oracle", ["nonsense", "no_such_module:f", "mine_c:missing", "mine_c:number", ":"])
def test_an_oracle_that_does_not_exist_is_bad_input(cubicwall: Run, oracle: str) -> None:
    Path("mine_c.py").write_text(ORACLES)
    one_line(cubicwall("solve", "sat.cnf", "--oracle", oracle), "'oracle'")


def test_bad_files_give_one_clear_line(cubicwall: Run) -> None:
    Path("bad.cnf").write_text("p cnf 2 1\n1 3 0\n")
    one_line(cubicwall("solve", "bad.cnf"), "bad.cnf", "3")
    one_line(cubicwall("solve", "missing.cnf"), "missing.cnf")
    one_line(cubicwall("count", "."), ".")


def test_bad_options_give_one_clear_line(cubicwall: Run) -> None:
    one_line(cubicwall("solve", "sat.cnf", "--order", "1"), "order")
    one_line(cubicwall("solve", "sat.cnf", "--via", "detour"), "'via'", "detour")
    one_line(cubicwall("count", "sat.cnf", "--via", "split_and_list,signed_encoding"), "decides only")
    one_line(cubicwall("nonsense"), "nonsense")
    one_line(cubicwall("solve"), "file")


def test_json_is_one_document_everywhere(cubicwall: Run) -> None:
    solved = cubicwall("solve", "sat.cnf", "--json").json
    assert solved["answer"] == "yes"
    assert [hop["arrow"] for hop in solved["trace"]] == ["split_and_list", "signed_encoding"]
    assert solved["trace"][0]["statement"].startswith("3-OV in N^(3-δ) time")
    assert cubicwall("solve", "unsat.cnf", "--json").json["answer"] == "no"
    assert cubicwall("count", "sat.cnf", "--json").json["value"] == 2
    assert cubicwall("audit", "sat.cnf", "--json").json["trace"][1]["measured"]["eps"] == 0.17
    assert cubicwall("path", "--json").json["paths"][0] == ["split_and_list", "signed_encoding"]
    assert "signed_encoding" in cubicwall("graph", "-o", "g.svg", "--json").json["arrows"]
    assert cubicwall("generate", "complete", "-o", "c.cnf", "--json").json["m"] == 8
    assert cubicwall("reduce", "sat.cnf", "-o", "folder", "--json").json["number"] == 0


def test_what_would_take_hours_is_refused_beforehand_with_numbers(cubicwall: Run) -> None:
    CNF.from_clauses([[1, 2, 3]], variables=57).write("large.cnf")
    began = time.monotonic()
    result = cubicwall("solve", "large.cnf")
    assert (result.code, result.out.splitlines()[0]) == (0, "s UNKNOWN")
    assert "up to" in result.out
    assert "--force" in result.out
    assert time.monotonic() - began < 30
    assert cubicwall("solve", "large.cnf", "--json").json["answer"] == "undecided"


def test_the_audit_prints_claim_beside_measurement(cubicwall: Run) -> None:
    result = cubicwall("audit", "sat.cnf")
    assert result.code == 0
    for word in ("split_and_list", "signed_encoding", "claimed", "measured", "eps", "0.17"):
        assert word in result.out


def test_reduce_and_lift_let_an_outside_program_answer(cubicwall: Run) -> None:
    assert cubicwall("reduce", "sat.cnf", "-o", "folder").code == 0
    for _ in range(20):
        np.save("answer.npy", exact(TensorAttention.read("folder/pending.npz")))
        result = cubicwall("lift", "folder", "answer.npy")
        if result.code:
            break
    assert result.code == 10
    assert result.out.splitlines()[1].endswith(" 0")


def test_lift_reports_a_broken_promise_and_bad_input(cubicwall: Run) -> None:
    cubicwall("reduce", "sat.cnf", "-o", "folder")
    np.save("answer.npy", np.full((4, 2), np.nan))
    assert cubicwall("lift", "folder", "answer.npy").code == 1
    one_line(cubicwall("lift", "folder", "missing.npy"), "missing.npy")
    one_line(cubicwall("lift", "nowhere", "answer.npy"), "nowhere")
    one_line(cubicwall("reduce", "sat.cnf", "-o", "folder"), "folder")


def test_graph_writes_svg_with_every_arrow(cubicwall: Run) -> None:
    assert cubicwall("graph", "-o", "arrows.svg").code == 0
    text = Path("arrows.svg").read_text()
    assert "<svg" in text
    first = Path("arrows.svg").read_bytes()
    cubicwall("graph", "-o", "arrows.svg")
    assert Path("arrows.svg").read_bytes() == first
    one_line(cubicwall("graph", "-o", "arrows.nonsense"), "arrows.nonsense")


FAMILIES = [
    ("ksat", "-n", "12", "-r", "4"),
    ("planted", "-n", "12", "-m", "40"),
    ("unique", "-n", "8", "-r", "3"),
    ("unsat", "-n", "8", "-r", "3"),
    ("pigeonhole", "--holes", "2"),
    ("parity", "--pairs", "1"),
    ("ordering", "--elements", "3"),
    ("complete", "-w", "3"),
    ("tseitin", "--vertices", "4"),
    ("colouring", "--vertices", "6", "--degree", "3"),
]


@pytest.mark.parametrize("family", FAMILIES, ids=[f[0] for f in FAMILIES])
def test_every_family_is_generated_reproducibly_and_solved(cubicwall: Run, family: tuple[str, ...]) -> None:
    assert cubicwall("generate", *family, "-o", "a.cnf").code == 0
    assert cubicwall("generate", *family, "-o", "b.cnf").code == 0
    assert Path("a.cnf").read_bytes() == Path("b.cnf").read_bytes()
    assert cubicwall("solve", "a.cnf", "--check").code in (10, 20)


@pytest.mark.parametrize("family", ["vectors", "planted-vectors", "free-vectors"])
def test_vector_families_are_generated_and_solved(cubicwall: Run, family: str) -> None:
    assert cubicwall("generate", family, "--sizes", "5,6,7", "-d", "9", "-o", "v.npz").code == 0
    code = cubicwall("solve", "v.npz", "--check").code
    assert code == {"vectors": code, "planted-vectors": 10, "free-vectors": 20}[family]
    one_line(cubicwall("generate", family, "--sizes", "five", "-o", "v.npz"), "sizes", "five")
    one_line(cubicwall("generate", family, "-o", "-"), "output")


def test_generate_refuses_bad_parameters(cubicwall: Run) -> None:
    one_line(cubicwall("generate", "ksat", "-n", "2"), "variables", "2")
    one_line(cubicwall("generate", "ksat", "--seed", "-1"), "seed", "-1")
    one_line(cubicwall("generate", "ksat", "-n", "9", "-m", "4", "-r", "2"), "clauses", "ratio")
    one_line(cubicwall("generate", "tseitin", "--vertices", "5", "--degree", "3"), "degree", "5")


def test_timeout_gives_up_in_time(cubicwall: Run) -> None:
    cubicwall("generate", "unsat", "-n", "33", "-r", "4.3", "-o", "slow.cnf")
    began = time.monotonic()
    result = cubicwall("solve", "slow.cnf", "--timeout", "0.2")
    assert (result.code, result.out.splitlines()[0]) == (0, "s UNKNOWN")
    assert "0.2 seconds" in result.out
    assert time.monotonic() - began < 15


def test_ctrl_c_exits_130_with_one_line(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from cubicwall.commands.console import Output\n"
        "import cubicwall.instances.reading as reading\n"
        "reading.read_instance = lambda file: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['cubicwall', 'solve', 'x.cnf']\n"
        "from cubicwall.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 130
    assert done.stderr == "cubicwall: interrupted\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "sat.cnf").write_text(SAT)
    process = subprocess.Popen(
        [sys.executable, "-m", "cubicwall", "audit", "sat.cnf"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGPIPE)
    assert b"Traceback" not in errors


def test_threads_change_no_answer(cubicwall: Run) -> None:
    command = [sys.executable, "-m", "cubicwall", "solve", "sat.cnf", "--threads", "1"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 10
    one_line(cubicwall("solve", "sat.cnf", "--threads", "0"), "threads")


def arrays(order: int = 3, n: int = 200, bound: float = 1.0) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = ["Q", *(f"{side}{t}" for side in "KV" for t in range(1, order))]
    return {name: rng.uniform(-bound, bound, (n, 4)) for name in names}


def test_attend_writes_the_output_and_a_certificate(cubicwall: Run) -> None:
    made = arrays()
    np.savez("in.npz", **made)
    result = cubicwall("attend", "in.npz", "-o", "out.npz", "--tolerance", "1e-4", "--method", "fast")
    assert result.code == 0
    with np.load("out.npz", allow_pickle=False) as archive:
        output, certificate = archive["output"], json.loads(str(archive["certificate"]))
    expected = attention(made["Q"], [made["K1"], made["K2"]], [made["V1"], made["V2"]])
    assert np.abs(output - expected).max() <= certificate["bound"] <= 1e-4
    assert "rank" in result.out


def test_attend_takes_npy_files_and_instances(cubicwall: Run) -> None:
    made = arrays(order=2)
    for name, array in made.items():
        np.save(f"{name}.npy", array)
    document = cubicwall("attend", "Q.npy", "K1.npy", "V1.npy", "-o", "out.npz", "--json").json
    assert document["certificate"]["bound"] <= 1e-6
    instance = TensorAttention(made["Q"], [made["K1"]], [made["V1"]], scale=0.25, accuracy=1e-3)
    instance.write("instance.npz")
    planned = cubicwall("attend", "instance.npz", "--explain", "--json").json
    assert planned["order"] == 2
    assert planned["exact_seconds"] > 0


@pytest.mark.parametrize("method", ["exact", "fast", "auto"])
def test_attend_writes_all_gradients_and_a_certificate(cubicwall: Run, method: str) -> None:
    made = arrays()
    upstream = np.random.default_rng(1).normal(size=(200, made["V1"].shape[1]))
    np.savez("in.npz", **made, dO=upstream)
    options = ("--gradient", "in.npz", "--tolerance", "0.5", "--method", method)
    document = cubicwall("attend", "in.npz", "-o", "out.npz", *options, "--json").json
    keys, values = [made["K1"], made["K2"]], [made["V1"], made["V2"]]
    exact = attention_gradient(made["Q"], keys, values, upstream)
    certificate = document["certificate"]
    assert certificate["method"] == method or method == "auto"
    bound = certificate.get("bound", 1e-10)
    assert bound <= 0.5
    with np.load("out.npz", allow_pickle=False) as archive:
        for name, expected in zip(
            ("dQ", "dK1", "dK2", "dV1", "dV2"), (exact.query, *exact.keys, *exact.values), strict=True
        ):
            assert np.abs(archive[name] - expected).max() <= bound + 1e-10
        assert np.abs(archive["output"] - attention(made["Q"], keys, values)).max() <= 0.1
    np.save("dO.npy", upstream)
    again = cubicwall("attend", "in.npz", "-o", "again.npz", "--gradient", "dO.npy", *options[2:])
    assert (again.code, "again.npz: dQ (200, " in again.out) == (0, True)


def test_attend_names_what_is_wrong_with_a_gradient(cubicwall: Run) -> None:
    made = arrays(bound=9.0)
    np.savez("in.npz", **made)
    np.save("dO.npy", np.ones((200, made["V1"].shape[1])))
    np.save("short.npy", np.ones((3, 1)))
    fast = ("attend", "in.npz", "-o", "o.npz", "--method", "fast", "--gradient")
    one_line(cubicwall(*fast, "dO.npy"), "fast gradient", "B = ", "attention_gradient")
    one_line(cubicwall(*fast, "in.npz"), "in.npz", "dO")
    one_line(cubicwall(*fast, "short.npy"), "upstream", "(3, 1)")
    one_line(cubicwall(*fast, "dO.txt"), "gradient", "dO.txt")
    one_line(cubicwall(*fast, "dO.npy", "--explain"), "explain")
    assert cubicwall("attend", "in.npz", "-o", "o.npz", "--gradient", "dO.npy").code == 0


def test_attend_names_the_wall_and_bad_input(cubicwall: Run) -> None:
    np.savez("large.npz", **arrays(bound=9.0))
    one_line(
        cubicwall("attend", "large.npz", "-o", "o.npz", "--method", "fast"),
        "B = ",
        "b = B/",
        "What would work",
    )
    assert cubicwall("attend", "large.npz", "-o", "o.npz").code == 0
    np.savez("nan.npz", **{**arrays(), "K1": np.full((200, 4), np.nan)})
    one_line(cubicwall("attend", "nan.npz", "-o", "o.npz"), "keys[0]", "NaN")
    np.savez("short.npz", Q=np.ones((3, 2)))
    one_line(cubicwall("attend", "short.npz", "-o", "o.npz"), "short.npz", "K1")
    one_line(cubicwall("attend", "large.npz"), "output")
    one_line(cubicwall("attend", "large.npz", "-o", "o.txt"), "o.txt")
    one_line(cubicwall("attend", "large.npz", "-o", "o.npz", "--tolerance", "-1"), "tolerance", "-1")
    one_line(cubicwall("attend", "large.npz", "-o", "o.npz", "--method", "quick"), "method", "quick")
    one_line(cubicwall("attend", "missing.npz", "-o", "o.npz"), "missing.npz")


def test_the_fast_oracle_gives_up_at_the_wall_and_never_guesses(cubicwall: Run) -> None:
    result = cubicwall("solve", "sat.cnf", "--oracle", "fast")
    assert result.code in (0, 10)
    if result.code == 0:
        assert result.out.startswith("s UNKNOWN")
        assert "b = B/" in result.out
    cubicwall("generate", "unsat", "-n", "15", "-r", "4", "-o", "larger.cnf")
    beyond = cubicwall("solve", "larger.cnf", "--oracle", "fast")
    assert (beyond.code, beyond.out.splitlines()[0]) == (0, "s UNKNOWN")


@pytest.mark.parametrize("via", ["gradient", "gap"])
def test_longer_paths_answer_too(cubicwall: Run, via: str) -> None:
    assert cubicwall("solve", "sat.cnf", "--via", via, "--check").code == 10
    assert cubicwall("solve", "unsat.cnf", "--via", via, "--check").code == 20
    one_line(cubicwall("count", "sat.cnf", "--via", via), "decides only")
