"""A member in a process of its own, told line by line what to look at: what it holds itself, and
what it still owes to others."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.child import say
from dynamokv import Consistency, Node, NodeConfig

LOOKED_AT_ONCE: Final = 100
LOOK_PAUSE_SECONDS: Final = 0.002
"""Looking must not be what the ring is slow by: reads hold the interpreter of the member that is
looked at."""


def value_of(number: int) -> bytes:
    """The value of a row: another one for each, 100 bytes."""
    return b"%d " % number + bytes(92)


class Looker:
    """What is still missing, by the kind of key: what was found once is not looked for again."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._missing: dict[str, set[int]] = {}

    def missing(self, prefix: str, count: int) -> int:
        """How many of the rows ``prefix-0`` to ``prefix-(count - 1)`` this member's own copy does
        not have."""
        left = self._missing.setdefault(prefix, set(range(count)))
        one = Consistency.ONE
        found = set()
        for number in left:
            if self.node.get(f"{prefix}-{number}", consistency=one) == value_of(number):
                found.add(number)
            if number % LOOKED_AT_ONCE == 0:
                time.sleep(LOOK_PAUSE_SECONDS)
        left -= found
        return len(left)

    def hints(self) -> int:
        """How many hints this member keeps for others."""
        held: dict[str, dict[str, Any]] = self.node.status()["hints"]
        return sum(entry["keys"] for entry in held.values())


def main() -> None:
    """Join, answer until stdin ends, and stop cleanly."""
    address, data_dir, *seeds = sys.argv[1:]
    config = NodeConfig(address=address, data_dir=Path(data_dir), seeds=tuple(seeds))
    with Node(config=config) as node:
        looker = Looker(node)
        calls: dict[str, Callable[..., Any]] = {
            "missing": looker.missing,
            "hints": looker.hints,
        }
        say(node.address)
        for line in sys.stdin:
            do, arguments = json.loads(line)
            say(calls[do](**arguments))


if __name__ == "__main__":
    main()
