"""Who belongs to the ring: an epoch names one record, which is durable before anyone hears of it; a
newcomer counts once it holds what it must; one identity does not run twice.

Knows: every step of every process, its disk, and what connections stand. Must not know: how members
agree, or what a newcomer reads.

Rules:
    - Whoever is the first to tell of a record has decided it, and has it on its disk.
    - What was acknowledged at QUORUM before a newcomer had its place, it knows of its partitions
      when it says that it is whole. Every quorum of the others meets the half of them that it has
      read. So does a replacement, which has read more.
    - While it is being filled, a quorum is one without it: it may still go, with its copies.
    - A member has not moved while it answers where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.ring.topology import Topology
from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Acknowledged, Checker, History
from dynamokv.testing.campaign.looking import stored
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import SECOND
from dynamokv.types import ClusterId, Consistency, NodeId
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m

ANSWERS_NS: Final = 1 * SECOND
"""A member whose connection stands for so long is known to be there."""

TELLING: Final = frozenset({m.Announce, m.TopologyReply, m.Refresh})


class MembersAgree(Checker):
    """Held at every step, and at every answer.

    Args:
        history: of the keys.
        resumed_ns: when a process last went on after a pause.
    """

    def __init__(
        self,
        report: Callable[[Rule, bytes, str], None],
        *,
        durable: bool,
        history: History,
        resumed_ns: Callable[[Process], int],
    ) -> None:
        super().__init__(report, durable=durable)
        self._history = history
        self._resumed_ns = resumed_ns
        self._records: dict[tuple[ClusterId, int], Topology] = {}
        self._current: dict[int, Topology] = {}
        self._seen: dict[Process, Topology] = {}
        self._owed: dict[NodeId, dict[bytes, int]] = {}

    def watch(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """One step."""
        topology = process.home.topology
        if topology is not None and self._seen.get(process) is not topology:
            self._seen[process] = topology
            self._note_place(process.home.node_id, topology, process.home.owners)
        for effect in effects:
            if type(effect) is e.Send or type(effect) is e.Reply:
                message = effect.message
                if type(message) in TELLING:
                    self._told(process, message.topology)  # type: ignore[union-attr]
                elif type(message) is m.Filled:
                    self._says_whole(process)
            elif type(effect) is e.Write and type(effect.then) is e.TopologyStored:
                self._decides(process, effect.then.topology)

    def on_acknowledged(self, told: Acknowledged) -> None:
        """Beside a newcomer that is being filled, the others are a quorum by themselves."""
        done, topology = told.done, self._current.get(told.done.epoch)
        if topology is None or topology.change is None or len(topology.members) > topology.n:
            return
        if told.asked.level not in (Consistency.QUORUM, Consistency.ALL) or done.sloppy:
            return
        others = len(topology.members) - 1
        counted = set(done.replicas) - {topology.change}
        if len(counted) < others // 2 + 1:
            text = f"{len(counted)} of {others} hold a write beside a newcomer that may still go"
            self.report(Rule.QUORUM, told.asked.key, text)

    def _note_place(
        self, node_id: NodeId, topology: Topology, owners: Sequence[Sequence[NodeId]]
    ) -> None:
        """A newcomer, or a replacement, sees that it has a place: what it owes when it is whole."""
        if topology.change != node_id:
            self._owed.pop(node_id, None)
        elif node_id not in self._owed:
            self._owed[node_id] = {
                key: history.quorum
                for key, history in self._history.keys.items()
                if history.quorum and node_id in owners[row_keys.partition_of(key)]
            }

    def _told(self, process: Process, fields: list[Any]) -> None:
        identity = (fields[0], fields[2])
        known = self._records.get(identity)
        if known is not None:
            if self.durable and known.encode()[7:] != fields[7:]:
                self._report(f"{process.name} tells of another ring of epoch {known.epoch}")
            return
        topology = Topology.decode(fields).without_secrets()
        self._records[identity] = self._current[topology.epoch] = topology
        row = stored(process, row_keys.TOPOLOGY_ROW) if process.committer is not None else None
        durable = codec.decode(row)[2] if row else 0
        if self.durable and durable < topology.epoch:
            self._report(f"{process.name} tells of epoch {topology.epoch}, and stored {durable}")

    def _decides(self, process: Process, decided: Topology | None) -> None:
        before = process.home.topology
        if before is None or decided is None:
            return
        for member in before.members:
            after = decided.member(member.node_id)
            if after is None or after.address == member.address:
                continue
            link = process.endpoint.links.get(member.node_id)
            if link is None or link.to is None:
                continue
            stands_since_ns = max(link.made_ns, self._resumed_ns(process))
            if process.world.schedule.now_ns - stands_since_ns > ANSWERS_NS:
                text = f"{process.name} moves {member.address}, which answers, to {after.address}"
                self._report(text)

    def _says_whole(self, process: Process) -> None:
        if not self.durable:
            return
        for key, must_know in self._owed.get(process.home.node_id, {}).items():
            history = self._history.keys[key]
            missed = must_know & ~history.seen(stored(process, key)).known & ~history.collected
            if missed:
                text = f"{process.name} says that it is whole, without {history.labels(missed)}"
                self.report(Rule.ACKNOWLEDGED, key, text)

    def _report(self, text: str) -> None:
        self.report(Rule.MEMBERSHIP, b"", text)
