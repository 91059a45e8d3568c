"""Members that keep hints for others, and what they are asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.lone import ELSE, NOW, Lone, record, sent

OLD = record((ELSE, NOW - 9, b"old"))
LATER = limits.HINT_TICK_SECONDS + 0.001


class Holder(Lone):
    """A member of a ring of six that owns no copy of ``key``; an owner of it is ``target``, which
    misses writes, and another one ``asker``.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(6, up=(), **settings)
        self.partition = next(p for p, row in enumerate(self.home.owners) if self.me not in row)
        self.target = self.home.owners[self.partition][0]
        self.asker = self.home.owners[self.partition][1]
        self.key = self.row_of(0)
        self.durable()

    def row_of(self, number: int) -> bytes:
        return row_key(self.partition, name_of(b"", b"%d" % number))

    def hint(self, *held: bytes, id: int = 7, target: bytes = b"") -> list[e.Effect]:
        """Be asked to keep these for the target, each under another key."""
        keys = [self.row_of(number) for number in range(len(held))]
        message = m.Hint(id, self.home.epoch, 5000, target or self.target, keys, list(held))
        return self.receive(self.asker, message)

    def keep(self, count: int = 1, target: bytes = b"") -> None:
        self.hint(*[OLD] * count, target=target)
        self.durable()

    def comes_up(self, peer: bytes = b"") -> m.Replicate | None:
        """The target is there; the page that it is sent, if it is sent one."""
        return self.page(self.step(e.PeerUp(peer or self.target)), peer)

    def page(self, effects: list[e.Effect], peer: bytes = b"") -> m.Replicate | None:
        found = sent(m.Replicate, effects)
        assert set(found) <= {peer or self.target}
        return found.get(peer or self.target)

    def acknowledge(self, page: m.Replicate | None) -> m.Replicate | None:
        """The target has it; the next page."""
        assert page is not None
        return self.page(self.receive(self.target, m.Replicated(page.id)))

    def delivered(self) -> set[bytes]:
        """The rows that the target is given when it is back, and takes all that it is given."""
        page = self.comes_up()
        keys: set[bytes] = set()
        for _ in range(30):
            if page is not None:
                keys.update(page.keys)
                page = self.acknowledge(page)
            else:
                page = self.page(self.after(LATER))
            self.durable()
        return keys

    def kept(self) -> list[bytes]:
        """Rows of hints as they are now."""
        return [at for at, _ in self.store.scan(row_keys.HINTS, row_keys.END_OF_HINTS)]

    def adopt(self, **changes: Any) -> list[e.Effect]:
        """There is a newer topology."""
        assert self.home.topology is not None
        ring = replace(self.home.topology, epoch=self.home.epoch + 1, **changes)
        return self.receive(self.asker, m.Announce(ring.encode()))
