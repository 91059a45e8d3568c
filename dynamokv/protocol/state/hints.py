"""What this member keeps for others that miss writes: the rows, and how much there is of them.

A hint says that one member, its target, missed a write of one row. There are two kinds:

*kept*  whoever keeps it owns no copy of the row. The hint is the record itself, and may be all that
        is left of an acknowledged write.
*owed*  whoever keeps it owns a copy. The hint is a mark with the digest of the record then.

Rules:
    - Hints live in the store, and are written with what they belong to. Memory has sums only, which
      are found again after a start, slice by slice (``count``); so a restart forgets none.
    - A row has one hint for each target. What comes later is joined with it.
    - A hint goes when the target has acknowledged what it stands for, and only if it is still the
      very one that was sent (``forget``).
    - Bounded, for each target and for all. A kept hint that does not fit is refused before anybody
      relies on it; an owed one is not taken, counted, and its partition noted for comparison. What
      was taken is never dropped, because it may be the last copy of something (``docs/adr/0019``).
    - A hint that cannot be read holds up no others, but for those that the store has quarantined
      with it. Nobody has got it: ``holds`` says so of its partition, until the rows are looked
      through again and all can be read. It may be readable when its target is up, and is taken off
      sums that it was not in. So the account of its target is not closed by what the sums say, but
      when the store shows that nothing is left.

Sources: Dynamo (DeCandia et al., SOSP 2007), section 4.6.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.ports import Clock, Reader, Row
from dynamokv.protocol.state.hint_rows import Hint, Kind, after_partition, partitions_of
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records

_DIGEST_BYTES = 8
_END = row_keys.END_OF_HINTS


class Page(NamedTuple):
    """Hints for one target, and what they stand for: ``rows`` as they are in the store, and of each
    the key and the record. ``gone``: those of which the record is not to be had any more."""

    rows: list[tuple[bytes, bytes]]
    keys: list[bytes]
    records: list[bytes]
    gone: list[tuple[bytes, bytes]]
    next: bytes


class Account:
    """How much is kept for one target; ``oldest_ms``: no hint is older."""

    __slots__ = ("keys", "oldest_ms", "partitions", "size")

    def __init__(self, since_ms: int) -> None:
        self.keys = 0
        self.size = 0
        self.oldest_ms = since_ms
        self.partitions: Counter[int] = Counter()


class Hints:
    """All hints of one member.

    Attributes:
        accounts: by target, those for whom there is something.
        size: bytes of all of them.
        epoch: of the topology that they were counted under.
        doubtful: partitions of which some hints could not be read when they were counted.
        unhinted: partitions in which some owner missed a write and nobody keeps that for it: they
            have to be compared.
    """

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        counters: Counter[str],
        *,
        target_bytes: int,
        all_bytes: int,
    ) -> None:
        self.accounts: dict[NodeId, Account] = {}
        self.size = 0
        self.epoch = 0
        self.unhinted: set[int] = set()
        self._reader = reader
        self._clock = clock
        self._counters = counters
        self._target_bytes = target_bytes
        self._all_bytes = all_bytes
        # Rows before this are in the accounts, but for those of ``doubtful`` that cannot be read.
        self._cursor = row_keys.HINTS
        self.doubtful: set[int] = set()
        # The targets of these.
        self._unsure: set[NodeId] = set()

    # --- looking ----------------------------------------------------------------------------------

    @property
    def counted(self) -> bool:
        """Whether everything that can be read is in the accounts."""
        return self._cursor == _END

    def holds(self, partition: int) -> bool:
        """Whether somebody has not got all that is kept here for it of this partition, or it is not
        known yet."""
        if not self.counted or partition in self.doubtful:
            return True
        return any(account.partitions[partition] for account in self.accounts.values())

    def status(self) -> dict[str, dict[str, float]]:
        """For each target, in hex, how many keys and bytes wait for it, and since when, at most."""
        now_ms = self._clock.wall_ms()
        return {
            target.hex(): {
                "keys": max(0, account.keys),
                "bytes": max(0, account.size),
                "oldest_seconds": max(0, now_ms - account.oldest_ms) / 1000,
            }
            for target, account in sorted(self.accounts.items())
        }

    # --- taking in --------------------------------------------------------------------------------

    def owe(self, target: NodeId, keys: Sequence[bytes], new: Sequence[bytes]) -> list[Row]:
        """Rows that say that this member missed these records, which are written here with them;
        nothing when there is no room."""
        rows = self._take(target, keys, new, Kind.OWED)
        if rows is None:
            self._counters["hints_dropped"] += len(keys)
            self.unhinted.update(map(row_keys.partition_of, keys))
            return []
        self._counters["hints_owed"] += len(rows)
        return rows

    def keep(
        self,
        target: NodeId,
        keys: Sequence[bytes],
        new: Sequence[bytes],
        *,
        whatever_size: bool = False,
    ) -> list[Row] | None:
        """Rows that keep these records for this member; ``None`` when there is no room. A record
        that was checked before, please."""
        rows = self._take(target, keys, new, Kind.KEPT, bounded=not whatever_size)
        if rows is None:
            self._counters["hints_refused"] += len(keys)
        else:
            self._counters["hints_kept"] += len(rows)
        return rows

    def _take(
        self,
        target: NodeId,
        keys: Sequence[bytes],
        new: Sequence[bytes],
        kind: Kind,
        *,
        bounded: bool = True,
    ) -> list[Row] | None:
        taken: list[tuple[bytes, bytes | None, bytes]] = []
        grown = 0
        for key, record in zip(keys, new, strict=True):
            at = row_keys.hint_row(target, key)
            before = self._read(at)
            value = self._value(at, before, kind, record)
            taken.append((at, before, value))
            grown += len(value) - len(before) if before else len(at) + len(value)
        if bounded and not self._room(target, grown):
            return None
        for at, before, value in taken:
            if before is not None:
                self._add(at, before, -1)
            self._add(at, value, 1)
        return [(at, value) for at, _, value in taken]

    def _value(self, at: bytes, before: bytes | None, kind: Kind, record: bytes) -> bytes:
        """What the hint is now: with what it stood for before."""
        since_ms = self._clock.wall_ms()
        if before is not None:
            held = Hint.read(at, before)
            since_ms = held.since_ms
            if kind is Kind.KEPT or held.kind is Kind.KEPT:
                # This member owned the row at one of both, and not at the other.
                kind, stood_for = Kind.KEPT, self._record(held)
                record = records.join_records(stood_for, record)
        content = record
        if kind is Kind.OWED:
            content = records.digest(record).to_bytes(_DIGEST_BYTES)
        return Hint.pack(kind, since_ms, content)

    def _room(self, target: NodeId, grown: int) -> bool:
        account = self.accounts.get(target)
        held = account.size if account is not None else 0
        return held + grown <= self._target_bytes and self.size + grown <= self._all_bytes

    # --- giving back ------------------------------------------------------------------------------

    def page(self, target: NodeId, start: bytes, items: int) -> Page:
        """Some hints for a target, from this row on, or from its first if there is none after it.

        Raises:
            StorageError: there are some, and none can be read.
        """
        first = row_keys.HINTS + target
        if start > first:
            with suppress(StorageError):
                page = self._page(start, first, items)
                if page.rows or page.gone:
                    return page
        return self._page(first, first, items)

    def _page(self, start: bytes, first: bytes, items: int) -> Page:
        """The same without beginning again. Where something cannot be read, the rest of its
        partition has its turn, and then the partitions after it."""
        page = Page([], [], [], [], start)
        account = self.accounts.get(NodeId(first[len(row_keys.HINTS) :]))
        partitions = sorted(account.partitions) if account is not None else []
        begins = [first + partition.to_bytes(2) for partition in partitions]
        damage: StorageError | None = None
        for begin in [start, *(begin for begin in begins if begin > start)]:
            try:
                self._fill(page, self._reader.scan(begin, first + row_keys.END_OF_DATA), items)
            except StorageError as error:
                damage = error
                self.unhinted.update(partitions_of(begin))
                if not (page.rows or page.gone) and partitions_of(begin):
                    with suppress(StorageError):
                        rest = self._reader.scan_readable(begin, after_partition(begin))
                        self._fill(page, rest, items)
            else:
                break
            if page.rows or page.gone:
                break
        seen = [at for at, _ in page.rows[-1:] + page.gone[-1:]]
        if damage is not None:
            if not seen:
                raise damage
            self._counters["damaged_reads"] += 1
        return page._replace(next=max(seen) + b"\x00") if seen else page

    def _fill(self, page: Page, found: Iterable[tuple[bytes, bytes]], items: int) -> None:
        size = 0
        for at, value in found:
            hint = Hint.read(at, value)
            record = self._record(hint)
            if record is None:
                page.gone.append((at, value))
                continue
            page.rows.append((at, value))
            page.keys.append(hint.key)
            page.records.append(record)
            size += len(record)
            if len(page.rows) == items or size >= limits.HINT_PAGE_BYTES:
                break

    def _record(self, hint: Hint) -> bytes | None:
        """What a hint stands for: the record in it, or the own one as it is now."""
        if hint.kind is Kind.KEPT:
            return hint.content
        return self._read(hint.key)

    def forget(self, rows: Sequence[tuple[bytes, bytes]]) -> list[Row]:
        """Deletions of the hints among these that are still the same."""
        same = [at for at, value in rows if self._read(at) == value]
        values = dict(rows)
        for at in same:
            self._add(at, values[at], -1)
        return [(at, None) for at in same]

    # --- counting ---------------------------------------------------------------------------------

    def recount(self, epoch: int) -> None:
        """The accounts may be wrong, or the owners are others: look at every row again. Meanwhile
        everybody for whom there was something is still named."""
        self.accounts = {
            target: Account(account.oldest_ms) for target, account in self.accounts.items()
        }
        self.size = 0
        self.epoch = epoch
        self._cursor = row_keys.HINTS
        self.doubtful.clear()
        self._unsure.clear()

    def count(
        self, owners: Sequence[Sequence[NodeId]], items: int = limits.HINT_COUNT_ITEMS
    ) -> list[tuple[bytes, bytes]]:
        """Go on counting for so many rows, or up to something that cannot be read, and over that.
        Returns those whose target is no owner of them."""
        strays: list[tuple[bytes, bytes]] = []
        try:
            found = self._reader.scan(self._cursor, _END)
            if self._count(found, owners, strays, items):
                self._cursor = _END
        except StorageError:
            self._step_over(owners, strays)
        if self.counted:
            self.accounts = {
                target: account
                for target, account in self.accounts.items()
                if account.keys or target in self._unsure
            }
        return strays

    def _count(
        self,
        found: Iterable[tuple[bytes, bytes]],
        owners: Sequence[Sequence[NodeId]],
        strays: list[tuple[bytes, bytes]],
        items: float = math.inf,
    ) -> bool:
        """Whether these were no more."""
        for at, value in found:
            self._cursor = at + b"\x00"
            self._add(at, value, 1)
            hint = Hint.read(at, value)
            if hint.target not in owners[hint.partition]:
                strays.append((at, value))
            items -= 1
            if not items:
                return False
        return True

    def _step_over(
        self, owners: Sequence[Sequence[NodeId]], strays: list[tuple[bytes, bytes]]
    ) -> None:
        """Something further on cannot be read. Perhaps it is in the partition that is being
        counted; then only what the store has not quarantined of that is counted."""
        partitions = [p for p in partitions_of(self._cursor) if p < len(owners)]
        if partitions:
            end = after_partition(self._cursor)
        else:
            # Before the first partition of an owner: whatever is here, nobody knows of what.
            partitions = list(range(len(owners)))
            begins = {row_keys.HINTS + owner + bytes(2) for row in owners for owner in row}
            end = min((begin for begin in begins if begin > self._cursor), default=_END)
        try:
            self._count(self._reader.scan(self._cursor, end), owners, strays)
        except StorageError:
            self._counters["damaged_reads"] += 1
            self.doubtful.update(partitions)
            self._unsure.add(row_keys.split_hint_row(self._cursor)[0])
            self.unhinted.update(partitions)
            with suppress(StorageError):
                self._count(self._reader.scan_readable(self._cursor, end), owners, strays)
        self._cursor = end

    def _add(self, at: bytes, value: bytes, sign: int) -> None:
        hint = Hint.read(at, value)
        account = self.accounts.get(hint.target)
        if at >= self._cursor:
            # It will be counted when its turn comes. That there is one can be seen already.
            if account is None and sign > 0:
                self.accounts[hint.target] = Account(hint.since_ms)
            return
        if account is None:
            account = self.accounts[hint.target] = Account(hint.since_ms)
        account.keys += sign
        size = sign * (len(at) + len(value))
        account.size += size
        self.size += size
        account.oldest_ms = min(account.oldest_ms, hint.since_ms)
        account.partitions[hint.partition] += sign
        if self.counted and not account.keys and hint.target not in self._unsure:
            del self.accounts[hint.target]

    def _read(self, key: bytes) -> bytes | None:
        """A row as it was last written. One that cannot be read is as good as none."""
        try:
            return self._reader.newest(key)
        except StorageError:
            self._counters["damaged_reads"] += 1
            return None
