"""Mutants of what heals: trees that say what a store holds, and exchanges between owners."""

from __future__ import annotations

from typing import Final

from dynamokv.protocol.forest import Forest
from dynamokv.protocol.node import Node
from dynamokv.runtime.commit_queue import CommitQueue
from tests.sim.mutants_patch import Edit, Mutant

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
                "if build is not None and build.partition == partition and build.rows is not None:",
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
                "changes, self._changes = self._changes, []",
                "changes, self._changes = self._changes, []\n"
                "    if error and self.account is not None:\n"
                "        self.account.changed(changes)",
            ),
        ),
    ),
    Mutant(
        "a key twice in a batch is read twice",
        "of two writes of a key in one batch, the second replaces the first",
        (
            Edit(
                CommitQueue._look_before,
                "meanwhile[key] if key in meanwhile else self._before(key)",
                "self._before(key)",
            ),
        ),
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
                "e.Stop: lambda _: [e.Write([], e.LastWords(), e.LastWords())],",
                "e.Stop: life.last_words,",
            ),
        ),
    ),
)

REPAIR: Final = TREES
