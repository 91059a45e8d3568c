"""The seams: what the core and the runtime ask of the outside, as small Protocols.

Everything that touches a clock, a random source, a disk or a socket stands behind one of these, so
that production, the simulator and a table test differ only in what they pass in. A port that needs
a long fake is a wrong port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeAlias, runtime_checkable

Row: TypeAlias = tuple[bytes, bytes | None]
"""A key and its new value; ``None`` deletes the row from the store (this is below tombstones, which
are values)."""


Stat: TypeAlias = int | float | list[str]
"""A number, or lines of text for an operator."""


class Clock(Protocol):
    """Time, handed in."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970. May jump, either way; nothing's correctness may depend on it."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back. Only differences mean anything."""
        ...


class Rng(Protocol):
    """Randomness, handed in."""

    def random(self) -> float:
        """A float in [0, 1)."""
        ...

    def randbytes(self, n: int, /) -> bytes:
        """``n`` random bytes, fit for identities in production."""
        ...


class Reader(Protocol):
    """The protocol's view of the local store: what it may read within one step."""

    def visible(self, key: bytes) -> bytes | None:
        """The record that reads may show: durable at the level that this node promises."""
        ...

    def newest(self, key: bytes) -> bytes | None:
        """The record that writes build on: the last one written, durable or not."""
        ...

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """``newest`` rows with start <= key < end, in key order."""
        ...

    def scan_visible(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """``visible`` rows with start <= key < end in key order, as of the call."""
        ...

    def scan_readable(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The same, without the ranges that the store has quarantined."""
        ...

    def quarantined(self) -> Sequence[Range]:
        """These ranges (``Quarantines``)."""
        ...

    def at_rest(self, action: Callable[[], None]) -> None:
        """Do this while no batch is on its way into the store and all before are accounted for: at
        once, or before the next one begins."""
        ...


Range: TypeAlias = tuple[bytes, bytes]
"""Keys: the first one, and the first one after them."""

Changes: TypeAlias = tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]
"""The records, or heads of them, that keys have before a batch; and those that they have after it,
of these keys and perhaps of others. ``None`` is no record. (Two mappings, and not one of pairs:
what is made for each row is looked through by the garbage collector if it can refer to anything.)
"""


class Account(Protocol):
    """Whoever keeps book of what is visible in the store."""

    def about_to_change(
        self, rows: Iterable[Row], visible: Callable[[bytes], bytes | None]
    ) -> Changes:
        """What a batch of these rows is about to change, of what it keeps book of; ``visible`` has
        the record that is there now, which may take a look at the disk. Asked of every batch, and
        while none is on its way."""
        ...

    def changed(self, changes: Changes) -> None:
        """The batch was applied: this is what it changed."""
        ...

    def lost_track(self, key: bytes) -> None:
        """A batch has changed this row, and what it was before could not be read."""
        ...


class StorageEngine(Protocol):
    """An ordered, durable map of bytes. Third parties may bring their own
    (``NodeConfig(engine=...)``). ``Quarantines`` and ``Reminds`` are what it may do besides.

    ``apply``, ``drop``, ``flush``, ``checkpoint`` and ``close`` are called by one thread at a time,
    though not always the same one. ``get``, ``scan`` and ``stats`` may be called by any thread at
    any moment, also during an ``apply``; they see each batch's row whole or not at all.

    Attributes:
        forgot: True when opening found that acknowledged writes may be missing (a truncated,
            damaged or quarantined file). The node then mints a new storage epoch before its first
            write.
        congested: True when the next ``apply`` may wait, for room or because too much is under way:
            it is then kept off the event loop. An engine that never waits says False.
    """

    forgot: bool

    @property
    def congested(self) -> bool:
        """See above. Asked before every write, so it has to be quick."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value, or ``None``. Raises ``CorruptionError`` for bytes that fail their checksum."""
        ...

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        """Write all rows or none, then make them visible; with ``sync`` they are on the disk before
        they are visible.

        Raises:
            DiskFull: nothing was applied and none of it will ever appear; later calls may succeed.
            StorageError: the disk failed. The batch may or may not be there after a reopen; until
                then every later ``apply`` is refused, while reads go on.
        """
        ...

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end in key order, as of the call: batches applied later do not
        show."""
        ...

    def drop(self, start: bytes, end: bytes) -> None:
        """Delete all rows with start <= key < end; on return that is on the disk. It may be many
        rows, so it is no batch: after a crash or an error some may be gone, and whoever wanted it
        calls it again. Scans begun before still show them. Raises as ``apply`` does."""
        ...

    def flush(self) -> None:
        """On return, everything applied before is on the disk. Raises as ``apply`` does."""
        ...

    def checkpoint(self, directory: Path) -> None:
        """Write a copy, as of now, that the same engine can open; ``directory`` must not exist."""
        ...

    def stats(self) -> Mapping[str, Stat]:
        """At least ``rows`` and ``storage_bytes`` (on disk, or in memory for an engine without a
        disk). ``rows``: an estimate where counting would cost."""
        ...

    def close(self) -> None:
        """Flush and let go of every file. A second call does nothing."""
        ...


@runtime_checkable
class Quarantines(Protocol):
    """What a ``StorageEngine`` may do besides: give up single ranges of damaged rows, and go on.
    The node has other owners bring them back. Without this, what cannot be read stays so until the
    store is replaced.

    Reads in a quarantined range raise ``CorruptionError``, but for keys that were written since. No
    older state of a row is ever shown in its place.
    """

    def quarantined(self) -> Sequence[Range]:
        """Ranges start <= key < end, in any order; they may overlap. By any thread, at any moment.
        ``stats`` says the same for people, as ``quarantined``."""
        ...

    def heal(self, ranges: Sequence[Range]) -> None:
        """What is quarantined of these ranges has been written again, as far as anybody has it:
        read it, without what was not. They come from ``quarantined`` some time ago, in whole or in
        part. What is outside of them stays in quarantine, and so does what is found damaged during
        this call: nobody was asked for that.

        On return what was written again is on the disk, and before the end of its quarantine is.
        Called as ``apply`` is, and raises as that does, or ``CorruptionError`` when more turns out
        to be damaged; the quarantine then stays, in part or as it was."""
        ...


@runtime_checkable
class Reminds(Protocol):
    """What a ``StorageEngine`` may do besides: say ``forgot`` at every opening until the node has
    taken it in. A node may end between its store's opening and its own first write. Without this,
    an engine that says it once only is as if nothing had been lost to the next one.
    """

    def taken_in(self) -> None:
        """Whatever follows from ``forgot`` is on the disk: the next opening need not say so again.
        If it does all the same, as after a crash, that costs work and loses nothing. Called as
        ``apply`` is, and raises as that does."""
        ...


class FileSystem(Protocol):
    """The few file operations that an engine needs, so that a test can fail each of them."""

    def make_dir(self, path: Path) -> None:
        """Create a directory and its parents; no error when it is there. The entry is durable on
        return."""
        ...

    def list_dir(self, path: Path) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def read(self, path: Path) -> bytes:
        """The whole file."""
        ...

    def open_read(self, path: Path) -> ReadFile:
        """Open for reading at any place. What was opened stays readable when its name goes."""
        ...

    def open_append(self, path: Path) -> AppendFile:
        """Open for appending at the end, created when absent. ``sync_dir`` makes a new entry
        durable."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Atomic rename over the target."""
        ...

    def remove(self, path: Path) -> None:
        """Delete a file."""
        ...

    def sync_dir(self, path: Path) -> None:
        """Make the directory's entries durable."""
        ...

    def link(self, source: Path, target: Path) -> None:
        """A second name for the same, from now on immutable, file."""
        ...


class ReadFile(Protocol):
    """An open file to read from; any thread, any number at once."""

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """These bytes, or fewer where the file ends."""
        ...

    def size(self) -> int:
        """Length in bytes."""
        ...

    def close(self) -> None:
        """A second call does nothing."""
        ...


class AppendFile(Protocol):
    """An open file that only grows, or is cut back to an earlier length."""

    def append(self, data: bytes) -> None:
        """Write all of it or raise ``OSError``; after an error the file may hold part of it."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Cut the file to this length; the next append goes there."""
        ...

    def sync(self) -> None:
        """fdatasync. An error is final for this file."""
        ...

    def size(self) -> int:
        """Length in bytes."""
        ...

    def close(self) -> None:
        """Close without syncing."""
        ...


ROUTE_BYTES: Final = 5
"""A route is a zero byte and the transport's number of a connection; no link has such a name."""


class Transport(Protocol):
    """Frames to and from peers. Loss is allowed, silence about it is not: ``send`` says False, a
    lost peer is reported.

    A peer is known by its node id once ``connect`` named it, or by the opaque route of the frame it
    sent (``ROUTE_BYTES``).
    """

    def connect(self, peer: bytes, address: str) -> None:
        """Keep a link to this address for ever, under this name; an older link of that name to
        elsewhere is dropped."""
        ...

    def disconnect(self, peer: bytes) -> None:
        """Drop the link, if there is one."""
        ...

    def send(self, peer: bytes, frame: bytes) -> bool:
        """Queue a frame without ever blocking; False when the peer cannot be reached now, and then
        nothing was queued."""
        ...

    def remember(self, peer: bytes, route: bytes) -> None:
        """Frames of this peer come by this route: the way back while there is no link to it."""
        ...


class Serializer(Protocol):
    """Values to bytes and back (``serializer=``). Must raise ``ValueError`` or ``TypeError`` for
    what it cannot carry."""

    def dumps(self, value: object, /) -> bytes:
        """Encode."""
        ...

    def loads(self, data: bytes, /) -> object:
        """Decode what ``dumps`` made."""
        ...
