"""Who this node is, as its store remembers it.

    identity row = CBOR [version = 1, node id, actor, clean, clock ceiling]

Rules:
    - The node id is minted once for a store; the address is not part of it.
    - The *actor* names one life of the store: 8 random bytes. After anything that may have made the
      store forget writes, a new one is minted. Under an old name, the next write would claim to
      know what was forgotten, and erase it elsewhere.
      Random, not counted: a count could itself be forgotten.
    - ``clean`` is true only after a clean stop, and is made false, durably, before the first write
      of the next life.
    - No time above the ceiling was ever used, so a new life starts there.

Sources: riak_kv issues 679, 1094 and 1643 (actor epochs after amnesia).
"""

from __future__ import annotations

from typing import NamedTuple

from dynamokv.ports import Rng
from dynamokv.types import ACTOR_BYTES, NODE_ID_BYTES, Actor, NodeId
from dynamokv.wire import codec
from dynamokv.wire.schema import U64_MAX

IDENTITY_VERSION = 1


class Identity(NamedTuple):
    """What the identity row says."""

    node_id: NodeId
    actor: Actor
    clean: bool
    ceiling: int

    def encode(self) -> bytes:
        """The row's value."""
        return codec.encode([IDENTITY_VERSION, *self])

    @classmethod
    def decode(cls, data: bytes) -> Identity:
        """Read the row. Raises ``ValueError`` for anything that ``encode`` does not make."""
        fields = codec.decode(data)
        if type(fields) is not list or len(fields) != 5 or fields[0] != IDENTITY_VERSION:
            raise ValueError(f"an identity of version {IDENTITY_VERSION} was expected")
        _, node_id, actor, clean, ceiling = fields
        if type(node_id) is not bytes or len(node_id) != NODE_ID_BYTES:
            raise ValueError("damaged identity: node id")
        if type(actor) is not bytes or len(actor) != ACTOR_BYTES:
            raise ValueError("damaged identity: actor")
        if type(clean) is not bool or type(ceiling) is not int or not 0 <= ceiling <= U64_MAX:
            raise ValueError("damaged identity: clean stop or clock ceiling")
        return cls(NodeId(node_id), Actor(actor), clean, ceiling)


def new_actor(rng: Rng) -> Actor:
    """A name that no life of any store had before."""
    return Actor(rng.randbytes(ACTOR_BYTES))


def next_life(stored: bytes | None, *, forgot: bool, rng: Rng) -> Identity:
    """Who a node is that starts on a store with this identity row; ``forgot``: its engine found
    something missing.

    Raises:
        ValueError: the row is damaged. Who this node was is then unknown, so it must not start as
            somebody.
    """
    if stored is None:
        return Identity(NodeId(rng.randbytes(NODE_ID_BYTES)), new_actor(rng), False, 0)
    before = Identity.decode(stored)
    keep = before.clean and not forgot
    return before._replace(actor=before.actor if keep else new_actor(rng), clean=False)
