"""A put or a delete, coordinated by an owner: mint, write at home, tell the other owners, count.

Rules:
    - The local write and all messages leave in one step. The acknowledgement waits for the local
      write to be durable and for the level, whichever comes last: only then may this node name the
      dot to anyone who asks.
    - A write without its level is ``INDETERMINATE``: some owner may hold it, and nobody takes it
      back.
    - ``UNAVAILABLE`` only before anything left.
    - An owner that is away gets a hint here, in the same write as the record itself, and another
      member keeps the record for it, if there is one (``healing/handoff.py``). At a sloppy level
      that member's acknowledgement counts for the owner's, and the receipt says so; but as long as
      the owners themselves may be enough, they are waited for, up to ``hedge_after``. ``ALL`` means
      the owners.
    - Minted once: a restart under a new topology sends the same records to the new owners.
"""

from __future__ import annotations

from collections.abc import Iterable

from dynamokv import limits
from dynamokv.causality.hlc import wall_ms_of
from dynamokv.causality.versions import (
    EMPTY,
    Context,
    Dot,
    KeyState,
    Version,
    join_contexts,
    update,
)
from dynamokv.ports import Row
from dynamokv.protocol.effects import (
    Effect,
    HintsRefused,
    Origin,
    Send,
    Write,
    WriteFailed,
    Written,
    answer,
)
from dynamokv.protocol.healing.handoff import stand_ins
from dynamokv.protocol.requests.tally import Tally, Verdict
from dynamokv.protocol.state.home import NO_OWNERS, Home, NotAsked
from dynamokv.types import Consistency, NodeId
from dynamokv.wire import record as records
from dynamokv.wire.context import open_token, own_dot, seal_of, token_after, token_of
from dynamokv.wire.messages import (
    FailedCode,
    Hint,
    Message,
    PutDone,
    PutError,
    PutRequest,
    Replicate,
)


