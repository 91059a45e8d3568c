"""Mutants of what is kept for members that are away (section 6 of the protocol's rules)."""

from __future__ import annotations

from typing import Final

from dynamokv.protocol.healing import handoff
from dynamokv.protocol.healing.handoff import Handoff
from dynamokv.protocol.requests.put import PutOp
from dynamokv.protocol.requests.tally import Tally
from dynamokv.protocol.state.hints import Hints
from tests.protocol.healing import test_handoff
from tests.sim.collecting_trial import nothing_deleted_returns
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

HINTS: Final = (
    Mutant(
        "a hint goes before it is acknowledged",
        "only an acknowledgement removes a hint",
        (
            Edit(
                Handoff.deliver,
                "return [*effects, Send(target, message)]",
                "return [*effects, Write(hints.forget(page.rows)), Send(target, message)]",
            ),
        ),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a page that is refused counts as delivered",
        "what failed was not done, whatever else was",
        (
            Edit(
                Handoff.on_reply,
                "case m.Replicated() | m.Refused(reason=m.RefusedReason.OUTDATED):",
                "case m.Replicated() | m.Refused():",
            ),
        ),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a hint goes though it changed",
        "a hint goes only if it is the one that was sent",
        (Edit(Hints.forget, "if self._read(at) == value", "if self._read(at)"),),
        trial=shown_by(test_handoff.test_a_hint_that_changed_under_way_is_sent_again),
    ),
    Mutant(
        "hints are forgotten at a restart",
        "the sums are found again by reading the rows",
        (
            Edit(
                Hints.count,
                "found = self._reader.scan(self._cursor, _END)\n",
                "self._cursor = _END\n        return strays\n",
            ),
        ),
    ),
    Mutant(
        "a stand-in without room says that it keeps",
        "what does not fit is refused before anybody relies on it",
        (Edit(Hints.keep, "    return rows", "    return rows or []"),),
    ),
    Mutant(
        "a stand-in says so before it is durable",
        "a hint is acknowledged by the log",
        (
            Edit(
                handoff.serve_hint,
                "[Write(rows, Send(peer, m.Replicated(message.id)), "
                "HintsRefused(peer, message.id))]",
                "[Write(rows), Send(peer, m.Replicated(message.id))]",
            ),
        ),
    ),
    Mutant(
        "a stand-in counts for a strict write",
        "sloppy=False counts owners only",
        (Edit(PutOp.__init__, "request.sloppy and request.level", "request.level"),),
    ),
    Mutant(
        "a stand-in counts for ALL",
        "ALL means the owners",
        (
            Edit(
                PutOp.__init__,
                "request.sloppy and request.level != Consistency.ALL",
                "request.sloppy",
            ),
        ),
    ),
    Mutant(
        "a receipt does not say that it is sloppy",
        "a read meets owners only, so whoever counts others has to say so",
        (
            Edit(
                Tally.sloppy,
                "return bool(self.stood_in) and len(self.yes) - len(self.stood_in) < self.needed",
                "self.stood_in.clear()\n    return False",
            ),
        ),
    ),
)
