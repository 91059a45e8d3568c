"""A ring of three whose disks have a quarantine, and one partition of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dynamokv.errors import CorruptionError
from dynamokv.ports import Range, Row
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of, partition_of
from tests.protocol.lone import get_request, put_request

NAMES = ["n1", "n2", "n3"]


class Rotten(MemoryDisk):
    """Rows in ``bad`` cannot be read until they are written again, or given up."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: set[bytes] = set()
        self.given_up: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        if key in self.bad:
            raise CorruptionError("quarantined")
        return super().get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        if any(start <= key < end for key in self.bad):
            raise CorruptionError("quarantined")
        return super().scan(start, end)

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        super().apply(batch, sync=sync)
        self.bad -= {key for key, _ in batch}

    def quarantined(self) -> list[Range]:
        return [(key, key + b"\0") for key in sorted(self.bad)]

    def heal(self, ranges: Sequence[Range]) -> None:
        for key in sorted(k for k in self.bad if any(a <= k < b for a, b in ranges)):
            super().apply([(key, None)], sync=True)
            self.bad.discard(key)
            self.given_up.append(key)


class RottenRing:
    """All of it is up.

    Attributes:
        names: of keys that are all in ``partition``.
        keys: their rows.
    """

    def __init__(self, **settings: Any) -> None:
        self.cluster = Cluster(0, memory=True, shuffled=False)
        self.disks = [Rotten() for _ in NAMES]
        seeds = tuple(f"{name}:1" for name in NAMES)
        machines = [self.cluster.machine(n, disk=d) for n, d in zip(NAMES, self.disks, strict=True)]
        self.members = [
            self.cluster.start(machine, seeds=seeds, expect_members=3, **settings)
            for machine in machines
        ]
        self.cluster.run(3.0)
        assert all(member.ready for member in self.members)
        locate = self.members[0].home.locate
        all_names = [name_of(b"", b"%d" % number) for number in range(999)]
        self.partition = partition_of(locate(all_names[0])[0])
        self.names = [n for n in all_names if partition_of(locate(n)[0]) == self.partition]
        self.keys = [locate(name)[0] for name in self.names]

    def put(self, member: int, name: bytes, level: Consistency = Consistency.QUORUM) -> None:
        request = put_request(level=level, names=[name], values=[b"acknowledged"])
        done = self.cluster.ask(self.members[member], request)
        assert type(done) is m.PutDone, done

    def get(self, member: int, name: bytes) -> list[bytes] | None:
        """What a quorum has; ``None`` if there is none."""
        done = self.cluster.ask(self.members[member], get_request(name))
        if type(done) is not m.GetDone:
            return None
        [found] = done.records
        return [version.value for version in records.decode(found).versions] if found else []

    def cut(self, *pairs: tuple[str, str]) -> None:
        """Only these do not reach each other."""
        for index, one in enumerate(NAMES):
            for other in NAMES[index + 1 :]:
                between = f"{one}:1", f"{other}:1"
                if (one, other) in pairs:
                    self.cluster.network.cut(*between)
                else:
                    self.cluster.network.mend(*between)
