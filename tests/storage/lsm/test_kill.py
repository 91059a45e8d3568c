"""A writing process killed by the kernel, again and again, on a real disk: nothing that it
acknowledged is lost, and what it never finished is not there by half."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions

KEYS = 40
OPTIONS = LSMOptions(
    block_bytes=256,
    memtable_bytes=6000,
    merge_tables=2,
    table_bytes=4000,
    level_bytes=8000,
)
"""Some ten batches fill a memtable, so that a kill also meets flushes and merges, which are done by
threads and by child processes."""

WRITER = """
import sys
from pathlib import Path
from dynamokv.storage.lsm import engine as engines
from tests.storage.lsm.test_kill import KEYS, OPTIONS

engines.CHILD_BYTES_MIN = int(sys.argv[2])
engine = engines.LSMEngine(Path(sys.argv[1]), OPTIONS)
number = int(engine.get(b"number") or b"0")
while True:
    number += 1
    value = b"%d" % number
    row = (b"row-%d" % (number % KEYS), value + b"." * 100)
    gone = (b"row-%d" % ((number + 1) % KEYS), None)
    engine.apply([row, gone, (b"number", value), (b"twin", value)], sync=True)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@dataclass
class Killer:
    """Starts writers on one store and kills them."""

    store: Path
    rng: random.Random
    acknowledged: int = 0
    cycles: int = 0
    met: Counter[str] = field(default_factory=Counter)
    """What a kill left: unfinished tables, several logs and so on."""

    def cycle(self, batches: int) -> None:
        # Every other time the larger jobs go to child processes.
        in_children = str(10_000 if self.cycles % 2 else 1 << 40)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(self.store), in_children],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        ) as writer:
            assert writer.stdout is not None
            for _ in range(self.rng.randrange(1, batches)):
                self.acknowledged = int(writer.stdout.readline())
            writer.kill()
            # Also what was on its way while the kill was. The last line may be torn.
            *lines, _ = writer.stdout.read().split("\n")
            if lines:
                self.acknowledged = int(lines[-1])
        self.cycles += 1
        self._look_at_files()
        self._check()

    def _look_at_files(self) -> None:
        names = [path.name for path in self.store.iterdir()]
        self.met["unfinished tables"] += any(name.startswith("build-") for name in names)
        self.met["several logs"] += sum(name.startswith("wal-") for name in names) > 1
        self.met["tables"] += any(name.startswith("table-") for name in names)

    def _check(self) -> None:
        engine = LSMEngine(self.store, OPTIONS, background=False)
        found = int(engine.get(b"number") or b"0")
        assert self.acknowledged <= found <= self.acknowledged + 1
        expected = {
            b"row-%d" % (number % KEYS): b"%d" % number + b"." * 100
            for number in range(max(found - KEYS + 2, 1), found + 1)
        }
        if found:
            expected |= {b"number": b"%d" % found, b"twin": b"%d" % found}
        assert dict(engine.scan(b"", b"z")) == expected
        assert all(engine.get(key) == value for key, value in expected.items())
        assert engine.files_damaged == 0
        # A torn record is all that may be missing, and nobody was told about it.
        self.met["torn tails"] += engine.forgot
        assert engine.forgot == bool(engine.bytes_cut)
        engine.taken_in()
        engine.close()
        assert not [path.name for path in self.store.iterdir() if path.suffix == ".tmp"]


def run(store: Path, cycles: int, batches: int, seed: int) -> Killer:
    killer = Killer(store, random.Random(seed))
    for _ in range(cycles):
        killer.cycle(batches)
    sys.stdout.write(
        f"{killer.cycles} kills, {killer.acknowledged} batches acknowledged, none lost; met "
        + ", ".join(f"{count} times {what}" for what, count in sorted(killer.met.items()))
        + "\n"
    )
    return killer


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    killer = run(tmp_path, cycles=12, batches=200, seed=1)
    assert killer.acknowledged > 100
    assert killer.met["tables"] > 2


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_in_a_thousand_kills(tmp_path: Path) -> None:
    killer = run(tmp_path, cycles=1000, batches=300, seed=2)
    assert killer.met["tables"] > 900
    assert killer.met["several logs"] > 100
    assert killer.met["unfinished tables"] > 20
