"""An executor for tests: a core that does as it is told, and a transport that writes down."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.load.transit import Transit
from dynamokv.ring.topology import Member, Topology
from dynamokv.runtime.committer import Committer
from dynamokv.runtime.executor import Executor, carry_on
from dynamokv.types import ClusterId, NodeId
from dynamokv.wire import frame as frames
from dynamokv.wire.messages import Message, Stamp

ME = NodeId(b"me".ljust(16, b"\0"))
PEER = NodeId(b"a member of ours")
ROUTE = b"\0\1\2\3\4"
CLUSTER = ClusterId(bytes(range(16)))
OURS = frames.tag_of(CLUSTER)
TOPOLOGY = Topology(
    cluster_id=CLUSTER,
    cluster="test",
    epoch=1,
    partitions=8,
    n=3,
    seed=1,
    context_key=bytes(16),
    members=(Member(ME, "127.0.0.1:1", "", 1), Member(PEER, "127.0.0.1:2", "", 1)),
    change=None,
)

Answer = Callable[[Event], list[Effect]]


class Core:
    """Answers events as the test says, and keeps them."""

    def __init__(self, topology: Topology | None = TOPOLOGY) -> None:
        self.home: Any = SimpleNamespace(
            node_id=ME,
            topology=topology,
            clock=SimpleNamespace(monotonic=lambda: 100.0),
            load=SimpleNamespace(transit=Transit()),
        )
        self.events: list[Event] = []
        self.answer: Answer = lambda event: []

    def start(self) -> list[Effect]:
        return []

    def step(self, event: Event) -> list[Effect]:
        self.events.append(event)
        return self.answer(event)

    def next_deadline(self) -> float:
        return 0.0


class Wire:
    """The part of a transport that an executor uses."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.down: set[bytes] = set()
        self.routes: dict[bytes, bytes] = {}
        self.links: dict[bytes, str] = {}

    def send(self, peer: bytes, frame: bytes) -> bool:
        if peer in self.down:
            return False
        self.sent.append((peer, frame))
        return True

    def connect(self, peer: bytes, address: str) -> None:
        self.links[peer] = address

    def disconnect(self, peer: bytes) -> None:
        self.links.pop(peer, None)

    def remember(self, peer: bytes, route: bytes) -> None:
        self.routes[peer] = route

    def messages(self, peer: bytes, *, stamps: bool = False) -> list[list[Message]]:
        """What went to a peer, frame by frame; without stamps, unless they are wanted."""
        reader = frames.FrameReader()
        return [
            [one for one in reader.messages(frame) if stamps or type(one) is not Stamp]
            for to, frame in self.sent
            if to == peer
        ]


class Hands:
    """An executor with its surroundings."""

    def __init__(
        self,
        core: Core | None = None,
        committer: Committer | None = None,
        on_bug: Callable[[Exception], None] = carry_on,
    ) -> None:
        self.core = core or Core()
        self.wire = Wire()
        self.replies: list[tuple[int, Message]] = []
        self.ready = 0
        self.join_failures: list[tuple[int, str]] = []
        self.executor = Executor(self.core, self.wire, committer, self, on_bug)
        self.executor.perform([])

    def on_reply(self, ticket: int, message: Message) -> None:
        self.replies.append((ticket, message))

    def on_ready(self) -> None:
        self.ready += 1

    def on_join_failed(self, reason: int, text: str) -> None:
        self.join_failures.append((reason, text))

    def describe(self) -> bytes:
        return b"status"

    def send(self, peer: bytes, *messages: Message) -> None:
        """Send effects, and the end of the round."""
        self.executor.perform([e.Send(peer, message) for message in messages])
        self.executor.flush()

    def receive(
        self, *messages: Message, source: bytes = PEER, sender: bytes = PEER, tag: bytes = OURS
    ) -> None:
        """A frame comes in."""
        frame = frames.encode_frame(frames.head(tag, sender), messages)
        self.executor.on_frame(source, frame)

    def received(self) -> list[Event]:
        """What of it got to the core."""
        return [event for event in self.core.events if isinstance(event, e.Received)]
