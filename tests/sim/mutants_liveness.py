"""Mutants of what members believe of each other, and of what follows from it."""

from __future__ import annotations

from typing import Final

from dynamokv.protocol.liveness.beliefs import Beliefs
from dynamokv.protocol.liveness.liveness import Liveness
from dynamokv.protocol.membership.reachability import next_boot
from dynamokv.protocol.requests.get import GetOp
from dynamokv.protocol.requests.put import PutOp
from tests.protocol.liveness import test_liveness_answers
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

LIVENESS: Final = (
    Mutant(
        "a verdict makes the quorum smaller",
        "a verdict changes routing only, never a quorum",
        (
            Edit(
                PutOp.start,
                "[owner for owner in owners if owner != home.uncounted]",
                "[owner for owner in owners if owner != home.uncounted and owner not in home.slow]",
            ),
        ),
    ),
    Mutant(
        "a slow owner is asked as soon as any other",
        "a read asks owners that are slow last",
        (Edit(GetOp.start, "owner in home.slow", "False"),),
    ),
    Mutant(
        "who was late itself blames the others",
        "what a member waited for while it was late itself gets as much more time",
        (
            Edit(
                Liveness._wake,
                "if self._period_at is None or late < self.settings.late:",
                "if True:",
            ),
        ),
        trial=shown_by(
            test_liveness_answers.test_who_was_late_itself_gives_everybody_as_much_more_time
        ),
    ),
    Mutant(
        "nobody objects to an accusation",
        "who hears of itself what it did not say objects, with a higher incarnation",
        (
            Edit(
                Beliefs._object,
                "self._say(news.incarnation.next(), own.state == State.SLOW)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "old news replaces newer news",
        "of two pieces of news of a member the one of higher rank holds",
        (Edit(Beliefs._weigh, "if news.rank > held.rank:", "if news.rank != held.rank:"),),
    ),
    Mutant(
        "who was silent once is slow for ever",
        "an answer to what was missed ends the silence",
        (Edit(Beliefs.answered_late, "peer.silent_since = None", "pass"),),
    ),
    Mutant(
        "who is accused is not told",
        "the accused hears of it from everybody, so that it can object",
        (Edit(Beliefs.attached, "if receiver is not None and receiver.disputed:", "if False:"),),
    ),
    Mutant(
        "a life forgets when the one before began",
        "the boot time of a life is later than that of every earlier one of its store",
        (
            Edit(
                next_boot,
                "max(home.clock.wall_ms(), wall_ms_of(hybrid.last) + 2)",
                "home.clock.wall_ms()",
            ),
        ),
    ),
)
