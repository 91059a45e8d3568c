"""Steps of a cluster as text: names instead of ids, so that it reads like a story."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, get_args

from dynamokv.causality.versions import Context, Version
from dynamokv.merkle.messages import Answer, Question
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.ring.topology import Topology
from dynamokv.testing.campaign.findings import Finding
from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import play
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import MILLISECOND
from dynamokv.types import Actor
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.messages import Message
from dynamokv.wire.probes import PROBES

LINES_MAX: Final = 20_000
"""Of one trace: its end is what matters."""


def trace_of(plan: Plan) -> tuple[list[str], list[Finding]]:
    """Play a plan, and tell what everybody did until the first finding, and what was found."""
    lines: deque[str] = deque(maxlen=LINES_MAX)
    trace: Trace | None = None

    def watch(process: Process, event: Event | None, effects: list[Effect]) -> None:
        nonlocal trace
        if trace is None:
            schedule = process.world.schedule
            trace = Trace(lambda: schedule.now_ns)
        trace.watch(process, event, effects)
        lines.extend(trace.take())

    findings = play(plan, watch).findings
    return list(lines), findings


class Trace:
    """A ``Cluster`` watcher that writes lines.

    Attributes:
        lines: what happened since they were last taken.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.lines: list[str] = []
        self._now_ns = now_ns
        self._names: dict[bytes, str] = {}
        self._actors: dict[Actor, str] = {}
        self._times: dict[Actor, list[int]] = {}
        self._requests: dict[int, str] = {}

    def watch(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """A step."""
        self._know(process)
        effects = [effect for effect in effects if not _is_chatter(effect)]
        if not effects and (isinstance(event, (e.Tick, e.IdentityStored)) or _is_chatter(event)):
            return
        self.lines.append(
            f"{self._now_ns() / MILLISECOND:.1f} ms  {process.name}  {self._event(event)}"
        )
        self.lines += [f"    {self._effect(effect)}" for effect in effects]

    def take(self) -> list[str]:
        """What happened since the last time."""
        lines, self.lines = self.lines, []
        return lines

    # --- names ------------------------------------------------------------------------------------

    def _know(self, process: Process) -> None:
        home = process.home
        if home.node_id:
            self._names.setdefault(home.node_id, process.name)
            if home.actor not in self._actors:
                name = self._names[home.node_id]
                lives = sum(other.rstrip("'") == name for other in self._actors.values())
                self._actors[home.actor] = name + "'" * lives

    def actor(self, actor: Actor, name: str) -> None:
        """What to call an actor that is no process's."""
        self._actors[actor] = name

    def name(self, peer: bytes) -> str:
        """A process, by its id or its link."""
        found = self._names.get(peer)
        if found is None:
            found = self._names[peer] = peer.decode() if peer.isascii() and peer[0] else "somebody"
        return found

    def request(self, id: int) -> str:
        """A request, by the order of their coming up."""
        if not id:
            return "#-"
        return self._requests.setdefault(id, f"#{len(self._requests) + 1}")

    def _dot(self, actor: Actor, time: int) -> str:
        times = self._times.setdefault(actor, [])
        if time not in times:
            times.append(time)
        name = self._actors.get(actor) or actor.hex()[:6]
        return f"{name}.{times.index(time) + 1}"

    def key(self, row: bytes) -> str:
        """A row."""
        if row_keys.TREE_ROWS <= row < row_keys.END_OF_TREES:
            return f"tree {row_keys.partition_of(row[len(row_keys.TREE_ROWS) :])}"
        if row.startswith(row_keys.HINTS):
            target, missed = row_keys.split_hint_row(row)
            return f"hint for {self.name(target)} {self.key(missed)}"
        return {row_keys.IDENTITY_ROW: "identity", row_keys.TOPOLOGY_ROW: "topology"}.get(
            row, row[4:].decode(errors="replace")
        )

    def record(self, record: bytes | None) -> str:
        """What it holds."""
        if not record:
            return "nothing"
        state = records.decode(record)
        shown = [self._version(version) for version in state.versions]
        own: Context = {version.dot.actor: version.dot.time for version in state.versions}
        more = [self._dot(a, t) for a, t in state.context.items() if own.get(a) != t]
        return "{" + ", ".join(shown) + (f" after {' '.join(more)}" if more else "") + "}"

    def _version(self, version: Version) -> str:
        value = "deleted" if version.tombstone else _shown(version.value)
        return f"{self._dot(*version.dot)}={value}"

    def topology(self, topology: Topology) -> str:
        """A ring."""
        members = []
        for member in topology.members:
            name = self.name(member.node_id)
            at = "" if member.address == f"{name}:1" else f" at {member.address}"
            filling = " filling" if member.node_id == topology.change else ""
            members.append(name + at + filling)
        secrets = "" if topology.context_key else ", no secrets"
        return f"epoch {topology.epoch} ({', '.join(members)}{secrets})"

    # --- events and effects -----------------------------------------------------------------------

    def _event(self, event: Event | None) -> str:
        match event:
            case None:
                return "starts"
            case e.Request(_, message):
                return f"is asked: {self.message(message)}"
            case e.Received(peer, message):
                return f"from {self.name(peer)}: {self.message(message)}"
            case e.PeerUp(peer) | e.PeerDown(peer):
                return f"{self.name(peer)} is {'up' if type(event) is e.PeerUp else 'down'}"
            case e.Undelivered(peer, message):
                return f"cannot reach {self.name(peer)}: {self.message(message)}"
            case (
                e.Written()
                | e.WriteFailed()
                | e.TopologyStored()
                | e.PageStored()
                | e.ExchangeStored()
                | e.LastWords()
            ):
                return self._after(event)
            case e.Passed(peer, message):
                return f"goes on with {self.name(peer)}: {self.message(message)}"
            case e.IdentityStored(ceiling):
                return "has stored its identity" if ceiling else "could not store its identity"
            case _:
                return type(event).__name__.lower()

    def _after(self, after: Any) -> str:
        match after:
            case e.Send(peer, message):
                return f"to {self.name(peer)}: {self.message(message)}"
            case e.Written(id):
                return f"has written {self.request(id)}"
            case e.WriteFailed(id, reason):
                return f"could not write {self.request(id)}: {reason}"
            case e.TopologyStored(topology, _):
                return f"has stored {self.topology(topology)}" if topology else "could not store it"
            case e.PageStored(peer, _):
                return f"has stored a page of {self.name(peer)}"
            case e.ExchangeStored(peer, partition, _, stored):
                done = "has" if stored else "could not keep"
                return f"{done} what {self.name(peer)} had more of partition {partition}"
            case e.LastWords():
                return "says its last words"
            case _:
                return "goes on"

    def _effect(self, effect: Effect) -> str:
        match effect:
            case e.Send():
                return self._after(effect)
            case e.Write(rows, then):
                written = [self._row(key, held) for key, held in rows]
                done = "" if then is None else f", then {self._after(then)}"
                return f"write {'; '.join(written) or 'nothing'}{done}"
            case e.Reply(_, message):
                return f"answer: {self.message(message)}"
            case e.Connect(peer, address):
                name = self.name(peer)
                return f"link to {name}" + ("" if name == address else f" at {address}")
            case e.Disconnect(peer):
                return f"no link to {self.name(peer)}"
            case e.JoinFailed(_, text) | e.Report(_, _, text):
                return f"{'give up' if type(effect) is e.JoinFailed else 'report'}: {text}"
            case e.Again(event):
                return f"again: {self._event(event)}"
            case _:
                return type(effect).__name__.lower()

    def _row(self, key: bytes, held: bytes | None) -> str:
        if held is None:
            return f"no {self.key(key)}"
        return self.key(key) + ("" if key >= row_keys.END_OF_DATA else " " + self.record(held))

    # --- messages ---------------------------------------------------------------------------------

    def message(self, message: Message) -> str:
        """A message."""
        kind = type(message).__name__
        words = "".join(f" {word}" for word in self._words(message) if word)
        return kind + words

    def _words(self, message: Any) -> Iterable[str]:
        if isinstance(message, (m.Replicate, m.Hint, m.Fetch, m.Scan, m.PutRequest, m.GetRequest)):
            yield self.request(message.id)
            yield f"e{message.epoch}" if message.epoch else ""
        elif isinstance(
            message, (m.Replicated, m.Fetched, m.Same, m.Scanned, m.Refused, m.Refresh)
        ):
            yield self.request(message.id)
        match message:
            case m.Replicate() | m.Scanned() | m.Hint():
                yield f"for {self.name(message.target)}" if type(message) is m.Hint else ""
                for key, held in zip(message.keys, message.records, strict=True):
                    yield f"{self.key(key)} {self.record(held)}"
            case m.Fetch():
                yield ", ".join(map(self.key, message.keys))
            case m.Fetched() | m.GetDone():
                yield ", ".join(map(self.record, message.records))
            case m.PutRequest():
                for name, value in zip(message.names, message.values, strict=True):
                    yield name[1:].decode() + ("" if message.delete else f"={_shown(value)}")
                yield "deleted" if message.delete else ""
                yield "with a context" if message.contexts else ""
            case m.GetRequest():
                yield ", ".join(name[1:].decode() for name in message.names)
            case m.Refused():
                yield f"({message.detail})"
            case m.Failed():
                names = [self._names.get(_id_of(line, self._names), "?") for line in message.failed]
                reasons = [line.partition(" ")[2] for line in message.failed]
                yield f"{m.FailedCode(message.code).name} {message.got} of {message.needed}:"
                yield ", ".join(f"{n} {r}" for n, r in zip(names, reasons, strict=True))
            case m.JoinAnswer():
                yield m.JoinReason(message.reason).name
            case m.JoinRequest():
                yield f"for {message.address}"
            case m.TopologyReply() | m.Announce() | m.Refresh():
                yield self.topology(Topology.decode(message.topology))
        if isinstance(message, (m.PutDone, m.GetDone)):
            yield f"by {' '.join(map(self.name, message.replicas))}"
        if isinstance(message, m.PutDone) and message.hinted:
            yield f"hinted for {' '.join(map(self.name, message.hinted))}"
            yield "sloppy" if message.sloppy else ""


def _is_chatter(item: Event | Effect | None) -> bool:
    """Members probe each other and compare their trees all the time; what comes of it is shown."""
    match item:
        case e.Send(_, message) | e.Received(_, message) | e.Undelivered(_, message):
            return isinstance(message, (*PROBES, *get_args(Question), *get_args(Answer)))
        case _:
            return False


def _shown(value: bytes) -> str:
    """Without what only makes it long."""
    return value.rstrip(b".").decode(errors="replace")


def _id_of(line: str, names: dict[bytes, str]) -> bytes:
    """The node id that a line of failures starts with."""
    return next((known for known in names if known.hex()[:8] == line[:8]), b"")
