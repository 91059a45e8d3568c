"""The side of an exchange that is asked: it answers from its trees at once, and lists keys in
bounded pieces.

Knows: questions, trees, rows. Rules:
    - Nothing is remembered between questions; a lost answer is asked for again.
    - A partition whose tree is not known is not compared: its owner will ask when it is. But two
      who cannot read everything tell each other what they can.
    - Only members are answered.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.merkle.compare import Listing, answer
from dynamokv.merkle.messages import (
    Branches,
    CompareKeys,
    CompareLeaves,
    CompareRoot,
    Differing,
    Question,
)
from dynamokv.merkle.tree import BRANCH_BYTES, FAN_OUT, SUM_BYTES
from dynamokv.protocol.effects import Effect, Send, refuse
from dynamokv.protocol.healing.exchange import Reading
from dynamokv.protocol.state.home import Home
from dynamokv.types import NodeId
from dynamokv.wire import record as records
from dynamokv.wire.messages import RefusedReason

NO_ROWS: Final = bytes(SUM_BYTES)
"""The root of an empty tree, and of one who cannot read everything."""

ALL_DIFFER: Final = b"\xff" * BRANCH_BYTES


class _Job(NamedTuple):
    """A listing that is being made."""

    listing: Listing
    reading: Reading


class Answers:
    """Of one node.

    Attributes:
        due: when ``step`` has something to do.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.due = math.inf
        self._jobs: dict[tuple[bytes, int], _Job] = {}

    def on_question(self, peer: bytes, question: Question) -> list[Effect]:
        """Another owner compares a partition with this one."""
        home = self.home
        assert home.topology is not None
        forest, partition = home.forest, question.partition
        tree, damaged = forest.tree(partition), partition in forest.unreadable
        known = damaged or tree is not None
        if type(question) is CompareRoot and damaged:
            # Whoever can read its own copy brings this one back when it is asked.
            known = question.root == NO_ROWS
        if not known or home.topology.member(NodeId(peer)) is None:
            return refuse(peer, question.id, RefusedReason.NOT_READY, "no tree of it here")
        try:
            if not isinstance(question, CompareKeys):
                found = _all_differs(question) if tree is None else answer(tree, question)
                return [Send(peer, found)]
            listing = Listing(question, forest.seed, records.digest)
        except ValueError:
            home.counters["poison_questions"] += 1
            return []
        if len(self._jobs) < limits.EXCHANGE_LISTINGS_MAX:
            job = _Job(listing, Reading(home.reader, partition, damaged=damaged))
            self._jobs.setdefault((peer, question.id), job)
            self.due = min(self.due, home.clock.monotonic())
        return []

    def forget(self, peer: bytes) -> None:
        """It waits for no answer any more."""
        self._jobs = {at: job for at, job in self._jobs.items() if at[0] != peer}

    def step(self) -> list[Effect]:
        """Read a piece for the oldest question."""
        if not self._jobs:
            self.due = math.inf
            return []
        (peer, id), (listing, reading) = at, _ = next(iter(self._jobs.items()))
        try:
            found = listing.on_rows(*reading.piece(listing.start, limits.TREE_STEP_ROWS))
        except StorageError as error:
            self.home.counters["damaged_reads"] += 1
            self.home.forest.cannot_read(reading.partition)
            del self._jobs[at]
            text = str(error)[: limits.TEXT_BYTES_MAX]
            return refuse(peer, id, RefusedReason.STORAGE, text)
        if found is None:
            return []
        del self._jobs[at]
        return [Send(peer, found)]


def _all_differs(question: CompareRoot | CompareLeaves) -> Branches | Differing:
    """The answer of one who has no tree, because it cannot read everything, to another such one:
    then both list what they can read."""
    if isinstance(question, CompareRoot):
        return Branches(question.id, ALL_DIFFER)
    firsts = (branch * FAN_OUT for branch in question.branches)
    return Differing(
        question.id, [leaf for first in firsts for leaf in range(first, first + FAN_OUT)]
    )
