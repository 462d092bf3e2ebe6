"""The architecture holds: imports point one way, names shadow nothing, public names are what they say."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import cubicwall
import pytest

ROOT = Path(cubicwall.__file__).parent
LAYERS = ["instances", "algorithms", "reductions", "verification", "experiments", "commands"]
PACKAGES = [p for p in LAYERS if (ROOT / p).is_dir()]
HEAVY = {"numba", "sympy", "matplotlib", "galois", "scipy", "networkx", "pysat", "numpy"}


def relative_imports(path: Path) -> set[str]:
    """Return the layers that a file imports from, lazily or not."""
    depth = len(path.relative_to(ROOT).parts) - 1
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = (node.module or "").split(".")
            if node.level == depth + 1:
                found |= {parts[0]} if node.module else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    allowed = set(LAYERS[: LAYERS.index(package) + 1])
    for path in (ROOT / package).rglob("*.py"):
        above = relative_imports(path) - allowed
        assert not above, f"{path.relative_to(ROOT)} imports {above}"


def test_the_import_walk_sees_a_breach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "algorithms").mkdir()
    wrong = tmp_path / "algorithms" / "wrong.py"
    wrong.write_text("def f():\n    from ..reductions.encoding import encode\n")
    assert relative_imports(wrong) == {"reductions"}


def test_inside_the_package_imports_are_relative() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
                assert not any(name.split(".")[0] == "cubicwall" for name in names), path


def test_root_names_shadow_neither_the_standard_library_nor_a_dependency() -> None:
    names = {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p.is_dir() and p.name.isidentifier())}
    names -= {"__init__", "__main__", "__pycache__", "tests", "docs", "build", "dist"}
    importable = set(sys.stdlib_module_names) | set(packages_distributions())
    importable -= {"cubicwall"}
    assert not names & importable


def test_no_module_is_named_like_a_public_name_of_its_package() -> None:
    for package in PACKAGES:
        module = importlib.import_module(f"cubicwall.{package}")
        files = {p.stem for p in (ROOT / package).glob("*.py")}
        assert not files & set(getattr(module, "__all__", []))


@pytest.mark.parametrize("name", cubicwall.__all__)
def test_every_public_name_is_what_it_says(name: str) -> None:
    found = getattr(cubicwall, name)
    if name != "__version__":
        assert found.__name__ == name
        assert found.__doc__


def test_unknown_public_names_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        cubicwall.nonsense  # noqa: B018 -- the access is the test


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == cubicwall.__version__


def test_the_list_of_packages_is_complete() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"cubicwall"}
    for package in PACKAGES:
        for init in (ROOT / package).rglob("__init__.py"):
            found.add(".".join(("cubicwall", *init.parent.relative_to(ROOT).parts)))
    assert listed == found


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    script = (
        "import sys\nsys.argv = ['cubicwall', sys.argv[1]]\n"
        "from cubicwall.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, argument], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"
