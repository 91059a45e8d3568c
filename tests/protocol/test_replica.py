"""Serving other coordinators: what is acknowledged is durable, what is refused changed nothing."""

from __future__ import annotations

import pytest

from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of
from dynamokv.wire.messages import RefusedReason
from tests.protocol.lone import (
    ACTOR,
    ELSE,
    NAME,
    NOW,
    OTHER,
    Lone,
    of,
    only,
    record,
    sent,
)

OLD = record((ELSE, NOW - 9, b"old"))
NEW = record((ELSE, NOW - 5, b"new"))
BESIDE = record((OTHER, NOW - 5, b"beside"))
FAR_AHEAD = record((ELSE, NOW + (10_001 << 20), b"tomorrow"))
ABSENT = name_of(b"", b"absent")


def replicate(lone: Lone, *held: bytes, id: int = 7, names: list[bytes] | None = None) -> m.Message:
    rows = [lone.home.locate(name)[0] for name in names or [NAME]]
    return m.Replicate(id, 1, 5000, rows, list(held))


# --- joining --------------------------------------------------------------------------------------


def test_the_acknowledgement_waits_for_the_disk() -> None:
    lone = Lone()
    effects = lone.receive(lone.peers[0], replicate(lone, NEW))
    assert of(e.Send, effects) == []
    (write,) = of(e.Write, effects)
    assert write.rows == [(lone.row, NEW)]
    assert lone.durable() == [e.Send(lone.peers[0], m.Replicated(7))]
    assert lone.store.rows[lone.row] == NEW


def test_what_is_known_already_is_acknowledged_by_the_log_as_well() -> None:
    """It may be here and not durable yet, and then it is written with what promises it."""
    lone = Lone()
    lone.receive(lone.peers[0], replicate(lone, NEW))
    effects = lone.receive(lone.peers[1], replicate(lone, OLD, id=8))
    assert effects == [
        e.Write(
            [(lone.row, NEW)],
            e.Send(lone.peers[1], m.Replicated(8)),
            e.Send(
                lone.peers[1], m.Refused(8, RefusedReason.STORAGE, "the disk refused the write")
            ),
        )
    ]
    assert of(e.Send, lone.durable()) == [
        e.Send(lone.peers[0], m.Replicated(7)),
        e.Send(lone.peers[1], m.Replicated(8)),
    ]


def test_what_a_disk_refused_is_written_by_the_next_promise_of_it() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], replicate(lone, NEW))
    assert lone.store.begin()
    lone.receive(lone.peers[1], replicate(lone, NEW, id=8))
    lone.store.disk.failing = "DiskFull"
    (refused,) = lone.store.finish()
    lone.store.disk.failing = ""
    assert isinstance(refused, e.Send)
    assert type(refused.message) is m.Refused
    assert lone.durable() == [e.Send(lone.peers[1], m.Replicated(8))]
    assert lone.store.rows[lone.row] == NEW


def test_a_disk_that_refuses_is_told() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], replicate(lone, NEW))
    refused = only(m.Refused, lone.durable(failing="DiskFull"))
    assert (refused.id, refused.reason) == (7, RefusedReason.STORAGE)
    assert lone.row not in lone.store.rows


def test_incoming_records_are_joined_with_what_is_held() -> None:
    lone = Lone()
    lone.hold(OLD)
    lone.receive(lone.peers[0], replicate(lone, BESIDE))
    assert [version.value for version in lone.held().versions] == [b"old", b"beside"]
    lone.receive(lone.peers[0], replicate(lone, NEW, id=8))
    assert [version.value for version in lone.held().versions] == [b"new", b"beside"]


def test_a_repair_wants_no_answer() -> None:
    lone = Lone()
    effects = lone.receive(lone.peers[0], replicate(lone, NEW, id=0))
    assert effects == [e.Write([(lone.row, NEW)])]
    assert lone.receive(lone.peers[0], replicate(lone, NEW, id=0)) == []


def test_the_lag_of_what_is_applied_is_measured() -> None:
    lone = Lone()
    lone.wait(0.03)
    lone.receive(lone.peers[0], replicate(lone, record((ELSE, NOW + (10 << 20), b"x"))))
    assert list(lone.home.lags_ms) == [20]


# --- refusing -------------------------------------------------------------------------------------


