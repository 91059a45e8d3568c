"""Carrying out effects: messages into frames, writes into the committer, replies to who waits for
them.

Rules:
    - All messages for one peer that come up in one round of the loop leave in one frame (cut at a
      size, so that a heartbeat never waits long): every ZeroMQ call costs as much as sixteen
      messages inside a frame.
    - What cannot be sent becomes ``Undelivered``, at once.
    - A frame is checked for its ring before it is decoded; one that is malformed costs a counter,
      never the node.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any, Protocol

from dynamokv import limits
from dynamokv.ports import ROUTE_BYTES, Range, Transport
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import After, Effect, Event
from dynamokv.protocol.state.home import Home
from dynamokv.wire import frame as frames
from dynamokv.wire import messages as m
from dynamokv.wire.messages import BEFORE_THE_RING, Message
from dynamokv.wire.weight import weight_of

log = logging.getLogger("dynamokv.runtime")

_TIMED = frozenset({m.Replicate, m.Hint, m.Fetch, m.PutRequest, m.GetRequest})
"""Messages with a budget: their frame says when it left (``protocol.load.transit``)."""


class Core(Protocol):
    """What drives a process: ``protocol.node.Node`` or ``protocol.client.ClientNode``."""

    home: Home

    def start(self) -> list[Effect]:
        """The first effects."""
        ...

    def step(self, event: Event) -> list[Effect]:
        """What to do about an event."""
        ...

    def next_deadline(self) -> float:
        """When the next ``Tick`` is due."""
        ...


class Writes(Protocol):
    """The way of writes to the disk: ``runtime.commit_queue``."""

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        ...

    def write(self, effect: e.Write) -> None:
        """Take a write in."""
        ...

    def commit(self) -> None:
        """Send on its way what was taken in."""
        ...

    def mend(self, lost: Sequence[Range]) -> None:
        """Read again what the engine has quarantined of these ranges."""
        ...

    def taken_in(self) -> None:
        """The engine need not say any more that it forgot something."""
        ...


class Listener(Protocol):
    """What the executor reports upwards."""

    def on_reply(self, ticket: int, message: Message) -> None:
        """The answer to a local request."""
        ...

    def on_ready(self) -> None:
        """The core can serve."""
        ...

    def on_join_failed(self, reason: int, text: str) -> None:
        """The core will never be able to serve."""
        ...

    def describe(self) -> bytes:
        """This node's status, encoded."""
        ...


def carry_on(error: Exception) -> None:
    """What production does about a fault of ours: it costs the event, and is in the log."""


