"""One life of a member or a client in a ``Cluster``: the hands of a core, as ``runtime.executor``
has them."""

from __future__ import annotations

from typing import Protocol

from dynamokv.protocol import effects as e
from dynamokv.protocol.client import ClientNode
from dynamokv.protocol.effects import After, Effect, Event
from dynamokv.protocol.node import Node
from dynamokv.wire import codec, frame
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message
from tests.protocol.fakes import Store


class World(Protocol):
    """What surrounds a process."""

    def saw(self, process: Process, event: Event | None, effects: list[Effect]) -> None: ...
    def connect(self, process: Process, peer: bytes, address: str) -> None: ...
    def disconnect(self, process: Process, peer: bytes) -> None: ...
    def send(self, process: Process, peer: bytes, data: bytes) -> bool: ...
    def commit(self, process: Process) -> None: ...
    def gave_up(self, process: Process) -> None: ...


class Process:
    """A core with its store, and what it told its application.

    Attributes:
        holds_writes: nothing becomes durable before ``release``.
    """

    def __init__(self, world: World, name: str, core: Node | ClientNode, store: Store) -> None:
        self.world = world
        self.name = name
        self.core = core
        self.home = core.home
        self.store = store
        self.address = core.home.settings.address
        self.holds_writes = False
        self.ready = False
        self.refused: list[str] = []
        self.reports: list[str] = []
        self.replies: dict[int, Message] = {}
        self._tickets = 0
        self._outbox: dict[bytes, list[Message]] = {}
        self._read = frame.FrameReader().messages

    def start(self) -> None:
        self._perform_all(None, self.core.start())
        self.flush()

    def request(self, message: Message) -> int:
        """Ask as the application does; the answer comes to ``replies`` under this ticket."""
        self._tickets += 1
        self.feed(e.Request(self._tickets, message))
        return self._tickets

    def feed(self, event: Event) -> None:
        """One event, and everything that it makes this process do at once."""
        self._step(event)
        self.flush()

    def flush(self) -> None:
        """The end of a round: writes are on their way, messages leave."""
        if not self.holds_writes and self.store.begin():
            self.world.commit(self)
        while self._outbox:
            outbox, self._outbox = self._outbox, {}
            for peer, messages in outbox.items():
                if not self.world.send(self, peer, self._frame(messages)):
                    for message in messages:
                        self._step(e.Undelivered(peer, message))

    def release(self, count: int | None = None) -> None:
        """By hand: the first writes that are held become durable."""
        if self.store.begin(count):
            self.finish_writes()

    def finish_writes(self) -> None:
        """The batch on its way is durable, or refused."""
        for after in self.store.finish():
            self._release(after)
        self.flush()

    def receive(self, source: bytes, data: bytes, *, by_link: bool) -> None:
        """A frame came in, by a link of this name or by the router's route."""
        tag, sender = frame.read_head(data)
        ours = self._tag()
        if tag != ours and frame.NO_TAG not in (tag, ours):
            head = frame.head(frame.NO_TAG, self._sender())
            stranger = m.WrongCluster(self.home.settings.cluster)
            self.world.send(self, source, frame.encode_frame(head, [stranger]))
            return
        for message in self._read(data):
            if not isinstance(message, m.BEFORE_THE_RING) and (tag != ours or ours == frame.NO_TAG):
                break
            # Two processes may claim one id, so who asks to join is answered where it came from.
            anonymous = by_link or sender == frame.NO_SENDER or type(message) is m.JoinRequest
            self._step(e.Received(source if anonymous else sender, message))
        self.flush()

    def _step(self, event: Event) -> None:
        self._perform_all(event, self.core.step(event))

    def _perform_all(self, event: Event | None, effects: list[Effect]) -> None:
        self.world.saw(self, event, effects)
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case e.Send(peer, message):
                self._queue(peer, message)
            case e.Write():
                self.store.write(effect)
            case e.Reply(ticket, message):
                assert ticket not in self.replies, "a request has one answer"
                self.replies[ticket] = message
            case e.Connect(peer, address):
                self.world.connect(self, peer, address)
            case e.Disconnect(peer):
                self.world.disconnect(self, peer)
            case e.Describe(peer, id):
                self._queue(peer, m.StatusReply(id, codec.encode({"name": self.name})))
            case e.Ready():
                assert not self.ready, "a member is ready once"
                self.ready = True
            case e.JoinFailed(_, text):
                self.refused.append(text)
                if not self.ready:
                    self.world.gave_up(self)
            case e.Report(_, _, text):
                self.reports.append(text)
            case e.Again(again):
                self._step(again)

    def _release(self, after: After) -> None:
        match after:
            case e.Send(peer, message):
                self._queue(peer, message)
            case _:
                self._step(after)

    def _queue(self, peer: bytes, message: Message) -> None:
        self._outbox.setdefault(peer, []).append(message)

    def _sender(self) -> bytes:
        return self.home.node_id or frame.NO_SENDER

    def _tag(self) -> bytes:
        topology = self.home.topology
        return frame.tag_of(topology.cluster_id) if topology is not None else frame.NO_TAG

    def _frame(self, messages: list[Message]) -> bytes:
        return frame.encode_frame(frame.head(self._tag(), self._sender()), messages)
