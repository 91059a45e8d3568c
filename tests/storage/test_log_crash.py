"""A crash at every file operation, with everything a power cut may take, against a dict.

What must hold after each: the rows are those after some batch, not before the last one that was
acknowledged as synced, not after the one under way; and the store takes writes and opens again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamokv.ports import Row
from tests.storage.conformance import apply_to_dict, random_batch
from tests.storage.faulty import CRASHES, Crash, FakeDisk, open_log, rows_of

LOG_BYTES_MAX = 300
"""A few batches, so that a short history has several rotations."""


class History:
    """Batches applied to a store, and the states of a dict that the store may be found in."""

    def __init__(self, batches: Sequence[tuple[list[Row], bool]]) -> None:
        self.batches = batches
        self.states: list[dict[bytes, bytes]] = [{}]
        for batch, _ in batches:
            state = dict(self.states[-1])
            apply_to_dict(state, batch)
            self.states.append(state)
        self.applied = 0
        self.synced = 0

    def run(self, disk: FakeDisk) -> None:
        self.applied = self.synced = 0
        engine = open_log(disk, log_bytes_max=LOG_BYTES_MAX)
        for batch, sync in self.batches:
            engine.apply(batch, sync=sync)
            self.applied += 1
            if sync:
                self.synced = self.applied
        engine.close()
        self.synced = self.applied

    def check(self, rows: dict[bytes, bytes], crash: tuple[bool, float]) -> None:
        killed_only = crash == CRASHES[0]
        oldest = self.applied if killed_only else self.synced
        assert rows in self.states[oldest : self.applied + 2], (self.applied, self.synced)


def history(seed: int, sync_share: float, batches: int = 25) -> History:
    rng = random.Random(seed)
    made = [(random_batch(rng), rng.random() < sync_share) for _ in range(batches)]
    return History([(batch, sync) for batch, sync in made if batch])


def crashed(run: Callable[[FakeDisk], object], disk: FakeDisk, at: int) -> bool:
    """Run until operation ``at``; False when it ended before."""
    disk.crash_at = len(disk.operations) + at
    try:
        run(disk)
    except Crash:
        return True
    finally:
        disk.crash_at = None
    return False


def check_it_lives(disk: FakeDisk) -> None:
    """It takes a write, and the next opening finds that and nothing to complain about."""
    engine = open_log(disk, log_bytes_max=LOG_BYTES_MAX)
    expected = rows_of(engine) | {b"afterwards": b"1"}
    engine.apply([(b"afterwards", b"1")], sync=True)
    engine.close()
    engine = open_log(disk)
    assert rows_of(engine) == expected
    assert not engine.forgot
    engine.close()
    assert not [name for name in disk.listing() if name.endswith(".tmp")]


@pytest.mark.parametrize("sync_share", [1.0, 0.3, 0.0])
def test_crash_at_every_operation(sync_share: float) -> None:
    story = history(1, sync_share)
    points = 0
    snapshots: set[str] = set()
    while True:
        disk = FakeDisk()
        if not crashed(story.run, disk, points + 1):
            break
        points += 1
        for crash in CRASHES:
            after = disk.survivor(crash)
            snapshots.update(name for name in after.listing() if name.startswith("snapshot"))
            engine = open_log(after, log_bytes_max=LOG_BYTES_MAX)
            story.check(rows_of(engine), crash)
            if sync_share == 1.0 and engine.forgot:
                # Only a record that nobody was told about, or a file that was being made.
                assert engine.stats()["records_damaged"] == 0
            engine.close()
            check_it_lives(after)
    assert points > 70
    assert len(snapshots) > 4


def test_crash_at_every_operation_of_the_opening_after_a_crash() -> None:
    story = history(2, 0.5, batches=16)
    points = 0
    second_points = 0
    while True:
        disk = FakeDisk()
        if not crashed(story.run, disk, points + 1):
            break
        points += 1
        for first in CRASHES:
            at = 0
            while True:
                after = disk.survivor(first)
                at += 1
                if not crashed(lambda disk: open_log(disk).close(), after, at):
                    break
                second_points += 1
                # What the first crash kept was read as durable, so a second may not take it.
                for second in (CRASHES[0], CRASHES[-1]):
                    last = after.survivor(second)
                    engine = open_log(last, log_bytes_max=LOG_BYTES_MAX)
                    story.check(rows_of(engine), CRASHES[-1])
                    engine.close()
                    check_it_lives(last)
    assert second_points > 1000


def test_what_an_opening_showed_survives_a_power_cut() -> None:
    """A killed process leaves rows in the kernel's memory; the next one must not build on those."""
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=False)
    found = disk.survivor(CRASHES[0])
    for path, inode in found.names.items():
        inode.synced = disk.names[path].synced
    found.synced_names = {}
    engine = open_log(found)
    assert engine.get(b"a") == b"1"
    engine = open_log(found.survivor(CRASHES[-1]))
    assert engine.get(b"a") == b"1"


Operation = tuple[str, int, bool]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["apply", "apply", "apply", "flush", "reopen", "crash"]),
        st.integers(0, 1 << 20),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=150, database=None)
@given(operations=OPERATIONS, log_bytes_max=st.sampled_from([1, 100, 1000, 1 << 20]))
def test_any_history_is_a_dict(operations: list[Operation], log_bytes_max: int) -> None:
    disk = FakeDisk()
    engine = open_log(disk, log_bytes_max=log_bytes_max)
    durable: dict[bytes, bytes] = {}
    later: list[dict[bytes, bytes]] = []

    def newest() -> dict[bytes, bytes]:
        return later[-1] if later else durable

    for name, number, flag in operations:
        if name == "apply":
            batch = random_batch(random.Random(number))
            engine.apply(batch, sync=flag)
            later.append(dict(newest()))
            apply_to_dict(later[-1], batch)
        elif name == "crash":
            disk = disk.survivor(CRASHES[number % len(CRASHES)])
            engine = open_log(disk, log_bytes_max=log_bytes_max)
            assert rows_of(engine) in [durable, *later]
            later = [rows_of(engine)]
        if name == "flush":
            engine.flush()
        elif name == "reopen":
            engine.close()
            engine = open_log(disk, log_bytes_max=log_bytes_max)
            assert not engine.forgot
        if name != "apply" or flag:
            durable, later = newest(), []
        assert rows_of(engine) == newest()
        assert engine.stats()["rows"] == len(newest())
    engine.close()
