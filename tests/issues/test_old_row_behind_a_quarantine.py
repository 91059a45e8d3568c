"""A damaged block held the removal of a collected row. When the quarantine of its range ended, the
row that had been removed was back: a table of a lower level still had it.

It goes with the quarantine now, and nothing else does: what a newer table has was never lost.
"""

from __future__ import annotations

import pytest

from dynamokv.errors import CorruptionError, DiskFull
from dynamokv.storage.lsm import quarantine
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.options import Compression, LSMOptions
from dynamokv.storage.lsm.tree import LOST_MAX
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Fault, Operation
from tests.storage.lsm.failing import no_space
from tests.storage.lsm.stores import open_store
from tests.storage.lsm.workload import STORE

OPTIONS = LSMOptions(
    block_bytes=200, memtable_bytes=1 << 20, merge_tables=30, compression=Compression.NONE
)
KEYS = [b"key %03d" % n for n in range(60)]
REMOVED = KEYS[5]
REWRITTEN = KEYS[6]
END = b"\xff"


class Store:
    """Three tables of level 0: sixty old rows; their new state, without one of them; and a newer
    state of another one."""

    def __init__(self) -> None:
        self.disk = SimulatedDisk()
        self.engine = open_store(self.disk, OPTIONS)
        self.table([(key, b"old") for key in KEYS])
        damaged = self.table([(key, None if key == REMOVED else b"new" * 9) for key in KEYS])
        self.newest = self.table([(REWRITTEN, b"newest")])
        self.path = STORE / file_name(Kind.TABLE, damaged)

    def table(self, rows: list[tuple[bytes, bytes | None]]) -> int:
        """Its number."""
        self.engine.apply(rows, sync=True)
        self.reopen()
        return self.engine.store.view.tree.levels[0][0].number

    def reopen(self) -> None:
        self.engine.close()
        self.engine = open_store(self.disk, OPTIONS)

    def damage(self) -> LSMEngine:
        """The first block of the second table; and what is readable in it is written anew."""
        self.disk.flip(self.path, (HEADER_BYTES + 30) * 8)
        with pytest.raises(CorruptionError):
            self.engine.get(REMOVED)
        self.engine.pressure.work_off()
        assert self.engine.stats()["salvages"] == 1
        return self.engine


def lost(engine: LSMEngine) -> list[bytes]:
    def refuses(key: bytes) -> bool:
        try:
            engine.get(key)
        except CorruptionError:
            return True
        return False

    return [key for key in KEYS if refuses(key)]


def test_a_removed_row_stays_removed() -> None:
    store = Store()
    engine = store.damage()
    refused = lost(engine)
    assert REMOVED in refused
    back = [key for key in refused if key != REMOVED]
    engine.apply([(key, b"back") for key in back], sync=False)
    engine.heal([(b"", END)])
    for _ in range(2):
        assert store.engine.quarantined() == []
        assert store.engine.get(REMOVED) is None
        assert [store.engine.get(key) for key in back] == [b"back"] * len(back)
        assert len(list(store.engine.scan(b"", END))) == len(KEYS) - 1
        store.reopen()


def test_what_a_newer_table_has_is_not_lost() -> None:
    store = Store()
    engine = store.damage()
    assert REWRITTEN not in lost(engine)
    assert engine.get(REWRITTEN) == b"newest"
    engine.heal([(b"", END)])
    assert engine.get(REWRITTEN) == b"newest"


def test_the_same_of_a_table_that_is_missing() -> None:
    store = Store()
    store.engine.close()
    store.disk.lose(store.path)
    engine = store.engine = open_store(store.disk, OPTIONS)
    assert lost(engine) == [key for key in KEYS if key != REWRITTEN]
    engine.heal([(b"", END)])
    assert dict(engine.scan(b"", END)) == {REWRITTEN: b"newest"}


def test_and_of_one_that_an_opening_writes_anew() -> None:
    store = Store()
    store.engine.close()
    # Its header: then an opening finds it, and the blocks are walked.
    store.disk.flip(store.path, (HEADER_BYTES + 30) * 8)
    store.disk.flip(store.path, 3)
    engine = store.engine = open_store(store.disk, OPTIONS)
    assert REMOVED in lost(engine)
    assert REWRITTEN not in lost(engine)
    engine.heal([(b"", END)])
    assert engine.get(REMOVED) is None
    assert engine.get(REWRITTEN) == b"newest"


def test_what_cannot_be_hidden_stays_in_quarantine() -> None:
    store = Store()
    engine = store.damage()
    store.disk.faults = [no_space(Operation.APPEND)]
    with pytest.raises(DiskFull):
        engine.heal([(b"", END)])
    store.disk.faults = []
    with pytest.raises(CorruptionError):
        engine.get(REMOVED)


def test_a_newer_row_that_cannot_be_read_is_not_given_up() -> None:
    store = Store()
    path = STORE / file_name(Kind.TABLE, store.newest)
    # It is read anew, and not from what is open or cached.
    store.reopen()
    store.disk.faults = [Fault(operations=[Operation.READ_AT], name=path.name)]
    engine = store.damage()
    store.disk.faults = []
    assert [piece.mixed for piece in engine.store.view.lost] == [True]
    store.reopen()
    assert [piece.mixed for piece in store.engine.store.view.lost] == [True]
    store.engine.heal([(b"", END)])
    assert store.engine.get(REWRITTEN) == b"newest"


def test_what_is_too_much_to_be_kept_apart_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "KNOWN_MAX", 0)
    store = Store()
    engine = store.damage()
    assert [piece.mixed for piece in engine.store.view.lost] == [True]
    engine.heal([(b"", END)])
    assert engine.get(REWRITTEN) == b"newest"


def test_there_is_room_for_what_is_written_later() -> None:
    """However much of the range was known from the start."""
    store = Store()
    rows: list[tuple[bytes, bytes | None]] = [(b"own %04d" % n, b"x") for n in range(LOST_MAX)]
    store.path = STORE / file_name(Kind.TABLE, store.table([*rows, (KEYS[0], b"new")]))
    store.table([(key, b"y") for key, _ in rows])
    store.engine.close()
    store.disk.lose(store.path)
    store.engine = open_store(store.disk, OPTIONS)
    assert lost(store.engine) == KEYS
    store.engine.apply([*rows, (KEYS[0], b"again")], sync=True)
    store.reopen()
    assert store.engine.get(KEYS[0]) == b"again"
