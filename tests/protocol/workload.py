"""Random requests and random faults, one seed each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.testing.disk_loss import PowerCut
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency, Durability
from dynamokv.wire import messages as m
from dynamokv.wire.context import token_of
from dynamokv.wire.keys import name_of
from tests.protocol.cluster import disk_of
from tests.protocol.oracle import Asked, Oracle

NETWORK_FAULTS = ("drop", "duplicate", "reorder")
FAULTS = (*NETWORK_FAULTS, "crash", "cut", "disk", "stop", "move", "lossy", "grow", "gone")
KEYS = [name_of(b"", b"k%d" % number) for number in range(2)]
BUDGET_MS = 1500
QUORUM = Consistency.QUORUM
ALL = Consistency.ALL


class Workload:
    """A ring, its users, and what goes wrong.

    Attributes:
        faults: the kinds that this seed has.
        happened: how often each kind of event, message, effect and counted thing came up.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(f"workload {seed}")
        self.faults = {fault for fault in FAULTS if self.random.random() < 0.4}
        self.cluster = Cluster(seed, memory=True)
        self.oracle = Oracle(durable="lossy" not in self.faults)
        self.members: list[Process] = []
        self.down: dict[str, Machine] = {}
        self.tokens: dict[bytes, list[bytes]] = {key: [] for key in KEYS}
        self.moves = self.puts = self.gone = 0
        self.disk_ns = 200_000
        self.happened: Counter[str] = Counter()
        self.lives: list[Process] = []
        self._open: list[tuple[Process, int, Callable[[m.Message], None]]] = []
        self._start()

    def _start(self) -> None:
        cluster, count = self.cluster, self.random.choice([3, 3, 4])
        cluster.watchers += [self.oracle.watch, self._watch]
        self.coming = [f"n{number}" for number in range(count)]
        self.seeds = tuple(f"{name}:1" for name in self.coming)
        self.settings: dict[str, Any] = {"n": 3, "expect_members": count, "seeds": self.seeds}
        if "grow" in self.faults:
            self.settings = {"n": count, "expect_members": 1, "seeds": self.seeds}
        while self.coming:
            self._join()
            if "grow" in self.faults:
                break
        self.client = cluster.client("c", *self.seeds)
        cluster.run(2.0)
        network = cluster.network
        network.latency.set(100_000, 1000 * self.random.choice([200, 2_000, 30_000]))
        network.notice_ns = 1000 * self.random.choice([500, 50_000])
        self.disk_ns = 1000 * self.random.choice([50, 5_000, 50_000])
        for machine in cluster.machines.values():
            machine.commit_latency.set(self.disk_ns, self.disk_ns)
        for fault in NETWORK_FAULTS:
            if fault in self.faults:
                getattr(network, fault).share = self.random.choice([0.02, 0.1])

    def _member(self, machine: Machine, **settings: str) -> None:
        machine.commit_latency.set(self.disk_ns, self.disk_ns)
        member = self.cluster.start(machine, **{**self.settings, **settings})
        self.members.append(member)
        self.lives.append(member)

    def _watch(self, _: Process, event: Event | None, effects: list[Effect]) -> None:
        self.happened[type(event).__name__] += 1
        if type(event) is e.Received:
            self.happened[type(event.message).__name__] += 1
        for effect in effects:
            self.happened[type(effect).__name__] += 1

    # --- what happens -----------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """Chaos, then peace, then a look at everything."""
        pauses = [0.0, 0.001, 0.01, 0.1] * 5 + [6.0] * ("gone" in self.faults)
        for _ in range(steps):
            self.random.choice(self._choices())()
            self.cluster.run(self.random.choice(pauses))
            self._collect()
        self._heal()
        self._check()
        for life in self.lives:
            self.happened.update(life.home.counters)

    def _choices(self) -> list[Callable[[], None]]:
        choices = [self._put] * 6 + [self._get] * 5
        choices += [self._crash] * ("crash" in self.faults)
        choices += [self._stop] * ("stop" in self.faults)
        choices += [self._move] * ("move" in self.faults)
        choices += [self._cut] * ("cut" in self.faults)
        choices += [self._disk] * ("disk" in self.faults)
        choices += [self._join] * bool(self.coming)
        return choices + [self._restart] * (1 + len(self.down))

    def _user(self) -> Process | None:
        users = [one for one in (*self.members, self.client) if one.ready]
        return self.random.choice(users) if users else None

    def _put(self) -> None:
        user, key = self._user(), self.random.choice(KEYS)
        if user is None:
            return
        token = self.random.choice([b"", *self.tokens[key][-4:]])
        self.puts += 1
        asked = Asked(key, b"v%d" % self.puts, token)
        self.oracle.asked[asked.value] = asked
        contexts = [token] if token else []
        request = m.PutRequest(
            0, 0, BUDGET_MS, QUORUM, True, False, 0, [key], [asked.value], contexts
        )

        def done(reply: m.Message) -> None:
            if type(reply) is m.PutDone and not reply.errors:
                self.oracle.on_put(asked, _row(self, key), reply)
                self.tokens[key].append(reply.contexts[0])

        self._open.append((user, user.request(request), done))

    def _get(self) -> None:
        user, key = self._user(), self.random.choice(KEYS)
        if user is None:
            return
        must_see = self.oracle.must_see(_row(self, key))

        def done(reply: m.Message) -> None:
            if type(reply) is m.GetDone:
                self.oracle.on_get(must_see, reply)
                self.tokens[key].append(token_of(reply.records[0], reply.seals[0]))

        request = m.GetRequest(0, 0, BUDGET_MS, QUORUM, True, [key])
        self._open.append((user, user.request(request), done))

    def _crash(self) -> None:
        if not self.members:
            return
        member = self._pick()
        loss = PowerCut(contents=self.random.random(), names=1.0)
        machine = self.cluster.power_cut(member, loss)
        if "gone" not in self.faults or not _is_newcomer(self, member):
            self.down[member.name] = machine
        else:
            # A newcomer that never comes back, but somebody else does.
            self.gone += 1
            self.coming.append(f"m{self.gone}")

    def _stop(self) -> None:
        if self.members:
            member = self._pick()
            self.down[member.name] = self.cluster.stop(member)

    def _pick(self) -> Process:
        return self.members.pop(self.random.randrange(len(self.members)))

    def _join(self) -> None:
        durability = Durability.OS if "lossy" in self.faults else Durability.FSYNC
        self._member(self.cluster.machine(self.coming.pop(0), durability=durability))

    def _restart(self, *, address: str = "") -> None:
        if self.down:
            name = self.random.choice(list(self.down))
            settings = {"address": address} if address else {}
            self._member(self.down.pop(name), **settings)

    def _move(self) -> None:
        # When all move at once, nobody finds anybody: this version has no cure for that.
        staying = [member for member in self.members if member.ready]
        if len(self.down) != 1 or len(staying) < max(2, len(self.members)):
            return
        self.moves += 1
        self._restart(address=f"moved{self.moves}:1")

    def _cut(self) -> None:
        network = self.cluster.network
        if network.cuts and self.random.random() < 0.6:
            network.cuts.clear()
            network.review()
        elif len(self.members) > 1:
            one, other = self.random.sample(self.members, 2)
            network.cut(one.address, other.address)

    def _disk(self) -> None:
        if self.members:
            disk = disk_of(self.random.choice(self.members))
            disk.failing = "" if disk.failing else "no space"

    def _collect(self) -> None:
        running = self.cluster.running
        self.members = [member for member in self.members if member.name in running]
        still_open = []
        for user, ticket, done in self._open:
            if ticket in user.replies:
                done(user.replies[ticket])
            else:
                still_open.append((user, ticket, done))
        self._open = still_open

    # --- peace ------------------------------------------------------------------------------------

    def _heal(self) -> None:
        while self.down:
            self._restart()
        if self.gone and self.coming:
            # The place of a newcomer that is gone is free only once somebody asks for it.
            self._join()
        for member in self.members:
            disk_of(member).failing = ""
        self.cluster.network.heal()
        self.cluster.run(30.0 if self.gone else 4.0)
        self._collect()

    def _check(self) -> None:
        assert all(member.ready for member in self.members)
        for key in KEYS:
            row_key, must_see = _row(self, key), self.oracle.must_see(_row(self, key))
            for reader in (*self.members, self.client):
                request = m.GetRequest(0, 0, BUDGET_MS, QUORUM, True, [key])
                found = self.cluster.ask(reader, request)
                assert type(found) is m.GetDone
                self.oracle.on_get(must_see, found)
            owners = self.members[0].home.locate(key)[1]
            holders = [member for member in self.members if member.home.node_id in owners]
            if len(holders) < len(owners):
                # A newcomer said that it was whole, and was gone before that was decided.
                assert self.gone
                continue
            request = m.GetRequest(0, 0, BUDGET_MS, ALL, True, [key])
            assert type(self.cluster.ask(self.members[0], request)) is m.GetDone
            self.cluster.run(0.2)
            self.oracle.at_the_end(row_key, [disk_of(one).rows.get(row_key) for one in holders])


def _row(workload: Workload, key: bytes) -> bytes:
    processes = (*workload.members, workload.client)
    home = next(one.home for one in processes if one.home.topology)
    return home.locate(key)[0]


def _is_writing(member: Process) -> bool:
    return member.committer is not None and not member.committer.idle


def _is_newcomer(workload: Workload, member: Process) -> bool:
    """Whether it has no place yet, or one that it may lose."""
    driver = next((one for one in workload.members if one.name == "n0" and one.ready), None)
    if driver is None or driver.home.topology is None or _is_writing(driver):
        return False
    record = driver.home.topology
    newcomer = record.change == member.home.node_id
    return newcomer or record.member(member.home.node_id) is None
