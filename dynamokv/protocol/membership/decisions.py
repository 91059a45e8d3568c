"""How a decision about the ring is made durable, and how a wish for a place is answered."""

from __future__ import annotations

from dynamokv.protocol.effects import Effect, Origin, TopologyStored, Write, answer
from dynamokv.ring.topology import Member, Topology
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys
from dynamokv.wire.messages import JoinAnswer, JoinReason


def store(topology: Topology, asker: Origin | None = None) -> Write:
    """Make a decision durable, and only then tell."""
    row = (row_keys.TOPOLOGY_ROW, codec.encode(topology.encode()))
    return Write([row], TopologyStored(topology, asker), TopologyStored(None, asker), synced=True)


def no(origin: Origin, reason: JoinReason, detail: str) -> list[Effect]:
    """No place, yet or for ever."""
    return [answer(origin, JoinAnswer(origin.id, reason, detail))]


def filling(topology: Topology) -> str:
    """Why others have to wait: one change at a time."""
    (changing,) = (member for member in topology.members if member.node_id == topology.change)
    return f"the member at {changing.address} is being filled"


def alive(member: Member) -> str:
    """Why a member that lives somewhere is not let in somewhere else."""
    return (
        f"member {member.node_id.hex()[:8]} is alive at {member.address}: this data directory is a "
        "copy of its own, and one identity cannot run twice; start with an empty one"
    )


def taken(holder: Member) -> str:
    """Why the place of a member that lives is nobody else's."""
    return (
        f"address {holder.address} belongs to member {holder.node_id.hex()[:8]}: start that one, "
        "with its data directory, or choose another address"
    )
