"""A ring whose members all came back at other addresses never found together again.

Each knew the others' old addresses only, and asked nobody else: containers that restart together
get new addresses together. They now ask their seeds as well, which people keep current.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dynamokv
from tests.chaos.ring import free_addresses


def start(folder: Path, addresses: list[str]) -> list[dynamokv.Node]:
    def join(number: int) -> dynamokv.Node:
        data_dir = folder / str(number)
        return dynamokv.join(addresses[number], seeds=addresses, data_dir=data_dir, durability="os")

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(join, range(3)))


def test_they_find_together_by_their_seeds(tmp_path: Path) -> None:
    ids: list[set[str]] = []
    for turn in range(2):
        nodes = start(tmp_path, free_addresses(3))
        try:
            assert nodes[turn].get("k") == (None if turn == 0 else 1)
            nodes[turn].put("k", 1, consistency="ALL")
            ids.append({node.node_id for node in nodes})
        finally:
            for node in nodes:
                node.close()
    assert ids[0] == ids[1]
