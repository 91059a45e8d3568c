"""One real node among peers that are only names: events go in by hand, effects are looked at."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any, TypeVar, get_args

from dynamokv.causality.hlc import HybridClock, time_at
from dynamokv.causality.versions import Context, Dot, KeyState, Version
from dynamokv.limits import CLOCK_DRIFT_MAX_MS
from dynamokv.merkle.messages import Question
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.node import Node
from dynamokv.protocol.state.home import Home, Settings
from dynamokv.ring.topology import Topology
from dynamokv.testing.simulation.clocks import START_MS, NodeClock
from dynamokv.testing.simulation.schedule import Schedule, nanoseconds
from dynamokv.types import Actor, Consistency, NodeId
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import seal_of, token_of
from dynamokv.wire.keys import name_of
from dynamokv.wire.messages import Message
from dynamokv.wire.probes import PROBES
from tests.protocol.fakes import Store
from tests.ring import rings

T = TypeVar("T", bound=Effect)
M = TypeVar("M", bound=Message)

NOW = time_at(START_MS)
"""The first hybrid time of a test."""

ACTOR = Actor(b"actor me")
ELSE = Actor(b"somebody")
OTHER = Actor(b"zzz more")
NAME = name_of(b"", b"key")
CLIENT = b"\0cli1"
"""The route of a client's connection."""


def record(*dots: tuple[Actor, int, bytes], knows: Context | None = None) -> bytes:
    """A record of these values and their dots; ``knows``: what it has seen besides."""
    versions = sorted(Version(Dot(actor, time), value) for actor, time, value in dots)
    context = dict(knows or {})
    for actor, time, _ in dots:
        context[actor] = max(time, context.get(actor, 0))
    return records.encode(KeyState(tuple(versions), context))


class Bench:
    """One node on its store, at its start.

    Attributes:
        last: the effects of the last step.
        probes: what it sent to find out who answers; in no other effects, for it is about nothing
            else.
    """

    def __init__(
        self,
        node_id: NodeId,
        topology: Topology | None,
        *,
        store: Store | None = None,
        forgot: bool = False,
        **settings: Any,
    ) -> None:
        self.me = node_id
        self.schedule = Schedule()
        self.store = store or Store()
        self.home = Home(
            node_id=node_id,
            actor=ACTOR,
            settings=Settings(**{"cluster": "test", "partitions": 8, **settings}),
            reader=self.store,
            clock=NodeClock(self.schedule),
            rng=Random(0),
            hybrid=HybridClock(last=0, drift_max_ms=CLOCK_DRIFT_MAX_MS),
            forgot=forgot,
        )
        self.store.account = self.home.forest
        self.node = Node(self.home, topology)
        self.last: list[Effect] = []
        self.probes: list[e.Send] = []
        self._perform(self.node.start())

    def step(self, event: Event) -> list[Effect]:
        return self._perform(self.node.step(event))

    def durable(self, *, failing: str = "") -> list[Effect]:
        """Everything written so far becomes durable, or fails; what comes of it."""
        effects: list[Effect] = []
        self.store.disk.failing = failing
        while self.store.begin():
            for after in self.store.finish():
                effects += [after] if isinstance(after, e.Send) else self.step(after)
        self.store.disk.failing = ""
        return effects

    def receive(self, peer: bytes, message: Message) -> list[Effect]:
        return self.step(e.Received(peer, message))

    def after(self, seconds: float) -> list[Effect]:
        """A tick, when so much time has passed."""
        self.wait(seconds)
        return self.step(e.Tick())

    def wait(self, seconds: float) -> None:
        """Nothing happens for so long."""
        self.schedule.run_until(self.schedule.now_ns + nanoseconds(seconds))

    def _perform(self, effects: list[Effect]) -> list[Effect]:
        probes = [effect for effect in of(e.Send, effects) if isinstance(effect.message, PROBES)]
        self.probes += probes
        done = [effect for effect in effects if effect not in probes]
        for effect in effects:
            if type(effect) is e.Write:
                self.store.write(effect)
            elif type(effect) is e.Again:
                done += self.step(effect.event)
        self.last = done
        return done


