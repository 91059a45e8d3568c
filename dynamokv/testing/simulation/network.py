"""The network between processes, with the habits of ``transport.zeromq``, and faults on demand.

Knows: addresses, connections, frames as bytes. Must not know: what is in a frame, who a process is.

Rules:

- A process keeps a link to each address that it was told to connect to, made again for ever. A
  frame leaves on the link of that name; else on the connection that the peer's own frames come by;
  else it does not leave, and ``send`` says so.
- What one end sends over one connection arrives in order, or not at all. Only frames that a fault
  makes late, or repeats, come out of turn: such as were held in a queue of a connection that broke.
- What is under way when its connection breaks is lost; so is what is sent into a broken one before
  the break is noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Final, Protocol

from dynamokv.limits import FRAME_BYTES_MAX, SEND_QUEUE_FRAMES
from dynamokv.ports import ROUTE_BYTES
from dynamokv.testing.simulation.chance import Chance, Delay
from dynamokv.testing.simulation.schedule import MILLISECOND, SECOND, Schedule

LATENCY_NS: Final = MILLISECOND // 2
CONNECT_NS: Final = 1 * MILLISECOND
NOTICE_NS: Final = 1 * MILLISECOND
LATE_NS: Final = 10 * SECOND


class Listener(Protocol):
    """A process, as its sockets know it."""

    def on_frame(self, source: bytes, frame: bytes) -> None:
        """A frame came, by the link or the route ``source``."""
        ...

    def on_link(self, peer: bytes, up: bool) -> None:
        """The link to a peer works, or broke."""
        ...


class Link:
    """A connection that is made again for ever, by ``owner`` to an address.

    Attributes:
        to: the other end, while there is one.
        route: how the other end knows this connection.
        made_ns: when it was made.
        under_way: frames in it, from the owner and to it.
    """

    __slots__ = ("address", "arrives_ns", "made_ns", "name", "owner", "route", "to", "under_way")

    def __init__(self, owner: Endpoint, name: bytes, address: str) -> None:
        self.owner = owner
        self.name = name
        self.address = address
        self.to: Endpoint | None = None
        self.route = b""
        self.made_ns = 0
        self.arrives_ns = [0, 0]
        self.under_way = [0, 0]


class Endpoint:
    """``ports.Transport`` of one process."""

    def __init__(self, network: Network, address: str, listener: Listener) -> None:
        self.network = network
        self.address = address
        self.listener = listener
        self.links: dict[bytes, Link] = {}
        self.routes: dict[bytes, Link] = {}
        self.news: list[tuple[bytes, bool]] = []
        self._remembered: dict[bytes, bytes] = {}

    def connect(self, peer: bytes, address: str) -> None:
        """Keep a link to this address under this name."""
        link = self.links.get(peer)
        if link is None or link.address != address:
            self.disconnect(peer)
            self.links[peer] = link = Link(self, peer, address)
            self.network.look(link)

    def disconnect(self, peer: bytes) -> None:
        """Drop the link, if there is one."""
        link = self.links.pop(peer, None)
        if link is not None and link.to is not None:
            self.network.unmake(link)

    def send(self, peer: bytes, frame: bytes) -> bool:
        """Put a frame on its way; False when there is none."""
        if len(frame) > FRAME_BYTES_MAX:
            return False
        link = self.links.get(peer)
        if link is not None and link.to is not None:
            return self.network.carry(link, 0, self, link.to, frame)
        link = self.routes.get(self._remembered.get(peer, peer))
        return link is not None and self.network.carry(link, 1, self, link.owner, frame)

    def remember(self, peer: bytes, route: bytes) -> None:
        """Frames of this peer come by this route."""
        self._remembered[peer] = route


class Network:
    """Every connection, and what is under way.

    Attributes:
        latency: of a frame; ``latencies`` has those of single ways, by the addresses from and to.
        drop, duplicate: the chance of each for a frame.
        reorder: the chance that a frame does not wait for those before it.
        late, lateness: the chance that a frame arrives long after all others, and how long after.
        refuse: the chance that the queue for a frame is full.
        connect_ns: until a link is made.
        notice_ns: until a broken one is noticed.
        cuts: pairs of addresses; nothing gets from the first to the second.
        silent: addresses of frozen processes: their kernel takes frames in, but no heartbeat comes
            back, so no link to or from them stands.
        sent, lost, refused: frames.
    """

    def __init__(self, schedule: Schedule, seed: object = 0) -> None:
        def stream(family: str) -> Random:
            return Random(f"{seed} network {family}")

        self.schedule = schedule
        self.latency = Delay(stream("latency"), LATENCY_NS, LATENCY_NS)
        self.latencies: dict[tuple[str, str], Delay] = {}
        self.drop = Chance(stream("drop"))
        self.duplicate = Chance(stream("duplicate"))
        self.reorder = Chance(stream("reorder"))
        self.late = Chance(stream("late"))
        self.lateness = Delay(stream("lateness"), LATE_NS // 10, LATE_NS)
        self.refuse = Chance(stream("refuse"))
        self.connect_ns = CONNECT_NS
        self.notice_ns = NOTICE_NS
        self.cuts: dict[tuple[str, str], None] = {}
        self.silent: dict[str, None] = {}
        self.sent = self.lost = self.refused = 0
        self.on_send: Callable[[Endpoint, bytes], None] = lambda _endpoint, _frame: None
        self._at: dict[str, Endpoint] = {}
        self._made = 0

    # --- processes --------------------------------------------------------------------------------

    def add(self, address: str, listener: Listener) -> Endpoint:
        """A process listens at this address from now on."""
        assert address not in self._at, f"{address} is in use"
        endpoint = self._at[address] = Endpoint(self, address, listener)
        self.review()
        return endpoint

    def remove(self, endpoint: Endpoint) -> None:
        """It is gone, and its connections with it. What it sent before is still under way."""
        del self._at[endpoint.address]
        for link in endpoint.links.values():
            if link.to is not None:
                link.to.routes.pop(link.route, None)
                link.to = None
        endpoint.links.clear()
        endpoint.routes.clear()
        self.review()

    def is_taken(self, address: str) -> bool:
        """Whether somebody listens there."""
        return address in self._at

    # --- faults -----------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        """From now on nothing gets from one address to the other, either way."""
        self.cuts[one, other] = self.cuts[other, one] = None
        self.review()

    def cut_one_way(self, source: str, target: str) -> None:
        """From now on nothing gets from the first address to the second."""
        self.cuts[source, target] = None
        self.review()

    def mend(self, one: str, other: str) -> None:
        """These two reach each other again."""
        self.cuts.pop((one, other), None)
        self.cuts.pop((other, one), None)
        self.review()

    def partition(self, *sides: list[str]) -> None:
        """Addresses of different sides do not reach each other."""
        for number, side in enumerate(sides):
            for other in sides[number + 1 :]:
                for a, b in product(side, other):
                    self.cuts[a, b] = self.cuts[b, a] = None
        self.review()

    def reunite(self, *sides: list[str]) -> None:
        """The opposite of ``partition``."""
        for number, side in enumerate(sides):
            for other in sides[number + 1 :]:
                for a, b in product(side, other):
                    self.cuts.pop((a, b), None)
                    self.cuts.pop((b, a), None)
        self.review()

    def break_links(self, one: str, other: str) -> None:
        """The connections between two addresses break, and are made again."""
        for owner, address in ((one, other), (other, one)):
            endpoint = self._at.get(owner)
            for link in list(endpoint.links.values()) if endpoint is not None else ():
                if link.address == address and link.to is not None:
                    self.unmake(link)
                    self.look(link)

    def silence(self, address: str, *, silent: bool) -> None:
        """No heartbeat comes from this address, or they come again."""
        if silent:
            self.silent[address] = None
        else:
            self.silent.pop(address, None)
        self.review()

    def heal(self) -> None:
        """Nothing is lost, refused, late or cut any more; ``latency`` is what it is."""
        for chance in (self.drop, self.duplicate, self.reorder, self.late, self.refuse):
            chance.share = 0.0
        self.latencies.clear()
        self.cuts.clear()
        self.review()

    # --- frames -----------------------------------------------------------------------------------

    def carry(self, link: Link, way: int, source: Endpoint, target: Endpoint, frame: bytes) -> bool:
        """Put a frame on its way over a connection that stands. ``way``: 0 from its owner."""
        full = link.under_way[way] >= SEND_QUEUE_FRAMES
        if full or (self.refuse.share and self.refuse.strikes()):
            self.refused += 1
            return False
        self.sent += 1
        self.on_send(source, frame)
        copies = 2 if self.duplicate.share and self.duplicate.strikes() else 1
        for _ in range(copies):
            if self.drop.share and self.drop.strikes():
                self.lost += 1
            else:
                self._carry(link, way, source, target, frame)
        return True

    def _carry(
        self, link: Link, way: int, source: Endpoint, target: Endpoint, frame: bytes
    ) -> None:
        now_ns = self.schedule.now_ns
        pair = (source.address, target.address)
        due_ns = now_ns + self.latencies.get(pair, self.latency).sample()
        late = False
        if self.late.share and self.late.strikes():
            due_ns += self.lateness.sample()
            late = True
        elif not (self.reorder.share and self.reorder.strikes()):
            due_ns = max(due_ns, link.arrives_ns[way] + 1)
            link.arrives_ns[way] = due_ns
        route = link.route
        link.under_way[way] += 1

        def arrive() -> None:
            link.under_way[way] -= 1
            stands = late or link.route == route
            if not stands or pair in self.cuts or self._at.get(target.address) is not target:
                self.lost += 1
                return
            target.listener.on_frame(link.name if way else route, frame)

        self.schedule.after(due_ns - now_ns, arrive)

    # --- connections ------------------------------------------------------------------------------

    def review(self) -> None:
        """Whatever changed: links that should change do so a little later."""
        for endpoint in self._at.values():
            for link in endpoint.links.values():
                self.look(link)

    def look(self, link: Link) -> None:
        """Should this link change, it does so a little later."""
        if link.to is not self._reached(link):
            delay_ns = self.connect_ns if link.to is None else self.notice_ns
            self.schedule.after(delay_ns, lambda: self._flip(link))

    def unmake(self, link: Link) -> None:
        """This connection is no more, and its owner hears of it."""
        assert link.to is not None
        link.to.routes.pop(link.route, None)
        link.to = None
        link.route = b""
        self._tell(link, up=False)

    def _flip(self, link: Link) -> None:
        reached = self._reached(link)
        if link.to is reached or link.owner.links.get(link.name) is not link:
            return
        if link.to is not None:
            self.unmake(link)
            self.look(link)
            return
        assert reached is not None
        self._made += 1
        link.to = reached
        link.made_ns = self.schedule.now_ns
        link.route = b"\0" + self._made.to_bytes(ROUTE_BYTES - 1)
        reached.routes[link.route] = link
        self._tell(link, up=True)

    def _reached(self, link: Link) -> Endpoint | None:
        """Whom a link finds at its address."""
        here, there = link.owner.address, link.address
        if self._at.get(here) is not link.owner or here in self.silent or there in self.silent:
            return None
        if (here, there) in self.cuts or (there, here) in self.cuts:
            return None
        return self._at.get(there)

    def _tell(self, link: Link, *, up: bool) -> None:
        owner = link.owner
        owner.news.append((link.name, up))

        def tell() -> None:
            # What happened at the same moment is told in the order in which it happened.
            name, is_up = owner.news.pop(0)
            if self._at.get(owner.address) is owner:
                owner.listener.on_link(name, is_up)

        self.schedule.after(0, tell)
