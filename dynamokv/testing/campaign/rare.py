"""Rare states that a campaign must come to: what it never came to, it does not show to be safe.

Knows: events, effects and counters of every process. Each name here is counted; ``missing`` says
which were never reached.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.node import Node
from dynamokv.testing.campaign.looking import NEW_PLACE, hints_of
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import HINTS
from dynamokv.wire.messages import BEFORE_THE_RING

SEEDS_ENOUGH: Final = 1_000
"""A campaign of so many seeds has to reach every state."""

STATES: Final[dict[str, str]] = {
    "late_replies": "an answer comes when nobody waits for it any more",
    "hedged_reads": "a read asks one owner more, because an answer is late",
    "read_repairs": "a read finds a replica that knows less",
    "stale_requests": "a request of an older topology is refused with the newer one",
    "amnesia": "a member finds out that others know a write that its store does not hold",
    "peers_slow": "a member that lives does not answer in time, and is asked last",
    "objections": "a member hears that it is said to be gone",
    "declared_down": "a member is declared down",
    "undelivered": "a message cannot leave",
    "overloaded": "a request is refused because too many are under way",
    "clock_drift_refused": "a stamp is refused because it is too far ahead",
    "contexts_refused": "a context of another key, or a forged one",
    "sibling_cap_refused": "a write is refused because its key has too many siblings",
    "damaged_reads": "a replica cannot read what it holds",
    "filled_rows": "a newcomer takes over a row",
    "collected": "a row is forgotten, because all owners agree that it is dead",
    "below_horizon": "a write comes that is older than what its owner may have forgotten",
    "rounds_given_up": "owners do not agree on what they hold, or somebody does not answer",
    "behind": "a member hears of a horizon above its own, and holds something else",
    "rebuilt_rows": "a row of a member that is behind becomes what others have",
    "rounds": "all owners of a partition agree on a horizon",
    "rounds_refused": "a clock is too far behind a round, or ahead of it",
    "rebuilds": "a member that is behind shows another one what it has",
    "horizons_taken_over": "a member that is behind holds what the other one does",
    "horizons_forgotten": "a store may have lost something, and so has no horizon any more",
    "repaired_by_exchange_fetched": "a comparison finds what this member lacks",
    "repaired_by_exchange_pushed": "a comparison finds what the other one lacks",
    "exchanges_given_up": "a comparison ends without an answer",
    "trees_unreadable": "a partition cannot be read while its tree is built",
    "parked": "a request of a newer topology waits for it",
    "restarted": "a request starts again under a newer topology",
    "refused by a disk": "a member's own disk refuses a write",
    "writable again": "a member that could not write goes on, without a restart",
    "forwarded write lost": "a coordinator is lost while it works for somebody else",
    "write without its level": "a write is neither acknowledged nor refused",
    "merge during a transfer": "a newcomer joins siblings from a page with its own",
    "page refused": "a newcomer's disk refuses a page",
    "write during a transfer": "a write is made while a member is being filled",
    "delete beside a value": "a delete and a value that had not seen each other",
    "many siblings": "a read shows four versions or more",
    "moved": "a member is ready at another address than before",
    "duplicate refused": "somebody is refused because its place is taken",
    "newcomer given up": "a newcomer that is gone loses its place",
    "replaced": "a member that lost its disk has its place again, and is whole",
    "write during a replacement": "a write is made while a replacement is being filled",
    "replacement lost its source": "a link breaks while a replacement reads from there",
    "old member refused": "a member that was replaced comes back, and is told",
    "opened with less than there was": "a store says at its opening that it forgot something",
    "start: StorageError": "a process ends while it opens its store",
    "crash in a call": "a process ends in the middle of a disk call",
    "clean stop": "a member stops cleanly",
    "hints_owed": "an owner notes that another one, which is away, misses a write",
    "hints_kept": "a member keeps a write for an owner that is away",
    "hints_delivered": "somebody that was away is given what it missed",
    "hints_dropped": "an owner has no room to note what another one misses",
    "hints_refused": "a member has no room to keep more for others",
    "hint of a restarted holder": "a hint goes that was there when its holder started",
    "sloppy write": "a write has its level with the help of a stand-in",
    "request at a frozen member": "a process goes on after a pause, with requests that are over",
}
"""What each name means."""


def missing(happened: Counter[str]) -> list[str]:
    """The states that were never reached."""
    return [name for name in STATES if not happened[name]]


class Rare:
    """A watcher of a cluster that counts.

    Attributes:
        happened: how often each state, and each kind of event, came up.
    """

    def __init__(self, happened: Counter[str]) -> None:
        self.happened = happened
        self._unwritable: set[Process] = set()
        self._began_with_hints: set[Process] = set()

    def watch(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """One step."""
        happened = self.happened
        kind = type(event)
        if kind is e.Received:
            self._received(process, event)  # type: ignore[arg-type]
        elif kind is e.WriteFailed:
            happened["refused by a disk"] += 1
            self._unwritable.add(process)
        elif kind is e.IdentityStored and process in self._unwritable and process.home.writable:
            self._unwritable.remove(process)
            happened["writable again"] += 1
        elif kind is e.PageStored and event.next is None:  # type: ignore[union-attr]
            happened["page refused"] += 1
        elif kind is e.Stop:
            happened["clean stop"] += 1
        elif event is None and process.committer is not None and hints_of(process):
            self._began_with_hints.add(process)
        elif kind is e.PeerDown:
            self._lost(process, event)  # type: ignore[arg-type]
        for effect in effects:
            handled = type(effect)
            if handled is e.Write:
                self._write(process, effect)  # type: ignore[arg-type]
            elif handled is e.Reply:
                self._reply(effect)  # type: ignore[arg-type]
            elif handled is e.Ready:
                happened["moved"] += process.address.startswith(NEW_PLACE)
                happened["replaced"] += _has_replaced(process)
            elif handled is e.JoinFailed:
                replaced = effect.reason == m.JoinReason.REPLACED  # type: ignore[union-attr]
                happened["old member refused"] += replaced

    def _received(self, process: Process, event: e.Received) -> None:
        message, home = event.message, process.home
        kind = type(message)
        if kind is m.Refresh:
            self.happened["restarted"] += 1
        elif type(message) is m.JoinAnswer:
            self.happened["duplicate refused"] += message.reason == m.JoinReason.DUPLICATE
        elif not isinstance(message, BEFORE_THE_RING):
            epoch = getattr(message, "epoch", 0)
            self.happened["parked"] += 0 < home.epoch < epoch

    def _write(self, process: Process, write: e.Write) -> None:
        if process in self._began_with_hints:
            gone = sum(row is None and key.startswith(HINTS) for key, row in write.rows)
            self.happened["hint of a restarted holder"] += gone
        topology = process.home.topology
        if type(write.then) is e.PageStored:
            for _, record in write.rows:
                versions = records.decode(record).versions if record else ()
                self.happened["merge during a transfer"] += len(versions) > 1
        elif type(write.then) is e.Written:
            filling = topology is not None and topology.change is not None
            self.happened["write during a transfer"] += filling
            self.happened["write during a replacement"] += process.home.replacement is not None
        elif type(write.then) is e.TopologyStored and write.then.topology is not None:
            decided = write.then.topology
            before = topology.change if topology is not None else None
            lost = before is not None and decided.member(before) is None
            self.happened["newcomer given up"] += lost

    def _lost(self, process: Process, event: e.PeerDown) -> None:
        core = process.core
        fill = core.life.newcomer.fill if isinstance(core, Node) else None
        if fill is not None and process.home.replacement == process.home.node_id:
            unread = event.peer in fill.sources and event.peer not in fill.done()
            self.happened["replacement lost its source"] += unread

    def _reply(self, reply: e.Reply) -> None:
        message = reply.message
        if type(message) is m.PutDone:
            self.happened["sloppy write"] += message.sloppy
        if type(message) is m.GetDone:
            for record in message.records:
                if record:
                    versions = records.decode(record).versions
                    self.happened["many siblings"] += len(versions) >= 4
                    deleted = sum(version.tombstone for version in versions)
                    self.happened["delete beside a value"] += 0 < deleted < len(versions)
        elif type(message) is m.Failed and message.code == m.FailedCode.INDETERMINATE:
            lost = message.detail.startswith("the coordinator was lost")
            self.happened["forwarded write lost" if lost else "write without its level"] += 1


def _has_replaced(process: Process) -> bool:
    topology = process.home.topology
    member = topology.member(process.home.node_id) if topology is not None else None
    return member is not None and member.replaces