class Executor:
    """The hands of one core. ``on_bug`` hears first of an error of the core; what it raises ends
    the process, as a simulator wants it."""

    def __init__(
        self,
        core: Core,
        transport: Transport,
        committer: Writes | None,
        listener: Listener,
        on_bug: Callable[[Exception], None] = carry_on,
    ) -> None:
        self.core = core
        self.transport = transport
        self.committer = committer
        self.listener = listener
        self._on_bug = on_bug
        self.counters: Counter[str] = Counter()
        self._sender = core.home.node_id or frames.NO_SENDER
        self._tag = frames.NO_TAG
        self._head = frames.head(frames.NO_TAG, self._sender)
        self._last_frame: tuple[list[Message], bytes] = ([], b"")
        self._read = frames.FrameReader().messages
        self._outbox: dict[bytes, list[Message]] = {}
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            e.Send: self._send,
            e.Write: self._write,
            e.Reply: lambda effect: listener.on_reply(effect.ticket, effect.message),
            e.Connect: lambda effect: transport.connect(effect.peer, effect.address),
            e.Disconnect: lambda effect: transport.disconnect(effect.peer),
            e.Describe: lambda effect: self._send(
                e.Send(effect.peer, m.StatusReply(effect.id, listener.describe()))
            ),
            e.Ready: lambda _: listener.on_ready(),
            e.JoinFailed: lambda effect: listener.on_join_failed(effect.reason, effect.text),
            e.Report: self._report,
            e.Mend: self._mend,
            e.TakenIn: self._taken_in,
            e.Again: lambda effect: self.step(effect.event),
        }

    @property
    def pending(self) -> bool:
        """Whether ``flush`` has something to do."""
        return bool(self._outbox) or (self.committer is not None and not self.committer.idle)

    def step(self, event: Event) -> None:
        """One event through the core. A fault of ours costs this event, not the node."""
        try:
            effects = self.core.step(event)
        except Exception as error:  # our own bug: it must be seen, and it must not stop the loop
            self._on_bug(error)
            self.counters["internal_errors"] += 1
            log.exception("internal error at %s; please report it", type(event).__name__)
            if type(event) is e.Request:
                # Its effects are lost, so nothing left this node.
                text = "internal error, see the log"
                failed = m.Failed(event.ticket, m.FailedCode.UNAVAILABLE, 0, 0, [], text)
                self.listener.on_reply(event.ticket, failed)
            return
        if effects:
            self.perform(effects)

    def perform(self, effects: list[Effect]) -> None:
        """Carry out, in order."""
        if self._tag is frames.NO_TAG:
            self._learn_tag()
        handlers = self._handlers
        for effect in effects:
            handlers[type(effect)](effect)

    def release(self, released: list[After]) -> None:
        """What writes have released: messages go out, events go in."""
        for after in released:
            if type(after) is e.Send:
                self._send(after)
            else:
                self.step(after)  # type: ignore[arg-type]

    def flush(self) -> None:
        """End of a round: commit what was written, send what was queued, until nothing is left."""
        committer = self.committer
        while True:
            if committer is not None:
                committer.commit()
            if not self._outbox:
                break
            outbox, self._outbox = self._outbox, {}
            for peer, messages in outbox.items():
                self._send_frames(peer, messages)
        self._last_frame = ([], b"")

    def on_frame(self, source: bytes, frame: bytes) -> None:
        """A frame came in by this link or route."""
        try:
            tag, sender = frames.read_head(frame)
            if tag != self._tag and tag != frames.NO_TAG and self._tag != frames.NO_TAG:
                self._refuse_stranger(source)
                return
            messages = self._read(frame)
        except ValueError as error:
            self.counters["frames_rejected"] += 1
            log.warning("dropped a malformed frame of %d bytes: %s", len(frame), error)
            return
        peer = source
        if len(source) == ROUTE_BYTES and not source[0] and sender != frames.NO_SENDER:
            # By the ROUTER: answer the member, and know the way back until the link to it is up.
            self.transport.remember(sender, source)
            peer = sender
        self.counters["frames_received"] += 1
        strange = tag == frames.NO_TAG or self._tag == frames.NO_TAG
        for message in messages:
            if strange and not isinstance(message, BEFORE_THE_RING):
                self.counters["frames_before_join"] += 1
                return
            if type(message) is m.Stamp:
                home = self.core.home
                home.load.transit.stamped(peer, *message, home.clock.monotonic())
                continue
            # Two processes may claim one id, so who asks to join is answered where it came from.
            self.step(e.Received(source if type(message) is m.JoinRequest else peer, message))

    def _refuse_stranger(self, source: bytes) -> None:
        self.counters["wrong_cluster"] += 1
        home = self.core.home
        cluster = home.topology.cluster if home.topology is not None else home.settings.cluster
        log.error("refused a frame of another ring than %r", cluster)
        head = frames.head(frames.NO_TAG, self._sender)
        message = m.WrongCluster(cluster)
        self.transport.send(source, frames.encode_frame(head, [message]))

    def _send(self, effect: e.Send) -> None:
        messages = self._outbox.get(effect.peer)
        if messages is None:
            self._outbox[effect.peer] = [effect.message]
        else:
            messages.append(effect.message)

    def _write(self, effect: e.Write) -> None:
        assert self.committer is not None, "a client has no store"
        self.committer.write(effect)

    def _mend(self, effect: e.Mend) -> None:
        assert self.committer is not None, "a client has no store"
        self.committer.mend(effect.lost)

    def _taken_in(self, _: e.TakenIn) -> None:
        assert self.committer is not None, "a client has no store"
        self.committer.taken_in()

    def _report(self, effect: e.Report) -> None:
        logging.getLogger(f"dynamokv.{effect.area}").log(
            logging.getLevelNamesMapping()[effect.level], effect.text
        )

    def _send_frames(self, peer: bytes, messages: list[Message]) -> None:
        """Everything for one peer, in one frame or in a few."""
        if len(messages) == 1:
            self._send_frame(peer, messages)
            return
        chunk: list[Message] = []
        size = 0
        for message in messages:
            weight = weight_of(message)
            full = size + weight > limits.FRAME_BYTES_TARGET
            # A stamp may come on top.
            if chunk and (full or len(chunk) == limits.MESSAGES_PER_FRAME_MAX - 1):
                self._send_frame(peer, chunk)
                chunk, size = [], 0
            chunk.append(message)
            size += weight
        self._send_frame(peer, chunk)

    def _send_frame(self, peer: bytes, messages: list[Message]) -> None:
        # A write goes to all owners as the very same message, so its frame is made only once.
        last, frame = self._last_frame
        if len(last) != len(messages) or not all(map(is_, last, messages)):
            frame = frames.encode_frame(self._head, self._stamped(messages))
            self._last_frame = (messages, frame)
        if self.transport.send(peer, frame):
            self.counters["frames_sent"] += 1
            return
        for message in messages:
            self.step(e.Undelivered(peer, message))

    def _stamped(self, messages: list[Message]) -> list[Message]:
        """With the time at which they leave, where that matters."""
        for message in messages:
            if type(message) in _TIMED:
                home = self.core.home
                sent_ms = int(home.clock.monotonic() * 1000)
                return [m.Stamp(home.load.transit.life, sent_ms), *messages]
        return messages

    def _learn_tag(self) -> None:
        """The core knows its ring, or has just learned it: frames carry its tag from now on."""
        topology = self.core.home.topology
        if topology is not None and self._tag == frames.NO_TAG:
            self._tag = frames.tag_of(topology.cluster_id)
            self._head = frames.head(self._tag, self._sender)
            self._last_frame = ([], b"")
