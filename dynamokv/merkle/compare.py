"""The exchange of two owners of a partition: from roots to branches to leaves to keys, and then
which keys to fetch and to push.

One side asks and drives (``Exchange``); the other answers (``answer``, ``Listing``) and remembers
nothing between questions. At the end both hold the union of what they held, whoever asked.

Knows trees, rows and messages. Does not know what a record is (its digest is handed in), how rows
are read, how messages travel, or when to hurry: ``Exchange.next`` says what it waits for, and its
host does that at its own pace, or drops the object, at any moment and without a trace.

Rules:
    - Whatever is found only makes keys be looked at, and records be joined. Writes in between,
      answers that come late or twice, and two hashes that are equal can cost an extra look, or
      leave a difference to the next exchange; they can never lose or change a record.
    - Leaves that differ are compared a second time, a moment later. Writes under way differ in one
      look and not in both, and they must not make two stores be read.
    - Keys are compared in key order, which is how stores read: one pass over the partition on
      either side, however many leaves differ. What one side holds in memory is one page.
    - No message exceeds ``limits.SCAN_PAGE_BYTES``.
    - A question may be repeated as it is until it is answered; any answer to it is good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from xxhash import xxh3_64_intdigest

from dynamokv import limits
from dynamokv.merkle.messages import (
    EDGE,
    Answer,
    Branches,
    Compared,
    CompareKeys,
    CompareLeaves,
    CompareRoot,
    Differing,
    Question,
)
from dynamokv.merkle.tree import FAN_OUT, LEAVES, Sums, differing

Rows: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Keys and records, in key order, as a store's scan gives them."""

LISTED_MAX: Final = 4096
"""Keys that one ``CompareKeys`` lists: four leaves of a partition with 10^6 records, 74 KB. The
asker has their names in memory meanwhile, at most 4.5 MB."""

HEAD_BYTES: Final = 2048
"""Room in an answer for its numbers and for the cursor, which may be a key of the greatest size."""

OVERHEAD_BYTES: Final = 3
"""What a key takes in a message besides itself, and what a place in ``missing`` takes, at most."""


class Ask(NamedTuple):
    """Send this, and again if no answer comes; then ``on_answer``."""

    question: Question


class Settle(NamedTuple):
    """Wait until writes under way have arrived; then ``on_settled``."""


class Read(NamedTuple):
    """Read some rows of the partition, from ``start`` on; then ``on_rows``."""

    start: bytes


class Repair(NamedTuple):
    """Fetch and join these keys from the peer, and after that push these to it; then
    ``on_repaired``, once both are durable. A key may be in both lists."""

    fetch: list[bytes]
    push: list[bytes]


class Done(NamedTuple):
    """It is over."""


Next: TypeAlias = Ask | Settle | Read | Repair | Done


class Listed(NamedTuple):
    """One key of a page, as its holder lists it."""

    key: bytes
    hash: int
    digest: int


