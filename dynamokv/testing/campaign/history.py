"""What happened to the keys: every write with its true causality, what was acknowledged, what was
read.

Knows: what coordinators and clients really held when they wrote. Must not know: what follows from
it; that is for the checkers, which hear of everything as it happens.

Rules:
    - A write *saw* another one when its coordinator held it (a put without a context), or when the
      context that its client gave covers it, and came with an answer that showed it. Nothing else
      gives the right to overwrite: what a context says is not believed by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dynamokv.causality.versions import covers
from dynamokv.testing.campaign.findings import Finding, Rule
from dynamokv.testing.campaign.key_history import KeyHistory, Minted, Seen
from dynamokv.types import Consistency, NodeId
from dynamokv.wire import record as records
from dynamokv.wire.context import SEAL_BYTES, token_of
from dynamokv.wire.keys import ROW_PREFIX_BYTES
from dynamokv.wire.messages import GetDone, PutDone, PutRequest


class Asked(NamedTuple):
    """One row of a put, as its user asked for it."""

    key: bytes
    value: bytes
    delete: bool
    token: bytes
    level: int
    sloppy: bool = True


class Mint(NamedTuple):
    """What a coordinator did at a write, for the checkers: the state that it held, and the one
    that it made of it. ``entitled``: the writes that it, or its client, had really seen;
    ``ttl_ms``: how long the client wants it to be kept, 0 for ever."""

    key: bytes
    history: KeyHistory
    minted: Minted
    entitled: int
    claimed: int
    after: Seen
    ttl_ms: int


class Acknowledged(NamedTuple):
    """One row of a write that its user was told of. ``minted``: the write that the answer names;
    ``known``: all that is told to be at its level with it; ``copies``: what those have that the
    answer names as replicas, and that run, by their names; ``owners``: of the row, in the ring of
    the answer, if its user knows that one."""

    asked: Asked
    history: KeyHistory
    minted: Minted | None
    known: int
    done: PutDone
    copies: list[tuple[str, bytes | None]]
    owners: tuple[NodeId, ...]


class Refused(NamedTuple):
    """One row of a write of which its user was told that it was not made. ``context``: because of
    the context that came with it."""

    asked: Asked
    history: KeyHistory
    reason: str
    context: bool


class Read(NamedTuple):
    """One row of a read, and what it had to know when it began: at its level, and, if it asks one
    replica only, in the ring of this epoch. ``buried``: what was gone for ever."""

    key: bytes
    level: int
    must_know: int
    must_know_here: int
    epoch: int
    buried: int


class Checker:
    """What hears of everything, and finds nothing: each kind says what it looks at."""

    def __init__(self, report: Callable[[Rule, bytes, str], None], *, durable: bool) -> None:
        self.report = report
        self.durable = durable

    def on_mint(self, mint: Mint) -> None:
        """A coordinator made a write."""

    def on_collected(self, key: bytes, history: KeyHistory, seen: Seen, wall_ms: int) -> None:
        """An owner whose clock says so forgets a row, of which this was left."""

    def on_answer(self, rows: list[bytes], done: PutDone | GetDone) -> None:
        """A user got an answer for these rows; of each of them it is told next."""

    def on_acknowledged(self, told: Acknowledged) -> None:
        """A user was told that a write is done."""

    def on_refused(self, refused: Refused) -> None:
        """A user was told that a write was not made."""

    def on_read(self, read: Read, history: KeyHistory, seen: Seen, done: GetDone) -> None:
        """A user got an answer."""

    def handed_over(self, key: bytes, history: KeyHistory, copies: dict[NodeId, bytes]) -> None:
        """All replicas of a row, by their ids, when nobody keeps anything for anybody any more."""

    def at_the_end(self, key: bytes, history: KeyHistory, copies: list[bytes | None]) -> None:
        """All replicas of a row, when everything has healed and was repaired."""


class History:
    """The keys of one run, and who looks at them.

    Attributes:
        findings: all that the checkers reported, the first ``FINDINGS_MAX`` of them.
        now_ns: to be called for the virtual time.
    """

    FINDINGS_MAX = 20

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.keys: dict[bytes, KeyHistory] = {}
        self.checkers: list[Checker] = []
        self.findings: list[Finding] = []
        self.writes = self.reads = 0

    def report(self, rule: Rule, key: bytes, text: str) -> None:
        """A breach."""
        if len(self.findings) < self.FINDINGS_MAX:
            self.findings.append(Finding(rule, self.now_ns(), key, text))

    def of(self, key: bytes) -> KeyHistory:
        """The history of a row."""
        found = self.keys.get(key)
        if found is None:
            found = self.keys[key] = KeyHistory()
        return found

    def minted(self, request: PutRequest, key: bytes, record: bytes, held: bytes | None) -> None:
        """A coordinator turned ``held`` into ``record`` for one name of a request."""
        history = self.of(key)
        state = records.decode(record)
        position = request.names.index(key[ROW_PREFIX_BYTES:])
        token = request.contexts[position] if request.contexts else b""
        here = records.context_of(held) if held else {}
        told = history.told_by(token) if token else here
        new = [v for v in state.versions if not covers(here, v.dot) and not covers(told, v.dot)]
        entitled = history.known(here) | (history.known_by(token) if token else 0)
        saw = history.known_by(token) if token else history.known(here)
        claimed = history.known(state.context)
        # A core may have been refused what a second look at its disk shows: it saw what it claims.
        minted = None
        if len(new) == 1:
            context = records.context_bytes(record)
            minted = history.add(new[0], context, saw & claimed, self.now_ns())
        if minted is None:
            self.report(Rule.ERASURE, key, f"a write without a name of its own, among {new}")
            return
        after = history.seen(record)
        mint = Mint(key, history, minted, entitled, claimed, after, request.ttl_ms)
        for checker in self.checkers:
            checker.on_mint(mint)

    def newest_time(self) -> int:
        """The hybrid time of the newest write."""
        minted = (each for history in self.keys.values() for each in history.minted)
        return max((each.version.dot.time for each in minted), default=0)

    def forgotten(self, key: bytes, record: bytes | None, wall_ms: int) -> None:
        """An owner takes this row away, for whom it is so late."""
        history, seen = self.of(key), self.of(key).seen(record)
        history.collected |= seen.known
        history.buried |= seen.known & ~seen.present
        for checker in self.checkers:
            checker.on_collected(key, history, seen, wall_ms)

    def answered(self, rows: list[bytes], done: PutDone | GetDone) -> None:
        """A user got an answer for these rows."""
        for checker in self.checkers:
            checker.on_answer(rows, done)

    def lost_a_copy(self) -> None:
        """A member's disk is gone, with all that it held."""
        for history in self.keys.values():
            history.excused = (1 << len(history.minted)) - 1

    def refused(self, asked: Asked, reason: str, *, context: bool = False) -> None:
        """A user was told that one row of a put was not written."""
        refused = Refused(asked, self.of(asked.key), reason, context)
        for checker in self.checkers:
            checker.on_refused(refused)

    def acknowledged(
        self,
        asked: Asked,
        done: PutDone,
        position: int,
        copies: list[tuple[str, bytes | None]],
        owners: tuple[NodeId, ...] = (),
        *,
        settled: bool,
    ) -> None:
        """A user got this answer for one row of a put; ``copies``: what the replicas have that it
        names; ``settled``: no member is being filled. A stand-in is no owner, so what it holds
        meets no quorum: a sloppy answer promises nothing to those who read."""
        self.writes += 1
        history, token = self.of(asked.key), done.contexts[position]
        minted = history.named_by(token)
        known = 0
        if minted is not None:
            history.give(token, minted.saw | minted.bit)
            known = history.known_by(token) | minted.bit
            history.acknowledged |= minted.bit
            for target in map(NodeId, done.hinted):
                history.promised[target] = history.promised.get(target, 0) | minted.bit
        told = Acknowledged(asked, history, minted, known, done, copies, owners)
        for checker in self.checkers:
            checker.on_acknowledged(told)
        if asked.level in (Consistency.QUORUM, Consistency.ALL) and not done.sloppy:
            history.quorum |= known
        if asked.level == Consistency.ALL and settled and not done.sloppy:
            if history.settled_epoch != done.epoch:
                history.settled_epoch, history.everywhere = done.epoch, 0
            history.everywhere |= known

    def read_begins(self, key: bytes, level: int) -> Read:
        """What a read that starts now has to know."""
        history = self.of(key)
        must_know = 0
        if level == Consistency.ALL:
            must_know = history.lasting
        elif level == Consistency.QUORUM:
            must_know = history.quorum
        here = history.everywhere, history.settled_epoch
        return Read(key, level, must_know, *here, history.buried)

    def read_ends(self, read: Read, record: bytes, done: GetDone) -> None:
        """A user got this record."""
        self.reads += 1
        history = self.of(read.key)
        seen = history.seen(record)
        history.shown |= seen.known
        history.give(token_of(record, bytes(SEAL_BYTES)), seen.known)
        for checker in self.checkers:
            checker.on_read(read, history, seen, done)

    def handed_over(self, key: bytes, copies: dict[NodeId, bytes]) -> None:
        """All replicas of a row, when all hints are gone."""
        for checker in self.checkers:
            checker.handed_over(key, self.of(key), copies)

    def at_the_end(self, key: bytes, copies: list[bytes | None]) -> None:
        """All replicas of a row, when everything has healed and was repaired."""
        for checker in self.checkers:
            checker.at_the_end(key, self.of(key), copies)
