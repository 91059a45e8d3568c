"""Two of three members lost their data, and heard that the founder might not be running.

It was, and had given one of them its place. That one waits for a copy of what the other one lost,
and says so now; the other one waits for the first, and says that.
"""

from __future__ import annotations

import pytest

from dynamokv.protocol.node import Node
from dynamokv.testing.simulation.process import Process
from tests.protocol.cluster import plain_cluster

GUIDE = "'Two members that lost their data' in docs/guide/operations.md"


def said(process: Process) -> str:
    assert isinstance(process.core, Node)
    return process.core.why_not_ready()


@pytest.mark.parametrize("lost", [(1, 2), (0, 1), (0, 2)])
def test_they_say_what_they_wait_for(lost: tuple[int, int]) -> None:
    cluster = plain_cluster()
    members = cluster.ring(3)
    machines = [cluster.kill(members[number]) for number in lost]
    for machine in machines:
        machine.wipe()
    again = [cluster.start(machine, expect_members=None) for machine in machines]
    cluster.run(60.0)
    assert not any(process.ready for process in again)
    texts = [said(process) for process in again]
    assert all(GUIDE in text for text in texts), texts
    addresses = [machine.address for machine in machines]
    if 0 not in lost:
        copying = next(text for text in texts if "copies what belongs there" in text)
        waiting = next(text for text in texts if text is not copying)
        assert "n1:1 (read to the end)" in copying
        where = [address for address in addresses if f"{address} (there, and not read" in copying]
        assert len(where) == 1
        (other,) = set(addresses) - set(where)
        assert f"n1:1 (the member at {other} is being filled)" in waiting
