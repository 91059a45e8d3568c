"""Mutants of the collecting of tombstones."""

from __future__ import annotations

from typing import Final

from dynamokv.protocol.collecting.catching_up import CatchingUp
from dynamokv.protocol.collecting.collector import Collector
from dynamokv.protocol.collecting.gossip import Teller
from dynamokv.protocol.collecting.round import Drive
from dynamokv.protocol.collecting.sweeper import Sweeper
from dynamokv.protocol.membership.transfer import Fill
from dynamokv.protocol.requests.get import GetOp
from dynamokv.protocol.state.home import Home
from dynamokv.protocol.state.horizons import Horizons
from dynamokv.wire import collecting
from tests.issues import test_disk_slower_than_a_fence as slow_disk
from tests.issues import test_read_across_a_horizon
from tests.protocol.state import test_horizons
from tests.sim.collecting_trial import nothing_deleted_returns
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

ROUNDS: Final = (
    Mutant(
        "tombstones are collected by a timer",
        "a tombstone goes only after a round in which all owners agreed",
        (
            Edit(
                Sweeper.step,
                "self.home.horizons.collected.get(partition, 0)",
                "self.home.clock.wall_ms() << 20",
            ),
        ),
    ),
    Mutant(
        "nobody asks whether owners hold the same",
        "a round confirms that all owners hold what the driver holds",
        (
            Edit(
                Collector._same,
                "if home.node_id not in home.owners_of(p) or self.trees.root(p) == "
                'roots.get(p, b"")',
                "if roots is not None",
            ),
        ),
    ),
    Mutant(
        "old writes come in after all",
        "of a version from below the horizon that is not known nothing is taken in",
        (
            Edit(
                Home.join,
                "admitted = self.horizons.admit(key, incoming, ours)",
                "admitted = incoming",
            ),
        ),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a read keeps its copy while the horizon rises",
        "what another owner shows is held against the copy under the horizon of that moment",
        (Edit(GetOp.on_reply, "self.raised != home.horizons.raised", "False"),),
        trial=shown_by(test_read_across_a_horizon.test_seed_585),
    ),
    Mutant(
        "the clock does not follow the horizon",
        "nobody makes a write below a time that it settled on",
        (
            Edit(
                Collector._settle,
                "not home.hybrid.observe(message.time, home.clock.wall_ms())",
                "message.time < 0",
            ),
        ),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a member that is behind is merged",
        "what was deleted goes from a member that is behind",
        (Edit(CatchingUp.begin, "if self.due == math.inf:", "if False:"),),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a store that forgot keeps its horizons",
        "a node that may have lost something has no horizon any more",
        (Edit(Horizons.load, "self.doubt(partition)", "pass"),),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "values go like tombstones",
        "only a record goes of which a read would show nothing",
        (Edit(collecting.ripe_at, "if not records.is_passing(record):", "if not record:"),),
    ),
    Mutant(
        "a tombstone goes whatever else it knows",
        "a record goes only when all that it knows is below the horizon",
        (
            Edit(
                collecting.ripe_at,
                "max(context.values(), default=0) + 1",
                "1",
            ),
        ),
    ),
    Mutant(
        "own old writes prove amnesia",
        "writes from below the horizon prove nothing, their row may be gone",
        (
            Edit(
                Horizons.forgets,
                "return told >= self.adopted.get(row_keys.partition_of(key), 0)",
                "return True",
            ),
        ),
    ),
    Mutant(
        "rounds wait for nobody",
        "nothing goes before all owners have the horizon",
        (
            Edit(
                Drive.on_agreed,
                "effects = self._drop(set(asked) - set(message.partitions))",
                "effects = self._drop(set())",
            ),
        ),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "fences stay up",
        "a round that comes to nothing keeps nothing out",
        (
            Edit(
                Drive._drop,
                "fenced = self.step in (RoundStep.CONFIRM, RoundStep.ADOPT)",
                "fenced = False",
            ),
            Edit(
                Collector._same,
                "if home.node_id not in home.owners_of(p) or self.trees.root(p) == "
                'roots.get(p, b"")',
                'if message.step == 1 or self.trees.root(p) == roots.get(p, b"")',
            ),
            Edit(
                Collector._confirm,
                "horizons.lift(partition, time, peer)",
                "pass",
            ),
        ),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a newcomer does not ask below what time nobody writes",
        "a newcomer counts no page before it has heard that",
        (Edit(Fill.on_page, "if peer not in home.horizons.heard:", "if False:"),),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "hints do not hold a round up",
        "nothing goes while somebody keeps a hint of its partition",
        (Edit(Collector._settle, "if not self.hints.holds(p)", ""),),
        trial=nothing_deleted_returns,
    ),
)

LOSSES: Final = (
    Mutant(
        "a promise that was lost is not recalled",
        "who is told of a horizon above its floor takes it over, however slow its clock is",
        (Edit(Teller._floor, "if agreed <= home.horizons.floor:", "if True:"),),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a fence drawn again is the one before",
        "no two fences have the same number",
        (
            Edit(
                Horizons.is_fenced,
                "return drawn is None or fence.number <= drawn",
                "return True",
            ),
        ),
        trial=shown_by(slow_disk.test_what_came_in_while_no_fence_was_up_is_looked_at),
    ),
    Mutant(
        "horizons are forgotten until the next start",
        "that a node has no horizon any more is written down",
        (
            Edit(
                Horizons.before,
                "return [Write(rows, HorizonsGone(self._doubts)), *effects]",
                "return effects",
            ),
        ),
        trial=nothing_deleted_returns,
    ),
    Mutant(
        "a row that cannot be read leaves the horizon as it is",
        "what is lost with a row may have been below the horizon of its partition",
        (Edit(Home.held, "self.horizons.doubt(row_keys.partition_of(key))", "pass"),),
        trial=shown_by(test_horizons.test_a_row_that_cannot_be_read_takes_the_horizon_with_it),
    ),
)

COLLECTING: Final = (*ROUNDS, *LOSSES)
