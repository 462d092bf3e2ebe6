"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import cubicwall
import pytest

ROOT = Path(cubicwall.__file__).parent
PARTS = {
    "instances",
    "algorithms",
    "reductions",
    "verification",
    "experiments",
    "commands",
    "cli",
}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "cubicwall.")
    if module.name.split(".")[1] in PARTS
)
EXTRAS = {"cubicwall.algorithms.torch_layer": "torch"}
MODULES = [name for name in MODULES if name not in EXTRAS or importlib.util.find_spec(EXTRAS[name])]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("home", ["reductions.splitting", "reductions.encoding", "reductions.counting"])
def test_examples_of_decorated_reductions_are_found(home: str) -> None:
    assert doctest.testmod(importlib.import_module(f"cubicwall.{home}")).attempted >= 2


def test_examples_are_many() -> None:
    finder = doctest.DocTestFinder()
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name)) if t.examples]
    assert len(found) >= 20