class Lone(Bench):
    """Member ``number`` of a ring of ``count``, ready; the others are up unless ``up`` says less.

    Attributes:
        row: the row key of ``NAME``.
        peers: the other members' ids, in the order of the record.
    """

    def __init__(
        self,
        count: int = 3,
        *,
        number: int = 0,
        n: int = 3,
        up: Iterable[int] | None = None,
        topology: Topology | None = None,
        **settings: Any,
    ) -> None:
        self.topology = topology or rings.ring(count, n=n, partitions=8)
        me = rings.member(number)
        self.peers = [mb.node_id for mb in self.topology.members if mb.node_id != me.node_id]
        given = {"address": me.address, "n": n, **settings}
        super().__init__(me.node_id, self.topology, **given)
        self.durable()
        for peer in range(len(self.peers)) if up is None else up:
            self.step(e.PeerUp(self.peers[peer]))
        self.step(e.Tick())
        self.row = self.home.locate(NAME)[0]

    # --- what goes in -----------------------------------------------------------------------------

    def put(
        self,
        value: bytes = b"value",
        *,
        names: list[bytes] | None = None,
        values: list[bytes] | None = None,
        contexts: list[bytes] | None = None,
        ticket: int = 1,
        level: int = Consistency.QUORUM,
        **fields: Any,
    ) -> list[Effect]:
        """The application writes."""
        names = names or [NAME]
        values = values or [value] * len(names)
        request = put_request(level=level, names=names, values=values, contexts=contexts, **fields)
        return self.step(e.Request(ticket, request))

    def get(
        self, *names: bytes, ticket: int = 1, level: int = Consistency.QUORUM, **fields: Any
    ) -> list[Effect]:
        """The application reads."""
        return self.step(e.Request(ticket, get_request(*names, level=level, **fields)))

    # --- what is there ----------------------------------------------------------------------------

    def hold(self, held: bytes, name: bytes = NAME) -> None:
        """The store has this record."""
        self.store.rows[self.home.locate(name)[0]] = held

    def held(self, name: bytes = NAME) -> KeyState:
        """What the store has, durable or not."""
        found = self.store.newest(self.home.locate(name)[0])
        assert found is not None
        return records.decode(found)

    def name(self, *, mine: bool) -> bytes:
        """A name that this member owns a copy of, or does not."""
        names = (name_of(b"", b"%d" % number) for number in range(99))
        return next(name for name in names if (self.me in self.home.locate(name)[1]) is mine)

    def token(self, seen: bytes, name: bytes = NAME) -> bytes:
        """The context of this record, as a client holds it."""
        key = self.home.locate(name)[0]
        return token_of(seen, seal_of(records.context_bytes(seen), key, rings.CONTEXT_KEY))


def put_request(
    *,
    id: int = 0,
    epoch: int = 1,
    budget_ms: int = 5000,
    level: int = Consistency.QUORUM,
    sloppy: bool = True,
    delete: bool = False,
    ttl_ms: int = 0,
    names: list[bytes] | None = None,
    values: list[bytes] | None = None,
    contexts: list[bytes] | None = None,
) -> m.PutRequest:
    names, values = names or [NAME], values or [b"value"]
    return m.PutRequest(
        id, epoch, budget_ms, level, sloppy, delete, ttl_ms, names, values, contexts or []
    )


def get_request(
    *names: bytes,
    id: int = 0,
    epoch: int = 1,
    budget_ms: int = 5000,
    level: int = Consistency.QUORUM,
    sealed: bool = True,
) -> m.GetRequest:
    return m.GetRequest(id, epoch, budget_ms, level, sealed, list(names) or [NAME])


# --- looking at effects ---------------------------------------------------------------------------


def of(kind: type[T], effects: Iterable[Effect]) -> list[T]:
    """The effects of one kind."""
    return [effect for effect in effects if type(effect) is kind]


def sent(kind: type[M], effects: Iterable[Effect]) -> dict[bytes, M]:
    """The messages of one kind, by whom they go to; no more than one to each."""
    found = [effect for effect in of(e.Send, effects) if type(effect.message) is kind]
    by_peer: dict[bytes, Any] = {effect.peer: effect.message for effect in found}
    assert len(by_peer) == len(found)
    return by_peer


def only(kind: type[M], effects: Iterable[Effect]) -> M:
    """The one message of this kind that is sent."""
    (message,) = sent(kind, effects).values()
    return message


def reply(effects: Iterable[Effect]) -> Any:
    """The one answer for the application."""
    (effect,) = of(e.Reply, effects)
    return effect.message


def beside_comparing(effects: Iterable[Effect]) -> list[Effect]:
    """Without the questions of anti-entropy, which a tick may always ask."""
    kinds = get_args(Question)
    return [x for x in effects if not (type(x) is e.Send and isinstance(x.message, kinds))]


def no_reply(effects: Iterable[Effect]) -> bool:
    return not of(e.Reply, effects)


def failed(effects: Iterable[Effect]) -> m.FailedCode:
    """The code of the one answer, which is a failure."""
    message = reply(effects)
    assert type(message) is m.Failed
    return m.FailedCode(message.code)


def request_id(effects: Iterable[Effect]) -> int:
    """The id of the request that these effects ask peers for."""
    ids = {
        effect.message.id
        for effect in of(e.Send, effects)
        if isinstance(effect.message, (m.Replicate, m.Hint, m.Fetch, m.PutRequest, m.GetRequest))
    }
    (id,) = ids
    return id
