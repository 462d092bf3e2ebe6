"""The pages are true: their code runs, their links lead somewhere, their commands exist."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import cubicwall
import pytest
from cubicwall.cli import main

ROOT = Path(cubicwall.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_code_on_a_page_runs(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    namespace: dict[str, object] = {"__name__": page.stem}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


def test_there_is_code_on_the_pages() -> None:
    assert sum(page.read_text().count("```python") for page in PAGES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_relative_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def commands() -> list[str]:
    found = set()
    for page in PAGES:
        for line in re.findall(r"^(cubicwall [^#\n]*)", page.read_text(), flags=re.MULTILINE):
            found.add(line.strip())
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_the_commands_on_the_pages_have_these_options(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)[1:]
    verbs = words[:2] if words[0] == "generate" else words[:1]
    monkeypatch.setattr(sys, "argv", ["cubicwall", *verbs, "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    described = capsys.readouterr().out
    for option in (word for word in words if word.startswith("-") and word != "-"):
        assert option in described, f"{command}: {option}"


def test_there_are_commands_on_the_pages() -> None:
    assert len(commands()) >= 6
