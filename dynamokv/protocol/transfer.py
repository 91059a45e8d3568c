"""A newcomer's copy: page by page, everything that the others hold, joined into its own store.

Rules:
    - A page is asked for when the one before is durable: that is the flow control, and it survives
      a restart of either side, because joining a page twice changes nothing.
    - A question that got no answer is asked again: the peer may not have known the ring yet.
    - Whole means: half of the others (rounded up), and every one of them that is up, was read to
      the end. A write that was acknowledged at QUORUM before this node came is missing at fewer of
      them than that, so this node now has it.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamokv import limits
from dynamokv.protocol.effects import Effect, PageStored, Report, Send, Write
from dynamokv.protocol.home import Home
from dynamokv.ring.topology import Topology
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire.messages import Filled, Scan, Scanned

END = b""


class Source:
    """How far one peer was read; ``id`` is that of the question for its next page."""

    __slots__ = ("ask_at", "cursor", "id", "storing")

    def __init__(self, id: int) -> None:
        self.id = id
        self.cursor = row_keys.FIRST_DATA_ROW
        self.ask_at = 0.0
        self.storing = False


class Fill:
    """The copy of one newcomer, this node."""

    def __init__(self, home: Home, new_id: Callable[[], int]) -> None:
        assert home.topology is not None
        others = [m.node_id for m in home.topology.members if m.node_id != home.node_id]
        self.new_id = new_id
        self.sources: dict[bytes, Source] = {peer: Source(new_id()) for peer in others}

    def ask(self, home: Home) -> list[Effect]:
        """The next page from each peer that is up and idle."""
        effects: list[Effect] = []
        now = home.clock.monotonic()
        for peer, source in self.sources.items():
            idle = source.cursor != END and not source.storing and now >= source.ask_at
            if idle and home.is_up(NodeId(peer)):
                source.ask_at = now + limits.SCAN_RETRY_SECONDS
                effects.append(Send(peer, Scan(source.id, home.epoch, source.cursor)))
        return effects

    def on_page(self, home: Home, peer: bytes, page: Scanned) -> list[Effect]:
        """Join a page. Raises ``ValueError`` for a damaged one."""
        source = self.sources.get(peer)
        if source is None or source.storing or page.id != source.id:
            return []
        rows = []
        for key, record in zip(page.keys, page.records, strict=True):
            merged = home.merge(key, record) or home.under_way(key)
            if merged is not None:
                rows.append((key, merged))
        source.storing = True
        home.counters["filled_rows"] += len(rows)
        stored = PageStored(peer, page.next, source.id)
        return [Write(rows, stored, stored._replace(next=None))]

    def on_stored(self, event: PageStored) -> None:
        """A page is durable, or the disk refused it and it will be asked for again. A page of an
        earlier copy, given up since, says nothing of this one."""
        source = self.sources.get(event.peer)
        if source is None or source.id != event.id:
            return
        source.storing = False
        if event.next is not None:
            source.cursor, source.id, source.ask_at = event.next, self.new_id(), 0.0

    def on_lost(self, peer: bytes) -> None:
        """No answer will come from this peer for now."""
        if peer in self.sources:
            self.sources[peer].ask_at = 0.0

    def whole(self, home: Home) -> bool:
        """Whether this node now holds what it must."""
        done = [peer for peer, source in self.sources.items() if source.cursor == END]
        enough = len(done) >= (len(self.sources) + 1) // 2
        return enough and all(peer in done for peer in self.sources if NodeId(peer) in home.linked)


class Newcomer:
    """A member's way from its place in the ring to all that it should hold."""

    def __init__(self, home: Home, new_id: Callable[[], int]) -> None:
        self.home = home
        self.fill: Fill | None = None
        self._new_id = new_id

    def settle(self, topology: Topology) -> None:
        """A topology was taken over: it says whether this node is still being filled."""
        if topology.change != self.home.node_id:
            self.fill = None
        elif self.fill is None:
            self.fill = Fill(self.home, self._new_id)

    def tick(self) -> list[Effect]:
        """Go on: say that it is whole, or ask for more."""
        home, fill = self.home, self.fill
        if fill is None:
            return []
        if fill.whole(home):
            assert home.topology is not None
            return [Send(home.topology.members[0].node_id, Filled(0, home.epoch))]
        return fill.ask(home)

    def on_page(self, peer: bytes, message: Scanned) -> list[Effect]:
        """A page of the copy came."""
        if self.fill is None:
            return []
        try:
            return self.fill.on_page(self.home, peer, message)
        except ValueError as error:
            self.home.counters["poison_records"] += 1
            return [Report("transfer", "ERROR", f"damaged page from {peer.hex()}: {error}")]

    def on_stored(self, event: PageStored) -> list[Effect]:
        """A page of the copy is durable, or the disk refused it."""
        if self.fill is None:
            return []
        self.fill.on_stored(event)
        return self.tick() if event.next is not None else []

    def on_peer_up(self) -> list[Effect]:
        """A member can be reached: the copy may go on."""
        return self.fill.ask(self.home) if self.fill is not None else []

    def on_peer_lost(self, peer: bytes) -> None:
        """A peer cannot be reached: its page will not come."""
        if self.fill is not None:
            self.fill.on_lost(peer)
