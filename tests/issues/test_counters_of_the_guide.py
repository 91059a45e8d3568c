"""Counters that the guide says to watch were not there before they had counted once.

Whoever looked them up by name, ``metrics()["counters"]["promises_recalled"]`` for one, got a
``KeyError`` from every member that was well.
"""

from __future__ import annotations

import re
from pathlib import Path

import dynamokv

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "operations.md"
NAME = re.compile(r'\["(\w+)"\]')


def test_they_are_there_from_the_start() -> None:
    lines = [line for line in GUIDE.read_text().splitlines() if "counters[" in line]
    named = {name for line in lines for name in NAME.findall(line)}
    assert {"promises_recalled", "partitions_mended", "rounds_given_up"} <= named
    with dynamokv.join("127.0.0.1:0") as member:
        assert named <= member.metrics()["counters"].keys()
