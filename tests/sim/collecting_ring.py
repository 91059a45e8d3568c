"""A ring of disks of rows for trials of collecting, and what became of every value written to it.

Knows: what coordinators held when they wrote. Must not know: what is done to the ring.

Rule: requests come one at a time. One that is acknowledged, and was minted once, has replaced for
ever what its coordinator held then; one that is not may have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.testing.campaign.looking import dead_rows, hints_of
from dynamokv.testing.campaign.trees import differing_owners
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import SECOND
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import is_data_row, name_of, partition_of

GRACE: Final = 0.3
NAMES: Final = [name_of(b"", b"%d" % number) for number in range(4)]
BALLAST: Final = name_of(b"", b"ballast")
"""Of a page with it nothing else goes in the same frame."""

BUDGET_MS: Final = 400
WHOLE_SECONDS: Final = 6.0
HEAL_SECONDS: Final = 150.0
"""Above two of the rounds in which owners compare what they hold, whatever happened."""

LOOK_SECONDS: Final = 0.05
SLOW_MS: Final = (0, 0, 1_000, 5_000)
"""By how much a clock may be behind: what members put up with."""

FAR_BEHIND_MS: Final = 15_000
"""They do not put up with that, and no round comes to its end. So it passes."""


class Ledger:
    """What became of each value, which is one of a kind.

    Attributes:
        acknowledged: values that a user was told are written.
        replaced: values that some coordinator held when it made another write of their key.
        gone: those of them whose replacement was acknowledged.
    """

    def __init__(self) -> None:
        self.acknowledged: set[bytes] = set()
        self.replaced: set[bytes] = set()
        self.gone: set[bytes] = set()
        self._asked: m.PutRequest | None = None
        self._mints: list[set[bytes]] = []
        self._minted: Counter[bytes] = Counter()

    def returned(self, shown: set[bytes]) -> set[bytes]:
        """What of this must not be shown any more. A request that came twice was made twice."""
        return {value for value in shown & self.gone if self._minted[value] == 1}

    def asks(self, request: m.PutRequest) -> None:
        """From now on this is what is asked."""
        self._asked, self._mints = request, []

    def told(self) -> None:
        """It was done."""
        assert self._asked is not None
        self.acknowledged.update(filter(None, self._asked.values))
        if len(self._mints) == 1:
            self.gone |= self._mints[0]

    def watch(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """Every write of a coordinator, before it is carried out."""
        for effect in effects:
            if type(effect) is not e.Write or type(effect.then) is not e.Written:
                continue
            assert isinstance(event, (e.Request, e.Received))
            request = event.message
            assert type(request) is m.PutRequest
            for key, record in effect.rows:
                if record is not None and is_data_row(key):
                    replaced = _values(process.home.reader.newest(key)) - _values(record)
                    self.replaced |= replaced
                    self._minted.update(request.values)
                    asked = self._asked
                    if asked is not None and request[5:9] == asked[5:9]:
                        self._mints.append(replaced)


def _values(record: bytes | None) -> set[bytes]:
    """The values of a record, dead ones too."""
    if not record:
        return set()
    return {version.value for version in records.decode(record).versions if not version.tombstone}


class Ring:
    """Some members with few keys; their clocks may be behind."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(f"{seed} collecting")
        self.ledger = Ledger()
        self.cluster = Cluster(seed, memory=True)
        self.cluster.ring(
            random.choice((3, 3, 4, 5, 5)),
            partitions=random.choice((1, 2)),
            tombstone_grace=GRACE,
            hint_bytes_per_target=random.choice((0, 1 << 20, 1 << 20)),
        )
        self.machines = list(self.cluster.machines.values())
        self.cluster.watchers.append(self.ledger.watch)
        self.writes = 0
        for machine in self.machines:
            machine.clock.jump(-random.choice(SLOW_MS))

    def members(self) -> list[Process]:
        """Those that run."""
        return [one for one in self.cluster.running.values() if one.alive]

    def owners(self, name: bytes) -> list[Process]:
        """The owners of a key that run; the first is the one that drives rounds, if it does."""
        members = {one.home.node_id: one for one in self.members()}
        for member in members.values():
            if member.home.owners:
                partition = partition_of(member.home.locate(name)[0])
                owners = member.home.owners[partition]
                return [members[owner] for owner in owners if owner in members]
        return []

    def put(self, at: Process, name: bytes, level: Consistency, value: bytes | None = None) -> bool:
        """Whether this was acknowledged; without a value it is a delete, or one of its own."""
        if not at.alive or not at.ready:
            return False
        self.writes += 1
        if value is None:
            value = self.random.choice((b"", b"value %d" % self.writes))
        request = m.PutRequest(0, 0, BUDGET_MS, level, True, not value, 0, [name], [value], [])
        self.ledger.asks(request)
        ticket = at.request(request)
        try:
            self.cluster.run_until(lambda: ticket in at.replies or not at.alive, 1.0)
        except TimeoutError:
            return False
        answer = at.replies.get(ticket)
        if type(answer) is not m.PutDone or any(answer.errors):
            return False
        self.ledger.told()
        return True

    def return_all(self) -> bool:
        """All are there again, reach each other, and have clocks that are good enough."""
        self.cluster.network.heal()
        for machine in self.machines:
            if machine.clock.offset_ms == -FAR_BEHIND_MS:
                machine.clock.jump(FAR_BEHIND_MS)
        started = [one for one in self.machines if one.name not in self.cluster.running]
        for machine in started:
            self.cluster.start(machine)
        return bool(started)

    def comes(self, done: Callable[[], bool], seconds: float) -> bool:
        """Whether something is so in time, looked for now and then."""
        ends_ns = self.cluster.now_ns + round(seconds * SECOND)
        while not done():
            if self.cluster.now_ns >= ends_ns:
                return False
            self.cluster.run(LOOK_SECONDS)
        return True

    def is_whole(self) -> bool:
        members = self.members()
        return (
            len(members) == len(self.machines)
            and all(one.ready and one.home.replacement is None for one in members)
            and all(len(one.home.up) == len(members) for one in members)
            and not any(hints_of(one) for one in members)
            and not any(differing_owners(members))
        )

    def becomes_whole(self) -> bool:
        """Whether all owners hold the same, soon after all have returned."""
        self.return_all()
        return self.comes(self.is_whole, WHOLE_SECONDS)

    def wrong(self) -> list[str]:
        self.return_all()

        def is_over() -> bool:
            return self.is_whole() and not any(dead_rows(one) for one in self.members())

        if not self.comes(is_over, HEAL_SECONDS):
            left = sum(len(dead_rows(one)) for one in self.members())
            kept = sum(len(hints_of(one) or []) for one in self.members())
            differ = list(differing_owners(self.members()))
            return [f"after {HEAL_SECONDS} s {left} dead rows, {kept} hints, and {differ}"]
        wrong = []
        shown = {at.name: self.shown(at) for at in self.members()}
        lasting = self.ledger.acknowledged - self.ledger.replaced
        for name, values in shown.items():
            back, lost = self.ledger.returned(values), lasting - values
            wrong += [f"{name} shows {value[:16]!r}, which was deleted" for value in sorted(back)]
            wrong += [f"{name} does not show {value[:16]!r}" for value in sorted(lost)]
        return wrong

    def shown(self, at: Process) -> set[bytes]:
        """All values that a read of all owners shows, in every key."""
        found: set[bytes] = set()
        for name in (*NAMES, BALLAST):
            answer = self.cluster.ask(at, m.GetRequest(0, 0, 5_000, Consistency.ALL, True, [name]))
            if type(answer) is m.GetDone:
                found |= _values(answer.records[0])
        return found
