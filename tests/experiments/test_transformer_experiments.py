"""Measurements of transformers: claims hold, fits are right, pictures and the verb come out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import typer
from cubicwall.commands.console import Output, verb
from cubicwall.commands.transforming import transformer
from cubicwall.experiments.transformer import (
    TimeRow,
    crossover,
    error_against_depth,
    slope,
    time_against_tokens,
    tolerance_for,
)
from cubicwall.experiments.transformer_comparison import compared, drawn_problem
from cubicwall.experiments.transformer_figures import draw_depth, draw_layers, draw_times
from typer.testing import CliRunner


@pytest.mark.parametrize("b", [0.3, 0.5, 0.7])
def test_claims_hold_at_small_depth(b: float) -> None:
    rows = error_against_depth([1, 3], [b], 700, 1e-5)
    assert all(row.input_error <= row.input_bound and row.output_error <= row.output_bound for row in rows)


@pytest.mark.full
@pytest.mark.parametrize("b", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("n", [512, 2048])
def test_claims_hold_at_every_depth_to_sixteen(b: float, n: int) -> None:
    rows = error_against_depth(list(range(1, 17)), [b], n, 1e-6)
    assert all(row.input_error <= row.input_bound and row.output_error <= row.output_bound for row in rows)


@pytest.mark.parametrize("causal", [True, False])
def test_every_layer_and_weight_keeps_its_claim(causal: bool) -> None:
    run = compared(drawn_problem(600, layers=3, heads=2, causal=causal), 1e-5)
    assert run.sound
    assert len(run.rows) == len(run.ranks) == len(run.weight_errors) == 3
    assert min(run.ranks) > 1


def test_a_broken_claim_is_seen() -> None:
    run = compared(drawn_problem(300, layers=1), 1e-5)
    assert run.sound
    assert not type(run)(**{**vars(run), "output_bound": run.output_error / 2}).sound


@pytest.mark.parametrize("measured", [True, False])
def test_a_tolerance_for_a_target_meets_it(measured: bool) -> None:
    problem = drawn_problem(400, layers=2, bound=0.5)
    tolerance, error = tolerance_for(problem, 1e-4, measured=measured)
    assert error <= 1e-4
    row = compared(problem, tolerance).rows[0]
    assert (row.error if measured else row.certificate) == pytest.approx(error, rel=1e-6)


def test_targets_out_of_reach_are_refused() -> None:
    problem = drawn_problem(300, layers=1)
    with pytest.raises(ValueError, match="'target' must be positive"):
        tolerance_for(problem, 0.0)
    with pytest.raises(ValueError, match="within reach"):
        tolerance_for(problem, 1e-30)


def test_fits_are_those_of_power_laws() -> None:
    rows = [TimeRow(n, 1e-6 * n**2, 1e-3 * n) for n in (100, 200, 400, 1600, 3200)]
    assert slope([row.n for row in rows], [row.exact_seconds for row in rows]) == pytest.approx(2.0)
    assert crossover(rows) == pytest.approx(1000.0)
    assert crossover(rows[:2]) == math.inf
    assert crossover(rows[3:]) == 0.0
    assert slope([1, 2, 4], [1.0, 2.0, math.nan]) == pytest.approx(1.0)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    draw_depth(error_against_depth([1, 2], [0.3], 300, 1e-3), tmp_path / "depth.svg")
    draw_times(time_against_tokens([64, 128], 1e-3, exact_up_to=64, repeats=1), tmp_path / "time.svg")
    draw_layers(compared(drawn_problem(300, layers=2), 1e-3), tmp_path / "layers.svg")
    for file in tmp_path.iterdir():
        assert file.read_text().count("<path") > 5


def test_the_exact_model_need_not_run() -> None:
    run = compared(drawn_problem(300, layers=2), 1e-3, exactly=False)
    assert math.isnan(run.exact_seconds)
    assert all(math.isnan(row.error) for row in run.rows)
    assert run.sound


def invoke(*arguments: str) -> Any:
    app = typer.Typer()
    verb(app)(transformer)
    return CliRunner().invoke(app, list(arguments))


def test_the_verb_prints_a_line_a_layer_and_draws(tmp_path: Path) -> None:
    done = invoke("-n", "300", "--layers", "2", "--heads", "2", "--full", "-o", str(tmp_path / "a.svg"))
    assert done.exit_code == 0, done.output
    assert "claimed" in done.output
    assert (tmp_path / "a.svg").exists()


def test_the_verb_speaks_json_without_nan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cubicwall.commands.transforming.PATIENT", 0.0)
    monkeypatch.chdir(tmp_path)
    done = invoke("-n", "3000", "--layers", "1", "--width", "4", "--tolerance", "1e-2", "--json")
    fields = json.loads(done.output, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert fields["sound"]
    assert fields["exact_seconds"] is None
    assert fields["rows"][0]["error"] is None


def test_the_verb_refuses_in_one_line() -> None:
    for wrong in (("--tolerance", "0"), ("--heads", "3"), ("--bound", "-1"), ("-n", "600", "--bound", "30")):
        assert invoke("-n", "40", *wrong).exit_code == 2


def test_sizes_beyond_any_memory_are_refused_before_any_work() -> None:
    assert invoke("-n", "10000000000").exit_code == 2


def test_costs_are_told_before_they_are_paid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cubicwall.commands.transforming.WORTH_SAYING", 0.0)
    assert "the exact model takes about" in invoke("-n", "64", "-o", str(tmp_path / "a.svg")).output
    monkeypatch.setattr("cubicwall.commands.transforming.PATIENT", 0.0)
    assert "left out" in invoke("-n", "64", "-o", str(tmp_path / "a.svg")).output


def test_the_verb_says_what_tolerance_certifies_a_target(tmp_path: Path) -> None:
    done = invoke("-n", "300", "--layers", "1", "--target", "1e-2", "-o", str(tmp_path / "a.svg"))
    assert "certified to" in done.output
    assert "by tolerance" in done.output


def test_wrong_picture_files_are_refused_before_any_work(tmp_path: Path) -> None:
    for wrong in ("a.txt", "missing/a.svg"):
        assert invoke("-n", "100000000", "-o", str(tmp_path / wrong)).exit_code == 2


def test_output_is_not_needed_to_be_loud(tmp_path: Path) -> None:
    assert transformer(Output(json=False, quiet=True), tokens=64, layers=1, figure=tmp_path / "a.svg") == 0
