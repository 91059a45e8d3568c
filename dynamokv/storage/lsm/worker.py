"""A process that does the work of one store: the other end of ``supervisor.py``.

    python -m dynamokv.storage.lsm.worker DIRECTORY PARENT NICENESS

Knows: one channel, which is its stdin, and one job at a time. Must not know: why a job is done.

Rules:

- It does not outlive its parent: when the channel ends it ends, also in the middle of a job. Where
  some other process still holds the parent's end, the parent's pid tells.
- What it left behind in that case is deleted by whoever opens the store next.
- It is polite: as low a priority as it is told, and no answer to Ctrl-C, which is meant for the
  parent.
- The first message says who speaks: a parent whose library was replaced since it started must not
  work with the new one.
"""

from __future__ import annotations

import gc
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm.channel import Garbage, receive_message, send_message
from dynamokv.storage.lsm.jobs import Task
from dynamokv.storage.lsm.task_codec import decode_task, encode_outcome, greeting
from dynamokv.storage.lsm.throttle import Throttle
from dynamokv.storage.lsm.work import random_salt, run

PARENT_CHECK_MS: Final = 1000
"""How long a lost parent may stay unnoticed, where the channel does not tell."""


def main(arguments: Sequence[str]) -> NoReturn:
    """Do tasks until there are no more."""
    directory, parent, niceness = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(niceness)
    # Rows are no cycles, and millions of them at a time would be searched for some.
    gc.disable()
    channel = socket.socket(fileno=0)
    files = RealFiles()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    try:
        send_message(channel, greeting())
        threading.Thread(target=_listen, args=(channel, parent, tasks), daemon=True).start()
        while True:
            task = tasks.get()
            throttle = Throttle(task.bytes_per_second, clock=time.monotonic, pause=_pause)
            outcome = run(task, files, directory, random_salt, throttle)
            send_message(channel, encode_outcome(outcome))
            gc.collect()
    except OSError:
        # Nobody is there to hear the outcome.
        os._exit(0)


def _pause(seconds: float) -> None:
    if seconds:
        time.sleep(seconds)


def _listen(channel: socket.socket, parent: int, tasks: queue.SimpleQueue[Task]) -> NoReturn:
    """Take in tasks; end the process when there will be none."""
    readable = select.poll()
    readable.register(channel, select.POLLIN)
    try:
        while os.getppid() == parent:
            if readable.poll(PARENT_CHECK_MS):
                tasks.put(decode_task(receive_message(channel)))
        os._exit(0)
    except EOFError:
        os._exit(0)
    except (Garbage, ValueError) as error:
        sys.stderr.write(f"dynamokv worker: {error}\n")
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
