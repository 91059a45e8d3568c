"""Mutants of how a lost member is replaced.

Each names the rule that its safeguard keeps.
"""

from __future__ import annotations

from typing import Final

from dynamokv.protocol.membership import transfer
from dynamokv.protocol.membership.formation import Driver
from dynamokv.protocol.membership.lifecycle import Lifecycle
from dynamokv.protocol.membership.replacing import Replacing
from dynamokv.protocol.requests.get import GetOp
from dynamokv.protocol.requests.put import PutOp
from dynamokv.ring import placement
from tests.issues import test_members_in_memory
from tests.protocol.membership import test_replacement, test_replacing
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

REPLACEMENT: Final = (
    Mutant(
        "a replacement counts for writes while it is filled",
        "until a replacement is whole, its acknowledgements make no quorum",
        (
            Edit(
                PutOp.start,
                "Tally(*home.quorum(counted, self.request.level))",
                "Tally(counted, home.quorum(counted, self.request.level)[1])",
            ),
        ),
    ),
    Mutant(
        "a replacement counts for reads while it is filled",
        "until a replacement is whole, no read asks it",
        (
            Edit(
                GetOp.start,
                "counted, needed = home.quorum(owners, self.request.level)",
                "counted, needed = owners, home.quorum(owners, self.request.level)[1]",
            ),
        ),
        trial=shown_by(
            test_members_in_memory.test_what_one_other_acknowledged_with_the_lost_one_is_read
        ),
    ),
    Mutant(
        "a replacement is whole after one source",
        "a replacement reads N - W + 1 of the other owners of each partition",
        (
            Edit(
                transfer._enough_for,
                "return read >= min(len(owners) - 1, len(owners) - quorum + 1)",
                "return read >= min(1, quorum)",
            ),
        ),
        trial=shown_by(
            test_replacement.test_it_reads_owners_of_its_partitions_only_and_enough_of_each
        ),
    ),
    Mutant(
        "a replacement stands on tokens of its own",
        "who replaces a member owns what that one owned, and nothing else moves",
        (Edit(placement.place.__wrapped__, "tokens_of(m.place,", "tokens_of(m.node_id,"),),
    ),
    Mutant(
        "who was replaced serves on",
        "who was replaced serves nobody from the moment it learns of it",
        (
            Edit(
                Lifecycle.adopt,
                "elif topology.member(home.node_id) is None:",
                "elif not self.ready and topology.member(home.node_id) is None:",
            ),
        ),
    ),
    Mutant(
        "a member that answers at its address is replaced",
        "a member is replaced only when somebody else is proven to be at its address",
        (
            Edit(
                Replacing.on_identified,
                "if peer == holder.node_id:",
                "if peer == b'':",
            ),
        ),
    ),
    Mutant(
        "two are replaced at once",
        "one change at a time: the next one waits until the last one is whole",
        (
            Edit(
                Replacing.ask,
                "if topology.change not in (None, holder.node_id):",
                "if topology.change == request.node_id:",
            ),
        ),
    ),
    Mutant(
        "a replacement that is away loses its place",
        "the place of a replacement is that of a member, and nobody else's",
        (Edit(Driver._wait_for, "if topology.replacement is not None:", "if not topology.n:"),),
        trial=shown_by(test_replacing.test_a_replacement_that_is_away_keeps_its_place),
    ),
    Mutant(
        "a copy waits for ever for whoever listens",
        "a copy does without a peer that is silent, where it may",
        (
            Edit(
                transfer.Fill.whole,
                "peer in done or source.is_silent(now) or NodeId(peer)",
                "peer in done or NodeId(peer)",
            ),
        ),
    ),
)
