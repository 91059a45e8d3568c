"""Horizons that could not be read at one start were back at the next, and something deleted stayed.

In between, the member had no horizon, so it took in what had been deleted. Then its old horizon
said that it knew everything below it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dynamokv.errors import StorageError
from dynamokv.protocol.state.home import Home
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from tests.protocol.fakes import Store
from tests.protocol.lone import Bench, Lone
from tests.protocol.state.test_horizons import HORIZON, OLD

FAR = 7
"""A partition whose row comes after others."""


class Flaky(Store):
    """Its disk fails now and then.

    Attributes:
        floor_fails: the floor cannot be read.
        readable: so many horizons can be read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.floor_fails = False
        self.readable = 99

    def newest(self, key: bytes) -> bytes | None:
        if self.floor_fails and key == row_keys.FLOOR_ROW:
            raise StorageError("once")
        return super().newest(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for at, row in enumerate(super().scan(start, end)):
            if start == row_keys.HORIZONS and at == self.readable:
                raise StorageError("once")
            yield row


def collected() -> tuple[Flaky, Lone]:
    """A member with horizons, and its store."""
    store = Flaky()
    member = Lone(store=store)
    horizons = member.home.horizons
    for partition in {0, row_keys.partition_of(member.row), FAR}:
        key, row = horizons.adopt(partition, HORIZON)
        assert row is not None
        store.rows[key] = row
    return store, member


def started(store: Flaky, *, forgot: bool = False) -> Home:
    """Its next life, whose first writes are on the disk."""
    return Lone(store=store, forgot=forgot).home


def test_they_are_forgotten_for_good() -> None:
    for readable in (0, 1):
        store, first = collected()
        store.readable = readable
        again = Lone(store=store)
        assert not again.home.horizons.adopted
        again.receive(again.peers[0], m.Replicate(5, 1, 5000, [first.row], [OLD]))
        again.durable()
        assert store.rows[first.row] == OLD, "let in for want of a horizon"
        store.readable = 99
        assert not started(store).horizons.adopted


def test_so_they_are_when_the_floor_cannot_be_read() -> None:
    for forgot in (False, True):
        store, _ = collected()
        store.floor_fails = True
        assert not started(store, forgot=forgot).horizons.adopted
        store.floor_fails = False
        assert not started(store).horizons.adopted


def test_a_member_without_a_ring_forgets_those_of_any_partition() -> None:
    store, first = collected()
    store.readable = 0
    lost = Bench(first.me, None, store=store, address="a", expect_members=3)
    lost.durable()
    assert not store.rows.keys() & {row_keys.horizon_row(p) for p in (0, FAR)}
    store.readable = 99
    assert not started(store).horizons.adopted
