"""A damaged table of level 0 reaches over the member's own rows, because each has them: a member
that lost one could not be opened any more, and a file that was put back was deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

import dynamokv
from dynamokv.storage.lsm.memtable import Memtable
from dynamokv.storage.lsm.names import DAMAGED
from dynamokv.storage.lsm.tree import LOST_MAX, Lost, Tree, heal_written


def lone(directory: Path, address: str = "127.0.0.1:0") -> dynamokv.Node:
    return dynamokv.join(address, data_dir=directory, timeout=20.0)


def tables(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("table-*") if not path.name.endswith(DAMAGED))


def test_a_member_survives_the_loss_of_a_table(tmp_path: Path) -> None:
    ids = set()
    for turn in range(3):
        with lone(tmp_path) as node:
            ids.add(node.status()["node_id"])
            node.put(f"key {turn}", turn)
    lost = tables(tmp_path)[0]
    content = lost.read_bytes()
    lost.unlink()
    with lone(tmp_path) as node:
        ids.add(node.status()["node_id"])
        status = node.status()
        assert not status["healthy"]
        assert lost.name in str(status["storage"]["quarantined"])
        with pytest.raises(dynamokv.DynamoKVError, match=lost.name):
            node.get("key 0")
        node.put("key 0", "again")
        assert node.get("key 0") == "again"
    assert len(ids) == 1
    # Put back, it is too late for it; but nobody deletes it.
    lost.write_bytes(content)
    with lone(tmp_path) as node:
        assert node.get("key 0") == "again"
    assert lost.with_name(lost.name + DAMAGED).read_bytes() == content


def test_a_member_without_its_identity_says_what_to_do(tmp_path: Path) -> None:
    with lone(tmp_path) as node:
        address = node.address
    # At the same address, so that it has no reason to write the topology again.
    with lone(tmp_path, address):
        pass
    for path in tables(tmp_path):
        path.unlink()
    for _ in range(2):
        with pytest.raises(dynamokv.CorruptionError, match="restore the whole data directory"):
            lone(tmp_path, address)


def test_a_key_that_was_written_is_sound_however_many_rows_are_beside_it() -> None:
    """A member that forgot writes rows of its own for each partition; with them, a flush had more
    rows in the lost range than it mends, and mended none."""
    lost = Lost("table-00000003", b"\x00", b"\xff\xff", "it is missing")
    key = b"\x00\x01\x01\x00key"
    rows: dict[bytes, bytes | None] = {b"\xff\xfc%d" % n: b"row" for n in range(LOST_MAX + 9)}
    edit = heal_written(Tree(lost=(lost,)), Memtable({**rows, key: b"again"}))
    assert edit.healed == ((lost.start, lost.end),)
    assert len(edit.lost) <= LOST_MAX + 1
    assert not [piece for piece in edit.lost if piece.start <= key < piece.end]
