"""One plan, played: a ring forms, everything goes wrong, everything is healed, and then everything
must be right.

Knows: the order of things, and what liveness means. What must hold meanwhile is the checkers'.

Liveness, after healing: within a bound every member is ready, every request is over, every member
believes in every other, and everybody is served, also with one member away, or held up by its host;
every key can be read at ALL, its replicas are equal, and another round of reads repairs nothing;
and no core remembers any request, nor chatters on.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from dynamokv.causality.hlc import wall_ms_of
from dynamokv.errors import StorageError
from dynamokv.protocol import effects as e
from dynamokv.protocol.client import ClientNode
from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.node import Node
from dynamokv.testing.campaign.believing import Believing, doubts
from dynamokv.testing.campaign.calm import AWAY_SECONDS, PACE_SECONDS, Calm
from dynamokv.testing.campaign.checkers import all_checkers
from dynamokv.testing.campaign.checkers.membership import MembersAgree
from dynamokv.testing.campaign.faults_clock import WRONG_MS_MAX
from dynamokv.testing.campaign.findings import Finding, Rule
from dynamokv.testing.campaign.looking import Noted, dead_rows, held, newest, stored
from dynamokv.testing.campaign.plan import NO_GRACE_SECONDS, Plan
from dynamokv.testing.campaign.rare import Rare
from dynamokv.testing.campaign.trees import differing_owners, wrong_trees
from dynamokv.testing.campaign.world import World
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import is_data_row
from dynamokv.wire.messages import Message

Watcher: TypeAlias = Callable[[Process, Event | None, list[Effect]], None]

SLICE_SECONDS = 0.25
"""The chaos ends at the first finding, looked for this often: what follows one is noise."""

READY_SECONDS = 60.0

WORK_OFF_SECONDS = 30.0
"""A stalled disk needs some of them for the job that it has."""

REPAIR_SECONDS = 2.0
FORGET_SECONDS = 30.0
LOOKING_MS = 60_000
"""Longer than everything is looked at; what ends later than this ends tomorrow."""

HEAL_SECONDS = 60.0
"""Until all owners hold the same, though nobody reads."""


@dataclass(slots=True)
class Outcome:
    """What came of one plan.

    Attributes:
        fingerprint: of all that happened.
        struck: how often each family did harm.
        happened: events, rare states, requests.
        simulated_seconds: of virtual time, all phases.
        chaos_real_seconds: what the chaos took, by the clock of whoever plays.
    """

    plan: Plan
    findings: list[Finding] = field(default_factory=list)
    fingerprint: str = ""
    struck: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    reads: int = 0
    simulated_seconds: float = 0.0
    chaos_real_seconds: float = 0.0


def play(plan: Plan, watcher: Watcher | None = None) -> Outcome:
    """Run a plan to its end; ``watcher`` sees every step."""
    run = _Run(World(plan))
    if watcher is not None:
        run.world.cluster.watchers.append(watcher)
    run.play()
    return run.outcome()


def replay(plan: Plan) -> None:
    """For tests of what a campaign has found.

    Raises:
        AssertionError: a rule is broken; the text says which.
    """
    outcome = play(plan)
    assert outcome.writes or not plan.operations_per_second, "nothing was checked"
    assert not outcome.findings, "\n".join(map(str, outcome.findings))


class _Run:
    """One world from beginning to end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chaos_real_seconds = 0.0
        self.history = history = world.history
        plan = world.plan
        repeats = any(kind.repeats for kind in plan.kinds)
        history.checkers = all_checkers(history.report, durable=plan.durable, repeats=repeats)
        lossy = any(kind.lossy for kind in plan.kinds)
        believing = Believing(lambda text: self._report(Rule.LIVENESS, text), durable=not lossy)
        members = MembersAgree(
            history.report, durable=plan.durable, history=history, resumed_ns=world.resumed_ns
        )
        history.checkers.append(members)
        world.cluster.watchers += [self._watch, members.watch]
        world.cluster.watchers += [Rare(world.happened).watch, believing.watch]

    def _watch(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """Every write of a coordinator, and all that an owner forgets, before it is carried out."""
        for effect in effects:
            if type(effect) is e.Write and type(effect.then) is e.Written:
                assert isinstance(event, (e.Request, e.Received))
                request = event.message
                assert type(request) is m.PutRequest
                for key, record in effect.rows:
                    if record is None or not is_data_row(key):
                        continue
                    self.history.minted(request, key, record, held(process, key))
            elif type(effect) is e.Write and type(event) is e.Tick:
                # A clock that was ahead may have said when something ends.
                wrong = any(kind.wrong_clocks for kind in self.world.plan.kinds)
                wall_ms = process.clock.wall_ms() + 2 * WRONG_MS_MAX * wrong
                for key, record in effect.rows:
                    if record is None and is_data_row(key):
                        self.history.forgotten(key, newest(process, key), wall_ms)
        if isinstance(reader := process.home.reader, Noted):
            reader.notes.clear()

    def play(self) -> None:
        began = time.perf_counter()
        try:
            self._chaos()
            self.chaos_real_seconds = time.perf_counter() - began
            self._trees_are_right()
            if not self.history.findings:
                self._peace()
                self._trees_are_right()
        except Exception:  # whatever comes out of a core, an engine or the simulator
            self._report(Rule.CRASH, traceback.format_exc())

    def outcome(self) -> Outcome:
        world, history = self.world, self.history
        happened = world.happened + world.workload.happened
        for life in world.lives:
            happened.update(life.home.counters)
        return Outcome(
            plan=world.plan,
            findings=history.findings,
            fingerprint=world.cluster.fingerprint(),
            struck=Counter({family.name: family.struck for family in world.families}),
            happened=happened,
            writes=history.writes,
            reads=history.reads,
            simulated_seconds=world.now_ns / 1e9,
            chaos_real_seconds=self.chaos_real_seconds,
        )

    def _report(self, rule: Rule, text: str, key: bytes = b"") -> None:
        self.history.report(rule, key, text)

    # --- chaos ------------------------------------------------------------------------------------

    def _chaos(self) -> None:
        world = self.world
        world.form()
        world.chaos = True
        for family in world.families:
            family.begin()
        world.keep_running()
        world.workload.begin()
        ends_ns = world.now_ns + round(world.plan.seconds * 1e9)
        while world.now_ns < ends_ns and not self.history.findings:
            world.cluster.run(min(SLICE_SECONDS, (ends_ns - world.now_ns) / 1e9))

    # --- peace ------------------------------------------------------------------------------------

    def _peace(self) -> None:
        world = self.world
        world.heal()
        if not self._all_ready():
            return
        self._work_off()
        self._calm_down()
        for member in world.members():
            if not member.home.writable:
                self._report(Rule.LIVENESS, f"{member.name} still takes no writes")
        for text in world.workload.still_open():
            self._report(Rule.LIVENESS, text)
        calm = Calm(world, self._unserved)
        calm.everybody_is_believed()
        calm.everybody_is_served()
        if calm.without_one():
            if not self._all_ready():
                return
            world.cluster.run(AWAY_SECONDS)  # until everybody has noticed
            calm.everybody_is_believed()
            calm.with_one_held()
        undelivered = calm.everything_is_handed_over()
        if undelivered:
            self._report(Rule.HINTS, undelivered)
        for name in world.workload.touched:
            row, owners = world.owners_of(name)
            copies = {owner.home.node_id: stored(owner, row) or b"" for owner in owners}
            self.history.handed_over(row, copies)
        healed = self._healed_unread()
        self._forget_everything()
        before = self._repairs()
        self._read_everything()
        world.cluster.run(REPAIR_SECONDS)
        if healed and self._repairs() != before:
            self._report(Rule.CONVERGENCE, "all trees were equal, and reads found what to repair")
        for name in world.workload.touched:
            row, owners = world.owners_of(name)
            if not self._is_damaged(row, owners):
                self.history.at_the_end(row, [owner.engine.get(row) for owner in owners])
        before = self._repairs()
        self._read_everything()
        world.cluster.run(1.0)
        if self._repairs() != before:
            self._report(Rule.CONVERGENCE, "reads still find something to repair")
        self._nothing_left()
        frames, frames_max = calm.frames_of_a_second()
        if frames > frames_max:
            self._report(Rule.LIVENESS, f"{frames} frames in a second in which nobody asks")
        for text in doubts(world.members()):
            self._report(Rule.LIVENESS, f"nothing is wrong, and {text}")

    def _healed_unread(self) -> bool:
        """Whether all copies become equal in time though nobody reads."""
        world = self.world
        ends_ns = world.now_ns + round(HEAL_SECONDS * 1e9)
        while differing := list(differing_owners(world.members())):
            if world.now_ns >= ends_ns:
                for text in differing:
                    self._report(Rule.CONVERGENCE, text)
                return False
            world.cluster.run(SLICE_SECONDS)
        return True

    def _all_ready(self) -> bool:
        world = self.world
        try:
            world.cluster.run_until(world.all_ready, READY_SECONDS)
        except TimeoutError:
            for machine in world.machines:
                process = world.process_on(machine)
                if process is None or not process.ready:
                    reports = (process.refused + process.reports)[-2:] if process else ["down"]
                    self._report(Rule.LIVENESS, f"{machine.name} is not ready: {reports}")
            return not self.history.findings
        return True

    def _forget_everything(self) -> None:
        """Until nothing is left of what was deleted, or has ended, or does so while the rest is
        looked at: owners collect it one after the other, and in between it looks as if some lacked
        it."""
        world, plan = self.world, self.world.plan
        if plan.tombstone_grace == NO_GRACE_SECONDS:
            return

        def all_forgotten() -> bool:
            return not any(dead_rows(member, LOOKING_MS) for member in world.members())

        try:
            seconds = FORGET_SECONDS + 3 * plan.tombstone_grace
            world.cluster.run_until(all_forgotten, seconds, every=PACE_SECONDS)
        except TimeoutError:
            # Where data was destroyed owners may differ, until what they have is compared.
            if plan.durable and not any(kind.damages for kind in plan.kinds):
                for member in world.members():
                    left = len(dead_rows(member, LOOKING_MS))
                    text = f"{member.name} still has {left} rows of which nothing is left"
                    self._report(Rule.LIVENESS, text)

    def _work_off(self) -> None:
        """Until every disk has done what it was given while it was slow."""
        world = self.world

        def all_idle() -> bool:
            return all(mb.committer is None or mb.committer.idle for mb in world.members())

        try:
            world.cluster.run_until(all_idle, WORK_OFF_SECONDS)
        except TimeoutError:
            self._report(Rule.LIVENESS, "a disk still has work that it was given long ago")

    def _calm_down(self) -> None:
        """Until every request is over, and every stamp is in the past for everybody."""
        world = self.world
        world.cluster.run(world.plan.budget_ms / 1_000 + 1.5)
        newest = max(self.history.newest_time(), *(mb.home.hybrid.last for mb in world.members()))
        latest_ms = min(member.clock.wall_ms() for member in world.members())
        world.cluster.run(max(0, wall_ms_of(newest) + 1 - latest_ms) / 1_000)

    def _read_everything(self) -> None:
        """At ALL, by somebody else each time; all at once."""
        world = self.world
        users = world.users()
        together = min(len(users), world.plan.in_flight_max)
        unanswered: set[bytes] = set()
        for at, name in enumerate(world.workload.touched):
            unanswered.add(name)
            self._read(users[at % len(users)], name, unanswered)
            if at % together == together - 1:
                world.cluster.run(PACE_SECONDS)
        world.cluster.wait(lambda: not unanswered, world.plan.budget_ms / 1_000 + 1.0)

    def _read(self, user: Process, name: bytes, unanswered: set[bytes]) -> None:
        row = user.home.locate(name)[0]
        read = self.history.read_begins(row, Consistency.ALL)

        def done(reply: Message) -> None:
            unanswered.discard(name)
            if type(reply) is m.GetDone:
                self.history.read_ends(read, reply.records[0], reply)
            elif not self._is_damaged(*self.world.owners_of(name)):
                self._report(Rule.LIVENESS, f"a read at ALL by {user.name} failed: {reply}", row)

        budget_ms = self.world.plan.budget_ms
        request = m.GetRequest(0, 0, budget_ms, Consistency.ALL, True, [name])
        self.world.workload.ask(user, request, done)

    def _unserved(self, name: bytes, text: str) -> None:
        if not name:
            self._report(Rule.LIVENESS, text)
            return
        row, owners = self.world.owners_of(name)
        if not self._is_damaged(row, owners):
            self._report(Rule.LIVENESS, text, row)

    def _is_damaged(self, row: bytes, owners: list[Process]) -> bool:
        """Whether somebody still cannot read its copy, after all that others brought back."""
        try:
            for owner in owners:
                owner.engine.get(row)
        except StorageError:
            self.world.happened["rows left damaged"] += 1
            return any(kind.damages for kind in self.world.plan.kinds)
        return False

    def _trees_are_right(self) -> None:
        """What members believe of their stores is so."""
        for member in self.world.members():
            for text in wrong_trees(member):
                self._report(Rule.TREES, text)
        for life in self.world.lives:
            if life.home.counters["tree_mismatches"]:
                self._report(Rule.TREES, f"{life.name} has found a tree of its own to be wrong")

    def _repairs(self) -> int:
        return sum(member.home.counters["read_repairs"] for member in self.world.members())

    def _nothing_left(self) -> None:
        """No core remembers a request."""
        users = self.world.users()
        self.world.cluster.wait(
            lambda: not any(map(_remembered, users)), self.world.plan.budget_ms / 1_000 + 1.0
        )
        for process in users:
            left = _remembered(process)
            if left:
                self._report(Rule.LIVENESS, f"{process.name} still remembers {left} requests")


def _remembered(process: Process) -> int:
    """Requests that its core knows."""
    core = process.core
    assert isinstance(core, (Node, ClientNode))
    left = len(core.table.operations) + len(core.table.by_ticket)
    return left + (len(core.parked) + len(core.handoff.under_way) if isinstance(core, Node) else 0)
