"""A newcomer's copy: page by page, everything that the others hold, joined into its own store.

Rules:
    - A page is asked for when the one before is durable: that is the flow control, and it survives
      a restart of either side, because joining a page twice changes nothing.
    - Whole means: a majority of the others, and every one of them that is up, was read to the end.
      Whatever was acknowledged at QUORUM before this node came is then here.
"""

from __future__ import annotations

from dynamokv.protocol.effects import Effect, PageStored, Send, Write
from dynamokv.protocol.home import Home
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire.messages import Scan, Scanned

END = b""


class Fill:
    """The copy of one newcomer, this node."""

    def __init__(self, home: Home, first_id: int) -> None:
        assert home.topology is not None
        self.id = first_id
        others = [m.node_id for m in home.topology.members if m.node_id != home.node_id]
        self.cursors: dict[NodeId, bytes] = dict.fromkeys(others, row_keys.FIRST_DATA_ROW)
        self.asked: set[NodeId] = set()
        self.storing: set[NodeId] = set()
        self.rows = 0

    def ask(self, home: Home) -> list[Effect]:
        """The next page from each peer that is up and idle."""
        effects: list[Effect] = []
        for peer, cursor in self.cursors.items():
            busy = peer in self.asked or peer in self.storing
            if cursor != END and not busy and home.is_up(peer):
                self.asked.add(peer)
                effects.append(Send(peer, Scan(self.id, home.epoch, cursor)))
        return effects

    def on_page(self, home: Home, peer: bytes, page: Scanned) -> list[Effect]:
        """Join a page. Raises ``ValueError`` for a damaged one."""
        source = NodeId(peer)
        if page.id != self.id or source not in self.asked:
            return []
        rows = []
        for key, record in zip(page.keys, page.records, strict=True):
            merged = home.merge(key, record)
            if merged is not None:
                rows.append((key, merged))
        self.asked.discard(source)
        self.storing.add(source)
        self.rows += len(rows)
        return [Write(rows, PageStored(source, page.next), PageStored(source, None))]

    def on_stored(self, peer: bytes, cursor: bytes | None) -> None:
        """A page is durable, or the disk refused it and it will be asked for again."""
        source = NodeId(peer)
        self.storing.discard(source)
        if cursor is not None:
            self.cursors[source] = cursor

    def on_lost(self, peer: bytes) -> None:
        """No answer will come from this peer for now."""
        self.asked.discard(NodeId(peer))

    def whole(self, home: Home) -> bool:
        """Whether this node now holds what it must."""
        done = [peer for peer, cursor in self.cursors.items() if cursor == END]
        enough = len(done) >= len(self.cursors) // 2 + 1
        return enough and all(peer in done for peer in self.cursors if home.is_up(peer))
