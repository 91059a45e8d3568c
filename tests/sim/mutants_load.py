"""Mutants of the rules of overload.

They cost work, memory and time, and no history shows that. So each brings a scenario of its own
(``strain.py``), which takes the place of seeds.
"""

from __future__ import annotations

from typing import Final

from dynamokv.protocol.load.admission import Admission
from dynamokv.protocol.load.budget import Budget
from dynamokv.protocol.load.credit import Credit
from dynamokv.protocol.load.pressure import Pressure
from dynamokv.protocol.load.transit import Transit
from dynamokv.protocol.requests.forward import ForwardOp
from dynamokv.protocol.requests.get import GetOp
from tests.issues import test_answer_lost_for_ever
from tests.sim import strain
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

LOAD: Final = (
    Mutant(
        "bytes under way are not bounded",
        "requests are let in by count and by bytes",
        (
            Edit(
                Admission.refusal,
                "if self._held and self.bytes + weight > self._bytes_max:",
                "if False:",
            ),
        ),
        trial=strain.large_values,
    ),
    Mutant(
        "credit is never taken",
        "what a linked but silent peer is sent is bounded",
        (Edit(Credit.take, "account.questions[id] = question", "pass"),),
        trial=strain.one_is_silent,
    ),
    Mutant(
        "credit never comes back",
        "an answer gives back the credit of its question",
        (
            Edit(
                Credit.give_back,
                "account.questions.pop(id, None) if account is not None else None",
                "account.questions.get(id) if account is not None else None",
            ),
        ),
        trial=strain.one_is_silent,
    ),
    Mutant(
        "credit comes back with time",
        "a silent peer still holds what it was sent",
        (Edit(Credit.has_room, "now >= self._accounts[peer].next_probe", "True"),),
        trial=strain.one_is_silent,
    ),
    Mutant(
        "work goes on past its deadline",
        "a request that is over when it is read is refused without any work",
        (Edit(Transit.is_over, "sender.age_ms > budget_ms", "False"),),
        trial=strain.one_was_held_for_long,
    ),
    Mutant(
        "a queue that stands is no reason to refuse",
        "a member that does not keep up refuses to coordinate, so that what it took is in time",
        (Edit(Transit.is_behind, "late_since is not None and", "False and"),),
        trial=strain.three_times_too_much,
    ),
    Mutant(
        "hedges have no budget",
        "extra reads are a tenth of the reads",
        (
            Edit(
                GetOp.on_timer,
                "home.load.hedging.budget.spend(min(missing, len(self.spare)))",
                "min(missing, len(self.spare))",
            ),
        ),
        trial=strain.everybody_is_slow,
    ),
    Mutant(
        "who owes answers is asked first all the same",
        "a peer that owes answers for long is asked last",
        (
            Edit(
                GetOp.start,
                "(credit.is_behind(owner, late, now), owner in home.slow)",
                "owner in home.slow",
            ),
        ),
        trial=strain.one_is_slow,
    ),
    Mutant(
        "who lost an answer is never asked again",
        "an answer that is due for very long counts as lost, and its owner is tried again",
        (
            Edit(
                Credit.is_behind,
                "if now < account.questions[id][2] + limits.ANSWER_LOST_SECONDS:",
                "if now:",
            ),
        ),
        trial=shown_by(
            test_answer_lost_for_ever.test_who_lost_an_answer_is_asked_again_before_who_is_slow
        ),
    ),
    Mutant(
        "retries have no budget",
        "requests go on from an overloaded owner in one of ten cases",
        (Edit(ForwardOp.on_reply, "not home.load.retries.spend(1)", "False"),),
        trial=strain.everybody_is_full,
    ),
    Mutant(
        "a budget is never spent",
        "extra work is a share of the work",
        (Edit(Budget.spend, "self.tokens -= granted", "pass"),),
        trial=strain.everybody_is_full,
    ),
    Mutant(
        "background ignores pressure",
        "background work yields while the event loop is late",
        (Edit(Pressure.tick, "if self._is_hindered():", "if False:"),),
        trial=strain.repair_under_pressure,
    ),
    Mutant(
        "reads repair as fast as they find something",
        "all background work asks for its bytes",
        (
            Edit(
                GetOp._repair,
                "if home.load.pressure.take(home.clock.monotonic(), weight_of(repair), len(keys)):",
                "if True:",
            ),
        ),
        trial=strain.repair_under_pressure,
    ),
)
