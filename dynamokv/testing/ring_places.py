"""How tests name the members and clients of a simulated ring: the object, its name, or a number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from dynamokv.errors import UsageError
from dynamokv.testing.ring_nodes import Place, SimulatedClient, SimulatedNode
from dynamokv.testing.ring_session import SimulatedSession

Which: TypeAlias = SimulatedNode | SimulatedClient | str | int
"""A member or a client, or its name; a number, from 0, for a member."""


class Everybody:
    """Everybody in a ring. All methods raise ``UsageError`` for what nobody is meant by.

    Attributes:
        nodes: the members.
        clients: in the order in which they were made.
    """

    def __init__(self, nodes: tuple[SimulatedNode, ...]) -> None:
        self.nodes = nodes
        self.clients: list[SimulatedClient] = []

    @property
    def everybody(self) -> list[SimulatedNode | SimulatedClient]:
        """The members, then the clients."""
        return [*self.nodes, *self.clients]

    @property
    def sessions(self) -> list[SimulatedSession]:
        """Of everybody."""
        return [place.session for place in self.everybody]

    def node(self, which: int | str) -> SimulatedNode:
        """A member by its number or its name."""
        if isinstance(which, str):
            for node in self.nodes:
                if node.name == which:
                    return node
        elif isinstance(which, int) and -len(self.nodes) <= which < len(self.nodes):
            return self.nodes[which]
        raise UsageError(f"there is no member {which!r} in this ring: {self}")

    def place(self, which: Which) -> SimulatedNode | SimulatedClient:
        """A member or a client."""
        for place in self.everybody:
            if place is which or place.name == which:
                return place
        if isinstance(which, Place):
            raise UsageError(f"{which!r} belongs to another ring")
        return self.node(which)

    def member(self, which: Which) -> SimulatedSession:
        """The session of a member."""
        place = self.place(which)
        if isinstance(place, SimulatedClient):
            raise UsageError(f"{place.name} is a client, and this is for members: {self}")
        return place.session

    def sides(self, groups: tuple[Iterable[Which], ...]) -> list[list[str]]:
        """The groups of a partition, by names. One alone has all other members against it."""
        sides = [self._names(group) for group in groups]
        if len(sides) == 1:
            sides.append([node.name for node in self.nodes if node.name not in sides[0]])
        if not sides or not all(sides):
            raise UsageError(
                f"a partition has groups of one or more, as ['n1'], ['n2', 'n3']; not {sides}"
            )
        placed = [name for side in sides for name in side]
        twice = sorted({name for name in placed if placed.count(name) > 1})
        if twice:
            raise UsageError(f"{', '.join(twice)} cannot be on two sides, or twice on one: {sides}")
        return sides

    def whole(self) -> bool:
        """Whether every member and every client that was not closed serves and reaches all."""
        clients = [one.session for one in self.clients if one.session.state != "down"]
        return all(one.linked for one in (*(node.session for node in self.nodes), *clients))

    def state_of(self, place: SimulatedNode | SimulatedClient) -> dict[str, Any]:
        """One of them, as plain data."""
        session = place.session
        home = session.process.home
        up = home.up - {home.node_id} if session.state == "up" else ()
        reached = [node.name for node in self.nodes if node.session.process.home.node_id in up]
        return {"state": session.state, "address": place.address, "reaches": reached}

    def _names(self, group: Iterable[Which]) -> list[str]:
        if isinstance(group, (str, bytes, Place)) or not isinstance(group, Iterable):
            raise UsageError(f"a group is a list: ring.partition([{group!r}], [...])")
        return [self.place(which).name for which in group]

    def __str__(self) -> str:
        return "there are " + ", ".join(place.name for place in self.everybody)
