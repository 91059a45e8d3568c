"""A member that came back at another address than the record says: have the record put right.

Rules:
    - It asks the driver, and everyone else where the driver is, the seeds too: all may have moved.
    - The driver itself looks at its old address first. If something answers there, there are two of
      it, from a copied data directory: it stops.
"""

from __future__ import annotations

from dataclasses import replace

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Send
from dynamokv.protocol.membership.decisions import store
from dynamokv.protocol.membership.formation import Driver, join_request
from dynamokv.protocol.state.home import Home
from dynamokv.wire import messages as m

NEVER = float("inf")


class Move:
    """The way of one member to its place in the record."""

    def __init__(self, home: Home, driver: Driver) -> None:
        self.home = home
        self.driver = driver
        self._old_place: tuple[bytes, float] | None = None
        self._seed_links: list[bytes] = []

    def tick(self, now: float) -> list[Effect]:
        """Ask, as long as the record is wrong."""
        home = self.home
        assert home.topology is not None
        mine = home.topology.member(home.node_id)
        if mine is None or mine.address == home.settings.address or self.driver.deciding:
            return []
        driver = home.topology.members[0].node_id
        if driver != home.node_id:
            # Nobody knows where to tell this node anything, not even that the driver has moved too.
            question = m.TopologyRequest(0, home.settings.cluster)
            others = [mb.node_id for mb in home.topology.members if mb is not mine]
            effects = [Send(driver, join_request(home)), *(Send(peer, question) for peer in others)]
            return effects + self._ask_seeds()
        if self._old_place is None:
            self._old_place = (mine.address.encode(), now + limits.FOUND_GRACE_SECONDS)
            return [e.Connect(self._old_place[0], mine.address)]
        link, silent_until = self._old_place
        if now < silent_until:
            return []
        self.driver.deciding = True
        moved = replace(mine, address=home.settings.address)
        return [e.Disconnect(link), store(home.topology.with_member(moved))]

    def arrived(self) -> list[Effect]:
        """The record is right: the seeds are not needed any more."""
        links, self._seed_links = self._seed_links, []
        return [e.Disconnect(link) for link in links]

    def on_link_up(self, link: bytes) -> list[Effect]:
        """Something answers at an address that is no member's."""
        if self._old_place is None or link != self._old_place[0]:
            return []
        self._old_place = (link, NEVER)
        text = (
            f"something answers at {link.decode()}, the address of this member in the ring: this "
            "data directory is a copy of its own, and one identity cannot run twice"
        )
        return [e.JoinFailed(m.JoinReason.DUPLICATE, text)]

    def _ask_seeds(self) -> list[Effect]:
        """All may have moved, and then nobody is left at any address that this node remembers. The
        seeds are what people say of today."""
        home = self.home
        seeds = [seed for seed in home.settings.seeds if seed != home.settings.address]
        effects: list[Effect] = []
        if not self._seed_links:
            self._seed_links = [seed.encode() for seed in seeds]
            effects += [e.Connect(seed.encode(), seed) for seed in seeds]
        return effects + [Send(link, join_request(home)) for link in self._seed_links]
