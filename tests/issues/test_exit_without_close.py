"""A process that ended without ``close()`` printed a traceback, and its stop was no clean one.

The thread pools of the standard library take no more work once the interpreter shuts down, and the
close at exit needed two of them: one for the last row, one for the end of the sockets. It failed
before either. Threads of our own do that work now.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dynamokv.protocol.state.identity import Identity
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.wire import keys as row_keys

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "import dynamokv, sys; kv = dynamokv.join(data_dir=sys.argv[1]); kv.put('k', 1)"


def test_the_exit_is_silent_and_the_stop_is_clean(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    engine = LSMEngine(tmp_path)
    row = engine.get(row_keys.IDENTITY_ROW)
    engine.close()
    assert row is not None
    assert Identity.decode(row).clean
