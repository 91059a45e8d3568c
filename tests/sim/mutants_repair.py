"""Mutants of what heals: trees that say what a store holds, and exchanges between owners."""

from __future__ import annotations

from typing import Final

from dynamokv.merkle import compare
from dynamokv.protocol.healing.exchange import Talk
from dynamokv.protocol.healing.exchanges import Exchanges
from dynamokv.protocol.node import Node
from dynamokv.protocol.state.damage import Damages
from dynamokv.protocol.state.forest import Forest, Plot
from dynamokv.runtime.commit_queue import CommitQueue
from tests.issues import test_asked_before_the_damage, test_lost_before_the_quarantine_ends
from tests.protocol.healing import test_exchanges_damage
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

TREES: Final = (
    Mutant(
        "a tree is not told of writes",
        "a tree changes in the same step as the store",
        (Edit(Forest.changed, "if plot is not None:", "if False:"),),
    ),
    Mutant(
        "a tree that is being built is not told of writes",
        "what changes after the snapshot is added to the tree that is built from it",
        (
            Edit(
                Forest.changed,
                "if partition == being_built:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "a refused batch is accounted for",
        "a tree says what is visible in the store",
        (
            Edit(
                CommitQueue._done,
                "changes, self._changes = self._changes, None",
                "changes, self._changes = self._changes, None\n"
                "    if error and self.account is not None and changes is not None:\n"
                "        self.account.changed(changes)",
            ),
        ),
    ),
    Mutant(
        "the first record of a key counts that a batch has twice",
        "of two writes of a key in one batch, the second replaces the first",
        (Edit(Forest.about_to_change, "dict(rows)", "dict([*rows][::-1])"),),
    ),
    Mutant(
        "a key written twice leaves its first record in the tree",
        "what a tree was told and has not worked in is what a key had first, and has now",
        (Edit(Plot.change, "if key not in after:", "if True:"),),
    ),
    Mutant(
        "trees are trusted after an unclean stop",
        "a kept tree is taken over by the life that follows a clean stop, and by no other",
        (
            Edit(
                Forest._decode,
                "version != KEPT_VERSION or whose != actor",
                "version != KEPT_VERSION",
            ),
        ),
    ),
    Mutant(
        "trees are kept while writes are on their way",
        "what is kept says what is in the store when the life ends",
        (
            Edit(
                Node.__init__,
                "e.Stop: lambda _: stopping.begin(home),",
                "e.Stop: life.last_words,",
            ),
        ),
    ),
)

EXCHANGES: Final = (
    Mutant(
        "no comparison at all but in rounds",
        "a start, a return, a new ring and a repair are followed by a comparison",
        (
            Edit(Exchanges.on_return, "if peer in self._others(partition):", "if False:"),
            Edit(Exchanges.want, "self._want(peer, partition)", "pass"),
            Edit(Exchanges._settle, "self._want(peer, partition)", "pass"),
            Edit(Exchanges._beat, "if peer in self.home.up:", "if False:"),
        ),
    ),
    Mutant(
        "what differs is found and not pushed",
        "at the end both sides hold what either had",
        (Edit(Talk._to_push, "for key in self._push:", "for key in ():"),),
    ),
    Mutant(
        "what differs is found and not fetched",
        "at the end both sides hold what either had",
        (
            Edit(
                Talk._go_on,
                "self._fetch, self._push, self._equal = list(fetch), list(push), set()",
                "self._fetch, self._push, self._equal = [], list(push), set()",
            ),
        ),
    ),
    Mutant(
        "what is fetched replaces what is held",
        "repair joins, as every other way does",
        (
            Edit(
                Talk._on_fetched,
                "taken = home.take_in(key, record) if record else None",
                "taken = record or None",
            ),
        ),
    ),
    Mutant(
        "all that was fetched is thought to be equal",
        "what the peer holds less of is pushed to it",
        (
            Edit(
                Talk._on_fetched,
                "if record and (joined or home.held(key)) == record:",
                "if record:",
            ),
        ),
    ),
    Mutant(
        "roots are all the same",
        "a difference of any record shows in the root",
        (Edit(compare.answer, "if question.root == tree.root():", "if True:"),),
    ),
    Mutant(
        "what cannot be read is left to itself",
        "a damaged partition is brought back by its other owners, and not only in its turn",
        (Edit(Damages.begin, "self._fresh.append(partition)", "pass"),),
        trial=shown_by(
            test_exchanges_damage.test_damage_that_shows_later_is_brought_back_at_once_as_well
        ),
    ),
    Mutant(
        "who gave what it has before more was lost is not asked again",
        "a quarantine is lifted when all were asked after the last damage",
        (Edit(Damages.now, "if not damage.covers(lost):", "if False:"),),
        trial=shown_by(test_asked_before_the_damage.test_before_more_was_lost),
    ),
    Mutant(
        "a quarantine ends with all that has been lost by then",
        "it ends for those ranges that all other owners were asked about",
        (Edit(Exchanges._brought_back, "Mend(damage.lost)", "Mend([(bytes(1), bytes([255]))])"),),
        trial=shown_by(
            test_lost_before_the_quarantine_ends.test_a_quorum_shows_what_was_acknowledged
        ),
    ),
)

REPAIR: Final = (*TREES, *EXCHANGES)
