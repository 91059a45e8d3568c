"""After a step had failed, and had nothing to do when its time to try again came, its thread spun
for ever."""

from __future__ import annotations

import time
from threading import Event

from dynamokv.storage.lsm.background import Background


class Failing:
    """Fails once, and then has nothing to do."""

    def __init__(self) -> None:
        self.retry_at = {"flush": 0.0, "merge": 0.0}
        self.tries = 0
        self.again = Event()

    def flush_step(self) -> bool:
        return False

    def merge_step(self) -> bool:
        self.tries += 1
        if self.tries == 1:
            self.retry_at["merge"] = time.monotonic() + 0.01
        else:
            self.again.set()
        return False


def test_a_thread_rests_when_there_is_nothing_to_do() -> None:
    steps = Failing()
    background = Background(steps, lambda: False, time.monotonic)
    background.start()
    assert steps.again.wait(10.0)
    background.close()
    assert steps.retry_at["merge"] == 0.0
    assert steps.tries < 10
