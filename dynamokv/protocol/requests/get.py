"""A get, coordinated by any member: ask as few owners as the level needs, join their answers,
repair afterwards.

Rules:
    - An owner counts its own copy, and sends the others its digests: "same" is the usual answer,
      and it carries nothing.
    - First as many owners as needed, and those that came back lately; when an answer is late, one
      more for each that is missing, as the budget allows (``load/hedging.py``). A read never waits
      for an owner that is known to be down, and asks one last that is known to be slow, or owes
      answers for long.
    - An answer that would be too large holds the first records only. The reply then goes as far as
      the shortest answer, and whoever asked asks again for the rest.
    - The reply is the join of the answers. Whoever answered with less is sent the join afterwards,
      also this node's own store. After quiescence nobody answers with less, so reads cause no
      repair.
    - What an owner shows is held against this node's copy as it is under the horizon of that
      moment: below it, what the copy lacks is deleted. A copy from before the horizon rose lacks
      what has come to it since.
"""

from __future__ import annotations

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.protocol.effects import LOCAL, Effect, Origin, Send, Write, answer
from dynamokv.protocol.requests.tally import Tally, Verdict
from dynamokv.protocol.state.home import NO_OWNERS, ClockDrift, Home
from dynamokv.types import NodeId
from dynamokv.wire import record as records
from dynamokv.wire.context import seal_of
from dynamokv.wire.messages import (
    FailedCode,
    Fetch,
    Fetched,
    GetDone,
    GetRequest,
    Message,
    Replicate,
)
from dynamokv.wire.weight import weight_of


