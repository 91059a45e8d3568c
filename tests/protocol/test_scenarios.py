"""The stories in ``tests/scenarios``: what everybody did is compared line by line.

``DYNAMOKV_REWRITE=1 pytest tests/protocol/test_scenarios.py`` writes down what happens now; review
the difference as carefully as code.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.protocol.scenario import play

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
STORIES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_the_story_is_as_it_was(path: Path) -> None:
    written = path.read_text("utf-8")
    played = play(written)
    if os.environ.get("DYNAMOKV_REWRITE"):
        path.write_text(played, "utf-8")
    else:
        assert played == written


def test_there_are_stories() -> None:
    assert len(STORIES) >= 13
