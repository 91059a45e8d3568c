"""The trees of a node: one for each partition that it owns, in step with what its store shows.

Knows: partitions, rows, digests, and what the store says it has changed (``ports.Account``). Must
not know: when a tree is built (``healing.forest_building``), who compares it with whose.

Rules:
    - A tree says what is *visible* in the store: it changes when a batch was applied, and by what
      that batch changed. So it says the same as a tree that is built from the store at that moment.
    - Sums commute. A tree that is being built takes rows of a snapshot and what changed since the
      snapshot in any order. The snapshot is taken between two batches: every change is either in
      it or told afterwards, and never both.
    - A tree of which one change could not be told is none: it is built anew.
    - Over a stop, trees are kept in rows that name the actor. The next life has the same actor only
      if the stop was clean and nothing was forgotten, so a tree that may be stale is never taken.
      They are written in one batch with the clean identity; rows that change after that, or before
      the next life has said of itself that it is none, take them away, in the batch of their own.
    - The seed comes from the topology and its secret: the same for all owners, unknown to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from struct import Struct
from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.merkle.tree import Tree, decode
from dynamokv.ports import Changes, Reader, Row
from dynamokv.protocol.effects import Effect, Write
from dynamokv.protocol.state.damage import Damages
from dynamokv.ring.topology import Topology
from dynamokv.types import Actor
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records
from dynamokv.wire.keys import is_data_row, partition_of
from dynamokv.wire.record import head_of

TOLD_MAX: Final = 64
"""Rows that a plot has not worked in: a quarter of a millisecond for whoever looks."""

KEPT_VERSION: Final = 1
_KEPT: Final = Struct(">B8sQQ")
"""What stands before the tree in its row: version, actor, rows, rows of which nothing lasts."""


class Plot:
    """One partition: its tree, and how many rows it stands for.

    What it is told is worked in when somebody looks, or when there is enough of it: a key that is
    written again and again is worked in once, and the rest at less cost together.

    Attributes:
        seed: of its tree.
        after: heads of the records that it was told of and has not worked in; ``None`` for none.
    """

    __slots__ = ("_before", "_passing", "_rows", "_tree", "after", "seed")

    def __init__(self, tree: Tree, rows: int = 0, passing: int = 0) -> None:
        self.seed = tree.seed
        self.after: dict[bytes, bytes | None] = {}
        self._before: dict[bytes, bytes | None] = {}
        self._tree = tree
        self._rows = rows
        self._passing = passing

    def change(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The record of this key was ``old``, of which the head is enough, and is ``new``."""
        after = self.after
        if key not in after:
            self._before[key] = head_of(old) if old is not None else None
        after[key] = head_of(new) if new is not None else None
        if len(after) >= TOLD_MAX:
            self._work_in()

    def take(self, key: bytes, record: bytes) -> None:
        """A snapshot has this row. What was told of it comes on top, earlier or later."""
        self._replace(key, None, record)

    def _work_in(self) -> None:
        before, after = self._before, self.after
        self._before, self.after = {}, {}
        for key, new in after.items():
            self._replace(key, before[key], new)

    def _replace(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        self._tree.replace(key, records.digest(old), records.digest(new))
        if old is not None:
            self._rows -= 1
            self._passing -= records.is_passing(old)
        if new is not None:
            self._rows += 1
            self._passing += records.is_passing(new)

    # --- what it says -----------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Of these it was told."""
        self._work_in()
        return self._rows

    @property
    def passing(self) -> int:
        """Those of its rows in which nothing is there to stay, tombstones and what expires."""
        self._work_in()
        return self._passing

    def root(self) -> bytes:
        """As of a tree (``merkle.tree.Sums``)."""
        self._work_in()
        return self._tree.root()

    def branches(self) -> bytes:
        """As of a tree."""
        self._work_in()
        return self._tree.branches()

    def leaves(self, branch: int) -> bytes:
        """As of a tree."""
        self._work_in()
        return self._tree.leaves(branch)

    def encode(self) -> bytes:
        """As of a tree."""
        self._work_in()
        return self._tree.encode()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plot):
            return NotImplemented
        counts = (self.rows, self.passing) == (other.rows, other.passing)
        return counts and self._tree == other._tree


class Build:
    """A plot that is being built.

    Attributes:
        rows: what is left of its snapshot; None until that is taken.
        error: why it could not be.
    """

    __slots__ = ("error", "partition", "plot", "rows")

    def __init__(self, partition: int, plot: Plot) -> None:
        self.partition = partition
        self.plot = plot
        self.rows: Iterator[tuple[bytes, bytes]] | None = None
        self.error = ""


