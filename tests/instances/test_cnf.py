"""Formulas keep what they are given, know their models, and survive a file."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from itertools import product

import numpy as np
import pytest
from cubicwall.instances.cnf import CNF, CNFSize
from cubicwall.instances.provenance import Provenance
from hypothesis import given
from hypothesis import strategies as st

LITERALS = st.integers(-7, 7).filter(bool)
CLAUSES = st.lists(st.lists(LITERALS, max_size=5), max_size=7)
COMMENTS = st.lists(st.text(st.characters(exclude_characters="\0\r\n", codec="utf-8")), max_size=4)
PROVENANCES = st.builds(
    Provenance, maker=st.text(), seed=st.none() | st.integers(), version=st.text(max_size=9)
)


def formulas() -> st.SearchStrategy[CNF]:
    return st.builds(
        lambda clauses, extra, provenance, comments: CNF.from_clauses(
            clauses, 7 + extra, provenance=provenance, comments=comments
        ),
        CLAUSES,
        st.integers(0, 3),
        PROVENANCES,
        COMMENTS,
    )


@given(formulas())
def test_a_formula_survives_its_file_with_provenance_and_comments(formula: CNF) -> None:
    again = CNF.from_dimacs(formula.to_dimacs().encode("utf-8", "surrogateescape"))
    assert again == formula
    assert (again.provenance, again.comments) == (formula.provenance, formula.comments)
    assert again.to_dimacs() == formula.to_dimacs()


@pytest.mark.parametrize(
    "comment",
    [
        "cubicwall",
        "cubicwall ",
        "cubicwall is a package",
        "cubicwall []",
        "cubicwall " + "[" * 10_000,
        'cubicwall {"maker": "m", "seed": "7", "version": "1"}',
        'cubicwall {"maker": 5, "seed": 7, "version": "1"}',
        'cubicwall {"maker": "m", "seed": 7}',
        'cubicwall {"maker": "m", "seed": 7, "version": "1", "more": 1}',
        'cubicwall {"maker": "m", "maker": "n", "seed": 7, "version": "1"}',
        'cubicwall {"maker":"m","seed":7,"version":"1"}',
        'cubicwall  {"maker": "m", "seed": 7, "version": "1"}',
    ],
)
def test_a_comment_that_only_resembles_provenance_stays_a_comment(comment: str) -> None:
    formula = CNF.from_dimacs(f"c {comment}\np cnf 0 0\n".encode())
    assert formula.comments == (comment,)
    assert formula.provenance == Provenance()


def test_only_the_first_comment_is_taken_for_provenance() -> None:
    line = Provenance("me", 7, "9").to_json()
    formula = CNF(0, (), Provenance("you"), (f"cubicwall {line}",))
    again = CNF.from_dimacs(formula.to_dimacs().encode())
    assert (again.provenance, again.comments) == (Provenance("you"), (f"cubicwall {line}",))


def test_equality_and_hashes_look_at_variables_and_clauses_only() -> None:
    one = CNF(2, ((1,),), Provenance("one"), ("one",))
    other = CNF(2, ((1,),), Provenance("other"))
    assert one == other
    assert hash(one) == hash(other)
    assert one.sha256 == other.sha256
    assert one.to_dimacs() != other.to_dimacs()


@given(formulas(), formulas())
def test_formulas_are_equal_exactly_when_their_hashes_are(one: CNF, other: CNF) -> None:
    assert (one == other) == (one.sha256 == other.sha256)


def test_clauses_stay_as_they_are_given() -> None:
    clauses = ((2, 2, -1), (), (1, -1), (2, 2, -1))
    assert CNF(3, clauses).clauses == clauses
    assert CNF(3, clauses).size == CNFSize(3, 4, 3)
    assert CNF(3, clauses).size.measures() == {"n": 3, "m": 4, "width": 3}
    assert CNF(0, ()).size.measures() == {"n": 0, "m": 0, "width": 0}


def test_numpy_integers_become_plain_ones() -> None:
    formula = CNF.from_clauses(np.array([[1, -2], [2, 3]]))
    assert formula == CNF(3, ((1, -2), (2, 3)))
    assert {type(literal) for clause in formula.clauses for literal in clause} == {int}


def test_variables_default_to_the_largest_that_occurs() -> None:
    assert CNF.from_clauses([[1], [-5, 2]]).variables == 5
    assert CNF.from_clauses([[]]).variables == 0
    assert CNF.from_clauses([[1]], 4).variables == 4


@given(CLAUSES)
def test_models_are_exactly_the_assignments_that_a_truth_table_accepts(clauses: list[list[int]]) -> None:
    formula = CNF.from_clauses([[lit for lit in clause if abs(lit) < 5] for clause in clauses], 4)
    for values in product((False, True), repeat=4):
        model = tuple(i if value else -i for i, value in enumerate(values, start=1))
        truth = all(any(values[abs(lit) - 1] == (lit > 0) for lit in clause) for clause in formula.clauses)
        assert formula.satisfied_by(model) is truth
        assert formula.accepts(model) is truth


def test_the_only_assignment_of_no_variables_is_empty() -> None:
    assert CNF(0, ()).satisfied_by(())
    assert not CNF(0, ((),)).satisfied_by(())


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ((1,), ValueError, "Argument 'model' must hold 2 literals, not 1."),
        ((1, 2, 3), ValueError, "Argument 'model' must hold 2 literals, not 3."),
        ((1, 3), ValueError, "Argument 'model' must hold 2 or -2 at index 1, not 3."),
        ((-2, 1), ValueError, "Argument 'model' must hold 1 or -1 at index 0, not -2."),
        ((0, 2), ValueError, "Argument 'model' must hold 1 or -1 at index 0, not 0."),
        ((True, 2), ValueError, "Argument 'model' must hold 1 or -1 at index 0, not True."),
        ((1.0, 2), TypeError, "'float' object cannot be interpreted as an integer"),
    ],
)
def test_a_malformed_model_is_refused(model: tuple[int, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        CNF(2, ((1,),)).satisfied_by(model)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("variables", "clauses", "error", "message"),
    [
        (-1, (), ValueError, "Argument 'variables' must be in 0..2147483647, not -1."),
        (2**31, (), ValueError, "Argument 'variables' must be in 0..2147483647, not 2147483648."),
        (True, (), TypeError, "Argument 'variables' must be an int, not True."),
        (2.0, (), TypeError, "Argument 'variables' must be an int, not 2.0."),
        (2, [(1,)], TypeError, "Argument 'clauses' must be a tuple of tuples, not list."),
        (
            2,
            ([1],),
            TypeError,
            "Argument 'clauses' must be a tuple of tuples, not hold list; "
            "CNF.from_clauses takes any iterables.",
        ),
        (
            2,
            ((1,), (2, 0)),
            ValueError,
            "Argument 'clauses' must hold literals of magnitude 1..2, not 0 at clause 1, index 1.",
        ),
        (
            2,
            ((3,),),
            ValueError,
            "Argument 'clauses' must hold literals of magnitude 1..2, not 3 at clause 0, index 0.",
        ),
        (
            2,
            ((1, -3),),
            ValueError,
            "Argument 'clauses' must hold literals of magnitude 1..2, not -3 at clause 0, index 1.",
        ),
        (
            2,
            ((1,), (True,)),
            TypeError,
            "Argument 'clauses' must hold integers, not True of type bool at clause 1, index 0.",
        ),
        (
            2,
            ((1, 2.0),),
            TypeError,
            "Argument 'clauses' must hold integers, not 2.0 of type float at clause 0, index 1.",
        ),
    ],
)
def test_the_constructor_names_argument_rule_and_value(
    variables: int, clauses: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        CNF(variables, clauses)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize("literal", [True, np.True_, 1.0, "1", None])
def test_from_clauses_refuses_what_is_no_integer(literal: object) -> None:
    with pytest.raises(TypeError, match=r"must hold integers, not .* at clause 1, index 0\."):
        CNF.from_clauses([[1], [literal]])  # type: ignore[list-item]


@pytest.mark.parametrize("comment", ["a\nb", "a\r", "\0", "\ud800", "\udcc3\udca9"])
def test_a_comment_that_a_file_could_not_give_back_is_refused(comment: str) -> None:
    with pytest.raises(ValueError, match="Argument 'comments' must"):
        CNF(0, (), comments=(comment,))


def test_comments_must_be_a_tuple_of_text() -> None:
    with pytest.raises(TypeError, match="Argument 'comments' must be a tuple of str"):
        CNF(0, (), comments="text")  # type: ignore[arg-type]


def test_a_formula_is_immutable_and_picklable() -> None:
    formula = CNF(2, ((1, -2),), Provenance("me", 1), ("hello",))
    with pytest.raises(FrozenInstanceError):
        formula.variables = 3  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(formula))
    assert (again, again.provenance, again.comments) == (formula, formula.provenance, formula.comments)
