"""A newcomer's copy: every page once, whatever gets lost, and whole only when it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from dynamokv.limits import SCAN_RETRY_SECONDS, SOURCE_SILENT_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import rounds
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.lone import ACTOR, ELSE, NOW, OTHER, Lone, of, record, sent
from tests.ring import rings

FIRST = row_keys.FIRST_DATA_ROW
ROW = row_key(1, name_of(b"", b"a"))
NEXT = row_key(2, name_of(b"", b"b"))
HELD = record((ELSE, NOW - 9, b"old"))
END = b""
FLOOR = rounds.Horizons(2, NOW - 99, [], [], [], [])
"""What comes before each first page."""


def newcomer(count: int = 3, up: Iterable[int] | None = None) -> Lone:
    """The last member, which was just taken in."""
    ring = rings.ring(count, n=5, partitions=8)
    topology = replace(ring, epoch=2, change=rings.node_id(count - 1))
    lone = Lone(count, number=count - 1, n=5, topology=topology, up=up)
    for peer in lone.peers:
        lone.receive(peer, FLOOR)
    return lone


def page(scan: m.Scan, next: bytes, *rows: tuple[bytes, bytes]) -> m.Scanned:
    return m.Scanned(scan.id, [key for key, _ in rows], [held for _, held in rows], next)


def asked(lone: Lone) -> dict[bytes, m.Scan]:
    return sent(m.Scan, lone.last)


def first_questions(lone: Lone) -> dict[bytes, m.Scan]:
    """What a newcomer whose peers are all up asks, from a new start."""
    for peer in lone.peers:
        lone.step(e.PeerDown(peer))
    scans = {}
    for peer in lone.peers:
        lone.step(e.PeerUp(peer))
        scans.update(asked(lone))
    return scans


def answer(lone: Lone, peer: bytes, message: m.Scanned) -> dict[bytes, m.Scan]:
    """What is asked next, once the page is durable."""
    lone.receive(peer, message)
    return sent(m.Scan, [x for x in lone.durable() if x not in of(e.Write, [x])])


# --- pages ----------------------------------------------------------------------------------------


def test_every_peer_that_is_up_is_asked_from_the_start() -> None:
    scans = first_questions(newcomer())
    assert set(scans) == {rings.node_id(number) for number in range(2)}
    assert {(scan.epoch, scan.start) for scan in scans.values()} == {(2, FIRST)}


def test_a_peer_that_is_down_is_asked_once_it_is_up() -> None:
    lone = newcomer(up=[0])
    lone.after(2.0)
    assert list(asked(lone)) == [lone.peers[0]]
    lone.step(e.PeerUp(lone.peers[1]))
    assert list(asked(lone)) == [lone.peers[1]]


def test_a_page_of_a_peer_that_has_not_told_its_floor_is_asked_for_again() -> None:
    """Its first words got lost. Without them this node could make writes that nobody takes in."""
    lone = newcomer()
    scans = first_questions(lone)
    peer, scan = next(iter(scans.items()))
    lone.home.horizons.heard.clear()
    assert answer(lone, peer, page(scan, END, (ROW, HELD))) == {}
    assert lone.store.newest(ROW) is None
    lone.after(SCAN_RETRY_SECONDS)
    again = asked(lone)[peer]
    assert (again.id, again.start) == (scan.id, FIRST)
    lone.receive(peer, FLOOR)
    answer(lone, peer, page(again, NEXT, (ROW, HELD)))
    assert lone.store.newest(ROW) == HELD


def test_the_next_page_is_asked_for_when_this_one_is_durable() -> None:
    lone = newcomer()
    peer, scan = next(iter(first_questions(lone).items()))
    effects = lone.receive(peer, page(scan, NEXT, (ROW, HELD)))
    (write,) = of(e.Write, effects)
    assert write.rows == [(ROW, HELD)]
    assert sent(m.Scan, effects) == {}
    following = sent(m.Scan, lone.durable())[peer]
    assert following.start == NEXT
    assert following.id != scan.id


def test_pages_are_joined() -> None:
    lone = newcomer()
    lone.store.rows[ROW] = record((OTHER, NOW - 9, b"mine"))
    peer, scan = next(iter(first_questions(lone).items()))
    (write,) = of(e.Write, lone.receive(peer, page(scan, END, (ROW, HELD), (NEXT, HELD))))
    assert [key for key, _ in write.rows] == [ROW, NEXT]
    lone.durable()
    assert b"old" in lone.store.rows[ROW]
    assert b"mine" in lone.store.rows[ROW]
    assert lone.home.counters["filled_rows"] == 2


def test_a_page_without_news_goes_through_the_log_as_well() -> None:
    lone = newcomer()
    lone.store.rows[ROW] = HELD
    peer, scan = next(iter(first_questions(lone).items()))
    assert of(e.Write, lone.receive(peer, page(scan, NEXT, (ROW, HELD))))[0].rows == []
    assert sent(m.Scan, lone.durable())[peer].start == NEXT


def test_a_page_that_comes_twice_is_taken_once() -> None:
    lone = newcomer()
    peer, scan = next(iter(first_questions(lone).items()))
    lone.receive(peer, page(scan, NEXT, (ROW, HELD)))
    assert lone.receive(peer, page(scan, NEXT, (ROW, HELD))) == []
    lone.durable()
    assert lone.receive(peer, page(scan, END, (ROW, HELD))) == []


def test_a_page_of_a_stranger_is_no_page() -> None:
    lone = newcomer()
    _, scan = next(iter(first_questions(lone).items()))
    assert lone.receive(rings.node_id(77), page(scan, END)) == []


def test_a_page_that_the_disk_refused_is_asked_for_again() -> None:
    lone = newcomer()
    peer, scan = next(iter(first_questions(lone).items()))
    lone.receive(peer, page(scan, NEXT, (ROW, HELD)))
    assert sent(m.Scan, lone.durable(failing="DiskFull")) == {}
    assert sent(m.Scan, lone.after(SCAN_RETRY_SECONDS))[peer] == scan


@pytest.mark.parametrize("junk", [b"junk", record((ELSE, NOW + (60_000 << 20), b"tomorrow"))])
def test_a_damaged_page_changes_nothing_and_is_asked_for_again(junk: bytes) -> None:
    lone = newcomer()
    peer, scan = next(iter(first_questions(lone).items()))
    effects = lone.receive(peer, page(scan, NEXT, (ROW, HELD), (NEXT, junk)))
    assert of(e.Write, effects) == []
    assert [report.level for report in of(e.Report, effects)] == ["ERROR"]
    assert lone.home.counters["poison_records"] == 1
    assert sent(m.Scan, lone.after(SCAN_RETRY_SECONDS))[peer] == scan


def test_a_question_without_an_answer_is_asked_again() -> None:
    """The peer may not have known the ring yet, and have dropped it."""
    lone = newcomer()
    scans = first_questions(lone)
    assert sent(m.Scan, lone.after(SCAN_RETRY_SECONDS / 2)) == {}
    assert sent(m.Scan, lone.after(SCAN_RETRY_SECONDS / 2)) == scans


@pytest.mark.parametrize("way", ["down", "undelivered"])
def test_after_a_lost_link_it_is_asked_again_at_once(way: str) -> None:
    lone = newcomer()
    peer, scan = next(iter(first_questions(lone).items()))
    if way == "down":
        lone.step(e.PeerDown(peer))
        effects = lone.step(e.PeerUp(peer))
    else:
        lone.step(e.Undelivered(peer, scan))
        effects = lone.after(0.11)
    assert sent(m.Scan, effects) == {peer: scan}


def test_strangers_that_go_away_change_nothing() -> None:
    lone = newcomer()
    first_questions(lone)
    assert lone.step(e.PeerDown(rings.node_id(77))) == []


def test_rows_of_an_actor_of_this_node_prove_amnesia_here_as_well() -> None:
    lone = newcomer()
    peer, scan = next(iter(first_questions(lone).items()))
    lone.receive(peer, page(scan, NEXT, (ROW, record((ACTOR, NOW - 9, b"mine")))))
    assert lone.home.actor != ACTOR


# --- whole ----------------------------------------------------------------------------------------


def test_whole_when_all_that_are_up_were_read_to_the_end() -> None:
    lone = newcomer(4)
    first, second, third = first_questions(lone).items()
    for peer, scan in (first, second):
        answer(lone, peer, page(scan, END))
        assert sent(m.Filled, lone.after(0.11)) == {}
    lone.receive(third[0], page(third[1], END))
    filled = sent(m.Filled, lone.durable())
    assert filled == {lone.peers[0]: m.Filled(0, 2)}
    assert sent(m.Filled, lone.after(0.11)) == filled, "said again until it is heard"


def test_whole_without_one_that_is_down_when_a_majority_was_read() -> None:
    lone = newcomer(4)
    *two, third = first_questions(lone).items()
    for peer, scan in two:
        answer(lone, peer, page(scan, END))
    lone.step(e.PeerDown(third[0]))
    assert sent(m.Filled, lone.after(0.11))


def test_whole_after_one_of_two_when_the_other_is_down() -> None:
    """What a ring of two acknowledged at QUORUM is at both."""
    lone = newcomer(3)
    (peer, scan), other = first_questions(lone).items()
    answer(lone, peer, page(scan, END))
    lone.step(e.PeerDown(other[0]))
    assert sent(m.Filled, lone.after(0.11))


def test_not_whole_while_more_than_half_are_missing() -> None:
    lone = newcomer(4)
    (peer, scan), *others = first_questions(lone).items()
    answer(lone, peer, page(scan, END))
    for other in others:
        lone.step(e.PeerDown(other[0]))
    assert sent(m.Filled, lone.after(0.11)) == {}


def test_a_peer_that_answers_nothing_is_not_waited_for_for_ever() -> None:
    lone = newcomer(3)
    (peer, scan), (silent, _) = first_questions(lone).items()
    answer(lone, peer, page(scan, END))
    for _ in range(round(SOURCE_SILENT_SECONDS) - 1):
        assert sent(m.Filled, lone.after(1.0)) == {}
    lone.step(e.PeerDown(silent))
    lone.step(e.PeerUp(silent))
    for _ in range(round(SOURCE_SILENT_SECONDS)):
        assert sent(m.Filled, lone.after(0.99)) == {}, "it has come back"
    assert sent(m.Filled, lone.after(0.99))


def test_a_peer_whose_page_has_to_wait_is_not_silent() -> None:
    lone = newcomer(3)
    (peer, scan), (busy, question) = first_questions(lone).items()
    answer(lone, peer, page(scan, END))
    later = m.Refused(question.id, m.RefusedReason.LATER, "others have their turn first")
    for _ in range(round(SOURCE_SILENT_SECONDS) * 2):
        assert sent(m.Filled, lone.after(1.0)) == {}
        lone.receive(busy, later)
    lone.receive(b"no source", later)
    for _ in range(round(SOURCE_SILENT_SECONDS) + 1):
        lone.receive(busy, later._replace(id=question.id + 99))
        lone.after(1.0)
    assert sent(m.Filled, lone.last), "that was not about its question"


def test_a_peer_that_cannot_read_a_page_is_named_and_waited_for_where_it_is_needed() -> None:
    lone = newcomer(3)
    fill = lone.node.life.newcomer.fill
    assert fill is not None
    (peer, scan), (source, question) = first_questions(lone).items()
    refused = m.Refused(question.id, m.RefusedReason.STORAGE, "partition 5 cannot be read: why")
    for _ in range(round(SOURCE_SILENT_SECONDS) * 2):
        assert sent(m.Filled, lone.after(1.0)) == {}
        lone.receive(source, refused)
    assert fill.damaged() == {source: refused.detail}
    lone.receive(source, refused._replace(reason=m.RefusedReason.NOT_READY, detail="no ring yet"))
    assert fill.damaged() == {source: refused.detail}, "that says nothing of its rows"
    answer(lone, peer, page(scan, END))
    assert sent(m.Filled, lone.after(1.0)), "one of two is enough"
    lone.step(e.PeerDown(source))
    assert fill.damaged() == {}, "what it can read when it is back, nobody knows"
    lone.step(e.PeerUp(source))
    lone.receive(source, refused)
    answer(lone, source, page(question, END))
    assert fill.damaged() == {}


def test_ready_once_the_ring_calls_it_settled() -> None:
    lone = newcomer()
    assert not lone.node.ready
    effects = lone.receive(lone.peers[0], m.Announce(lone.topology.settled().encode()))
    assert of(e.Ready, effects)
    assert lone.node.ready
    assert lone.receive(lone.peers[0], m.Scanned(1, [], [], b"")) == []
    assert lone.receive(lone.peers[0], m.Refused(1, m.RefusedReason.LATER, "not now")) == []
    assert lone.step(e.PageStored(lone.peers[0], b"")) == []


def test_a_member_that_moves_meanwhile_does_not_begin_the_copy_anew() -> None:
    lone = newcomer()
    peer, scan = next(iter(first_questions(lone).items()))
    following = answer(lone, peer, page(scan, NEXT, (ROW, HELD)))[peer]
    moved = lone.topology.with_member(replace(lone.topology.members[1], address="moved:1"))
    lone.receive(peer, m.Announce(moved.encode()))
    again = sent(m.Scan, lone.after(SCAN_RETRY_SECONDS))[peer]
    assert again == following._replace(epoch=3)


def test_a_newcomer_does_not_coordinate_for_others_before_it_is_ready() -> None:
    lone = newcomer()
    request = m.GetRequest(9, 2, 5000, 0, False, [name_of(b"", b"a")])
    refused = sent(m.Refused, lone.receive(b"\0cli1", request))[b"\0cli1"]
    assert (refused.id, refused.reason) == (9, m.RefusedReason.NOT_READY)


def test_a_page_of_an_earlier_copy_says_nothing_of_this_one() -> None:
    """Taken for this one's, it would skip the keys before it, which this copy never read."""
    lone = newcomer(3)
    peer, scan = next(iter(first_questions(lone).items()))
    assert lone.step(e.PageStored(peer, END, scan.id + 1_000_000)) == []
    assert lone.step(e.PageStored(b"nobody's node id", END, scan.id)) == []
    asked = sent(m.Scan, lone.after(1.0)) | sent(m.Scan, lone.after(5.0))
    assert asked[peer].start == scan.start
