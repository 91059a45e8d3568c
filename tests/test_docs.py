"""The documents are true as far as a machine can tell: code, links, files, names, settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from docs import configuration_tables
from dynamokv.runtime.status import WATCHED
from tests.documents import check_program, program, python_blocks

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES: Final = [str(page.relative_to(ROOT)) for page in PAGES]

LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
SOURCE_FILE: Final = re.compile(r"`(dynamokv/[^`]*)`")
NAME: Final = re.compile(r"`(?:\w+\.)?(\w+)`")


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_is_something_to_look_at() -> None:
    assert {"README.md", "docs/README.md", "docs/guide/configuration.md"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name} links to {target}"
        assert ROOT in (found, *found.parents), f"{name} links out of the checkout: {target}"
        assert not anchor or anchor in anchors(found), f"{name}: {target} has no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name: str) -> None:
    for path in SOURCE_FILE.findall(prose(ROOT / name)):
        assert (ROOT / path).exists(), f"{name} speaks of {path}"


def test_every_page_can_be_found() -> None:
    """docs/README.md leads to each, or to a page in the same folder that lists it."""
    start = ROOT / "docs" / "README.md"
    linked = {(start.parent / target).resolve() for target in LINK.findall(prose(start))}
    for page in PAGES:
        if page.parent.name != "adr" and page not in (start, ROOT / "CHANGELOG.md"):
            assert page in linked, f"docs/README.md does not lead to {page.relative_to(ROOT)}"


@pytest.mark.parametrize("name", ["put.md", "get.md", "heal.md", "collect.md"])
def test_paths_name_what_is_in_the_code(name: str) -> None:
    """A page that follows the code must not speak of functions that were renamed."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "dynamokv").rglob("*.py"))
    words = set(re.findall(r"\w+", code))
    named = set(NAME.findall(prose(ROOT / "docs" / "paths" / name)))
    assert len(named) > 10
    assert not named - words


def test_counters_that_operators_watch_are_explained() -> None:
    text = (ROOT / "docs" / "guide" / "operations.md").read_text("utf-8")
    assert not [name for name in WATCHED if f'"{name}"' not in text]


GUIDES: Final = [page.name for page in PAGES if page.parent.name == "guide"]
RUNNABLE: Final = [
    name for name in GUIDES if "```python" in (ROOT / "docs/guide" / name).read_text()
]


@pytest.mark.parametrize("name", RUNNABLE)
def test_code_in_the_guide_runs(name: str, tmp_path: Path) -> None:
    blocks = list(python_blocks((ROOT / "docs" / "guide" / name).read_text("utf-8")))
    assert not [block.mark for block in blocks if block.mark]
    check_program(program(blocks), name.removesuffix(".md"), tmp_path)


def test_the_configuration_page_is_up_to_date() -> None:
    text = configuration_tables.PAGE.read_text("utf-8")
    made = configuration_tables.page(text)
    assert "| `durability` | `fsync` |" in made
    assert made == text, "run: python docs/configuration_tables.py"
