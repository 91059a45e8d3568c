"""Histories made by hand: a key, some actors, and everything that may be told of them."""

from __future__ import annotations

from dynamokv.causality.versions import EMPTY, Context, Dot, KeyState, Version, join, update
from dynamokv.testing.campaign.checkers import all_checkers
from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Asked, History
from dynamokv.types import Actor, Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import seal_of, token_after, token_of
from dynamokv.wire.keys import name_of, row_key

NAME = name_of(b"", b"k")
ROW = row_key(0, NAME)
SECRET = b"s" * 16
A, B, C = (Actor(letter * 8) for letter in (b"a", b"b", b"c"))
NODES = [b"1" * 16, b"2" * 16, b"3" * 16]


class Story:
    """One key, told step by step."""

    def __init__(self, *, durable: bool = True) -> None:
        self.history = History(lambda: 7)
        self.history.checkers = all_checkers(self.history.report, durable=durable)

    @property
    def broken(self) -> list[Rule]:
        """Which rules, each once."""
        return sorted({finding.rule for finding in self.history.findings}, key=lambda it: it.value)

    def put(
        self,
        actor: Actor,
        time: int,
        value: bytes,
        held: bytes | None = None,
        token: bytes = b"",
    ) -> bytes:
        """A write as a right coordinator makes it; ``b""`` deletes. Returns the record."""
        state = records.decode(held) if held else EMPTY
        version = Version(Dot(actor, time), value, not value)
        if token:
            key_history = self.history.of(ROW)
            seen, own = key_history.told_by(token), None
            if token[:1] == b"\x02":
                own = Dot(Actor(token[9:17]), int.from_bytes(token[17:25]))
            record = records.encode(update(state, seen, version, own))
        else:
            record = records.encode(update(state, None, version))
        self.minted(value, record, held, token)
        return record

    def minted(
        self,
        value: bytes,
        record: bytes,
        held: bytes | None = None,
        token: bytes = b"",
        ttl_ms: int = 0,
    ) -> None:
        """A write as any coordinator may have made it."""
        contexts = [token] if token else []
        request = m.PutRequest(0, 0, 1, 0, True, not value, ttl_ms, [NAME], [value], contexts)
        self.history.minted(request, ROW, record, held)

    def told(
        self,
        value: bytes,
        token: bytes,
        level: int = Consistency.QUORUM,
        replicas: list[bytes] | None = None,
        copies: tuple[bytes | None, ...] = (),
        epoch: int = 1,
    ) -> None:
        """A user is told that its write is done; its replicas have these copies."""
        replicas = NODES[:2] if replicas is None else replicas
        done = m.PutDone(1, epoch, 2, replicas, False, [], [token], [])
        asked = Asked(ROW, value, not value, b"", level)
        held = [(f"n{number}", copy) for number, copy in enumerate(copies)]
        self.history.acknowledged(asked, done, 0, held, settled=True)

    def refused(self, value: bytes, token: bytes = b"", *, context: bool = False) -> None:
        """A user is told that its write was not made."""
        asked = Asked(ROW, value, not value, token, Consistency.QUORUM)
        self.history.refused(asked, "UNAVAILABLE", context=context)

    def read(
        self,
        record: bytes,
        level: int = Consistency.QUORUM,
        replicas: list[bytes] | None = None,
        epoch: int = 1,
    ) -> None:
        """A user reads, after everything that was told so far."""
        replicas = NODES[:2] if replicas is None else replicas
        read = self.history.read_begins(ROW, level)
        needed = {Consistency.QUORUM: 2, Consistency.ALL: 3}.get(Consistency(level), 1)
        done = m.GetDone(1, epoch, needed, replicas, [record], [])
        self.history.read_ends(read, record, done)

    def end(self, *copies: bytes | None) -> None:
        """All replicas, in the end."""
        self.history.at_the_end(ROW, list(copies))


def token_of_read(record: bytes) -> bytes:
    """What a reader of this record gets, and a writer that gave no context."""
    return token_of(record, seal_of(records.context_bytes(record), ROW, SECRET))


def token_of_write(token: bytes, actor: Actor, time: int) -> bytes:
    """What a writer gets that gave ``token``."""
    return token_after(token, Dot(actor, time), ROW, SECRET)


def joined(*found: bytes) -> bytes:
    """What a read of these records shows."""
    state = EMPTY
    for record in found:
        state = join(state, records.decode(record))
    return records.encode(state)


def made_up(context: Context, *versions: tuple[Actor, int, bytes]) -> bytes:
    """Any record."""
    made = [Version(Dot(actor, time), value, not value) for actor, time, value in versions]
    return records.encode(KeyState(tuple(sorted(made)), context))
