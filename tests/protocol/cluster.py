"""Clusters for tests that people read: rows in memory, everything as fast as ever, and what is due
at the same moment in the order in which it came up."""

from __future__ import annotations

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.testing.simulation.process import Process


def plain_cluster(seed: int = 0) -> Cluster:
    return Cluster(seed, memory=True, shuffled=False)


def disk_of(process: Process) -> MemoryDisk:
    """The rows of a member, and a way to make its disk fail."""
    disk = process.machine.disk
    assert isinstance(disk, MemoryDisk)
    return disk
