"""What wheel and sdist hold: all of the package, and nothing that does not belong."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import cubicwall
import pytest

ROOT = Path(cubicwall.__file__).parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from a copy of the tracked files, with a stale build/ folder that must not leak in."""
    if not (ROOT / ".git").exists():
        pytest.fail("this test builds from a git checkout")
    folder = tmp_path_factory.mktemp("dist")
    tree = folder / "tree"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    stale = tree / "build" / "lib" / "cubicwall"
    stale.mkdir(parents=True)
    (stale / "stale.py").write_text("")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(tree)],
        check=True,
        capture_output=True,
    )
    return folder


def test_the_wheel_holds_the_whole_package_and_no_more(built: Path) -> None:
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    for package in packages:
        folder = ROOT.joinpath(*package.split(".")[1:])
        for path in folder.glob("*.py"):
            assert "/".join((*package.split("."), path.name)) in names
    for path in (ROOT / "instances" / "curated").iterdir():
        if path.suffix in (".cnf", ".md"):
            assert f"cubicwall/instances/curated/{path.name}" in names
    assert "cubicwall/py.typed" in names
    assert not [n for n in names if "stale" in n or "/tests/" in n or "/benchmarks/" in n or ".venv" in n]


def test_the_sdist_holds_what_a_developer_needs(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("Makefile", "LICENSE", "docs/MATH.md", "tests/test_packaging.py", ".ci/run", "cli.py"):
        assert name in names
    assert not [n for n in names if n.startswith((".venv", ".git/", "build", "dist"))]