class Exchange:
    """The side that asks.

    Attributes:
        next: what it waits for.
        salt: different in each exchange.
    """

    def __init__(
        self,
        tree: Sums,
        partition: int,
        epoch: int,
        new_id: Callable[[], int],
        digest_of: Callable[[bytes], int],
    ) -> None:
        self._tree = tree
        self._partition = partition
        self._epoch = epoch
        self._new_id = new_id
        self._digest_of = digest_of
        self._leaves: list[int] = []
        self._start = self._end = EDGE
        self._page: list[Listed] = []
        self.salt = new_id()
        self.next: Next = Ask(CompareRoot(self.salt, epoch, partition, tree.root()))

    def on_answer(self, answer: Answer) -> Next:
        """An answer came, perhaps late or twice; only one to the present question counts.

        Raises:
            ValueError: it is none to what was asked. Give the exchange up.
        """
        if not isinstance(self.next, Ask) or self.next.question.id != answer.id:
            return self.next
        match self.next.question, answer:
            case CompareRoot(), Branches():
                self.next = self._descend(differing(self._tree.branches(), answer.sums))
            case CompareRoot(), Differing(leaves=[]):
                self.next = Done()
            case CompareLeaves() as question, Differing():
                self.next = self._narrow(question, answer.leaves)
            case CompareKeys() as question, Compared():
                self.next = self._take(question, answer)
            case _:
                asked = type(self.next.question).__name__
                raise ValueError(f"{type(answer).__name__} does not answer {asked}")
        return self.next

    def on_settled(self) -> Next:
        """The wait is over: look again, where there was a difference."""
        assert isinstance(self.next, Settle)
        self.next = self._descend(sorted({leaf // FAN_OUT for leaf in self._leaves}))
        return self.next

    def on_rows(self, rows: Rows, following: bytes) -> Next:
        """Rows of the partition, from where they were asked for; ``following`` is the first key not
        among them, or ``EDGE`` when there is none. Rows that it does not take it asks for again."""
        assert isinstance(self.next, Read)
        seed, salted, digest_of = self._tree.seed, self._tree.seed ^ self.salt, self._digest_of
        listed = table_of(self._leaves)
        page = self._page
        for key, record in rows:
            if not listed[xxh3_64_intdigest(key, seed) % LEAVES]:
                continue
            if len(page) == LISTED_MAX:
                self._end = key
                break
            page.append(Listed(key, xxh3_64_intdigest(key, salted), digest_of(record)))
        else:
            if following != EDGE:
                self.next = Read(following)
                return self.next
            self._end = EDGE
        self.next = self._compare_page()
        return self.next

    def on_repaired(self) -> Next:
        """What was to repair is durable on both sides."""
        assert isinstance(self.next, Repair)
        self.next = self._go_on()
        return self.next

    def _descend(self, branches: list[int]) -> Next:
        if not branches:
            return Done()
        sums = b"".join(map(self._tree.leaves, branches))
        fields = (self._new_id(), self._epoch, self._partition, branches, sums)
        return Ask(CompareLeaves(*fields))

    def _narrow(self, question: CompareLeaves, leaves: list[int]) -> Next:
        if not {leaf // FAN_OUT for leaf in leaves} <= set(question.branches):
            raise ValueError("leaves that were not asked for")
        if not self._leaves:
            self._leaves = leaves
            return Settle() if leaves else Done()
        again = table_of(leaves)
        self._leaves = [leaf for leaf in self._leaves if again[leaf]]
        return Read(EDGE) if self._leaves else Done()

    def _compare_page(self) -> Next:
        page = self._page
        return Ask(
            CompareKeys(
                self._new_id(),
                self._epoch,
                self._partition,
                self._leaves,
                self.salt,
                self._start,
                self._end,
                [row.hash for row in page],
                [row.digest for row in page],
            )
        )

    def _take(self, question: CompareKeys, answer: Compared) -> Next:
        end, page = answer.end, self._page
        if end != question.end and not (end > question.start and is_before(end, question.end)):
            raise ValueError("an answer for another range than the question's")
        if any(place >= len(page) for place in answer.missing):
            raise ValueError("an answer about rows that were not listed")
        push = [page[place].key for place in answer.missing if is_before(page[place].key, end)]
        self._page = [] if end == question.end else [row for row in page if row.key >= end]
        self._start = end
        return Repair(answer.keys, push) if answer.keys or push else self._go_on()

    def _go_on(self) -> Next:
        if self._start != self._end:
            return self._compare_page()
        return Read(self._end) if self._end != EDGE else Done()


def answer(tree: Sums, question: CompareRoot | CompareLeaves) -> Branches | Differing:
    """What the tree says, at once.

    Raises:
        ValueError: no tree has the branches that were asked for.
    """
    if isinstance(question, CompareRoot):
        if question.root == tree.root():
            return Differing(question.id, [])
        return Branches(question.id, tree.branches())
    branches = question.branches
    if any(branch >= FAN_OUT for branch in branches):
        raise ValueError("branches that no tree has")
    places = differing(b"".join(map(tree.leaves, branches)), question.sums)
    leaves = [branches[at // FAN_OUT] * FAN_OUT + at % FAN_OUT for at in places]
    return Differing(question.id, leaves)


class Listing:
    """The answer to one ``CompareKeys``, while rows are being read for it.

    Attributes:
        start: where to read on.
    """

    def __init__(self, question: CompareKeys, seed: int, digest_of: Callable[[bytes], int]) -> None:
        """Raises ``ValueError`` for a question that makes no sense."""
        if len(question.hashes) != len(question.digests):
            raise ValueError("hashes and digests that are not equally many")
        self.start = question.start
        self._question = question
        self._seed = seed
        self._digest_of = digest_of
        self._listed = table_of(question.leaves)
        pairs = zip(question.hashes, question.digests, strict=True)
        self._places = {pair: place for place, pair in enumerate(pairs)}
        self._found = bytearray(len(question.hashes))
        self._keys: list[bytes] = []
        self._size_bytes = HEAD_BYTES + OVERHEAD_BYTES * len(question.hashes)

    def on_rows(self, rows: Rows, following: bytes) -> Compared | None:
        """Rows of the partition from ``start`` on, and the first key not among them, or ``EDGE``
        when there is none; the answer, once it has read enough."""
        question, digest_of, seed = self._question, self._digest_of, self._seed
        salted, listed, end = seed ^ question.salt, self._listed, question.end
        for key, record in rows:
            if not is_before(key, end):
                return self._answer(end)
            if not listed[xxh3_64_intdigest(key, seed) % LEAVES]:
                continue
            pair = xxh3_64_intdigest(key, salted), digest_of(record)
            place = self._places.pop(pair, None)
            if place is not None:
                self._found[place] = True
                continue
            size = self._size_bytes + len(key) + OVERHEAD_BYTES
            if self._keys and size > limits.SCAN_PAGE_BYTES:
                return self._answer(key)
            self._keys.append(key)
            self._size_bytes = size
        if following == EDGE or not is_before(following, end):
            return self._answer(end)
        self.start = following
        return None

    def _answer(self, end: bytes) -> Compared:
        missing = [place for place, found in enumerate(self._found) if not found]
        return Compared(self._question.id, end, self._keys, missing)


def table_of(leaves: list[int]) -> bytearray:
    """For each leaf whether it is listed: a look into a table is what a row costs.

    Raises:
        ValueError: no tree has them all.
    """
    table = bytearray(LEAVES)
    for leaf in leaves:
        if leaf >= LEAVES:
            raise ValueError("leaves that no tree has")
        table[leaf] = True
    return table


def is_before(key: bytes, end: bytes) -> bool:
    """Whether a key comes before the end of a range."""
    return end == EDGE or key < end
