"""Answers to reads that would be too large for a message: the first records, and the rest is asked
for again."""

from __future__ import annotations

from typing import Any

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of
from tests.protocol.lone import CLIENT, ELSE, NOW, Lone, get_request, of, only, record, reply, sent

BIG = limits.ANSWER_BYTES_MAX // 2
"""Two records of this size are more than one answer carries."""


def large(size: int, time: int = NOW) -> bytes:
    return record((ELSE, time, bytes(size)))


def names_of_one_group(lone: Lone, count: int) -> list[bytes]:
    """Names that share their owners, and so may share a request."""
    every = [name_of(b"", b"%d" % number) for number in range(1000)]
    owners = lone.home.locate(every[0])[1]
    return [name for name in every if lone.home.locate(name)[1] == owners][:count]


@pytest.mark.parametrize(
    ("sizes", "count"), [([1, 1], 2), ([2 * BIG], 1), ([BIG, BIG], 1), ([BIG, 1, BIG], 2), ([], 0)]
)
def test_as_many_as_fit_and_at_least_one(sizes: list[int], count: int) -> None:
    found = [bytes(size) for size in sizes]
    if count < len(found):
        found[-1] += b"beyond"
    assert records.fitting(found) == found[:count]


def test_an_owner_shows_another_coordinator_the_first_ones() -> None:
    lone = Lone()
    names = names_of_one_group(lone, 3)
    for name in names:
        lone.hold(large(BIG), name)
    keys = [lone.home.locate(name)[0] for name in names]
    answer = only(m.Fetched, lone.receive(lone.peers[0], m.Fetch(7, 1, 1000, keys, [])))
    assert answer.records == [large(BIG)]
    digests = [records.digest(large(BIG))] * 3
    effects = lone.receive(lone.peers[0], m.Fetch(8, 1, 1000, keys, digests))
    assert only(m.Same, effects).id == 8, "the same is the same, whatever its size"


def test_a_client_gets_the_first_ones() -> None:
    lone = Lone()
    names = names_of_one_group(lone, 3)
    for name in names:
        lone.hold(large(BIG), name)
    request = get_request(*names, id=5, level=Consistency.ONE)
    done = only(m.GetDone, lone.receive(CLIENT, request))
    assert done.records == [large(BIG)]
    assert len(done.seals) == 1
    rest = get_request(*names[1:], id=6, level=Consistency.ONE)
    assert only(m.GetDone, lone.receive(CLIENT, rest)).records == [large(BIG)]


def test_the_application_in_the_same_process_gets_all() -> None:
    lone = Lone()
    names = names_of_one_group(lone, 3)
    for name in names:
        lone.hold(large(BIG), name)
    assert reply(lone.get(*names, level=Consistency.ONE)).records == [large(BIG)] * 3


def test_the_shortest_answer_is_how_far_the_reply_goes() -> None:
    lone = Lone()
    names = names_of_one_group(lone, 3)
    for name in names:
        lone.hold(large(10), name)
    asked = sent(m.Fetch, lone.get(*names))
    ((peer, fetch),) = asked.items()
    newer = large(20, NOW + 1)
    effects = lone.receive(peer, m.Fetched(fetch.id, [newer, large(10)]))
    assert reply(effects).records == [newer, large(10)]
    assert len(reply(effects).seals) == 2
    (repair,) = of(e.Write, effects)
    assert repair.rows == [(fetch.keys[0], newer)], "what was not shown is not repaired"


@pytest.mark.parametrize("shown", [[], [b""] * 4])
def test_nothing_and_too_much_are_no_answers(shown: list[bytes]) -> None:
    lone = Lone()
    names = names_of_one_group(lone, 3)
    ((peer, fetch),) = sent(m.Fetch, lone.get(*names)).items()
    effects: list[Any] = lone.receive(peer, m.Fetched(fetch.id, shown))
    assert not of(e.Reply, effects)
    assert len(sent(m.Fetch, effects)) == 1, "another owner is asked"
