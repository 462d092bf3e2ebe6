"""The examples run, and show what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cubicwall
import pytest

pytest.importorskip("torch", reason="the extra [torch] is not installed")

import torch

ROOT = Path(cubicwall.__file__).parent


def example(name: str) -> Any:
    import sys

    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_match3_marks_what_the_definition_marks() -> None:
    task = example("match3").Task(11, 5)
    x, marks = task.draw(50, torch.Generator().manual_seed(1))
    for row, marked in zip(x.tolist(), marks.tolist(), strict=True):
        assert all((a + 2 * b) % 11 for a in row for b in row)
        assert marked == [any((a + b + c) % 11 == 0 for b in row for c in row) for a in row]


def test_match3_is_learned_at_order_3_and_not_at_order_2(tmp_path: Path) -> None:
    match3, picture = example("match3"), tmp_path / "losses.svg"
    options = ["--modulus", "13", "--tokens", "5", "--steps", "150", "-o", str(picture)]
    third, second = match3.main(options)
    assert picture.read_text().startswith("<?xml")
    assert second.parameters >= third.parameters
    assert third.accuracy > second.accuracy + 0.03
    assert sum(third.losses[-20:]) < 0.5 * sum(second.losses[-20:])
