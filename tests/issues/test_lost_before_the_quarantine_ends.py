"""What was lost between the last owner's answer and the end of the quarantine was given up with it,
though nobody had been asked for it: rows read as absent, a removed one was back, and a quorum did
not show a write that had been acknowledged.

The end of a quarantine is about those ranges that were known when it was decided, and the store
keeps what it finds damaged from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.ports import Range
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.types import Consistency
from tests.issues import test_old_row_behind_a_quarantine as old_row
from tests.issues.rotten_ring import RottenRing
from tests.issues.test_asked_before_the_damage import WITHOUT_N2, WITHOUT_N3, unreadable
from tests.storage.lsm import test_quarantine as one_table
from tests.storage.lsm.test_quarantine import END, KEYS
from tests.storage.lsm.workload import STORE


def after_its_sync(engine: LSMEngine, happens: Callable[[], None]) -> None:
    """This happens once, when ``heal`` has waited for the disk."""
    sync = engine.log.sync

    def slow() -> None:
        engine.log.sync = sync  # type: ignore[method-assign]
        sync()
        happens()

    engine.log.sync = slow  # type: ignore[method-assign]


def is_in(key: bytes, ranges: Sequence[Range]) -> bool:
    return any(start <= key < end for start, end in ranges)


@pytest.mark.parametrize("when", ["before", "during"])
def test_rows_that_nobody_was_asked_for_are_not_absent(when: str) -> None:
    """Before the store gets to it, or while it waits for the disk."""
    store = one_table.Store()
    store.damage_a_block()
    first = store.refused()
    engine = store.engine
    engine.pressure.work_off()
    asked = engine.quarantined()
    engine.apply([(key, b"back") for key in first], sync=True)

    def more() -> None:
        store.disk.flip(store.table(), (HEADER_BYTES + 1200) * 8)
        assert store.refused()
        engine.pressure.work_off()

    if when == "before":
        more()
    else:
        after_its_sync(engine, more)
    engine.heal(asked)
    lost = engine.quarantined()
    assert lost
    assert not any(is_in(key, lost) for key in first)
    # Some of them are still in the cache.
    refused = store.refused()
    assert refused
    assert all(is_in(key, lost) for key in refused)
    assert [engine.get(key) for key in first] == [b"back"] * len(first)


def test_what_came_back_and_is_lost_again_stays() -> None:
    """In the same range, and with another table."""
    store = one_table.Store()
    store.damage_a_block()
    first = store.refused()
    engine = store.engine
    engine.pressure.work_off()
    engine.apply([(key, b"back") for key in first], sync=True)

    def again() -> None:
        engine.pressure._rotate()
        engine.pressure.work_off()
        newest = engine.store.view.tree.levels[0][0].number
        store.disk.flip(STORE / file_name(Kind.TABLE, newest), (HEADER_BYTES + 30) * 8)
        with pytest.raises(CorruptionError):
            engine.get(first[0])
        engine.pressure.work_off()

    after_its_sync(engine, again)
    engine.heal(engine.quarantined())
    assert first[0] in store.refused()


@pytest.mark.parametrize("ranges", ["those that were lost", "everything"])
def test_a_removed_row_stays_removed(ranges: str) -> None:
    store = old_row.Store()
    store.disk.flip(store.path, (HEADER_BYTES + 1500) * 8)
    with pytest.raises(CorruptionError):
        list(store.engine.scan(KEYS[20], END))
    store.engine.pressure.work_off()
    store.reopen()
    engine = store.engine
    asked = engine.quarantined()
    assert not is_in(old_row.REMOVED, asked)
    engine.apply([(key, b"back") for key in KEYS if is_in(key, asked)], sync=True)

    def more() -> None:
        level_0 = engine.store.view.tree.levels[0]
        number = next(meta.number for meta in level_0 if meta.first_key == KEYS[0])
        store.disk.flip(STORE / file_name(Kind.TABLE, number), (HEADER_BYTES + 30) * 8)
        with pytest.raises(CorruptionError):
            engine.get(old_row.REMOVED)
        engine.pressure.work_off()

    after_its_sync(engine, more)
    engine.heal([(b"", END)] if ranges == "everything" else asked)
    with pytest.raises(CorruptionError):
        engine.get(old_row.REMOVED)
    assert not any(is_in(key, engine.quarantined()) for key in KEYS if is_in(key, asked))


def test_a_quorum_shows_what_was_acknowledged() -> None:
    ring = RottenRing()
    disk, home = ring.disks[0], ring.members[0].home
    ring.put(0, ring.names[0], Consistency.ALL)
    ring.cut(("n1", "n2"))
    ring.cluster.run(4.0)
    disk.bad = {ring.keys[0] + b"nobody has it"}
    home.damaged_read(disk.bad)
    # n3 gives what it has; what n2 has besides it will never see.
    ring.cluster.run(15.0)
    assert unreadable(ring)
    ring.cut(*WITHOUT_N3)
    peer = ring.members[1].home
    ring.cluster.run_until(lambda: peer.node_id in home.up and home.node_id in peer.up, 10)
    ring.put(1, ring.names[1])
    heal = disk.heal

    def more_is_lost(ranges: Sequence[Range]) -> None:
        disk.heal = heal  # type: ignore[method-assign]
        disk.bad.add(ring.keys[1])
        heal(ranges)

    disk.heal = more_is_lost  # type: ignore[method-assign]
    ring.cluster.run_until(lambda: bool(disk.given_up), 30)
    assert disk.given_up == [ring.keys[0] + b"nobody has it"]
    ring.cut(*WITHOUT_N2)
    ring.cluster.run(15.0)
    assert ring.get(0, ring.names[1]) is None, "n1 does not say that there is none"
    assert unreadable(ring)
    ring.cut()
    ring.cluster.run(15.0)
    assert not unreadable(ring)
    assert ring.get(0, ring.names[1]) == [b"acknowledged"]
