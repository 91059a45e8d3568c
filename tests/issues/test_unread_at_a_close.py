"""A member that was closing left unread what others asked it. While its disk took the last writes
they waited for an answer, though the core would have told them to ask somebody else.

Nothing that it had acknowledged was lost by that: only who asks is answered, and nothing is taken
in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import dynamokv
from dynamokv import NodeConfig
from dynamokv.limits import CLOSE_SECONDS_MAX
from dynamokv.ports import Row
from dynamokv.storage.memory import MemoryEngine


class Slow(MemoryEngine):
    """Its writes wait while ``free`` is not set; ``waits`` says that one does."""

    congested = True
    free = threading.Event()
    waits = threading.Event()

    def __init__(self, _: Path) -> None:
        super().__init__()

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        if not self.free.is_set():
            self.waits.set()
            self.free.wait(CLOSE_SECONDS_MAX * 2)
        super().apply(batch, sync=sync)


def test_others_are_told(tmp_path: Path) -> None:
    Slow.free.set()
    Slow.waits.clear()
    config = NodeConfig(engine=Slow, data_dir=tmp_path)
    with dynamokv.join() as other:
        closing = dynamokv.join(seeds=[other.address], config=config)
        Slow.free.clear()
        thread = threading.Thread(target=closing.close)
        thread.start()
        assert Slow.waits.wait(5.0)
        began = time.monotonic()
        # Refused, so the put ends at once; not because a connection broke at the end of the close.
        with pytest.raises(dynamokv.QuorumError, match="closing"):
            other.put("key", "value", timeout=20.0)
        assert time.monotonic() - began < CLOSE_SECONDS_MAX / 2
        Slow.free.set()
        thread.join(20.0)
