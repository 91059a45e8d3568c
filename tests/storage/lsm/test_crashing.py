"""The crash harness, held to broken stores, each of which it must catch. ``test_lsm_crash`` holds
it to the sound one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.ports import Row
from dynamokv.storage.lsm import framing, journal, row_record, whole_files
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.manifest import RESERVE_BYTES
from dynamokv.storage.lsm.opening import Opening
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.storage.lsm.record_writer import RecordWriter
from dynamokv.testing.disk import SimulatedAppendFile, SimulatedDisk
from tests.storage.lsm.crashing import Broken, Campaign
from tests.storage.lsm.damaging import (
    Damage,
    damage_everywhere,
    fail_everywhere,
    flips,
    full_everywhere,
)
from tests.storage.lsm.stores import NoLock
from tests.storage.lsm.workload import OpenStore, Script, random_steps, salts_of

OPTIONS = LSMOptions(block_bytes=64, memtable_bytes=2000, merge_tables=2)
FULL = range(RESERVE_BYTES + 300, RESERVE_BYTES + 1200, 50)
"""Capacities at which writes are refused."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of crashes warn in as many lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def open_kind(disk: SimulatedDisk, directory: Path, kind: type[LSMEngine] = LSMEngine) -> LSMEngine:
    return kind(
        directory,
        OPTIONS,
        files=disk,
        salt=salts_of(disk),
        lock=NoLock,
        background=False,
        clock=lambda: 0.0,
    )


def script(
    seed: int,
    batches: int = 25,
    sync_share: float = 0.5,
    *,
    open_store: OpenStore = open_kind,
    extras: bool = True,
) -> Script:
    name = f"lsm, seed={seed} batches={batches} sync_share={sync_share} extras={extras}"
    steps = random_steps(seed, batches, sync_share=sync_share, extras=extras)
    return Script(name, steps, open_store)


def campaign(story: Script) -> Campaign:
    """Openings are not crashed: what is broken here shows without."""
    return Campaign(story, recovery_losses=0)


def test_a_sync_that_does_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedAppendFile, "sync", lambda file: None)
    with pytest.raises(Broken, match=r"the rows are none of states|it lost"):
        campaign(script(1, extras=False)).crash_everywhere()


def test_a_sync_of_the_directory_that_does_nothing_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SimulatedDisk, "sync_dir", lambda disk, path: None)
    with pytest.raises(Broken, match=r"the rows are none of states|it lost"):
        campaign(script(1, extras=False)).crash_everywhere()


def test_a_rename_before_the_sync_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    create = whole_files.create_file

    def create_unsynced(*arguments: object) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(SimulatedAppendFile, "sync", lambda file: None)
            return create(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "create_file", create_unsynced)
    with pytest.raises(Broken):
        campaign(script(1, extras=False)).crash_everywhere()


def test_an_opening_that_syncs_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Opening.run

    def run_unsynced(opening: Opening) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SimulatedAppendFile, "sync", lambda file: None)
            run(opening)

    monkeypatch.setattr(Opening, "run", run_unsynced)
    with pytest.raises(Broken, match=r"it lost what it had shown"):
        campaign(script(1, extras=False)).crash_everywhere()


class Hasty(LSMEngine):
    """Acknowledges a batch, and writes it with the next one."""

    late: tuple[Sequence[Row], bool] | None = None

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        self._catch_up()
        self.late = batch, sync

    def close(self) -> None:
        self._catch_up()
        super().close()

    def _catch_up(self) -> None:
        late, self.late = self.late, None
        if late is not None:
            super().apply(late[0], sync=late[1])


class Piecemeal(LSMEngine):
    """Writes a batch row by row."""

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        for row in batch:
            super().apply([row], sync=sync)


class Stubborn(LSMEngine):
    """Writes a batch that it refused after all, when there is space again."""

    refused: Sequence[Row] = ()

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        try:
            super().apply([*self.refused, *batch], sync=sync)
            self.refused = ()
        except DiskFull:
            self.refused = batch
            raise


class Forgiving(LSMEngine):
    """Takes a failed write for a written one."""

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        try:
            super().apply(batch, sync=sync)
        except DiskFull:
            raise
        except StorageError:
            self.store.view.active.apply(batch)


class Leaky(LSMEngine):
    """Raises what the disk raises."""

    def flush(self) -> None:
        super().flush()
        self._files.sync_dir(self.directory)


class Crooked(LSMEngine):
    """Reads in two ways that do not agree."""

    def get(self, key: bytes) -> bytes | None:
        return super().get(key) or None


def broken(kind: type[LSMEngine], seed: int = 1) -> Script:
    def open_store(disk: SimulatedDisk, directory: Path) -> LSMEngine:
        return open_kind(disk, directory, kind)

    return script(seed, open_store=open_store, extras=kind is Leaky)


def test_a_batch_that_is_written_later_is_caught() -> None:
    with pytest.raises(Broken, match=r"it lost a new write"):
        campaign(broken(Hasty)).crash_everywhere()


def test_a_batch_in_pieces_is_caught_and_the_failure_tells_how_to_see_it_again() -> None:
    with pytest.raises(Broken, match=r"the rows are none of states") as caught:
        campaign(broken(Piecemeal)).crash_everywhere()
    told = str(caught.value)
    for part in ("seed=1", "crash_at=", "step ", "append /store/wal", "the last calls:"):
        assert part in told


def test_a_get_that_differs_from_a_scan_is_caught() -> None:
    with pytest.raises(Broken, match=r"get\(b'..'\) is None, a scan has b''"):
        campaign(broken(Crooked)).crash_everywhere()


def test_a_refused_batch_that_appears_is_caught() -> None:
    with pytest.raises(Broken, match=r"the rows are none of states"):
        full_everywhere(broken(Stubborn), FULL)


def test_a_failed_write_that_is_not_cut_off_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordWriter, "_cut_back", lambda *arguments: None)
    with pytest.raises(Broken):
        full_everywhere(script(1, extras=False), FULL)


def test_a_full_disk_that_is_for_ever_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_back(writer: RecordWriter, file: SimulatedAppendFile, error: OSError) -> None:
        file.truncate(writer.size_bytes)
        file.sync()
        writer.failure = "full"

    monkeypatch.setattr(RecordWriter, "_cut_back", cut_back)
    with pytest.raises(Broken, match=r"full"):
        full_everywhere(script(1, extras=False), FULL)


def test_writes_after_a_failed_one_are_caught() -> None:
    with pytest.raises(Broken, match=r"after one that failed|the rows are none of states"):
        fail_everywhere(broken(Forgiving))


def test_an_error_of_another_kind_is_caught() -> None:
    with pytest.raises(Broken, match=r"OSError: \[Errno 5\]"):
        fail_everywhere(broken(Leaky))


def flips_of_logs(store: SimulatedDisk) -> Iterator[Damage]:
    return (flip for flip in flips(store, every=7) if flip.path.name.startswith("wal"))


def test_unchecked_bytes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (framing, row_record):
        monkeypatch.setattr(module, "xxh3_64_intdigest", lambda *arguments: 0)
    with pytest.raises(Broken, match=r"in silence|never was|gets differ"):
        damage_everywhere(script(3), flips_of_logs)
