"""Clusters, and what is asked of them."""

from __future__ import annotations

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of

QUORUM = Consistency.QUORUM


def put_of(key: str, value: str, level: int = QUORUM, budget_ms: int = 5000) -> m.PutRequest:
    names, values = [name_of(b"", key.encode())], [value.encode()]
    return m.PutRequest(0, 0, budget_ms, level, True, False, 0, names, values, [])


def get_of(key: str, level: int = QUORUM, budget_ms: int = 5000) -> m.GetRequest:
    return m.GetRequest(0, 0, budget_ms, level, True, [name_of(b"", key.encode())])


def put(cluster: Cluster, process: Process, key: str, value: str, level: int = QUORUM) -> None:
    """Write, and have it acknowledged."""
    assert type(cluster.ask(process, put_of(key, value, level))) is m.PutDone


def values(cluster: Cluster, process: Process, key: str, level: int = QUORUM) -> list[str]:
    """All values of a key."""
    done = cluster.ask(process, get_of(key, level))
    assert type(done) is m.GetDone
    return values_in(done.records[0])


def held(process: Process, key: str) -> list[str]:
    """The values of a key in this member's own store."""
    return values_in(process.engine.get(process.home.locate(name_of(b"", key.encode()))[0]))


def values_in(record: bytes | None) -> list[str]:
    if not record:
        return []
    return sorted(version.value.decode() for version in records.decode(record).versions)


def back(cluster: Cluster, process: Process) -> Process:
    """The next life on the same machine, ready and linked."""
    again = cluster.start(process.machine)
    cluster.run_until(lambda: again.ready)
    cluster.run(0.1)
    return again
