"""What a process starts as: a member by what its store remembers, or a client of some addresses.

Knows: which own rows make an identity and a ring, and how a core is put together. Must not know:
sockets, threads, configuration; clock and random source are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dynamokv.causality.hlc import HybridClock
from dynamokv.errors import CorruptionError
from dynamokv.ports import Clock, Range, Reader, Rng, StorageEngine
from dynamokv.protocol.client import ClientNode
from dynamokv.protocol.node import Node
from dynamokv.protocol.state.home import Home, Settings
from dynamokv.protocol.state.identity import Identity, next_life
from dynamokv.ring.topology import Topology
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.types import Actor, NodeId
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys


def remembered(engine: StorageEngine, rng: Rng) -> tuple[Identity, Topology | None]:
    """Who this node is, and the last ring it knew.

    Raises:
        CorruptionError: its store no longer tells.
    """
    try:
        identity = next_life(_own_row(engine, row_keys.IDENTITY_ROW), forgot=engine.forgot, rng=rng)
        stored = _own_row(engine, row_keys.TOPOLOGY_ROW)
        topology = Topology.decode(codec.decode(stored)) if stored else None
    except ValueError as error:
        raise CorruptionError(
            f"the store's own rows are damaged ({error}): move the data directory aside and "
            "join anew"
        ) from error
    return identity, topology


def member(
    identity: Identity,
    topology: Topology | None,
    settings: Settings,
    *,
    reader: Reader,
    clock: Clock,
    rng: Rng,
    clock_drift_max_ms: int,
    forgot: bool = False,
) -> Node:
    """The core of a member that starts as this one; ``forgot``: its engine found something
    missing."""
    home = Home(
        node_id=identity.node_id,
        actor=identity.actor,
        settings=settings,
        reader=reader,
        clock=clock,
        rng=rng,
        hybrid=HybridClock(last=identity.ceiling, drift_max_ms=clock_drift_max_ms),
        forgot=forgot,
    )
    return Node(home, topology)


def client(settings: Settings, *, clock: Clock, rng: Rng) -> ClientNode:
    """The core of a client."""
    home = Home(
        node_id=NodeId(b""),
        actor=Actor(b""),
        settings=settings,
        reader=NoStore(),
        clock=clock,
        rng=rng,
        hybrid=HybridClock(last=0, drift_max_ms=0),
    )
    return ClientNode(home)


class NoStore:
    """``ports.Reader`` of a process that owns nothing."""

    def visible(self, key: bytes) -> bytes | None:
        """Nothing."""
        return None

    def newest(self, key: bytes) -> bytes | None:
        """Nothing."""
        return None

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Nothing."""
        return iter(())

    scan_visible = scan_readable = scan

    def quarantined(self) -> list[Range]:
        """Nothing."""
        return []

    def at_rest(self, action: Callable[[], None]) -> None:
        """It always is."""
        action()


def _own_row(engine: StorageEngine, key: bytes) -> bytes | None:
    """A row that the store keeps for the node itself. Of these an older state does as well: peers
    know a newer ring, and what the store forgot is told by ``forgot``.

    Raises:
        CorruptionError: nothing is left of it. To go on would be to begin another ring over the
            data of this one.
    """
    ours = engine if isinstance(engine, LSMEngine) else None
    try:
        row = engine.get(key)
        if row is None and key == row_keys.IDENTITY_ROW and ours is not None and ours.set_aside:
            raise CorruptionError(f"it may have been in {', '.join(ours.set_aside)}")
    except CorruptionError as error:
        row = ours.remains(key) if ours is not None else None
        if row is None:
            raise CorruptionError(
                f"this member's identity is lost: {error}. If the damaged or missing file can be "
                "had, put it back; otherwise restore the whole data directory from a copy, or "
                "begin with an empty one"
            ) from error
    return row
