"""What an answer says is so: who holds a write, that another was never made, whose context it is.

Knows: answers, what was asked, what coordinators made, and what the replicas that an answer names
held when it came.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamokv.causality.hlc import wall_ms_of
from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Acknowledged, Checker, Mint, Refused
from dynamokv.wire.messages import GetDone, PutDone


class AnswersAreTrue(Checker):
    """Held at every answer, and every write."""

    def on_answer(self, rows: list[bytes], done: PutDone | GetDone) -> None:
        """It has one part for each row that was asked for."""
        if type(done) is PutDone:
            parts = [len(done.contexts), len(done.errors or rows)]
        else:
            parts = [len(done.records), len(done.seals)]  # type: ignore[union-attr]
        if parts != [len(rows)] * 2:
            text = f"the answer for {len(rows)} rows has {parts[0]} and {parts[1]} parts"
            self.report(Rule.LIVENESS, rows[0], text)

    def on_mint(self, mint: Mint) -> None:
        """A write ends when its client wants it to."""
        version = mint.minted.version
        ends_ms = wall_ms_of(version.dot.time) + mint.ttl_ms if mint.ttl_ms else 0
        if version.expires_ms != ends_ms:
            text = f"{mint.minted.label} ends at {version.expires_ms} ms, and not at {ends_ms}"
            self.report(Rule.ERASURE, mint.key, text)

    def on_acknowledged(self, told: Acknowledged) -> None:
        """Whoever is named as a replica, and runs, holds the write."""
        if not self.durable or told.minted is None:
            return
        for name, copy in told.copies:
            if not (told.history.seen(copy).known | told.history.collected) & told.minted.bit:
                text = f"{name} is said to hold {told.minted.label}, and does not"
                self.report(Rule.ACKNOWLEDGED, told.asked.key, text)

    def on_refused(self, refused: Refused) -> None:
        """A context that was given for this key, by this ring, is good for ever."""
        asked = refused.asked
        if refused.context and asked.token in refused.history.handed:
            text = f"a context that was given for this key is refused, at {asked.value!r}"
            self.report(Rule.LIVENESS, asked.key, text)


class RefusedIsNotMade(Checker):
    """Whoever is told that nothing was done may ask again, so nothing may have been done, nor be
    done later. Not to be held where the network repeats requests: one of two may be refused. Nor of
    deletes, which look alike."""

    def __init__(self, report: Callable[[Rule, bytes, str], None], *, durable: bool) -> None:
        super().__init__(report, durable=durable)
        self._refused: dict[bytes, str] = {}

    def on_mint(self, mint: Mint) -> None:
        """It was not refused before."""
        reason = self._refused.get(mint.minted.version.value)
        if reason is not None and not mint.minted.version.tombstone:
            self._made(mint.key, mint.minted.version.value, reason)

    def on_refused(self, refused: Refused) -> None:
        """It was not made before."""
        asked = refused.asked
        if asked.delete:
            return
        self._refused[asked.value] = refused.reason
        if any(minted.version.value == asked.value for minted in refused.history.minted):
            self._made(asked.key, asked.value, refused.reason)

    def _made(self, key: bytes, value: bytes, reason: str) -> None:
        self.report(Rule.ERASURE, key, f"{value!r} was made, though refused as {reason}")
