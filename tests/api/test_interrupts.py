"""Ctrl-C: a call ends at once, its handle goes on, and a process ends when it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import dynamokv
from dynamokv.storage.lsm.engine import LSMEngine
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def call_until_interrupted(call: Callable[[], object], seconds: float) -> None:
    """Again and again, with a Ctrl-C after so long."""
    threading.Timer(seconds, interrupt).start()
    while True:
        call()


def test_a_handle_survives_interrupts_at_any_moment() -> None:
    with dynamokv.join(durability="os") as kv:
        for turn in range(30):
            with pytest.raises(KeyboardInterrupt):
                call_until_interrupted(lambda: (kv.put("k", 1), kv.get("k")), 0.002 * turn)
        assert kv.put("k", "after").acks == 1
        assert kv.get("k") == "after"
        until(lambda: kv.metrics()["in_flight"] == 0, "nothing is left over")


def test_a_call_to_a_loop_that_is_held_can_be_interrupted() -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait(20.0)

    with dynamokv.join(durability="os") as kv:
        kv._thread.post(hold)
        held.wait(20.0)
        with pytest.raises(KeyboardInterrupt):
            call_until_interrupted(lambda: kv.put("k", 1), 0.05)
        go.set()
        assert kv.get("k") in (1, None)
        until(lambda: kv.metrics()["in_flight"] == 0, "nothing is left over")
        kv.put("k", 2)
        assert kv.get("k") == 2


def test_a_batch_can_be_interrupted() -> None:
    with dynamokv.join(durability="os") as kv:
        items = {f"k{number}": number for number in range(5000)}
        for turn in range(5):
            with pytest.raises(KeyboardInterrupt):
                call_until_interrupted(lambda: kv.batch_put(items), 0.01 * turn)
        assert kv.batch_put(items).ok
        assert kv.batch_get(items) == items


SCRIPTS = {
    "waiting for a ring": """
import dynamokv, sys
print("begun", flush=True)
dynamokv.join(seeds=["127.0.0.1:1"], data_dir=sys.argv[1])
""",
    "waiting for a member": """
import dynamokv
print("begun", flush=True)
dynamokv.connect(["127.0.0.1:1"])
""",
    "serving": """
import dynamokv, sys, threading
with dynamokv.join(data_dir=sys.argv[1]) as kv:
    kv.put("k", 1)
    print("begun", flush=True)
    threading.Event().wait()
""",
    "serving on asyncio": """
import asyncio, dynamokv, sys
async def main():
    async with dynamokv.AsyncNode(data_dir=sys.argv[1]) as kv:
        await kv.put("k", 1)
        print("begun", flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_interrupted_process_ends(name: str, tmp_path: Path) -> None:
    """With one ``KeyboardInterrupt``, and no word of ours beside it."""
    command = [sys.executable, "-X", "dev", "-c", SCRIPTS[name], str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20.0)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert "Warning" not in said
    assert "never retrieved" not in said
    assert "was destroyed" not in said
    LSMEngine(tmp_path).close()  # nobody has it open
