"""Going through a partition: in steps, and again when it is worth it."""

from __future__ import annotations

from collections.abc import Iterator

from dynamokv import limits
from dynamokv.errors import CorruptionError
from dynamokv.protocol import effects as e
from dynamokv.protocol.collecting.sweeper import NEVER, Survey, Sweeper
from tests.protocol.council import NOW, Council, Seat, X, record, tombstone, value
from tests.protocol.lone import of

GONE = record(tombstone(X, NOW - 5))


def swept(seat: Seat, partition: int) -> list[list[bytes]]:
    """A pass from its beginning to its end: the keys that go, step by step."""
    sweeper = seat.collector.sweeper
    sweeper.begin(partition)
    taken = []
    while sweeper.due < NEVER:
        seat.council.wait(limits.COLLECT_STEP_SECONDS)
        effects = sweeper.step(seat.home.clock.monotonic())
        taken.append([key for write in of(e.Write, effects) for key, _ in write.rows])
        seat.do(effects)
        while seat.durable():
            pass
    return taken


def test_a_large_partition_is_gone_through_in_steps() -> None:
    council = Council()
    seat, count = council.driver, limits.COLLECT_STEP_ROWS
    keys = [bytes([0, council.partition, 1, 0]) + b"%04d" % n for n in range(2 * count + 5)]
    seat.store.rows.update(dict.fromkeys(keys, GONE))
    seat.home.horizons.adopt(council.partition, NOW)
    seat.home.horizons.collect(council.partition, NOW)
    assert swept(seat, council.partition) == [keys[:count], keys[count:-5], keys[-5:]]
    assert not any(key in seat.store.rows for key in keys)
    assert seat.home.counters["collected"] == len(keys)


def test_a_step_waits_for_its_time() -> None:
    council = Council()
    sweeper = council.driver.collector.sweeper
    now = council.driver.home.clock.monotonic()
    assert sweeper.step(now) == []
    sweeper.begin(1)
    assert sweeper.step(now - 1) == []
    assert sweeper.is_under_way(1)
    assert sweeper.step(now) == []
    assert not sweeper.is_under_way(1)


def test_a_survey_says_when_to_come_again() -> None:
    council = Council()
    seat = council.driver
    seat.hold(record(tombstone(X, NOW + 9)))
    seat.hold(record(value(X, NOW)), b"\0another")
    swept(seat, council.partition)
    survey = seat.collector.sweeper.surveys[council.partition]
    assert survey.ripe_at == NOW + 10
    assert survey.next_at(seat.trees.root(council.partition)) == NOW + 10
    assert seat.held() is not None


def test_what_has_changed_since_the_survey_may_be_ripe_earlier() -> None:
    """A row that may go in a year was written anew, and may go in an hour."""
    survey = Survey(at=100, root=b"root", ripe_at=500)
    assert survey.next_at(b"root") == 500
    assert survey.next_at(b"another") == survey.next_at(None) == 100
    assert Survey(100, b"root", 50).next_at(b"another") == 50


def test_what_cannot_be_read_is_looked_at_again() -> None:
    council = Council()
    seat = council.driver
    seat.hold(GONE)

    class Broken:
        def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
            raise CorruptionError("block 7 is damaged")

    whole, seat.home.reader = seat.home.reader, Broken()  # type: ignore[assignment]
    assert swept(seat, council.partition) == [[]]
    assert council.partition not in seat.collector.sweeper.surveys
    assert seat.home.counters["damaged_reads"] == 1
    seat.home.reader = whole
    swept(seat, council.partition)
    assert council.partition in seat.collector.sweeper.surveys


def test_what_is_written_meanwhile_is_not_taken_away() -> None:
    """A row is looked at as it is in that moment, on its way or not."""
    council = Council()
    seat = council.driver
    seat.hold(GONE)
    seat.home.horizons.adopt(council.partition, NOW)
    seat.home.horizons.collect(council.partition, NOW)
    again = record(value(X, NOW + 3))
    seat.do([e.Write([(seat.home.locate(b"\0key")[0], again)])])
    assert swept(seat, council.partition) == [[]]
    assert seat.held() == again


def test_a_sweeper_begins_once_for_each_partition() -> None:
    seat = Council().driver
    sweeper = Sweeper(seat.home, seat.trees)
    sweeper.begin(3)
    sweeper.begin(3)
    assert sweeper.step(sweeper.due) == []
    assert sweeper.due == NEVER


def test_nothing_is_swept_while_the_foreground_is_hindered() -> None:
    council = Council()
    sweeper, now = council.driver.collector.sweeper, council.driver.home.clock.monotonic()
    sweeper.begin(1)
    council.driver.home.load.pressure.spend(now, 1 << 40)
    assert sweeper.step(now) == []
    assert sweeper.is_under_way(1)
    assert sweeper.due > now
