"""The crash harness, held to an engine that is known, and to broken ones, each of which it must
catch."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.ports import Row
from dynamokv.storage import log_files, log_format
from dynamokv.storage.log import LogEngine
from dynamokv.storage.log_writer import LogWriter
from dynamokv.testing.disk import SimulatedAppendFile, SimulatedDisk
from tests.storage.faulty import NoLock
from tests.storage.lsm.crashing import Broken, Campaign
from tests.storage.lsm.damaging import (
    cuts,
    damage_everywhere,
    fail_everywhere,
    flips,
    full_everywhere,
    losses,
)
from tests.storage.lsm.workload import OpenStore, Script, random_steps, salts_of


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of crashes warn in as many lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def open_log(disk: SimulatedDisk, directory: Path, kind: type[LogEngine] = LogEngine) -> LogEngine:
    return kind(
        directory, log_bytes_max=600, files=disk, salt=salts_of(disk), background=False, lock=NoLock
    )


def script(
    seed: int,
    batches: int = 25,
    sync_share: float = 0.5,
    *,
    open_store: OpenStore = open_log,
    extras: bool = True,
) -> Script:
    name = f"log, seed={seed} batches={batches} sync_share={sync_share} extras={extras}"
    steps = random_steps(seed, batches, sync_share=sync_share, extras=extras)
    return Script(name, steps, open_store)


# A sound engine.


@pytest.mark.parametrize("sync_share", [1.0, 0.3, 0.0])
def test_a_crash_at_every_call(sync_share: float) -> None:
    report = Campaign(script(1, 20, sync_share)).crash_everywhere()
    assert report.calls > 100
    assert report.crashes > 100
    assert report.survivors > 500
    assert report.recoveries > 1000
    assert report.forgot


@pytest.mark.parametrize("full_error", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_every_byte(full_error: int) -> None:
    for patience in (0, 3):
        report = full_everywhere(
            script(3), range(patience, 3000, 43), patience=patience, full_error=full_error
        )
        assert report.failures > 30


def test_a_failure_of_every_call() -> None:
    report = fail_everywhere(script(3))
    assert report.crashes > 300
    assert report.failures > 100


def test_damage_to_every_file() -> None:
    assert damage_everywhere(script(3), partial(flips, every=13)).forgot > 300
    assert damage_everywhere(script(3), partial(cuts, every=13), silent="log").forgot > 60
    assert damage_everywhere(script(3), losses, silent="log").survivors == 2


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(20))
def test_everything(seed: int) -> None:
    for sync_share in (0.0, 0.5, 1.0):
        story = script(100 + seed, 40, sync_share)
        Campaign(story, losses_tried=20, recovery_losses=8, all_calls=True).crash_everywhere()
        full_everywhere(story, range(5000), patience=seed % 4)
        fail_everywhere(story)
        damage_everywhere(story, flips)
        damage_everywhere(story, cuts, silent="log")


# Broken ones.


def test_a_sync_that_does_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedAppendFile, "sync", lambda file: None)
    with pytest.raises(Broken, match=r"the rows are none of states|it lost"):
        Campaign(script(1, extras=False)).crash_everywhere()


def test_a_sync_of_the_directory_that_does_nothing_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SimulatedDisk, "sync_dir", lambda disk, path: None)
    with pytest.raises(Broken, match=r"the rows are none of states|it lost"):
        Campaign(script(1, extras=False)).crash_everywhere()


def test_a_rename_before_the_sync_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    create = log_files._create

    def create_unsynced(*arguments: object) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(SimulatedAppendFile, "sync", lambda file: None)
            return create(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(log_files, "_create", create_unsynced)
    with pytest.raises(Broken):
        Campaign(script(1, extras=False)).crash_everywhere()


def test_an_opening_that_syncs_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = LogEngine._continue_log

    def go_on_unsynced(*arguments: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SimulatedAppendFile, "sync", lambda file: None)
            go_on(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LogEngine, "_continue_log", go_on_unsynced)
    with pytest.raises(Broken, match=r"it lost what it had shown"):
        Campaign(script(1, extras=False)).crash_everywhere()


class Hasty(LogEngine):
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


class Piecemeal(LogEngine):
    """Writes a batch row by row."""

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        for row in batch:
            super().apply([row], sync=sync)


class Stubborn(LogEngine):
    """Writes a batch that it refused after all, when there is space again."""

    refused: Sequence[Row] = ()

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        try:
            super().apply([*self.refused, *batch], sync=sync)
            self.refused = ()
        except DiskFull:
            self.refused = batch
            raise


class Forgiving(LogEngine):
    """Takes a failed write for a written one."""

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        try:
            super().apply(batch, sync=sync)
        except DiskFull:
            raise
        except StorageError:
            self._memory.apply(batch, sync=sync)


class Leaky(LogEngine):
    """Raises what the disk raises."""

    def flush(self) -> None:
        super().flush()
        self._files.sync_dir(self._directory)


class Crooked(LogEngine):
    """Reads in two ways that do not agree."""

    def get(self, key: bytes) -> bytes | None:
        return super().get(key) or None


def broken(kind: type[LogEngine], seed: int = 1) -> Script:
    def open_store(disk: SimulatedDisk, directory: Path) -> LogEngine:
        return open_log(disk, directory, kind)

    return script(seed, open_store=open_store, extras=kind is Leaky)


def test_a_batch_that_is_written_later_is_caught() -> None:
    with pytest.raises(Broken, match=r"it lost a new write"):
        Campaign(broken(Hasty)).crash_everywhere()


def test_a_batch_in_pieces_is_caught_and_the_failure_tells_how_to_see_it_again() -> None:
    with pytest.raises(Broken, match=r"the rows are none of states") as caught:
        Campaign(broken(Piecemeal)).crash_everywhere()
    told = str(caught.value)
    for part in ("seed=1", "crash_at=", "step ", "append /store/log", "the last calls:"):
        assert part in told


def test_a_get_that_differs_from_a_scan_is_caught() -> None:
    with pytest.raises(Broken, match=r"get\(b'..'\) is None, a scan has b''"):
        Campaign(broken(Crooked)).crash_everywhere()


def test_a_refused_batch_that_appears_is_caught() -> None:
    with pytest.raises(Broken, match=r"the rows are none of states"):
        full_everywhere(broken(Stubborn), range(200, 1000, 50))


def test_a_failed_write_that_is_not_cut_off_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogWriter, "_cut_back", lambda *arguments: None)
    with pytest.raises(Broken):
        full_everywhere(script(1, extras=False), range(200, 1000, 50))


def test_a_full_disk_that_is_for_ever_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_back(writer: LogWriter, file: SimulatedAppendFile, error: OSError) -> None:
        file.truncate(writer.size_bytes)
        file.sync()
        writer.failure = "full"

    monkeypatch.setattr(LogWriter, "_cut_back", cut_back)
    with pytest.raises(Broken, match=r"full"):
        full_everywhere(script(1, extras=False), range(200, 1000, 50))


def test_writes_after_a_failed_one_are_caught() -> None:
    with pytest.raises(Broken, match=r"after one that failed|the rows are none of states"):
        fail_everywhere(broken(Forgiving))


def test_an_error_of_another_kind_is_caught() -> None:
    with pytest.raises(Broken, match=r"OSError: \[Errno 5\]"):
        fail_everywhere(broken(Leaky))


def test_unchecked_bytes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_format, "xxh3_64_intdigest", lambda *arguments: 0)
    with pytest.raises(Broken, match=r"in silence|never was|gets differ"):
        damage_everywhere(script(3), flips)
