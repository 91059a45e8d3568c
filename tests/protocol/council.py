"""Members that agree on horizons, without the rest of a node: messages and writes go where the test
lets them."""

from __future__ import annotations

from collections import deque
from random import Random

from dynamokv.causality.hlc import HybridClock, time_at
from dynamokv.causality.versions import Dot, KeyState, Version
from dynamokv.limits import CLOCK_DRIFT_MAX_MS
from dynamokv.protocol import effects as e
from dynamokv.protocol.collecting.collector import Collector
from dynamokv.protocol.effects import Effect
from dynamokv.protocol.replica import serve_fetch, serve_replicate
from dynamokv.protocol.state.home import Home, Settings
from dynamokv.testing.simulation.clocks import START_MS, NodeClock
from dynamokv.testing.simulation.schedule import Schedule, nanoseconds
from dynamokv.types import Actor, NodeId
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire import rounds
from dynamokv.wire.keys import is_data_row, name_of, partition_range
from tests.protocol.fakes import Store
from tests.ring import rings

NOW = time_at(START_MS)
GRACE = 2.0
NAME = name_of(b"", b"key")
X, Y = Actor(b"actor xx"), Actor(b"actor yy")


class ShownTrees:
    """``views.Trees`` that looks at the rows themselves."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.unknown: set[int] = set()

    def root(self, partition: int) -> bytes | None:
        rows = repr([(key, records.digest(row)) for key, row in self._rows(partition)])
        return None if partition in self.unknown else rows.encode()

    def passing(self, partition: int) -> int:
        return sum(records.is_passing(row) for _, row in self._rows(partition))

    def _rows(self, partition: int) -> list[tuple[bytes, bytes]]:
        first, last = partition_range(partition)
        rows = self.store.rows.items()
        return sorted((k, row) for k, row in rows if first <= k < last and is_data_row(k))


class KeptHints:
    """``views.Hints`` of partitions that the test names."""

    def __init__(self) -> None:
        self.partitions: set[int] = set()

    def holds(self, partition: int) -> bool:
        return partition in self.partitions


class Seat:
    """One member."""

    def __init__(self, council: Council, number: int, store: Store) -> None:
        self.council = council
        self.store = store
        self.trees, self.hints = ShownTrees(store), KeptHints()
        me = rings.member(number)
        self.id = me.node_id
        self.home = Home(
            node_id=me.node_id,
            actor=Actor(b"actor %02d" % number),
            settings=Settings(cluster="test", partitions=8, tombstone_grace=GRACE),
            reader=store,
            clock=NodeClock(council.schedule),
            rng=Random(number),
            hybrid=HybridClock(last=0, drift_max_ms=CLOCK_DRIFT_MAX_MS),
        )
        self.home.horizons.load(forgot=False, partitions=8)
        self.home.hybrid.pass_by(self.home.horizons.floor)
        self.home.adopt(council.topology)
        self.home.up = {mb.node_id for mb in council.topology.members}
        self._ids = number * 1000
        self.collector = Collector(self.home, self.trees, self.hints, self.new_id)

    def new_id(self) -> int:
        self._ids += 1
        return self._ids

    def do(self, effects: list[Effect]) -> None:
        for effect in self.home.horizons.before(effects):
            if type(effect) is e.Send:
                self.council.under_way.append((self.id, NodeId(effect.peer), effect.message))
            else:
                assert type(effect) is e.Write
                self.store.write(effect)

    def tick(self) -> None:
        self.do(self.collector.tick(self.home.clock.monotonic()))

    def receive(self, peer: NodeId, message: m.Message) -> None:
        collector = self.collector
        match message:
            case rounds.Round():
                if message.epoch == self.home.epoch:
                    self.do(collector.serve_round(peer, message))
            case rounds.Agreed():
                self.do(collector.on_agreed(peer, message))
            case rounds.Horizons():
                self.do(collector.teller.on_horizons(peer, message))
            case m.Replicate():
                self.do(serve_replicate(self.home, peer, message))
            case m.Fetch():
                self.do(serve_fetch(self.home, peer, message))
            case m.Fetched() | m.Same() if message.id == collector.catching_up.asked:
                self.do(collector.catching_up.on_reply(peer, message))
            case _:
                self.council.answers.append(message)

    def durable(self) -> bool:
        """Whether there was something to write, which is on the disk now."""
        if not self.store.begin():
            return False
        for after in self.store.finish():
            if type(after) is e.Passed:
                self.do(self.collector.on_passed(after))
            elif type(after) is e.HorizonsGone:
                self.do(self.home.horizons.on_gone(after))
            else:
                assert type(after) is e.Send
                self.do([after])
        return True

    def hold(self, record: bytes | None, name: bytes = NAME) -> None:
        """Its store has this."""
        key = self.home.locate(name)[0]
        if record is None:
            self.store.rows.pop(key, None)
        else:
            self.store.rows[key] = record

    def held(self, name: bytes = NAME) -> bytes | None:
        return self.store.newest(self.home.locate(name)[0])


class Council:
    """All members of a ring.

    Attributes:
        under_way: from whom, to whom, what.
        answers: what nobody here knows what to do with.
    """

    def __init__(self, count: int = 3, n: int = 3) -> None:
        self.schedule = Schedule()
        self.topology = rings.ring(count, n=n, partitions=8)
        self.under_way: deque[tuple[NodeId, NodeId, m.Message]] = deque()
        self.answers: list[m.Message] = []
        self.seats = [Seat(self, number, Store()) for number in range(count)]
        self.by_id = {seat.id: seat for seat in self.seats}
        self.partition = self.seats[0].home.locate(NAME)[0][1]
        first = self.seats[0].home.owners_of(self.partition)[0]
        self.driver = self.by_id[first]
        self.others = [seat for seat in self.seats if seat is not self.driver]

    def restart(self, seat: Seat) -> Seat:
        """The same member on the same disk, after a stop."""
        number = self.seats.index(seat)
        store = Store()
        store.rows.update(seat.store.rows)
        again = self.seats[number] = self.by_id[seat.id] = Seat(self, number, store)
        self.driver = again if seat is self.driver else self.driver
        self.others = [one for one in self.seats if one is not self.driver]
        return again

    def wait(self, seconds: float) -> None:
        self.schedule.run_until(self.schedule.now_ns + nanoseconds(seconds))

    def pass_on(self, *kinds: type[m.Message]) -> None:
        """Deliver what is under way, or only messages of these kinds, in order."""
        for _ in range(len(self.under_way)):
            sender, target, message = self.under_way.popleft()
            if not kinds or type(message) in kinds:
                self.by_id[target].receive(sender, message)
            else:
                self.under_way.append((sender, target, message))

    def settle(self) -> None:
        """Until nothing is under way and nothing waits for a disk."""
        written = True
        while self.under_way or written:
            self.pass_on()
            written = max([seat.durable() for seat in self.seats])

    def go_on(self, seconds: float = GRACE) -> None:
        """So much time passes, and everybody does what is due."""
        until = self.schedule.now_ns + nanoseconds(seconds)
        while self.schedule.now_ns < until:
            self.wait(0.1)
            for seat in self.seats:
                if seat.collector.due <= seat.home.clock.monotonic():
                    seat.tick()
            self.settle()

    def everywhere(self, record: bytes | None, name: bytes = NAME) -> None:
        for seat in self.seats:
            seat.hold(record, name)

    def count(self, counter: str) -> int:
        return sum(seat.home.counters[counter] for seat in self.seats)


def record(*versions: Version, knows: dict[Actor, int] | None = None) -> bytes:
    """A record of these versions, which has seen more besides."""
    context = dict(knows or {})
    for version in versions:
        context[version.dot.actor] = max(version.dot.time, context.get(version.dot.actor, 0))
    return records.encode(KeyState(tuple(sorted(versions)), context))


def value(actor: Actor, time: int, expires_ms: int = 0) -> Version:
    return Version(Dot(actor, time), b"v", False, expires_ms)


def tombstone(actor: Actor, time: int) -> Version:
    return Version(Dot(actor, time), b"", True)