class GetOp:
    """One ``GetRequest``; all of its names have the same owners."""

    def __init__(self, id: int, origin: Origin, request: GetRequest, now: float) -> None:
        self.id = id
        self.origin = origin
        self.request = request
        self.deadline = now + request.budget_ms / 1000
        self.turn = self.patience = 0.0
        self.done = False
        self.epoch = 0
        self.replied = False
        self.hedged = False
        self.tally = Tally(NO_OWNERS, 0)
        self.keys: list[bytes] = []
        self.local: list[bytes] | None = None
        self.raised = 0
        self.answers: dict[NodeId, list[bytes]] = {}
        self.waiting: list[NodeId] = []
        self.spare: list[NodeId] = []

    def start(self, home: Home) -> list[Effect]:
        """Read here, if here is an owner, and ask the others."""
        if self.replied:
            # Only the repair of what was answered already is left, and the next read does that as
            # well.
            self.done = True
            return []
        self.epoch = home.epoch
        self.keys, owners = home.locate_all(self.request.names)
        if owners is None:
            return self._end(FailedCode.USAGE, "the names of one request must have the same owners")
        counted, needed = home.quorum(owners, self.request.level)
        self.tally = tally = Tally(counted, needed)
        self.answers, self.waiting, self.local = {}, [], None
        spare: list[NodeId] = []
        for owner in counted:
            if owner == home.node_id:
                self._read_here(home)
            elif why_not := home.why_not(owner):
                tally.leave_out(owner, why_not)
            else:
                spare.append(owner)
        if tally.verdict is Verdict.LOST:
            return self._end(*tally.why_not(home))
        hedging, now = home.load.hedging, home.clock.monotonic()
        self.patience = hedging.delay
        self.turn = now + hedging.delay
        # Spread reads over the owners, by the request's number rather than by chance.
        turn = self.id % len(spare) if spare else 0
        self.spare = spare[turn:] + spare[:turn]
        missing, late = tally.needed - len(tally.yes), now - hedging.delay
        credit = home.load.credit
        if home.slow or missing > 1 or (missing and credit.is_behind(self.spare[0], late, now)):
            self.spare.sort(
                key=lambda owner: (credit.is_behind(owner, late, now), owner in home.slow)
            )
        effects = self._ask(home, missing)
        if home.returned:
            returned = home.recently_returned(now)
            self.spare.sort(key=lambda owner: owner not in returned)
            effects += self._ask(home, sum(owner in returned for owner in self.spare))
        if self.waiting:
            hedging.budget.earn()
        return effects + self._settle(home)

    def _read_here(self, home: Home) -> bool:
        """Whether it could be read."""
        visible = home.reader.visible
        try:
            local = [visible(key) or records.ABSENT for key in self.keys]
        except StorageError as error:
            # As good as an owner that is down: the others still have it.
            home.damaged_read(self.keys)
            self.tally.fail(home.node_id, str(error)[: limits.TEXT_BYTES_MAX])
            return False
        self.local = self.answers[home.node_id] = local
        self.raised = home.horizons.raised
        self.tally.add(home.node_id)
        return True

    def _look_again(self, home: Home) -> bool:
        """A horizon has risen: this node's copy is read again, and what others have shown so far is
        held against that. Whether it could be read."""
        before, shown = self.local, self.answers.copy()
        if not self._read_here(home):
            return False
        assert self.local is not None
        for owner, found in shown.items():
            # What was the same is in the copy still, but for what was deleted and is collected.
            same = found is before
            self.answers[owner] = self.local if same else self._believed(home, found)
        return True

    def _believed(self, home: Home, shown: list[bytes]) -> list[bytes]:
        assert self.local is not None
        believe = home.horizons.believe
        pairs = zip(self.keys, shown, self.local, strict=False)
        return [believe(key, record, held) for key, record, held in pairs]

    def on_reply(self, home: Home, peer: bytes, message: Message) -> list[Effect]:
        """An owner answered."""
        owner = NodeId(peer)
        if owner not in self.waiting:
            return []
        self.waiting.remove(owner)
        risen = self.local is not None and self.raised != home.horizons.raised
        if risen and not self._look_again(home):
            return self._replace(home, owner, "what it shows cannot be held against this copy")
        # "Same" answers digests, and only a local copy gives them.
        found = self.local
        if type(message) is Fetched:
            found = message.records
            try:
                for record in filter(None, found):
                    records.check(record)
            except ValueError as error:
                home.counters["poison_records"] += 1
                return self._replace(home, owner, f"sent a damaged record: {error}")
        if found is None or not 0 < len(found) <= len(self.keys):
            return self._replace(home, owner, "answered another question")
        if self.local is not None and found is not self.local and home.horizons.adopted:
            found = self._believed(home, found)
        self.answers[owner] = found
        self.tally.add(owner)
        return self._settle(home)

    def on_failure(self, home: Home, peer: bytes, reason: str, *, untouched: bool) -> list[Effect]:
        """An owner will not answer: ask another one."""
        if peer not in self.waiting:
            return []
        self.waiting.remove(NodeId(peer))
        return self._replace(home, NodeId(peer), reason)

    def on_timer(self, home: Home, now: float) -> list[Effect]:
        """Early: ask one more owner for each answer that is late, as far as the budget goes, and
        look again after twice as long. At the deadline: end with what there is."""
        if now < self.deadline:
            self.patience *= 2
            self.turn = now + self.patience * (1 + home.rng.random())
            home.doubted.update(dict.fromkeys(self.waiting))
            missing = 0 if self.replied else self.tally.needed - len(self.tally.yes)
            hedges = home.load.hedging.budget.spend(min(missing, len(self.spare)))
            self.hedged = self.hedged or hedges > 0
            home.counters["hedged_reads"] += hedges
            return self._ask(home, hedges)
        for owner in self.waiting:
            self.tally.fail(owner, "no answer in time")
        self.waiting = []
        if self.replied:
            return self._repair(home)
        return self._end(FailedCode.READ_FAILED, "")

    def waits_for(self, peer: bytes) -> bool:
        """Whether this owner was asked and has not answered."""
        return peer in self.waiting

    def _ask(self, home: Home, count: int) -> list[Effect]:
        asked, self.spare = self.spare[: max(0, count)], self.spare[max(0, count) :]
        if not asked:
            return []
        self.waiting += asked
        budget_ms = max(1, round((self.deadline - home.clock.monotonic()) * 1000))
        digests = [] if self.local is None else [records.digest(record) for record in self.local]
        message = Fetch(self.id, home.epoch, budget_ms, self.keys, digests)
        return [Send(owner, message) for owner in asked]

    def _replace(self, home: Home, owner: NodeId, reason: str) -> list[Effect]:
        self.tally.fail(owner, reason)
        missing = self.tally.needed - len(self.tally.yes) - len(self.waiting)
        return self._ask(home, missing) + self._settle(home)

    def _settle(self, home: Home) -> list[Effect]:
        if not self.replied:
            verdict = self.tally.verdict
            if verdict is Verdict.PENDING:
                return []
            if verdict is Verdict.LOST:
                return self._end(FailedCode.READ_FAILED, "")
        effects = [] if self.replied else self._reply(home)
        # A late answer of a hedged read is not worth waiting for; one of a peer that just came back
        # is.
        if not self.waiting or (self.hedged and not home.returned):
            effects += self._repair(home)
        return effects

    def _unanimous(self) -> bool:
        """Whether all others said "same"."""
        return all(answered is self.local for answered in self.answers.values())

    def _joined(self) -> list[bytes]:
        """The join of all answers, key by key, as far as all of them go."""
        answers = iter(self.answers.values())
        joined = next(answers)
        for answered in answers:
            if answered is joined:
                continue
            joined = [
                records.join_records(held, other) if other else held
                for held, other in zip(joined, answered, strict=False)
            ]
        return joined

    def _reply(self, home: Home) -> list[Effect]:
        assert home.topology is not None
        joined = self._joined()
        if self.origin.peer != LOCAL:
            joined = records.fitting(joined)
        self.replied = True
        context_key = home.topology.context_key
        seals = []
        if self.request.sealed:
            seals = [
                seal_of(records.context_bytes(record), key, context_key)
                for key, record in zip(self.keys, joined, strict=False)
            ]
        replicas: list[bytes] = list(self.tally.yes)
        done = GetDone(self.origin.id, self.epoch, self.tally.needed, replicas, joined, seals)
        return [answer(self.origin, done)]

    def _repair(self, home: Home) -> list[Effect]:
        """The final action: bring everyone who answered with less up to date."""
        self.done = True
        if self._unanimous():
            return []
        joined = self._joined()
        effects: list[Effect] = []
        for owner, answered in self.answers.items():
            stale = [
                (key, whole)
                for key, whole, held in zip(self.keys, joined, answered, strict=False)
                if whole != held
            ]
            if not stale:
                continue
            home.counters["read_repairs"] += len(stale)
            if owner == home.node_id:
                effects += self._repair_here(home, stale)
            else:
                keys, whole_records = [key for key, _ in stale], [whole for _, whole in stale]
                repair = Replicate(0, home.epoch, 0, keys, whole_records)
                # Without a rate to spare, the next read of it repairs.
                if home.load.pressure.take(home.clock.monotonic(), weight_of(repair), len(keys)):
                    effects.append(Send(owner, repair))
        return effects

    def _repair_here(self, home: Home, stale: list[tuple[bytes, bytes]]) -> list[Effect]:
        rows = []
        for key, whole in stale:
            try:
                merged = home.merge(key, whole)
            except ClockDrift:
                continue
            if merged is not None:
                rows.append((key, merged))
        return [Write(rows)] if rows else []

    def _end(self, code: FailedCode, detail: str) -> list[Effect]:
        self.done = True
        return [answer(self.origin, self.tally.failed_as(self.origin.id, code, detail))]
