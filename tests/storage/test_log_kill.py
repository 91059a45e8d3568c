"""A writing process killed by the kernel, again and again: nothing that it acknowledged is lost."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from dynamokv.storage.log import LogEngine

CYCLES = 20
LOG_BYTES_MAX = 4096
"""About twenty batches, so that kills also meet rotations and snapshots."""

WRITER = """
import sys
from pathlib import Path
from dynamokv.storage.log import LogEngine

engine = LogEngine(Path(sys.argv[1]), log_bytes_max=int(sys.argv[2]))
number = int(engine.get(b"number") or b"0")
while True:
    number += 1
    value = b"%d" % number
    row = (b"row-%d" % (number % 20), value + b"." * 100)
    engine.apply([row, (b"number", value), (b"twin", value)], sync=True)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    rng = random.Random(1)
    acknowledged = 0
    snapshots: set[str] = set()
    for _ in range(CYCLES):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(LOG_BYTES_MAX)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(rng.randrange(1, 60)):
                acknowledged = int(writer.stdout.readline())
            writer.kill()
            # Also what was on its way while the kill was.
            acknowledged = int(([str(acknowledged), *writer.stdout.read().split()])[-1])
        engine = LogEngine(tmp_path, log_bytes_max=1 << 30)
        found = int(engine.get(b"number") or b"0")
        assert acknowledged <= found <= acknowledged + 1
        assert engine.get(b"twin") == b"%d" % found
        for number in range(max(found - 19, 1), found + 1):
            assert engine.get(b"row-%d" % (number % 20)) == b"%d" % number + b"." * 100
        assert engine.stats()["records_damaged"] == 0
        engine.close()
        snapshots.update(path.name for path in tmp_path.glob("snapshot-*"))
    assert acknowledged >= CYCLES
    assert len(snapshots) > 3
