"""Reduce and lift across processes: replayed, hash-checked, and nothing lost by a wrong answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cubicwall.algorithms.oracles import exact
from cubicwall.algorithms.vectors import first_orthogonal
from cubicwall.instances.answer import Answer, Count, No, Undecided, Yes
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.cnf import CNF
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions.replay import (
    BreachError,
    Waiting,
    answer_from_json,
    answer_to_json,
    begin,
    lift,
    source_kind,
)

YES = CNF.from_clauses([[1, 2, 3], [-1, -2], [4, -5], [5, 6], [-6, -4, 1]])
NO = CNF.from_clauses([[1, 2], [-1, 2], [1, -2], [-1, -2]], variables=5)


def answered_outside(step: Waiting | Answer, folder: Path) -> Answer:
    """Play the outside program: read the pending file, write an answer file, lift."""
    rounds = 0
    while isinstance(step, Waiting):
        output = exact(TensorAttention.read(step.path))
        np.save(folder.parent / "output.npy", output)
        step = lift(folder, folder.parent / "output.npy")
        rounds += 1
        assert rounds < 50
    return step


def test_a_formula_is_decided_by_an_outside_program(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    answer = answered_outside(begin(YES, folder), folder)
    assert isinstance(answer, Yes)
    assert YES.accepts(answer.witness)
    assert not (folder / "pending.npz").exists()


def test_an_unsatisfiable_formula_and_a_count_go_through(tmp_path: Path) -> None:
    assert answered_outside(begin(NO, tmp_path / "a"), tmp_path / "a") == No()
    assert answered_outside(begin(NO, tmp_path / "b", counting=True), tmp_path / "b") == Count(0)


def test_vectors_are_a_source_and_a_target(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    step = begin(YES, folder, via="split_and_list", order=2)
    assert isinstance(step, Waiting)
    found = first_orthogonal(OrthogonalVectors.read(step.path))
    (tmp_path / "found.json").write_text(json.dumps(answer_to_json(found)))
    answer = lift(folder, tmp_path / "found.json")
    assert isinstance(answer, Yes)
    assert YES.accepts(answer.witness)
    assert source_kind(folder) == "CNF"

    vectors = OrthogonalVectors([[[1, 0]], [[0, 1]]])
    assert answered_outside(begin(vectors, tmp_path / "v"), tmp_path / "v") == Yes((0, 0))


def test_a_source_that_needs_no_call_is_answered_at_once(tmp_path: Path) -> None:
    assert begin(CNF.from_clauses([[]], variables=3), tmp_path / "w") == No()
    with pytest.raises(ValueError, match="is finished"):
        lift(tmp_path / "w", tmp_path / "none.npy")


def test_begin_wants_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(FileExistsError, match="must be a new or an empty folder"):
        begin(YES, tmp_path)
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    "output",
    [np.full((8, 2), 0.29), np.full((8, 2), np.nan), np.zeros((3, 2)), np.full((8, 2), 3.0)],
    ids=["gap", "NaN", "shape", "range"],
)
def test_an_answer_that_breaks_its_promise_is_refused_and_loses_nothing(
    tmp_path: Path, output: object
) -> None:
    folder = tmp_path / "work"
    step = begin(NO, folder)
    assert isinstance(step, Waiting)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    np.save(tmp_path / "bad.npy", output)
    with pytest.raises(BreachError):
        lift(folder, tmp_path / "bad.npy")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert answered_outside(step, folder) == No()


def test_a_wrong_witness_is_refused_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    step = begin(YES, folder, via="split_and_list", order=2)
    assert isinstance(step, Waiting)
    vectors = OrthogonalVectors.read(step.path)
    wrong = next(
        (i, j) for i in range(vectors.sizes[0]) for j in range(vectors.sizes[1]) if vectors.violations((i, j))
    )
    for witness in (wrong, (99, 0), (0,)):
        (tmp_path / "wrong.json").write_text(json.dumps({"answer": "yes", "witness": list(witness)}))
        with pytest.raises(BreachError, match="witness"):
            lift(folder, tmp_path / "wrong.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"answer": "maybe"}', '{"answer": "yes", "witness": [true]}'])
def test_unreadable_answers_are_refused(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "work"
    begin(YES, folder, via="split_and_list", order=2)
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match="'answer' must be a readable answer"):
        lift(folder, tmp_path / "bad.json")


def test_a_pickled_or_missing_answer_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    begin(YES, folder)
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for name in ("bad.npy", "missing.npy"):
        with pytest.raises(ValueError, match="'answer' must be a readable answer"):
            lift(folder, tmp_path / name)


def test_a_folder_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    begin(YES, folder)
    np.save(tmp_path / "o.npy", np.zeros((4, 2)))
    NO.write(folder / "source.cnf")
    with pytest.raises(ValueError, match="not the one that the reduction began with"):
        lift(folder, tmp_path / "o.npy")
    with pytest.raises(ValueError, match="must be made by reduce"):
        lift(tmp_path, tmp_path / "o.npy")


def test_a_question_that_differs_from_the_one_asked_before_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    step = begin(YES, folder)
    assert isinstance(step, Waiting)
    np.save(tmp_path / "o.npy", exact(TensorAttention.read(step.path)))
    state = json.loads((folder / "state.json").read_text())
    state["asked"][0] = "0" * 64
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="does not replay"):
        lift(folder, tmp_path / "o.npy")


@pytest.mark.parametrize(
    "answer", [Yes((1, -2)), No(), Count(5), Undecided("because"), Undecided("x", breach=True)]
)
def test_answers_survive_json(answer: Answer) -> None:
    assert answer_from_json(json.loads(json.dumps(answer_to_json(answer)))) == answer
