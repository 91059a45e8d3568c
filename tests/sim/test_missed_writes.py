"""A member misses ten thousand writes, and has them soon after it is back, a page at a time."""

from __future__ import annotations

from itertools import count, islice

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.requests import batch
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of
from tests.protocol.cluster import disk_of, plain_cluster

COUNT = 10_000
SECONDS = 10.0


class Pages:
    """What is under way to one member, of all who deliver to it, and the most that ever was."""

    def __init__(self, cluster: Cluster, target: Process) -> None:
        self.target = target.home.node_id
        self.open: dict[tuple[str, int], int] = {}
        self.most_bytes = self.most_pages = self.pages = 0
        cluster.watchers.append(self.watch)

    def watch(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        if type(event) is e.Received and type(event.message) is m.Replicated:
            self.open.pop((process.name, event.message.id), None)
        for effect in effects:
            if type(effect) is not e.Send or effect.peer != self.target:
                continue
            if type(effect.message) is m.Replicate:
                size = sum(map(len, effect.message.records))
                self.open[process.name, effect.message.id] = size
                self.pages += 1
        self.most_pages = max(self.most_pages, len(self.open))
        self.most_bytes = max(self.most_bytes, sum(self.open.values()))


@pytest.mark.parametrize(("members", "holder_restarts"), [(3, False), (5, True)])
def test_ten_thousand_missed_writes(members: int, holder_restarts: bool) -> None:
    cluster = plain_cluster()
    ring = cluster.ring(members)
    coordinator, away = ring[0], ring[1]
    homes = coordinator.home
    names = (name_of(b"", b"%d" % number) for number in count())
    owned = (name for name in names if away.home.node_id in homes.locate(name)[1])
    missed = list(islice(owned, COUNT))
    cluster.kill(away)
    cluster.run(2.0)
    for group in batch.group(homes, missed, [0] * len(missed)):
        some, values = [missed[at] for at in group], [b"value"] * len(group)
        coordinator.request(m.PutRequest(0, 0, 5_000, 0, True, False, 0, some, values, []))
        cluster.run(0.05)
    failed = [reply for reply in coordinator.replies.values() if type(reply) is not m.PutDone]
    assert not failed, failed[:2]
    if holder_restarts:
        holders = [one for one in ring if one is not away]
        for holder in holders:
            cluster.power_cut(holder)
        cluster.run(1.0)
        for holder in holders:
            cluster.start(holder.machine)
        cluster.run(2.0)
    back = cluster.start(away.machine)
    pages = Pages(cluster, back)
    members_now = list(cluster.running.values())
    cluster.run_until(lambda: not any(one.home.hints.size for one in members_now), SECONDS)
    held = disk_of(back).rows
    assert all(homes.locate(name)[0] in held for name in missed)
    assert all(one.home.hints.accounts == {} for one in members_now)
    assert pages.pages >= len(missed) // limits.HINT_PAGE_ITEMS
    assert pages.most_pages <= members - 1
    assert pages.most_bytes <= (members - 1) * 2 * limits.HINT_PAGE_BYTES
