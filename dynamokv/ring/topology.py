"""The topology: the agreed record of who belongs to the ring, one version for each epoch.

It says who the members are, and ``placement.place`` derives from it who owns what. This file knows
the record, its checks and its steps from one epoch to the next. It does not know how members agree
on it, nor how it travels.

Rules:
    - A record that exists is valid. The constructors check everything, exact types included
      (``bool`` is an ``int`` in Python), because records come from the wire and the disk, and a
      wrong one would send data to the wrong place.
    - Every step raises the epoch by one. Nothing else does.
    - ``cluster_id``, ``partitions``, ``n`` and ``seed`` are fixed for ever by the founder: data
      lies where they put it.
    - Members stand in join order. The first one decides changes; no placement depends on it.
    - Ownership hangs on a member's *place*, not on its id. Whoever replaces a member takes its
      place, so it owns exactly what that one owned, and nothing of anybody else moves.
    - One newcomer at a time: while ``change`` names one that is still being filled, nobody else
      joins. Two half-filled members could own two of a key's three copies, and then a quorum of
      owners would know nothing.
"""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dynamokv import limits
from dynamokv.types import CLUSTER_ID_BYTES, NODE_ID_BYTES, ClusterId, NodeId

U64_MAX: Final = 2**64 - 1

CONTEXT_KEY_BYTES: Final = 16

WEIGHT_MAX: Final = 100
"""The range of ``NodeConfig.weight``. Weight costs tokens, and so time at every change: use small
ratios."""


_MEMBER_FIELDS: Final = 4
"""Of a member that stands on its own place."""

