"""``dynamokv abandon``: rows of a stopped member that nobody can bring back are given up."""

from __future__ import annotations

import argparse
from pathlib import Path

from dynamokv import UsageError
from dynamokv.ring.placement import place
from dynamokv.runtime.boot import remembered
from dynamokv.runtime.clocks import SystemRng
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.names import parse_name
from dynamokv.wire import keys as row_keys

HELP = "give up, for good, damaged rows of which no other member has a copy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "directory", type=Path, metavar="DIRECTORY", help="data directory of a stopped member"
    )


def run(arguments: argparse.Namespace) -> int:
    """Give up what is quarantined of partitions that this member alone has, and print it."""
    directory: Path = arguments.directory
    if not (directory.is_dir() and any(parse_name(path.name) for path in directory.iterdir())):
        # That of another engine is none either, whatever its files are called.
        raise UsageError(f"{directory} is no data directory of dynamokv's own store")
    engine = LSMEngine(directory, background=False)
    try:
        for line in _abandon(engine):
            print(line)
    finally:
        engine.close()
    return 0


def _abandon(engine: LSMEngine) -> list[str]:
    """Per partition of which something is quarantined, what became of it."""
    identity, topology = remembered(engine, SystemRng())
    if topology is None:
        raise UsageError(f"{engine.directory} belongs to no ring yet: begin with an empty one")
    lines = []
    for partition, owners in enumerate(place(topology).owners):
        first, end = row_keys.partition_range(partition)
        ranges = [(max(a, first), min(b, end)) for a, b in engine.quarantined()]
        lost = [(a, b) for a, b in ranges if a < b]
        if not lost or identity.node_id not in owners:
            continue
        if set(owners) - {identity.node_id, topology.change}:
            # To count as a copy without them could be to deny what others have acknowledged.
            lines.append(f"partition {partition} was left as it is: other members bring it back")
            continue
        engine.heal(lost)
        told = ", ".join(f"{a!r} to {b!r}" for a, b in lost)
        lines.append(f"partition {partition}: given up from {told}")
    return lines or ["nothing of this member's partitions is quarantined"]
