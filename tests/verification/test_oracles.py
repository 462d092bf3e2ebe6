"""Adversaries keep their promise as badly as they can, and are found by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cubicwall.algorithms.oracles import exact
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions.encoding import signed_encoding
from cubicwall.verification.oracles import STRATEGIES, adversarial, named_oracle


def question() -> TensorAttention:
    rows = np.random.default_rng(0).integers(0, 2, size=(3, 6, 7))
    asked = next(signed_encoding(OrthogonalVectors(list(rows))))
    assert isinstance(asked, TensorAttention)
    return asked


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_adversary_errs_by_the_whole_accuracy_and_no_more(strategy: str) -> None:
    instance = question()
    error = np.abs(adversarial(strategy, rng=np.random.default_rng(1))(instance) - exact(instance))
    assert error.max() <= instance.accuracy + 1e-15
    assert error.max() >= instance.accuracy - 1e-15


def test_one_moves_a_single_entry_and_the_others_all() -> None:
    instance = question()
    for strategy in STRATEGIES:
        moved = adversarial(strategy, rng=np.random.default_rng(1))(instance) != exact(instance)
        assert moved.sum() == (1 if strategy == "one" else moved.size)


def test_toward_moves_every_row_to_the_wrong_side() -> None:
    instance = question()
    honest, moved = exact(instance)[:, 0], adversarial("toward")(instance)[:, 0]
    assert (moved[honest > 0.4] < honest[honest > 0.4]).all()
    assert (moved[honest < 0.2] > honest[honest < 0.2]).all()


def test_over_and_under_push_the_counts_apart() -> None:
    instance = question()
    ratios = [o[:, 0] / o[:, 1] for o in (adversarial(s)(instance) for s in ("over", "under"))]
    positive = adversarial("under")(instance)[:, 1] > 0
    assert (np.abs(ratios[0][positive]) > ratios[1][positive]).all()


def test_random_signs_are_reproducible_and_need_a_generator() -> None:
    outputs = [adversarial("signs", rng=np.random.default_rng(5))(question()) for _ in range(2)]
    np.testing.assert_array_equal(*outputs)
    with pytest.raises(ValueError, match="'rng' must be given"):
        adversarial("signs")


def test_unknown_strategies_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'strategy' must be one of .*, not 'mean'"):
        adversarial("mean")


@pytest.mark.parametrize("name", ["exact", "adversarial", "adversarial:over", "adversarial:signs"])
def test_named_oracles_answer_and_report_progress(name: str) -> None:
    heard: list[float] = []
    oracle = named_oracle(name, seed=3, progress=heard.append)
    assert np.shape(oracle(question())) == (6, 2)
    assert heard[-1] == 1.0


def test_progress_changes_no_bit_of_the_output() -> None:
    tokens = np.random.default_rng(2).standard_normal((300, 8))
    instance = TensorAttention(tokens, [tokens] * 2, [tokens] * 2, scale=0.125, accuracy=0.1)
    heard: list[float] = []
    np.testing.assert_array_equal(exact(instance), exact(instance, progress=heard.append))
    assert heard == sorted(heard)


@pytest.mark.parametrize(
    "name", ["", "mine", ":f", "mine:", "adversarial:mean", "no.such.module:f", "math:nothing"]
)
def test_oracles_that_do_not_exist_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"Argument '(oracle|strategy)'"):
        named_oracle(name)


def test_a_module_that_fails_while_it_is_imported_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_on_import.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="RuntimeError: broken"):
        named_oracle("breaks_on_import:f")