_OWN: Final = NodeId(b"")


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the ring knows it.

    Attributes:
        node_id: 16 bytes; the identity, kept for life.
        address: where others reach it, 1 byte or more; may change, and no two members share one.
        zone: failure domain, "" for none: such a member shares its fate with nobody.
        weight: relative share of the data, 1 to 100.
        place: 16 bytes, whose tokens it stands on: its own, unless it replaced somebody. Then they
            are those of the first who stood there.

    Raises:
        ValueError: a field is of another type or out of range.
    """

    node_id: NodeId
    address: str
    zone: str
    weight: int
    place: NodeId = _OWN

    def __post_init__(self) -> None:
        _check_bytes("node_id", self.node_id, NODE_ID_BYTES)
        _check_text("address", self.address, at_least=1)
        _check_text("zone", self.zone, at_least=0)
        _check_integer("weight", self.weight, 1, WEIGHT_MAX)
        if self.place == _OWN:
            object.__setattr__(self, "place", self.node_id)
        _check_bytes("place", self.place, NODE_ID_BYTES)

    @property
    def replaces(self) -> bool:
        """Whether it stands where somebody else stood before."""
        return self.place != self.node_id

    def encode(self) -> list[Any]:
        """The member as plain values; its place only where it is not its own."""
        fields = [self.node_id, self.address, self.zone, self.weight]
        return [*fields, self.place] if self.replaces else fields

    @classmethod
    def decode(cls, fields: object) -> Member:
        """The member that ``encode`` made. Raises ``ValueError`` for anything else."""
        with_place = isinstance(fields, (list, tuple)) and len(fields) == _MEMBER_FIELDS + 1
        row = _check_row("member", fields, _MEMBER_FIELDS + with_place)
        if with_place and row[-1] in (row[0], _OWN):
            raise ValueError("a member's own place is not written down")
        return cls(*row)


@dataclass(frozen=True, slots=True)
class Topology:
    """The ring at one epoch.

    Attributes:
        cluster_id: 16 bytes, minted by the founder.
        cluster: the ring's name, 1 byte or more.
        epoch: version of this record, 1 for the founder's.
        partitions: equal parts of the key space, a power of two.
        n: copies of each key, when there are so many members.
        seed: of all hashes of the ring, 0 to 2^64 - 1.
        context_key: 16 bytes that seal the contexts given to clients, or b"" in a copy for a
            client. Never shown.
        members: 1 or more, in join order; ids and addresses are unique.
        change: the member that is still being filled, or None: a newcomer, or one that replaces
            another.

    Raises:
        ValueError: a field is of another type, out of range, or contradicts another one.
    """

    cluster_id: ClusterId
    cluster: str
    epoch: int
    partitions: int
    n: int
    seed: int
    context_key: bytes = field(repr=False)
    members: tuple[Member, ...]
    change: NodeId | None

    def __post_init__(self) -> None:
        _check_bytes("cluster_id", self.cluster_id, CLUSTER_ID_BYTES)
        _check_text("cluster", self.cluster, at_least=1)
        _check_integer("epoch", self.epoch, 1, U64_MAX)
        _check_integer("partitions", self.partitions, 1, limits.PARTITIONS_MAX)
        if self.partitions & (self.partitions - 1):
            raise ValueError(f"partitions must be a power of two, not {self.partitions}")
        _check_integer("n", self.n, 1, limits.REPLICAS_MAX)
        _check_integer("seed", self.seed, 0, U64_MAX)
        _check_bytes("context_key", self.context_key, CONTEXT_KEY_BYTES, 0)
        _check_members(self.members)
        if self.change is not None:
            _check_bytes("change", self.change, NODE_ID_BYTES)
            if self.member(self.change) is None:
                raise ValueError(f"change names {self.change.hex()}, which is not a member")

    @property
    def replicas(self) -> int:
        """Copies that each key really has: ``n``, or every member while there are fewer."""
        return min(self.n, len(self.members))

    @property
    def replacement(self) -> NodeId | None:
        """The member that is being filled, if it stands in for one whose copies are lost."""
        filling = self.member(self.change) if self.change is not None else None
        return filling.node_id if filling is not None and filling.replaces else None

    def member(self, node_id: NodeId) -> Member | None:
        """The member of that id, by looking through all: keep a dict where every request asks."""
        return next((member for member in self.members if member.node_id == node_id), None)

    def with_member(self, member: Member, *, filling: bool = False) -> Topology:
        """The next epoch: a newcomer comes last, a known member gets its new address and zone.

        A new zone moves partitions as a join does; filling their new owners is the caller's work.

        Args:
            member: the newcomer, or the known member as it is from now on.
            filling: a newcomer must be filled before others may join. Says nothing about a known
                member.

        Raises:
            ValueError: another newcomer is still being filled, another member has that address, the
                ring is full, or a known member comes with another weight or place.
        """
        known = self.member(member.node_id)
        if known is None:
            if self.change is not None:
                raise ValueError(
                    f"{self.change.hex()} is still being filled: no other join until it is whole"
                )
            change = member.node_id if filling else None
            return replace(
                self, epoch=self.epoch + 1, members=(*self.members, member), change=change
            )
        if known.weight != member.weight:
            raise ValueError(
                f"a known member's weight stays {known.weight}, it cannot become {member.weight}"
            )
        if known.place != member.place:
            raise ValueError(f"a known member's place stays {known.place.hex()}")
        members = tuple(member if other is known else other for other in self.members)
        return replace(self, epoch=self.epoch + 1, members=members)

    def replaced(self, old_id: NodeId, new_id: NodeId, address: str) -> Topology:
        """The next epoch: a member whose copies are lost has gone, and a new one stands on its
        place, with its weight and zone, and is to be filled.

        It comes last, in join order: the first member decides changes, and one that has just come
        knows the least.

        Raises:
            ValueError: there is no such member, somebody else is being filled, or the new one is,
                or was, somebody of this ring.
        """
        old = self.member(old_id)
        if old is None:
            raise ValueError(f"{old_id.hex()} is not a member")
        if self.change not in (None, old_id):
            raise ValueError("somebody else is still being filled: one change at a time")
        if any(new_id in (member.node_id, member.place) for member in self.members):
            raise ValueError(f"{new_id.hex()} has, or had, a place in this ring")
        new = replace(old, node_id=new_id, address=address)
        others = tuple(member for member in self.members if member is not old)
        return replace(self, epoch=self.epoch + 1, members=(*others, new), change=new_id)

    def settled(self) -> Topology:
        """The next epoch, with whoever was being filled whole: others may join."""
        return replace(self, epoch=self.epoch + 1, change=None)

    def abandoned(self) -> Topology:
        """The next epoch, without the newcomer that was being filled.

        No acknowledged write goes with it: of m others, a quorum of m + 1 has at least half, and
        every quorum of the m meets those.
        """
        members = tuple(member for member in self.members if member.node_id != self.change)
        return replace(self, epoch=self.epoch + 1, members=members, change=None)

    def without_secrets(self) -> Topology:
        """The same record for a client, which must not be able to forge contexts."""
        return replace(self, context_key=b"")

    def encode(self) -> list[Any]:
        """The record as plain values: lists, ``bytes``, ``str``, ``int`` and None.

        Positions are append-only: they travel and rest on disk. Never change the meaning of one,
        never reuse one. A new one is sent only when every member of the ring reads it, since
        ``decode`` refuses what it does not know.
        """
        return [
            self.cluster_id,
            self.cluster,
            self.epoch,
            self.partitions,
            self.n,
            self.seed,
            self.context_key,
            [member.encode() for member in self.members],
            self.change,
        ]

    @classmethod
    def decode(cls, fields: object) -> Topology:
        """The record that ``encode`` made, from a list or tuple out of the wire or the disk.

        Raises:
            ValueError: anything is not exactly as ``encode`` makes it; the message names the field.
        """
        row = _check_row("topology", fields, 9)
        members = _check_row("members", row[7])
        _check_member_count(members)
        return cls(
            cluster_id=row[0],
            cluster=row[1],
            epoch=row[2],
            partitions=row[3],
            n=row[4],
            seed=row[5],
            context_key=row[6],
            members=tuple(Member.decode(member) for member in members),
            change=row[8],
        )


def _check_row(name: str, row: object, length: int | None = None) -> list[Any] | tuple[Any, ...]:
    if not isinstance(row, (list, tuple)) or length not in (None, len(row)):
        expected = "a list" if length is None else f"a list of {length} fields"
        raise ValueError(f"{name} must be {expected}, not {_shown(row)}")
    return row


def _check_bytes(name: str, value: object, *lengths: int) -> None:
    if type(value) is not bytes or len(value) not in lengths:
        expected = " or ".join(str(length) for length in lengths)
        raise ValueError(f"{name} must have {expected} bytes, not {_shown(value)}")


def _check_text(name: str, value: object, at_least: int) -> None:
    # A lone surrogate has no UTF-8 form, so it could never be sent on.
    if type(value) is not str or not (value.isascii() or _is_sendable(value)):
        raise ValueError(f"{name} must be text, not {_shown(value)}")
    if not at_least <= len(value.encode()) <= limits.TEXT_BYTES_MAX:
        raise ValueError(f"{name} must have {at_least} to {limits.TEXT_BYTES_MAX} bytes as UTF-8")


def _is_sendable(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {_shown(value)}")


def _check_members(members: object) -> None:
    if type(members) is not tuple or any(type(member) is not Member for member in members):
        raise ValueError(f"members must be a tuple of Member, not {_shown(members)}")
    _check_member_count(members)
    if len({member.node_id for member in members}) < len(members):
        raise ValueError("two members have the same node_id")
    if len({member.place for member in members}) < len(members):
        raise ValueError("two members have the same place")
    if len({member.address for member in members}) < len(members):
        raise ValueError("two members have the same address")


def _check_member_count(members: Sized) -> None:
    """Asked before the members are looked at, so that a huge list costs nothing."""
    if not 1 <= len(members) <= limits.MEMBERS_MAX:
        raise ValueError(f"a ring has 1 to {limits.MEMBERS_MAX} members, not {len(members)}")


def _shown(value: object) -> str:
    """What came instead, without contents: they may be huge, or the secret in the wrong place."""
    match value:
        case int() | None:
            return repr(value)
        case bytes() | str() | list() | tuple():
            return f"{type(value).__name__} of length {len(value)}"
        case _:
            return type(value).__name__
