"""What a read leaves behind: whoever answered with less is brought up to date, after the reply."""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of
from tests.protocol.lone import (
    ELSE,
    NAME,
    NOW,
    OTHER,
    Lone,
    of,
    only,
    record,
    reply,
    sent,
)

MINE = record((ELSE, NOW - 9, b"mine"))
NEWER = record((ELSE, NOW - 5, b"newer"))
BESIDE = record((OTHER, NOW - 5, b"beside"))
BOTH = records.join_records(MINE, BESIDE)
FAR_AHEAD = record((ELSE, NOW + (60_000 << 20), b"tomorrow"))


def test_whoever_answered_with_less_is_sent_the_join_after_the_reply() -> None:
    lone = Lone()
    lone.hold(MINE)
    asked = sent(m.Fetch, lone.get(level=Consistency.ALL))
    first, second = asked
    id = asked[first].id
    lone.receive(first, m.Fetched(id, [BESIDE]))
    effects = lone.receive(second, m.Fetched(id, [BOTH]))
    assert reply(effects[:1]).records == [BOTH]
    repairs = sent(m.Replicate, effects)
    assert repairs == {first: m.Replicate(0, 1, 0, [lone.row], [BOTH])}
    (write,) = of(e.Write, effects)
    assert (write.rows, write.then) == ([(lone.row, BOTH)], None)
    assert lone.home.counters["read_repairs"] == 2


def test_only_the_keys_that_differ_are_repaired() -> None:
    lone = Lone()
    names = [name_of(b"", b"same"), NAME]
    lone.hold(MINE, names[0])
    lone.hold(NEWER)
    asked = sent(m.Fetch, lone.get(*names))
    (peer,) = asked
    effects = lone.receive(peer, m.Fetched(asked[peer].id, [MINE, b""]))
    assert only(m.Replicate, effects).keys == [lone.row]


def test_what_was_written_here_meanwhile_is_not_undone_by_the_repair() -> None:
    lone = Lone()
    lone.hold(MINE)
    asked = sent(m.Fetch, lone.get())
    (peer,) = asked
    lone.put(b"meanwhile", ticket=2)
    lone.durable()
    lone.receive(peer, m.Fetched(asked[peer].id, [BESIDE]))
    lone.durable()
    found = {version.value for version in lone.held().versions}
    assert found == {b"meanwhile", b"beside"}


def test_a_store_that_has_it_by_now_is_not_repaired() -> None:
    lone = Lone()
    asked = sent(m.Fetch, lone.get())
    (peer,) = asked
    lone.receive(peer, m.Replicate(0, 1, 0, [lone.row], [NEWER]))
    assert of(e.Write, lone.receive(peer, m.Fetched(asked[peer].id, [NEWER]))) == []


def test_a_record_from_tomorrow_is_shown_and_not_taken_over() -> None:
    lone = Lone()
    asked = sent(m.Fetch, lone.get())
    (peer,) = asked
    effects = lone.receive(peer, m.Fetched(asked[peer].id, [FAR_AHEAD]))
    assert reply(effects).records == [FAR_AHEAD]
    assert of(e.Write, effects) == []
    assert lone.home.counters["clock_drift_refused"] == 1


def test_a_member_without_a_copy_repairs_the_owners() -> None:
    lone = Lone(5)
    name = lone.name(mine=False)
    asked = sent(m.Fetch, lone.get(name))
    first, second = asked
    id = asked[first].id
    lone.receive(first, m.Fetched(id, [MINE]))
    effects = lone.receive(second, m.Fetched(id, [NEWER]))
    assert list(sent(m.Replicate, effects)) == [first]
    assert of(e.Write, effects) == []
