"""The copy of a member that is being filled: page by page, what the others hold of its partitions,
joined into its own store. It is a newcomer of a ring that grows, or it replaces one whose store is
lost.

Rules:
    - A page is asked for when the one before is durable: that is the flow control, and it survives
      a restart of either side, because joining a page twice changes nothing.
    - A question that got no answer is asked again: the peer may not have known the ring yet.
    - A newcomer is whole when half of the others (rounded up), and every one of them that is up,
      was read to the end. A write that was acknowledged at QUORUM before this node came is missing
      at fewer of them than that, so this node now has it.
    - A replacement needs more. Of the N owners of a partition, a quorum of W may have been the lost
      one and W - 1 others; so N - W + 1 of these have to be read, for every partition, and all that
      are up. Whoever was read knows by then that the lost one does not count any more.
    - Up means: its link works, and it has not been silent for too long. To say that a page has to
      wait is no silence. At the address of a member that lost its store, somebody listens who is no
      member yet, and waits for this copy to end.
    - No page counts before its sender has said below what time nobody makes writes (``heard``): a
      newcomer whose clock is slow could make some that nobody takes in.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamokv import limits
from dynamokv.protocol.effects import Effect, PageStored, Report, Send, Write
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Topology
from dynamokv.types import Consistency, NodeId, replicas_needed
from dynamokv.wire import keys as row_keys
from dynamokv.wire.messages import Filled, Refused, RefusedReason, Scan, Scanned

END = b""


class Source:
    """How far one peer was read; ``id`` is that of the question for its next page, ``damaged`` what
    it cannot read of that."""

    __slots__ = ("ask_at", "cursor", "damaged", "id", "silent_since", "storing")

    def __init__(self, id: int) -> None:
        self.id = id
        self.cursor = row_keys.FIRST_DATA_ROW
        self.ask_at = 0.0
        self.silent_since: float | None = None
        self.storing = False
        self.damaged = ""

    def is_silent(self, now: float) -> bool:
        """Whether its answer is not worth waiting for any more."""
        since = self.silent_since
        return since is not None and now - since >= limits.SOURCE_SILENT_SECONDS


class Fill:
    """The copy of this node, while it is being filled."""

    def __init__(self, home: Home, new_id: Callable[[], int]) -> None:
        owned = [owners for owners in home.owners if home.node_id in owners]
        others = dict.fromkeys(peer for owners in owned for peer in owners if peer != home.node_id)
        self.new_id = new_id
        self.sources: dict[bytes, Source] = {peer: Source(new_id()) for peer in sorted(others)}
        self.owned = set(owned)
        self.began = home.clock.monotonic()
        self.rows = 0

    def ask(self, home: Home) -> list[Effect]:
        """The next page from each peer that is up and idle."""
        effects: list[Effect] = []
        now = home.clock.monotonic()
        for peer, source in self.sources.items():
            if source.cursor == END or source.storing:
                continue
            if source.silent_since is None and peer in home.linked:
                source.silent_since = now
            if now >= source.ask_at and home.is_up(NodeId(peer)):
                source.ask_at = now + limits.SCAN_RETRY_SECONDS
                effects.append(Send(peer, Scan(source.id, home.epoch, source.cursor)))
        return effects

    def on_page(self, home: Home, peer: bytes, page: Scanned) -> list[Effect]:
        """Join a page. Raises ``ValueError`` for a damaged one."""
        source = self.sources.get(peer)
        if source is None or source.storing or page.id != source.id:
            return []
        if peer not in home.horizons.heard:
            # What it told before this page got lost. It tells it again with the next first one.
            source.cursor = row_keys.FIRST_DATA_ROW
            return []
        rows = []
        for key, record in zip(page.keys, page.records, strict=True):
            merged = home.merge(key, record) or home.under_way(key)
            if merged is not None:
                rows.append((key, merged))
        source.storing = True
        source.silent_since = None
        source.damaged = ""
        home.counters["filled_rows"] += len(rows)
        self.rows += len(rows)
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

    def on_refused(self, peer: bytes, message: Refused) -> None:
        """The page has to wait, or cannot be read; it is asked for again all the same."""
        source = self.sources.get(peer)
        if source is None or source.id != message.id:
            return
        if message.reason == RefusedReason.LATER:
            source.silent_since = None
        elif message.reason == RefusedReason.STORAGE:
            # As good as silence: where others are enough, nobody waits for it.
            source.damaged = message.detail

    def on_lost(self, peer: bytes) -> None:
        """No answer will come from this peer for now."""
        if peer in self.sources:
            self.sources[peer].ask_at = 0.0
            self.sources[peer].silent_since = None
            self.sources[peer].damaged = ""

    def whole(self, home: Home) -> bool:
        """Whether this node now holds what it must."""
        done = self.done()
        if home.replacement == home.node_id:
            enough = all(_enough_for(owners, done) for owners in self.owned)
        else:
            enough = len(done) >= (len(self.sources) + 1) // 2
        now = home.clock.monotonic()
        return enough and all(
            peer in done or source.is_silent(now) or NodeId(peer) not in home.linked
            for peer, source in self.sources.items()
        )

    def damaged(self) -> dict[bytes, str]:
        """The peers that cannot read what they are to give, and what that is."""
        return {peer: source.damaged for peer, source in self.sources.items() if source.damaged}

    def done(self) -> list[bytes]:
        """The peers that were read to the end."""
        return [peer for peer, source in self.sources.items() if source.cursor == END]


def _enough_for(owners: tuple[NodeId, ...], done: list[bytes]) -> bool:
    """Whether all that any quorum of these owners held is at one of those that were read, or was
    lost with the one that is replaced."""
    quorum = replicas_needed(Consistency.QUORUM, len(owners))
    read = sum(owner in done for owner in owners)
    return read >= min(len(owners) - 1, len(owners) - quorum + 1)


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

    def on_refused(self, peer: bytes, message: Refused) -> None:
        """A peer is there, and gives nothing now; or it refused something else."""
        if self.fill is not None:
            self.fill.on_refused(peer, message)

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
