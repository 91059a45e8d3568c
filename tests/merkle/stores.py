"""A store with its tree, and a host that carries an exchange between two of them, as badly as a
test wants it.

A record is a set of small numbers, and records are joined by union: enough to see whether both
sides end with all that either had.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import count, islice
from random import Random
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from dynamokv.merkle.compare import Ask, Done, Exchange, Listing, Read, Repair, Settle, answer
from dynamokv.merkle.messages import EDGE, Answer, CompareKeys, Question
from dynamokv.merkle.tree import Tree
from dynamokv.wire import codec

SEED = 0x5EED
PARTITION = 7
EPOCH = 3


def digest_of(record: bytes) -> int:
    return xxh3_64_intdigest(record) or 1


class Store:
    """Records by key, and the tree that every write keeps in step."""

    def __init__(self, contents: dict[bytes, bytes] | None = None) -> None:
        self.records: dict[bytes, bytes] = {}
        self.tree = Tree(SEED)
        self.rows_read = 0
        for key, record in (contents or {}).items():
            self.join(key, record)

    def join(self, key: bytes, record: bytes) -> None:
        held = self.get(key)
        joined = bytes(sorted({*held, *record}))
        self.tree.replace(key, digest_of(held) if held else 0, digest_of(joined))
        self.records[key] = joined

    def get(self, key: bytes) -> bytes:
        return self.records.get(key, b"")

    def slice(self, start: bytes, rows: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """As many rows from a key on, and the key that follows them."""
        found = list(islice(self.scan(start), rows + 1))
        self.rows_read += len(found[:rows])
        return found[:rows], found[rows][0] if len(found) > rows else EDGE

    def scan(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        keys = sorted(self.records)
        return ((key, self.records[key]) for key in keys[bisect_left(keys, start) :])


class Weather(NamedTuple):
    """Of all messages, how many get lost and how many come twice."""

    random: Random
    loss: float
    twice: float


CALM = Weather(Random(0), 0.0, 0.0)


class Talk:
    """One exchange, from its first question to its end.

    Attributes:
        bytes_sent: all that travelled, records too.
        largest: the longest message of the exchange, encoded.
        lists: ``CompareKeys`` that were answered.
        repaired: the keys that were fetched, and those that were pushed.
    """

    def __init__(
        self,
        asker: Store,
        other: Store,
        *,
        weather: Weather = CALM,
        meanwhile: Callable[[], None] = lambda: None,
        slice_rows: int = 5,
        ids: Iterator[int] | None = None,
    ) -> None:
        self.asker = asker
        self.other = other
        self.weather = weather
        self.meanwhile = meanwhile
        self.slice_rows = slice_rows
        new_id = (ids or count(1)).__next__
        self.exchange = Exchange(asker.tree, PARTITION, EPOCH, new_id, digest_of)
        self.under_way: list[Question | Answer] = []
        self.messages = self.bytes_sent = self.largest = self.lists = 0
        self.repaired: tuple[list[bytes], list[bytes]] = ([], [])

    def run(self) -> None:
        while True:
            self.meanwhile()
            match self.exchange.next:
                case Ask(question):
                    if not self.under_way:
                        self.send(question)
                    self.deliver()
                case Settle():
                    self.exchange.on_settled()
                case Read(start):
                    self.exchange.on_rows(*self.asker.slice(start, self.slice_rows))
                case Repair(fetch, push):
                    self.repair(fetch, push)
                    self.exchange.on_repaired()
                case Done():
                    return

    def send(self, message: Question | Answer) -> None:
        data = codec.encode(message)
        assert codec.decode(data) == list(message)
        self.messages += 1
        self.bytes_sent += len(data)
        self.largest = max(self.largest, len(data))
        weather = self.weather
        if weather.random.random() >= weather.loss:
            self.under_way += [message] * (1 + (weather.random.random() < weather.twice))

    def deliver(self) -> None:
        """Any one of those under way: that is reordering, and delay of whatever length."""
        if not self.under_way:
            return
        message = self.under_way.pop(self.weather.random.randrange(len(self.under_way)))
        if isinstance(message, CompareKeys):
            self.send(self.list_keys(message))
        elif isinstance(message, Question):
            self.send(answer(self.other.tree, message))
        else:
            self.exchange.on_answer(message)

    def list_keys(self, question: CompareKeys) -> Answer:
        self.lists += 1
        listing = Listing(question, SEED, digest_of)
        while True:
            compared = listing.on_rows(*self.other.slice(listing.start, self.slice_rows))
            if compared is not None:
                return compared
            self.meanwhile()

    def repair(self, fetch: list[bytes], push: list[bytes]) -> None:
        for key in fetch:
            self.asker.join(key, self.carried(key, self.other))
        self.meanwhile()
        for key in push:
            self.other.join(key, self.carried(key, self.asker))
        self.repaired[0].extend(fetch)
        self.repaired[1].extend(push)

    def carried(self, key: bytes, store: Store) -> bytes:
        record = store.get(key)
        self.bytes_sent += len(key) + len(record)
        return record


def union(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> dict[bytes, bytes]:
    keys = {**one, **other}
    return {key: bytes(sorted({*one.get(key, b""), *other.get(key, b"")})) for key in keys}
