"""Mutants of the end of a member's life, and of how late a frame is.

A simulated process stops in one step, and no simulated machine is suspended. So these are shown by
the tests of their rules.
"""

from __future__ import annotations

from typing import Final

from dynamokv.protocol.load.transit import Transit, _Sender
from dynamokv.protocol.node import Node
from tests.issues import (
    test_copy_while_stopping,
    test_put_while_stopping,
    test_swept_while_stopping,
)
from tests.protocol.load import test_transit
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

STOPPING: Final = (
    Mutant(
        "copies are taken in after the stop",
        "from its stop on a member takes nothing in",
        (Edit(Node._on_received, "if self.home.closing:", "if False:"),),
        trial=shown_by(test_copy_while_stopping.test_no_copy_is_taken_from_the_stop_on),
    ),
    Mutant(
        "writes are made after the stop",
        "from its stop on a member coordinates nothing",
        (
            Edit(
                Node._coordinate,
                "if self.life.replaced or home.closing:",
                "if self.life.replaced:",
            ),
        ),
        trial=shown_by(test_put_while_stopping.test_nothing_is_coordinated_from_the_stop_on, False),
    ),
    Mutant(
        "work in the background goes on after the stop",
        "last words say what is in the store, so nothing changes it after them",
        (
            Edit(Node._on_tick, "if self.home.closing:", "if False:"),
            Edit(Node.next_deadline, "if self.home.closing:", "if False:"),
        ),
        trial=shown_by(test_swept_while_stopping.test_a_tick_while_stopping_sweeps_nothing_away),
    ),
    Mutant(
        "a clock that stood still is a queue",
        "a deadline is measured from when the frame left, also after a clock stood still",
        (
            Edit(
                _Sender.saw,
                "if late and now - self.steady_since >= STEADY_SECONDS:",
                "if False:",
            ),
        ),
        trial=shown_by(
            test_transit.test_who_is_late_by_the_same_each_time_had_a_clock_that_stood_still
        ),
    ),
    Mutant(
        "a life before measures the frames of this one",
        "every life of a process has another clock",
        (Edit(Transit.stamped, "if sender is None or sender.life != life:", "if sender is None:"),),
        trial=shown_by(test_transit.test_another_life_has_another_clock),
    ),
)
