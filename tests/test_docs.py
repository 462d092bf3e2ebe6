"""The pages are true: code runs, links lead somewhere, commands parse, papers are listed."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cubicwall
import pytest
from cubicwall.cli import main
from cubicwall.commands import console
from cubicwall.reductions.arrows import arrows, graph

ROOT = Path(cubicwall.__file__).parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
TUTORIAL = ROOT / "docs" / "adding-an-arrow.md"
MATHEMATICS = ROOT / "docs" / "MATH.md"

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_KEY = re.compile(r"\[([A-Z]{1,4}\d\d[a-z]?)\b[^\]]*\]")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the line where the text begins."""

    language: str
    text: str
    line: int


def blocks(page: str, language: str | None = None) -> list[Block]:
    found = (
        Block(match[1], match[2], page.count("\n", 0, match.start(2)) + 1) for match in _FENCED.finditer(page)
    )
    return [block for block in found if language in (None, block.language)]


def prose(page: str) -> str:
    return _FENCED.sub("", page)


def run_block(block: Block, name: str, namespace: dict[str, Any]) -> None:
    """Run a block, or compare its examples with what they print if it is written like a session."""
    if block.text.startswith(">>> "):
        examples = doctest.DocTestParser().get_doctest(block.text, namespace, name, name, block.line - 1)
        examples.globs = namespace  # the parser made a copy; names must reach the next block
        report: list[str] = []
        results = doctest.DocTestRunner(verbose=False).run(examples, out=report.append, clear_globs=False)
        if results.failed:
            raise AssertionError("".join(report))
    else:
        exec(compile("\n" * (block.line - 1) + block.text, name, "exec", dont_inherit=True), namespace)


def shell_lines(page: str) -> list[str]:
    return [line for block in blocks(page) if block.language != "python" for line in block.text.splitlines()]


def commands(lines: Iterable[str]) -> Iterator[str]:
    """Yield the arguments of each call of cubicwall in lines for a shell."""
    for line in lines:
        for part in re.split(r"\||&&|;", line.partition("#")[0]):
            if found := re.match(r"\s*(?:\$ +)?(?:time +)?cubicwall( .*)", part):
                yield found[1].strip()


def commands_of(page: str) -> set[str]:
    """Return all calls on a page; where running text names a verb alone, the verb is to exist."""
    named = {word if " " in word else f"{word} --help" for word in commands(_SPAN.findall(prose(page)))}
    return named | set(commands(shell_lines(page)))


def command_line(arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["cubicwall", *shlex.split(arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_on_a_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(f"page_{page.stem}")  # dataclasses look their module up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(page.read_text(), "python"):
        run_block(block, page.name, vars(module))


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_page_of_the_docs_has_python_to_run(page: Path) -> None:
    assert blocks(page.read_text(), "python")


def test_a_block_that_is_wrong_fails() -> None:
    page = "```python\nx = 1\n```\n\n```python\n>>> x + 1\n3\n\n```\n\n```python\nassert x == 2\n```\n"
    first, session, claim = blocks(page, "python")
    namespace: dict[str, Any] = {}
    run_block(first, "page", namespace)
    with pytest.raises(AssertionError, match=r"Expected:\n    3\nGot:\n    2"):
        run_block(session, "page", namespace)
    with pytest.raises(AssertionError):
        run_block(claim, "page", namespace)


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, named as GitHub does."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for link in _LINK.findall(prose(page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = [span.split("::")[0] for span in _SPAN.findall(prose(page.read_text()))]
    for span in named:
        if re.fullmatch(r"[\w.-]+/(?:[\w./-]+\.py)?", span):
            assert (ROOT / span).exists(), f"{page.name} names {span}"


@pytest.mark.parametrize(
    "arguments", sorted({command for page in PAGES for command in commands_of(page.read_text())})
)
def test_commands_on_the_pages_parse(arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_guarded", lambda verb: 0)  # read everything, do nothing
    assert command_line(arguments, monkeypatch) == 0


@pytest.mark.parametrize("wrong", ["solve f.cnf --nonsense", "nonsense f.cnf", "solve", "solve f.cnf -k one"])
def test_commands_that_do_not_parse_are_found_out(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_guarded", lambda verb: 0)
    assert command_line(wrong, monkeypatch) == 2


def test_commands_are_found_in_blocks_and_in_spans() -> None:
    block = "```\ncubicwall solve f.cnf  # why\n$ cubicwall path | head\nls\n```\n"
    page = f"Try `cubicwall --help` and `cubicwall lift`:\n{block}"
    assert commands_of(page) == {"solve f.cnf", "path", "--help --help", "lift --help"}


def test_make_targets_on_the_pages_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [page.read_text() for page in PAGES]
    lines = [line for text in texts for line in (*shell_lines(text), *_SPAN.findall(prose(text)))]
    named = {found[1] for line in lines if (found := re.match(r"make ([\w-]+)", line))}
    assert {"demo", "test"} <= named <= targets


def listed_papers() -> set[str]:
    return set(re.findall(r"^- \*\*\[(\w+)\]\*\*", MATHEMATICS.read_text(), re.MULTILINE))


def test_papers_that_arrows_rest_on_are_listed() -> None:
    for name, arrow in arrows().items():
        keys = set(_KEY.findall(arrow.contract.reference))
        assert keys, f"{name} cites {arrow.contract.reference!r}"
        assert keys <= listed_papers(), name


def test_papers_that_docstrings_cite_are_listed_there_or_in_the_mathematics() -> None:
    tests = ROOT / "tests"
    seen = set()
    for path in ROOT.rglob("*.py"):
        if tests in path.parents or any(part.startswith(".") for part in path.relative_to(ROOT).parts):
            continue
        text = path.read_text()
        own = set(re.findall(r"^ *\[(\w+)\] \w", text, re.MULTILINE))
        seen |= (cited := set(_KEY.findall(text)))
        assert cited <= own | listed_papers(), f"{path.relative_to(ROOT)} cites {cited - own}"
    assert "AS24" in seen


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Install the tutorial's package as pip would, in a folder of its own; return its entry points."""
    page = TUTORIAL.read_text()
    project = tomllib.loads(blocks(page, "toml")[0].text)
    (module,) = project["tool"]["setuptools"]["py-modules"]
    points: dict[str, str] = project["project"]["entry-points"]["cubicwall.arrows"]
    site = tmp_path / "site"
    metadata = site / f"{project['project']['name'].replace('-', '_')}-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / f"{module}.py").write_text(blocks(page, "python")[0].text)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 0.1.0\n"
    )
    lines = [f"{name} = {place}" for name, place in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[cubicwall.arrows]", *lines, ""]))
    monkeypatch.syspath_prepend(site)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield points
    sys.modules.pop(module, None)


def test_the_arrow_of_the_tutorial_joins_the_graph_once_installed(installed: dict[str, str]) -> None:
    for name, place in installed.items():
        assert place == f"{arrows()[name].__module__}:{name}"
        assert graph().has_edge("CNF", "CNF", key=name)


def test_the_commands_of_the_tutorial_run(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = list(commands(shell_lines(TUTORIAL.read_text())))
    assert any(set(installed) & set(re.split(r"[ ,]", line)) for line in lines)
    for arguments in lines:
        code = command_line(arguments, monkeypatch)
        assert code in (0, 10, 20), f"{arguments}: {capsys.readouterr().err}"
