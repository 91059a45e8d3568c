"""Ctrl-C in ``join`` left the data directory locked, and tasks that complained at exit.

The loop was stopped with the join still running on it, so nothing of what it had opened was closed:
a second ``join`` in the same process, a notebook for one, met ``DataDirLocked``.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

import dynamokv
from tests.waiting import until

MAIN = threading.main_thread()


def interrupt_when(opened: Path) -> None:
    until(opened.exists, "the store is open")
    os.kill(os.getpid(), signal.SIGINT)


def test_it_can_be_joined_again(tmp_path: Path) -> None:
    assert threading.current_thread() is MAIN
    threading.Thread(target=interrupt_when, args=(tmp_path / "LOCK",)).start()
    with pytest.raises(KeyboardInterrupt):
        dynamokv.join(seeds=["127.0.0.1:1"], data_dir=tmp_path)
    until(lambda: "dynamokv" not in str(threading.enumerate()), "its threads are gone")
    with dynamokv.join(data_dir=tmp_path) as kv:
        assert kv.get("k") is None
