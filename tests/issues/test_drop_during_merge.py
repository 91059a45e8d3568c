"""A range that was dropped after a merge was chosen, and before it began, came back with it."""

from __future__ import annotations

from dataclasses import replace

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.jobs import Outcome, Task
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.lsm.stores import NoLock, salts
from tests.storage.lsm.workload import STORE

OPTIONS = LSMOptions(memtable_bytes=1000, merge_tables=50, slow_tables=60, stop_tables=70)
START, END = b"a", b"b"


def test_what_is_dropped_while_a_merge_is_under_way_stays_dropped() -> None:
    engine = LSMEngine(
        STORE, OPTIONS, files=SimulatedDisk(), salt=salts(), lock=NoLock, background=False
    )
    for n in range(40):
        engine.apply([(b"a%02d" % (n % 10), b"x" * 50), (b"b%02d" % n, b"y" * 200)], sync=True)
    perform = engine.chores._perform_merge
    for moment in ("before", "after"):
        assert list(engine.scan(START, END))
        engine.store.options = replace(OPTIONS, merge_tables=2)

        def dropping(task: Task, moment: str = moment) -> Outcome:
            if moment == "before":
                engine.store.drop(START, END)
            outcome = perform(task)
            if moment == "after":
                engine.store.drop(START, END)
            return outcome

        engine.chores._perform_merge = dropping
        assert engine.chores.merge_step()
        assert engine.chores.counters["merges"] > 0
        in_memory = [key for key, _ in engine.store.view.memory_rows(START, END)]
        assert [key for key, _ in engine.scan(START, END)] == in_memory
        # Again, from the start.
        engine.store.options = OPTIONS
        for n in range(40):
            engine.apply([(b"a%02d" % (n % 10), b"x" * 50), (b"b%02d" % n, b"y" * 200)], sync=True)
    engine.close()
