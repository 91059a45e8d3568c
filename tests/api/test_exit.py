"""Processes that end without ``close()``: soon, with the right code, and without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dynamokv.protocol.state.identity import Identity
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.wire import keys as row_keys

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30.0

SCRIPTS: dict[str, str] = {
    "a member": """
        kv = dynamokv.join()
        kv.put("a", 1)
    """,
    "a member on disk": """
        kv = dynamokv.join(data_dir=sys.argv[1])
        kv.put("a", 1)
    """,
    "a member whose handle nobody kept": """
        dynamokv.join(data_dir=sys.argv[1]).put("a", 1)
    """,
    "a client": """
        kv = dynamokv.join()
        client = dynamokv.connect([kv.address])
        client.put("a", 1)
    """,
    "clients of a member that is gone": """
        kv = dynamokv.join()
        clients = [dynamokv.connect([kv.address]) for _ in range(3)]
        kv.close()
    """,
    "an asyncio member": """
        async def main():
            global kv
            kv = await dynamokv.join_async(data_dir=sys.argv[1])
            await kv.put("a", 1)
        asyncio.run(main())
    """,
    "an asyncio member that was lost": """
        async def main():
            kv = await dynamokv.join_async(data_dir=sys.argv[1])
            await kv.put("a", 1)
        asyncio.run(main())
        gc.collect()
    """,
    "an asyncio client": """
        async def main():
            global kv
            kv = dynamokv.DistributedKVStore([node.address])
            await kv.put("a", 1)
        node = dynamokv.join()
        asyncio.run(main())
    """,
    "an asyncio client that was lost": """
        async def main():
            kv = dynamokv.DistributedKVStore([node.address])
            await kv.put("a", 1)
        node = dynamokv.join()
        asyncio.run(main())
        gc.collect()
    """,
    "a member on a loop in a thread": """
        async def main():
            global kv
            kv = await dynamokv.join_async()
            joined.set()
            await asyncio.get_running_loop().create_future()
        joined = threading.Event()
        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        joined.wait()
    """,
    "calls from a daemon thread": """
        def work():
            while True:
                try:
                    kv.put("a", 1)
                except dynamokv.ClosedError:
                    break
        kv = dynamokv.join(data_dir=sys.argv[1])
        kv.put("a", 1)
        threading.Thread(target=work, daemon=True).start()
    """,
    "a member joined and left many times": """
        for number in range(5):
            with dynamokv.join(data_dir=f"{sys.argv[1]}-{number}") as kv:
                kv.put("a", 1)
    """,
}  # fmt: skip

PROLOGUE = "import asyncio, gc, sys, threading, warnings\nimport dynamokv\n"
EPILOGUE = "print('end')\n"


def run(
    body: str, *arguments: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    lines = [line[8:] for line in body.strip("\n").split("\n")]
    script = PROLOGUE + "\n".join(lines) + "\n" + EPILOGUE
    command = [sys.executable, *options, "-c", script, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_process_ends_without_close(name: str, tmp_path: Path) -> None:
    ended = run(SCRIPTS[name], str(tmp_path / "data"))
    assert (ended.stdout, ended.returncode) == ("end\n", 0), ended.stderr
    assert ended.stderr == ""


@pytest.mark.parametrize("name", ["a member on disk", "a member whose handle nobody kept"])
def test_the_stop_was_a_clean_one(name: str, tmp_path: Path) -> None:
    """The next life keeps its actor, as after ``close()``."""
    run(SCRIPTS[name], str(tmp_path))
    engine = LSMEngine(tmp_path)
    row = engine.get(row_keys.IDENTITY_ROW)
    engine.close()
    assert row is not None
    assert Identity.decode(row).clean


CLOSED: dict[str, str] = {
    "a member": """
        with dynamokv.join(data_dir=sys.argv[1]) as kv, dynamokv.connect([kv.address]) as client:
            kv.put("a", 1)
            assert client.get("a") == 1
            assert client.status()["state"] == "serving"
            kv.batch_put({str(n): n for n in range(100)})
    """,
    "an asyncio member": """
        async def main():
            async with dynamokv.AsyncNode(data_dir=sys.argv[1]) as kv:
                await kv.put("a", 1)
                async with dynamokv.DistributedKVStore([kv.address]) as client:
                    assert await client.get("a") == 1
                lazy = dynamokv.DistributedKVStore([kv.address])
                assert await lazy.bucket("b").get("a") is None
                await lazy.aclose()
        asyncio.run(main())
    """,
    "joins that fail": """
        for options in ({"seeds": ["127.0.0.1:1"], "timeout": 0.2}, {"address": "10.255.255.1:0",
                        "insecure": True}):
            try:
                dynamokv.join(**options)
            except dynamokv.DynamoKVError:
                pass
            else:
                raise SystemExit("it joined")
    """,
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_developer_mode_finds_nothing(name: str, tmp_path: Path) -> None:
    """No unclosed file or socket, no warning, no task or future that nobody looked at."""
    ended = run(CLOSED[name] + "\n        gc.collect()", str(tmp_path), options=("-X", "dev"))
    assert (ended.stdout, ended.returncode) == ("end\n", 0), ended.stderr
    assert ended.stderr == ""


def test_who_forgets_is_told_in_developer_mode(tmp_path: Path) -> None:
    name = "an asyncio member that was lost"
    ended = run(SCRIPTS[name], str(tmp_path), options=("-X", "dev"))
    assert (ended.stdout, ended.returncode) == ("end\n", 0), ended.stderr
    assert "ResourceWarning: a dynamokv handle" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("        kv = dynamokv.join()\n        sys.exit(3)", 3),
        ("        kv = dynamokv.join()\n        1 / 0", 1),
    ],
)
def test_the_exit_code_is_the_applications(body: str, code: int) -> None:
    ended = run(body)
    assert ended.returncode == code
    assert ended.stderr.count("Traceback") == (code == 1)
    assert "dynamokv" not in ended.stderr