class PutOp:
    """One ``PutRequest``; all of its names have the same owners."""

    def __init__(self, id: int, origin: Origin, request: PutRequest, now: float) -> None:
        self.id = id
        self.origin = origin
        self.request = request
        self.deadline = self.turn = now + request.budget_ms / 1000
        self.replied = self.done = False
        self.epoch = 0
        self.starts = 0
        self.tally = Tally(NO_OWNERS, 0)
        self.stored = False
        self.keys: list[bytes] = []
        self.records: list[bytes] = []
        self.contexts: list[bytes] = []
        self.errors: list[int] = []
        self.sloppy = request.sloppy and request.level != Consistency.ALL
        self.stand_ins: dict[NodeId, NodeId] = {}
        self.hinted: list[bytes] = []
        self.owed: set[NodeId] = set()

    def start(self, home: Home) -> list[Effect]:
        """Write here and tell the other owners."""
        keys, owners = home.locate_all(self.request.names)
        if owners is None or (home.node_id not in owners and not self.records):
            code = FailedCode.INDETERMINATE if self.records else FailedCode.USAGE
            return self._end(code, "the names must have this node as a common owner")
        self.epoch = home.epoch
        self.starts += 1
        if self.starts > limits.RESTARTS_MAX:
            return self._end(FailedCode.INDETERMINATE, "the topology kept changing")
        counted = [owner for owner in owners if owner != home.uncounted]
        self.tally = tally = Tally(*home.quorum(counted, self.request.level))
        others: list[NodeId] = []
        away: dict[NodeId, NotAsked] = {}
        for owner in owners:
            if owner == home.node_id:
                continue
            if why_not := home.why_not(owner):
                away[owner] = why_not
            else:
                others.append(owner)
        if away:
            self.stand_ins = stand_ins(home, keys[0], away)
            stood_in_for = self.stand_ins.values() if self.sloppy else ()
            tally.away = stood_in_for
            tally.patient = self.starts == 1
            if stood_in_for:
                now = home.clock.monotonic()
                self.turn = min(self.deadline, now + home.settings.hedge_after)
            for owner, why_not in away.items():
                if owner not in stood_in_for:
                    tally.leave_out(owner, why_not)
        effects: list[Effect] = []
        if self.stored:
            tally.add(home.node_id)
        elif not self.records:
            if tally.verdict is Verdict.LOST:
                return self._end(*tally.why_not(home))
            rows = self._mint(home, keys)
            if not rows:
                return self._finish()
            rows += self._owe(home, away)
            effects.append(Write(rows, Written(self.id), WriteFailed(self.id, "")))
        budget_ms = max(1, round((self.deadline - home.clock.monotonic()) * 1000))
        message = Replicate(self.id, home.epoch, budget_ms, self.keys, self.records)
        for owner in others:
            effects.append(Send(owner, message))
        for peer, owner in self.stand_ins.items():
            effects.append(Send(peer, Hint(*message[:3], owner, self.keys, self.records)))
        if self.starts > 1 and (owed := self._owe(home, away)):
            effects.append(Write(owed, None, HintsRefused()))
        # A write that just left waits for itself; one that starts again may have all it needs.
        return effects if self.starts == 1 else effects + self._settle()

    def on_reply(self, home: Home, peer: bytes, message: Message) -> list[Effect]:
        """An owner holds it durably; this node itself reports in the same way, as ``Written``."""
        if peer == home.node_id:
            self.stored = True
        owner = self.stand_ins.get(NodeId(peer))
        if owner is None:
            self.tally.add(NodeId(peer))
            return self._settle()
        if owner not in self.hinted:
            self.hinted.append(owner)
        if self.sloppy:
            self.tally.add_stand_in(owner, NodeId(peer))
        return self._settle()

    def on_failure(self, home: Home, peer: bytes, reason: str, *, untouched: bool) -> list[Effect]:
        """An owner will not acknowledge. When it is this node's own disk, nothing can be promised
        any more."""
        owner = self.stand_ins.get(NodeId(peer))
        if owner is None:
            self.tally.fail(NodeId(peer), reason)
        else:
            self.tally.fail(owner, f"down, and its stand-in: {reason}")
        if peer == home.node_id:
            return self._end(
                FailedCode.INDETERMINATE, f"the coordinator's own disk failed: {reason}"
            )
        return self._settle()

    def on_timer(self, home: Home, now: float) -> list[Effect]:
        """Early: stand-ins count from now on, though owners may still answer. At the deadline,
        whatever is missing has failed."""
        if now < self.deadline:
            self.turn = self.deadline
            self.tally.patient = False
            return self._settle()
        for owner in self.tally.owners:
            self.tally.fail(owner, "no answer in time")
        return self._end(FailedCode.INDETERMINATE, "")

    def waits_for(self, peer: bytes) -> bool:
        """Whether this owner has neither acknowledged nor failed."""
        slot = self.stand_ins.get(NodeId(peer), peer)
        return (
            slot in self.tally.owners
            and slot not in self.tally.yes
            and slot not in self.tally.failed
        )

    def _owe(self, home: Home, away: Iterable[NodeId]) -> list[Row]:
        """The rows that say who misses this write."""
        rows: list[Row] = []
        for owner in away:
            if owner in self.owed:
                continue
            self.owed.add(owner)
            owed = home.hints.owe(owner, self.keys, self.records)
            rows += owed
            if owed and self.starts == 1:
                # It is as durable as the record. One that is written later may not be in time.
                self.hinted.append(owner)
        return rows

    def _mint(self, home: Home, keys: list[bytes]) -> list[Row]:
        """The new record of each key, but for the keys that are refused."""
        request = self.request
        tokens = request.contexts or [b""] * len(keys)
        rows: list[Row] = []
        made: list[bytes] = []
        errors = [0] * len(keys)
        for at, (key, value, token) in enumerate(zip(keys, request.values, tokens, strict=True)):
            record = self._new_record(home, key, value, token)
            if isinstance(record, PutError):
                errors[at] = record
                self.contexts.append(b"")
            else:
                rows.append((key, record))
                made.append(record)
        if any(errors):
            self.errors = errors
        self.keys = [key for key, _ in rows]
        self.records = made
        return rows

    def _new_record(self, home: Home, key: bytes, value: bytes, token: bytes) -> bytes | PutError:
        assert home.topology is not None
        context_key = home.topology.context_key
        held = home.held(key)
        if not token:
            context: Context = records.context_of(held) if held else {}
            version = self._version(home, value, context)
            record = records.encode(update(KeyState((), context), None, version))
            seal = seal_of(records.context_bytes(record), key, context_key)
            self.contexts.append(token_of(record, seal))
            return record
        try:
            seen = open_token(token, key, context_key)
        except ValueError:
            home.counters["contexts_refused"] += 1
            return PutError.CONTEXT
        state = records.decode(held) if held else EMPTY
        own = own_dot(token)
        told = join_contexts(seen, {own.actor: own.time}) if own else seen
        told_of_me, known_of_me = (one.get(home.actor, 0) for one in (told, state.context))
        if home.horizons.forgets(key, told_of_me, known_of_me):
            home.take_new_actor()
        version = self._version(home, value, state.context, told)
        record = records.encode(update(state, seen, version, own))
        if self._too_many_siblings(home, state, record):
            home.counters["sibling_cap_refused"] += 1
            return PutError.SIBLINGS
        self.contexts.append(token_after(token, version.dot, key, context_key))
        return record

    def _version(self, home: Home, value: bytes, *contexts: Context) -> Version:
        """The write, with a dot above all of this actor's in the contexts."""
        time = home.mint(*contexts)
        request = self.request
        expires_ms = wall_ms_of(time) + request.ttl_ms if request.ttl_ms else 0
        kept = b"" if request.delete else value
        return Version(Dot(home.actor, time), kept, request.delete, expires_ms)

    def _too_many_siblings(self, home: Home, before: KeyState, record: bytes) -> bool:
        """Whether this write would push the key past its cap; one that lowers the count may."""
        after = len(records.decode(record).versions)
        if after <= max(1, len(before.versions)):
            return False
        return after > home.settings.sibling_cap or len(record) > limits.RECORD_BYTES_MAX

    def _settle(self) -> list[Effect]:
        verdict = self.tally.verdict
        if verdict is Verdict.LOST:
            return self._end(FailedCode.INDETERMINATE, "")
        if verdict is Verdict.WON and self.stored:
            return self._finish()
        return []

    def _finish(self) -> list[Effect]:
        self.done = True
        tally = self.tally
        done = PutDone(
            self.origin.id,
            self.epoch,
            tally.needed,
            tally.replicas(),
            tally.sloppy,
            self.hinted,
            self.contexts,
            self.errors,
        )
        return [answer(self.origin, done)]

    def _end(self, code: FailedCode, detail: str) -> list[Effect]:
        self.done = True
        return [answer(self.origin, self.tally.failed_as(self.origin.id, code, detail))]
