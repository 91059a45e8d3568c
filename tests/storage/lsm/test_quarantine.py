"""Damage in a table: what is refused, what goes on, and how it ends."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.names import DAMAGED, Kind, parse_name
from dynamokv.storage.lsm.options import Compression, LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.lsm.stores import NoLock
from tests.storage.lsm.workload import STORE

OPTIONS = LSMOptions(block_bytes=200, memtable_bytes=1 << 20, compression=Compression.NONE)
KEYS = [b"key %03d" % n for n in range(60)]
END = b"\xff"


class Store:
    """One table of sixty rows, and a disk to damage it on."""

    def __init__(self, options: LSMOptions = OPTIONS) -> None:
        self.disk = SimulatedDisk()
        self.rng = Random(1)
        self.now = 0.0
        self.options = options
        self.engine = self.open()
        self.engine.apply([(key, b"v" * 20) for key in KEYS], sync=True)
        self.reopen()

    def open(self) -> LSMEngine:
        return LSMEngine(
            STORE,
            self.options,
            files=self.disk,
            salt=lambda: self.rng.randbytes(8),
            lock=NoLock,
            background=False,
            clock=lambda: self.now,
        )

    def reopen(self) -> None:
        """Close, and open again: what was in the memtable is in a table then."""
        self.engine.close()
        self.engine = self.open()

    def table(self) -> Path:
        """The first table."""
        names = [path for path in self.disk.contents() if path.parent == STORE]
        tables = [p for p in names if (found := parse_name(p.name)) and found[0] is Kind.TABLE]
        return min(tables)

    def damage_a_block(self) -> Path:
        """The second one: a few keys after the first."""
        path = self.table()
        self.disk.flip(path, (HEADER_BYTES + 300) * 8)
        return path

    def refused(self) -> list[bytes]:
        """Keys that reads refuse."""
        found = []
        for key in KEYS:
            try:
                value = self.engine.get(key)
            except CorruptionError:
                found.append(key)
            else:
                assert value is not None
        return found


def test_a_damaged_block_costs_its_own_keys_only(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    path = store.damage_a_block()
    refused = store.refused()
    assert 1 < len(refused) < 12
    assert refused == KEYS[KEYS.index(refused[0]) : KEYS.index(refused[-1]) + 1]
    store.engine.pressure.work_off()
    assert store.refused() == refused
    assert store.engine.stats()["salvages"] == 1
    # Statistics and log say which file, which range and why.
    told = store.engine.stats()["quarantined"]
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for text in (str(told), logged):
        assert path.name in text
        assert repr(refused[-1])[1:-1] in text
        assert "checksum" in text
    # The damaged file is kept, and the store does not depend on it.
    names = {found.name for found in store.disk.contents()}
    assert path.name + DAMAGED in names
    assert path.name not in names


def test_a_scan_refuses_the_range_and_no_other() -> None:
    store = Store()
    store.damage_a_block()
    refused = store.refused()
    for _ in range(2):
        with pytest.raises(CorruptionError):
            list(store.engine.scan(b"", END))
        assert [key for key, _ in store.engine.scan(refused[-1] + b"\0", END)] == [
            key for key in KEYS if key > refused[-1]
        ]
        store.engine.pressure.work_off()


def test_the_quarantine_outlives_a_restart() -> None:
    store = Store()
    store.damage_a_block()
    refused = store.refused()
    store.engine.pressure.work_off()
    store.reopen()
    assert store.engine.forgot
    assert store.refused() == refused


def test_what_nobody_read_is_found_by_scrubbing() -> None:
    store = Store(replace(OPTIONS, scrub_seconds=1000.0))
    store.damage_a_block()
    store.engine.pressure.work_off()
    assert store.engine.quarantined() == []
    store.now = 2000.0
    store.engine.pressure.work_off()
    assert len(store.engine.quarantined()) == 1
    assert store.engine.stats()["salvages"] == 1
    # And the good table that took its place is verified, and left alone.
    store.now = 4000.0
    store.engine.pressure.work_off()
    assert store.engine.stats()["salvages"] == 1
    assert store.engine.stats()["scrubs"] == 1


def test_without_scrubbing_nothing_is_read() -> None:
    store = Store(replace(OPTIONS, scrub_seconds=0.0))
    store.damage_a_block()
    store.now = 1e9
    store.engine.pressure.work_off()
    assert store.engine.stats()["scrubs"] == 0
    assert store.engine.quarantined() == []


def test_a_merge_that_meets_damage_steps_around_it() -> None:
    store = Store(replace(OPTIONS, merge_tables=2))
    store.damage_a_block()
    store.engine.apply([(KEYS[0], b"new"), (KEYS[-1], b"new")], sync=True)
    store.reopen()
    store.engine.pressure.work_off()
    assert store.engine.stats()["salvages"] == 1
    assert store.engine.stats()["level_1_tables"] == 1
    assert store.engine.get(KEYS[0]) == b"new"
    assert 1 < len(store.refused()) < 12


def test_a_key_that_is_written_is_lost_no_longer() -> None:
    store = Store(replace(OPTIONS, merge_tables=2))
    store.damage_a_block()
    refused = store.refused()
    store.engine.pressure.work_off()
    store.engine.apply([(refused[1], b"again")], sync=True)
    assert store.engine.get(refused[1]) == b"again"
    for _ in range(3):
        # Into a table, and through merges.
        store.reopen()
        assert store.engine.get(refused[1]) == b"again"
        assert store.refused() == [refused[0], *refused[2:]]
        store.engine.apply([(b"other", b"1")], sync=True)
    level_1 = store.engine.stats()["level_1_tables"]
    assert isinstance(level_1, int)
    assert level_1 > 0


def test_a_key_that_is_deleted_is_known_to_be_absent() -> None:
    store = Store()
    store.damage_a_block()
    refused = store.refused()
    store.engine.pressure.work_off()
    store.engine.apply([(refused[0], None)], sync=True)
    store.reopen()
    assert store.engine.get(refused[0]) is None
    with pytest.raises(CorruptionError):
        store.engine.get(refused[1])


def test_healing_ends_it() -> None:
    store = Store()
    store.damage_a_block()
    refused = store.refused()
    store.engine.pressure.work_off()
    [(start, end)] = store.engine.quarantined()
    store.engine.heal([(start, refused[1])])
    assert store.engine.get(refused[0]) is None, "a part of the range was given up"
    with pytest.raises(CorruptionError):
        store.engine.get(refused[1])
    store.engine.apply([(key, b"back") for key in refused], sync=True)
    store.engine.heal([(start, end)])
    assert store.engine.quarantined() == []
    store.engine.taken_in()
    store.reopen()
    assert not store.engine.forgot
    assert [store.engine.get(key) for key in refused] == [b"back"] * len(refused)
    assert len(list(store.engine.scan(b"", END))) == len(KEYS)


def test_dropping_a_range_ends_it_too() -> None:
    store = Store()
    store.damage_a_block()
    store.engine.pressure.work_off() or store.refused()
    store.engine.pressure.work_off()
    store.engine.drop(b"", END)
    assert store.engine.quarantined() == []
    assert list(store.engine.scan(b"", END)) == []


def test_a_missing_table_is_a_lost_range() -> None:
    store = Store()
    store.engine.apply([(b"other", b"1")], sync=True)
    store.reopen()
    path = store.table()
    store.engine.close()
    store.disk.lose(path)
    store.engine = store.open()
    assert store.engine.forgot
    assert store.engine.get(b"other") == b"1"
    assert store.refused() == KEYS
    assert path.name in str(store.engine.stats()["quarantined"])


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
