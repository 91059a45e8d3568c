"""A store that cannot read some of its rows: its node goes on with what the others have."""

from __future__ import annotations

from collections.abc import Iterator

from dynamokv.errors import CorruptionError
from dynamokv.protocol import effects as e
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from tests.protocol.fakes import Store
from tests.protocol.lone import ACTOR, ELSE, NOW, Lone, record, reply, request_id, sent

HELD = record((ELSE, NOW - 9, b"held"))
THEIRS = record((ELSE, NOW - 5, b"theirs"))


class Damaged(Store):
    """Everything that was applied is in a damaged block; what is on its way is not."""

    def visible(self, key: bytes) -> bytes | None:
        raise CorruptionError("block 7 is damaged")

    def newest(self, key: bytes) -> bytes | None:
        return super().newest(key) if key in self._newest else self.visible(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise CorruptionError("block 7 is damaged")


def damaged(count: int = 3) -> Lone:
    lone = Lone(count)
    lone.store = lone.home.reader = Damaged()
    return lone


def test_what_is_on_its_way_into_damage_is_written_with_each_promise() -> None:
    lone = damaged()
    for id in (7, 8):
        effects = lone.receive(
            lone.peers[0], m.Replicate(id, lone.home.epoch, 1_000, [lone.row], [THEIRS])
        )
        writes = [effect for effect in effects if type(effect) is e.Write]
        [write] = [write for write in writes if type(write.then) is e.Send]
        assert write.rows == [(lone.row, THEIRS)]


def test_a_get_goes_to_the_other_owners() -> None:
    lone = damaged()
    asked = lone.get()
    assert len(sent(m.Fetch, asked)) == 2
    id = request_id(asked)
    for peer in lone.peers:
        effects = lone.receive(peer, m.Fetched(id, [THEIRS]))
    assert reply(effects).records == [THEIRS]
    assert lone.me not in reply(effects).replicas


def test_at_one_another_owner_answers() -> None:
    lone = damaged()
    asked = sent(m.Fetch, lone.get(level=Consistency.ONE))
    [(peer, question)] = asked.items()
    assert reply(lone.receive(peer, m.Fetched(question.id, [THEIRS]))).records == [THEIRS]


def test_at_all_a_get_fails_and_says_why() -> None:
    lone = damaged()
    failed = reply(lone.get(level=Consistency.ALL))
    assert type(failed) is m.Failed
    assert "block 7" in str(failed.failed)


def test_a_replica_refuses_to_show() -> None:
    lone = damaged()
    for message in (m.Fetch(5, 1, 500, [lone.row], []), m.Scan(5, 1, b"")):
        [refused] = sent(m.Refused, lone.receive(lone.peers[0], message)).values()
        assert (refused.reason, refused.id) == (m.RefusedReason.STORAGE, 5)
        assert "block 7" in refused.detail
    assert lone.home.counters["damaged_reads"] == 2


def test_a_replica_takes_what_it_is_sent() -> None:
    lone = damaged()
    lone.receive(lone.peers[0], m.Replicate(5, 1, 500, [lone.row], [THEIRS]))
    assert lone.held() == records.decode(THEIRS)
    assert list(sent(m.Replicated, lone.durable()).values()) == [m.Replicated(5)]


def test_a_write_erases_nothing_that_the_others_have() -> None:
    """It is made under a new name, so that it does not claim to know the writes that were lost."""
    lone = damaged()
    lost = record((ACTOR, NOW - 9, b"lost here"))
    lone.put(b"new")
    written = lone.held()
    assert ACTOR not in written.context
    joined = records.decode(records.join_records(lost, records.encode(written)))
    assert {version.value for version in joined.versions} == {b"lost here", b"new"}