class Forest:
    """All trees of a node.

    Attributes:
        seed: of its trees.
        plots: of partitions whose tree is known.
        unknown: owned partitions whose tree is not, in the order in which they are built.
        build: the one that is being built, of a partition in either of these.
        unreadable: what is damaged, of partitions among the unknown ones that cannot be read.
        fresh: partitions whose tree has become known since somebody last looked, or will not
            become so before other owners bring back what cannot be read.
        checked_at: when the last partition of a whole round was compared with the store, in the
            clock's monotonic seconds; None before that.
        compared_at: when all of them were last compared with those of other owners, in a slow
            round; None before that.
        kept: rows of trees in the store: those of the last life, and from its end on this one's.
        late: a record changed after the end of this life had begun: nothing is kept.
    """

    def __init__(self, reader: Reader) -> None:
        self.seed = 0
        self.plots: dict[int, Plot] = {}
        self.unknown: dict[int, None] = {}
        self.build: Build | None = None
        self.fresh: list[int] = []
        self.unreadable = Damages(reader, self.fresh)
        self.checked_at: float | None = None
        self.compared_at: float | None = None
        self.kept: list[bytes] = []
        self.late = False
        self._reader = reader
        self._in_store: list[bytes] | None = None

    # --- what it says -----------------------------------------------------------------------------

    def root(self, partition: int) -> bytes | None:
        """What the store shows of a partition, in 16 bytes; ``None`` while that is not known."""
        plot = self.plots.get(partition)
        return plot.root() if plot is not None else None

    def tree(self, partition: int) -> Plot | None:
        """The tree of a partition, if it is known. It goes on changing."""
        return self.plots.get(partition)

    def rows(self, partition: int) -> int:
        """Rows of a partition; 0 while that is not known."""
        plot = self.plots.get(partition)
        return plot.rows if plot is not None else 0

    def passing(self, partition: int) -> int:
        """Rows of a partition in which nothing is there to stay, tombstones and what expires; 0
        while that is not known."""
        plot = self.plots.get(partition)
        return plot.passing if plot is not None else 0

    # --- which trees there are --------------------------------------------------------------------

    def adopt(self, topology: Topology, owned: Iterable[int], actor: Actor) -> None:
        """From now on these partitions are this node's. ``actor`` names the life that may take over
        what the last one kept."""
        seed = xxh3_64_intdigest(topology.context_key, topology.seed)
        if seed != self.seed:
            self.plots, self.unknown, self.build = {}, {}, None
        self.seed = seed
        wanted = set(owned)
        for partition in [*self.plots, *self.unknown]:
            if partition not in wanted:
                self.forget(partition)
                self.unreadable.pop(partition, None)
                del self.unknown[partition]
        if self._in_store is None:
            self._recall(wanted, actor, topology.partitions)
        for partition in sorted(wanted):
            if partition not in self.plots:
                self.unknown.setdefault(partition)

    def forget(self, partition: int) -> None:
        """What is known of a partition may be wrong: it is built anew, after the others."""
        self.plots.pop(partition, None)
        self.unknown.pop(partition, None)
        self.unknown[partition] = None
        if self.build is not None and self.build.partition == partition:
            self.build = None

    def cannot_read(self, partition: int) -> None:
        """Some row of this partition cannot be read: a tree would promise it, so there is none, and
        other owners have to help."""
        owned = partition in self.plots or partition in self.unknown
        if owned and partition not in self.unreadable:
            self.forget(partition)
            self.unreadable.begin(partition)

    # --- ports.Account ----------------------------------------------------------------------------

    def about_to_change(
        self, rows: Iterable[Row], visible: Callable[[bytes], bytes | None]
    ) -> Changes:
        """What these rows change in trees that are known, or are being built."""
        plots, build = self.plots, self.build
        being_built = build.partition if build is not None and build.rows is not None else None
        # A batch may have a row more than once; the last one stays.
        before: dict[bytes, bytes | None] = {}
        after = dict(rows)
        for key in after:
            # The store's own rows are of no partition that anybody owns.
            partition = partition_of(key)
            plot = plots.get(partition)
            if plot is not None and key in plot.after:
                # What was told and is not worked in need not be looked up.
                before[key] = plot.after[key]
            elif plot is not None or partition == being_built:
                before[key] = visible(key)
        return before, after

    def changed(self, changes: Changes) -> None:
        """Rows have changed in the store."""
        plots, build = self.plots, self.build
        being_built = build.partition if build is not None and build.rows is not None else None
        before, after = changes
        for key, old in before.items():
            partition = partition_of(key)
            plot = plots.get(partition)
            if plot is not None:
                plot.change(key, old, after[key])
            if partition == being_built:
                assert build is not None
                build.plot.change(key, old, after[key])

    def lost_track(self, key: bytes) -> None:
        """This row has changed, and nobody knows from what."""
        partition = partition_of(key)
        if partition in self.plots or partition in self.unknown:
            self.forget(partition)

    # --- building ---------------------------------------------------------------------------------

    def begin(self, partition: int) -> Build:
        """Begin to build the tree of a partition from what the store shows as soon as it is at
        rest. What is known of it stays known meanwhile."""
        self.build = build = Build(partition, Plot(Tree(self.seed)))

        def take() -> None:
            try:
                build.rows = self._reader.scan_visible(*row_keys.partition_range(partition))
            except StorageError as error:
                build.error = str(error)

        self._reader.at_rest(take)
        return build

    def grow(self, build: Build, count: int) -> int:
        """Take in so many rows of the snapshot, or fewer when those were the last; how many.

        Raises:
            StorageError: they cannot be read.
        """
        assert build.rows is not None
        take, taken = build.plot.take, 0
        for key, record in islice(build.rows, count):
            if is_data_row(key):
                take(key, record)
            taken += 1
        return taken

    def finish(self) -> Plot | None:
        """What was built takes the place of what was known, which is returned."""
        assert self.build is not None
        partition, plot = self.build.partition, self.build.plot
        self.build = None
        self.unknown.pop(partition, None)
        self.unreadable.pop(partition, None)
        before = self.plots.get(partition)
        self.plots[partition] = plot
        if before is None:
            self.fresh.append(partition)
        return before

    # --- over a stop ------------------------------------------------------------------------------

    def keep(self, actor: Actor) -> list[Row]:
        """Rows that say what is known, for the last batch of this life: the trees of most rows, as
        far as there is room. Those of an earlier life go."""
        rows: dict[bytes, bytes | None] = dict.fromkeys(self._in_store or ())
        size_bytes = 0
        for partition, plot in sorted(self.plots.items(), key=lambda item: -item[1].rows):
            data = _KEPT.pack(KEPT_VERSION, actor, plot.rows, plot.passing) + plot.encode()
            size_bytes += len(data)
            if self.late or size_bytes > limits.TREES_KEPT_BYTES:
                break
            rows[row_keys.tree_row(partition)] = data
        self.kept = list(rows)
        return list(rows.items())

    def while_clean(self, effects: list[Effect], *, stopping: bool) -> list[Effect]:
        """The store says that a life stopped cleanly: the last one still, or already this one.
        Should these effects change a record all the same, what is kept goes, in the same batch."""
        changed = any(
            is_data_row(key)
            for effect in effects
            if type(effect) is Write
            for key, _ in effect.rows
        )
        if not changed:
            return []
        self.late = self.late or stopping
        return [Write([(key, None) for key in self.kept])] if self.kept else []

    def _recall(self, owned: set[int], actor: Actor, partitions: int) -> None:
        """Take over what a clean stop has kept; it is as good as built."""
        self._in_store = []
        try:
            for key, data in self._reader.scan_visible(row_keys.TREE_ROWS, row_keys.END_OF_TREES):
                self._in_store.append(key)
                self.kept.append(key)
                plot = self._decode(data, actor)
                partition = partition_of(key[len(row_keys.TREE_ROWS) :])
                if plot is not None and partition in owned:
                    self.plots[partition] = plot
                    self.fresh.append(partition)
        except StorageError:
            # They save time, and nothing else.
            self.plots = {}
            self._in_store = [row_keys.tree_row(number) for number in range(partitions)]
            self.kept = self._in_store

    def _decode(self, data: bytes, actor: Actor) -> Plot | None:
        if len(data) < _KEPT.size:
            return None
        version, whose, rows, passing = _KEPT.unpack_from(data)
        if version != KEPT_VERSION or whose != actor:
            return None
        try:
            return Plot(decode(data[_KEPT.size :], self.seed), rows, passing)
        except ValueError:
            return None