def test_a_record_from_too_far_ahead_is_refused_whole_and_moves_no_clock() -> None:
    lone = Lone()
    names = [NAME, ABSENT]
    effects = lone.receive(lone.peers[0], replicate(lone, FAR_AHEAD, NEW, names=names))
    assert of(e.Write, effects) == []
    refused = only(m.Refused, effects)
    assert (refused.id, refused.reason) == (7, RefusedReason.CLOCK_DRIFT)
    assert refused.detail == "stamped 10.0 s ahead of this node's clock"
    assert lone.home.counters["clock_drift_refused"] == 1
    lone.put()
    assert lone.held().context[ACTOR] < NOW + (1 << 20)


def test_a_record_within_the_drift_moves_the_clock() -> None:
    lone = Lone()
    ahead = NOW + (9_999 << 20)
    lone.receive(lone.peers[0], replicate(lone, record((ELSE, ahead, b"x"))))
    lone.put()
    assert lone.held().context[ACTOR] > ahead


@pytest.mark.parametrize("junk", [b"", b"junk", NEW[:-1], NEW + b"x"])
def test_poison_is_refused_whole(junk: bytes) -> None:
    lone = Lone()
    effects = lone.receive(lone.peers[0], replicate(lone, NEW, junk, names=[NAME, ABSENT]))
    assert of(e.Write, effects) == []
    refused = only(m.Refused, effects)
    assert (refused.id, refused.reason) == (7, RefusedReason.STORAGE)
    assert refused.detail.startswith("damaged record: ")
    assert lone.home.counters["poison_records"] == 1


@pytest.mark.parametrize("bad", [FAR_AHEAD, b"junk"])
def test_a_repair_that_is_refused_is_not_answered(bad: bytes) -> None:
    lone = Lone()
    assert lone.receive(lone.peers[0], replicate(lone, bad, id=0)) == []


# --- amnesia --------------------------------------------------------------------------------------


def test_a_peer_that_knows_more_of_this_node_than_its_store_proves_amnesia() -> None:
    lone = Lone()
    lone.hold(OLD)
    effects = lone.receive(lone.peers[0], replicate(lone, record((ACTOR, NOW - 3, b"forgotten"))))
    assert lone.home.actor != ACTOR
    assert lone.home.counters["amnesia"] == 1
    (report,) = of(e.Report, effects)
    assert report.level == "WARNING"
    (identity,) = [write for write in of(e.Write, effects) if write.synced]
    assert identity.rows[0][0] == row_keys.IDENTITY_ROW
    lone.put(b"next")
    assert lone.held().context[ACTOR] == NOW - 3
    assert lone.held().versions[0].dot.actor == lone.home.actor


def test_what_is_written_and_not_durable_yet_is_not_forgotten() -> None:
    lone = Lone()
    message = next(iter(sent(m.Replicate, lone.put()).values()))
    lone.receive(lone.peers[0], m.Replicate(8, 1, 5000, message.keys, message.records))
    assert lone.home.actor == ACTOR


def test_a_write_that_the_disk_refused_is_forgotten() -> None:
    """Its peers may hold it: under the old name, the next write here would erase it there."""
    lone = Lone()
    lone.put(b"lost here")
    lone.put(b"lost here too", ticket=2)
    lone.durable(failing="DiskFull")
    actor = lone.home.actor
    assert actor != ACTOR
    assert lone.home.counters["amnesia"] == 1, "once for all that one bad disk refused"
    lone.after(1.0)
    lone.durable()
    lone.put(b"next", ticket=3)
    assert set(lone.held().context) == {actor}


# --- showing --------------------------------------------------------------------------------------


def fetch(lone: Lone, *digests: int) -> m.Message:
    rows = [lone.row, lone.home.locate(ABSENT)[0]]
    return m.Fetch(7, 1, 5000, rows, list(digests))


def test_records_are_shown() -> None:
    lone = Lone()
    lone.hold(OLD)
    assert only(m.Fetched, lone.receive(lone.peers[0], fetch(lone))).records == [OLD, b""]


def test_equal_digests_are_the_same() -> None:
    lone = Lone()
    lone.hold(OLD)
    effects = lone.receive(lone.peers[0], fetch(lone, records.digest(OLD), 0))
    assert effects == [e.Send(lone.peers[0], m.Same(7))]
    effects = lone.receive(lone.peers[0], fetch(lone, records.digest(NEW), 0))
    assert only(m.Fetched, effects).records == [OLD, b""]


def test_what_is_not_durable_is_not_shown() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], replicate(lone, NEW))
    assert only(m.Fetched, lone.receive(lone.peers[1], fetch(lone))).records == [b"", b""]
