"""The network between processes, with the habits of ``transport.zeromq`` and faults on demand.

A process keeps a link to each address that it was told to connect to. A frame leaves on the link of
that name; else on the connection that the peer's own frames come by; else it does not leave. What
is sent into a broken connection before the break is noticed is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from dynamokv.protocol import effects as e
from dynamokv.wire import frame
from tests.protocol.process import Process


class Schedule(Protocol):
    """Virtual time."""

    @property
    def now_us(self) -> int: ...

    def after(self, delay_us: int, action: Callable[[], None]) -> None: ...


class Link:
    """A connection that is made again for ever; ``to`` is the process at its other end."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.to: Process | None = None


class Network:
    """Every connection, and what is under way.

    Attributes:
        latency_us: of a frame, at least and at most.
        drop, duplicate, reorder: the chance of each for a frame; a frame that is not reordered
            arrives after all that one process sent to the other before.
        connect_us: until a link is made.
        notice_us: until a broken one is noticed.
        cuts: pairs of addresses; nothing gets from the first to the second.
    """

    def __init__(self, schedule: Schedule, random: Random) -> None:
        self.schedule = schedule
        self.random = random
        self.latency_us = (500, 500)
        self.drop = self.duplicate = self.reorder = 0.0
        self.connect_us = 1_000
        self.notice_us = 1_000
        self.cuts: set[tuple[str, str]] = set()
        self.lost = 0
        self._at: dict[str, Process] = {}
        self._links: dict[Process, dict[bytes, Link]] = {}
        self._routes: dict[Process, dict[bytes, tuple[Process, bytes]]] = {}
        self._numbers: dict[Process, int] = {}
        self._arrivals: dict[tuple[Process, Process], int] = {}

    def add(self, process: Process) -> None:
        """It listens at its address from now on."""
        self._at[process.address] = process
        self._links[process], self._routes[process] = {}, {}
        self._numbers[process] = len(self._numbers)
        self.review()

    def remove(self, process: Process) -> None:
        """It is gone, and its connections with it."""
        del self._at[process.address]
        self.review()

    def cut(self, one: str, other: str) -> None:
        """From now on nothing gets from one address to the other, either way."""
        self.cuts |= {(one, other), (other, one)}
        self.review()

    def heal(self) -> None:
        """Everything works again."""
        self.drop = self.duplicate = self.reorder = 0.0
        self.cuts.clear()
        self.review()

    def connect(self, process: Process, peer: bytes, address: str) -> None:
        """Keep a link to this address under this name."""
        link = self._links[process].get(peer)
        if link is None or link.address != address:
            self.disconnect(process, peer)
            self._links[process][peer] = Link(address)
            self.review()

    def disconnect(self, process: Process, peer: bytes) -> None:
        """Drop the link, if there is one."""
        link = self._links[process].pop(peer, None)
        if link is not None and link.to is not None:
            self._tell(process, e.PeerDown(peer))

    def send(self, process: Process, peer: bytes, data: bytes) -> bool:
        """Put a frame on its way; False when there is none."""
        link = self._links[process].get(peer)
        if link is not None and link.to is not None:
            self._carry(process, link.to, data, peer, by_link=False)
            return True
        target, name = self._routes[process].get(peer, (process, b""))
        back = self._links[target].get(name)
        if back is None or back.to is not process:
            return False
        self._carry(process, target, data, name, by_link=True)
        return True

    def _carry(
        self, process: Process, target: Process, data: bytes, link: bytes, *, by_link: bool
    ) -> None:
        """``link``: the name of the connection at the end that made it."""
        copies = 1 + (self.random.random() < self.duplicate) if self.duplicate else 1
        for _ in range(copies):
            if self.drop and self.random.random() < self.drop:
                self.lost += 1
                continue
            now_us = self.schedule.now_us
            due_us = now_us + self.random.randint(*self.latency_us)
            if not (self.reorder and self.random.random() < self.reorder):
                due_us = max(due_us, self._arrivals.get((process, target), 0))
                self._arrivals[process, target] = due_us
            self.schedule.after(
                due_us - now_us, lambda: self._arrive(process, target, data, link, by_link=by_link)
            )

    def _arrive(
        self, process: Process, target: Process, data: bytes, link: bytes, *, by_link: bool
    ) -> None:
        cut = (process.address, target.address) in self.cuts
        if cut or self._at.get(target.address) is not target:
            self.lost += 1
            return
        source = link
        if not by_link:
            source = b"\0" + self._numbers[process].to_bytes(4)
            way_back = (process, link)
            _, sender = frame.read_head(data)
            self._routes[target][source] = self._routes[target][sender] = way_back
        target.receive(source, data, by_link=by_link)

    def review(self) -> None:
        """Whatever changed: links that should change do so a little later."""
        for process, links in self._links.items():
            for name, link in links.items():
                if link.to is not self._reached(process, link):
                    delay_us = self.connect_us if link.to is None else self.notice_us
                    self.schedule.after(delay_us, self._flip(process, name, link))

    def _flip(self, process: Process, name: bytes, link: Link) -> Callable[[], None]:
        def flip() -> None:
            reached = self._reached(process, link)
            if link.to is reached or self._links[process].get(name) is not link:
                return
            if link.to is None:
                link.to = reached
                self._tell(process, e.PeerUp(name))
            else:
                link.to = None
                self._tell(process, e.PeerDown(name))
                if reached is not None:
                    self.schedule.after(self.connect_us, flip)

        return flip

    def _reached(self, process: Process, link: Link) -> Process | None:
        """Whom a link finds at its address."""
        if self._at.get(process.address) is not process:
            return None
        pair = (process.address, link.address)
        if pair in self.cuts or pair[::-1] in self.cuts:
            return None
        return self._at.get(link.address)

    def _tell(self, process: Process, event: e.PeerUp | e.PeerDown) -> None:
        def tell() -> None:
            if self._at.get(process.address) is process:
                process.feed(event)

        self.schedule.after(0, tell)
