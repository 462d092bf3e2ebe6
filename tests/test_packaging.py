"""What sdist and wheel hold: the whole package and what explains it, and nothing that does not belong."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

import cubicwall
import pytest

ROOT = Path(cubicwall.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What a working copy gathers, and no distribution may hold.
STRAY = (
    "build/lib/cubicwall/stale.py",
    "build/lib/cubicwall/instances/stale.py",
    "dist/stale-0.0.1-py3-none-any.whl",
    ".venv/lib/stale.py",
    ".typing/stale.py",
    "instances/__pycache__/stale.cpython-311.pyc",
    "tests/__pycache__/stale.cpython-311.pyc",
    "docs/.DS_Store",
)
NEVER_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "out", "*.svg")


@dataclass(frozen=True)
class Built:
    """What was built: the files it was built from, and the members of each archive."""

    files: frozenset[str]
    sdist: frozenset[str]
    wheel: zipfile.ZipFile

    @property
    def members(self) -> set[str]:
        return set(self.wheel.namelist())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build an sdist, and a wheel from it, in a copy that is littered as working copies are."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    _copy(tree)
    files = frozenset(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
    for name in STRAY:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(tree)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        members = frozenset(m.name.partition("/")[2] for m in archive.getmembers() if m.isfile())
    return Built(files, members, zipfile.ZipFile(wheel))


def _copy(tree: Path) -> None:
    """Copy what git tracks; in an unpacked sdist, where there is no git, all but what it would ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if not (ROOT / ".git").exists() or listed.returncode:
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NEVER_COPIED))
        shutil.copytree(ROOT / ".ci", tree / ".ci")
        return
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _modules(built: Built) -> set[str]:
    """Return the files of all packages, as the wheel should name them."""
    folders = {name.rpartition("/")[0] for name in built.files if Path(name).name == "__init__.py"}
    return {
        f"cubicwall/{name}"
        for name in built.files
        if name.endswith(".py") and name.rpartition("/")[0] in folders
    }


def test_the_wheel_holds_every_module_and_no_other(built: Built) -> None:
    modules = _modules(built)
    assert {"cubicwall/__init__.py", "cubicwall/cli.py", "cubicwall/reductions/splitting.py"} <= modules
    assert {name for name in built.members if name.endswith(".py")} == modules


def test_the_wheel_holds_the_data_and_nothing_else(built: Built) -> None:
    curated = {f"cubicwall/{name}" for name in built.files if name.startswith("instances/curated/")}
    data = {"cubicwall/py.typed", *(name for name in curated if not name.endswith(".py"))}
    assert "cubicwall/instances/curated/PROVENANCE.md" in data
    assert sum(name.endswith(".cnf") for name in data) >= 30
    inside = {name for name in built.members if name.startswith("cubicwall/")}
    assert inside - _modules(built) == data


def test_the_wheel_holds_no_top_level_but_the_package_and_its_metadata(built: Built) -> None:
    version = cubicwall.__version__
    tops = {name.partition("/")[0] for name in built.members}
    assert tops == {"cubicwall", f"cubicwall-{version}.dist-info"}


def test_the_metadata_is_what_the_project_says(built: Built) -> None:
    home = f"cubicwall-{cubicwall.__version__}.dist-info"
    metadata = message_from_string(built.wheel.read(f"{home}/METADATA").decode())
    assert metadata["Version"] == cubicwall.__version__
    assert metadata["License-Expression"] == "MIT"
    assert f"{home}/licenses/LICENSE" in built.members
    required = {r for r in metadata.get_all("Requires-Dist") or [] if "extra ==" not in r}
    assert {r.partition(">=")[0] for r in required} == {
        r.partition(">=")[0] for r in PROJECT["project"]["dependencies"]
    }
    points = ConfigParser()
    points.read_string(built.wheel.read(f"{home}/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == {"cubicwall": "cubicwall.cli:main"}


def test_the_sdist_holds_everything_that_git_does(built: Built) -> None:
    needed = {name for name in built.files if name != ".gitignore"}
    assert {"Makefile", ".ci/run", "tests/warm_up.py", "docs/MATH.md", "benchmarks/turns.py"} <= needed
    assert needed <= built.sdist


def test_the_sdist_holds_nothing_stray(built: Built) -> None:
    made = {"PKG-INFO", "setup.cfg"}
    extra = {name for name in built.sdist - built.files - made if not name.startswith("cubicwall.egg-info/")}
    assert not extra
