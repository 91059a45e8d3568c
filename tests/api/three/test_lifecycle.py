"""Handles that cannot be used: closed, forked, of another loop; and processes that just end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import dynamokv
from dynamokv.errors import ClosedError
from tests import waiting
from tests.documents import run_python

MEMBER = 'import dynamokv\nkv = dynamokv.join("127.0.0.1:0", data_dir="a")\nkv.put("k", 1)\n'

FORK = """
import os, sys, dynamokv
kv = dynamokv.join("127.0.0.1:0", data_dir="a")
client = dynamokv.connect([kv.address])
kv.put("k", 1)
bucket = kv.bucket("b")
pid = os.fork()
if pid == 0:
    raised = 0
    for call in (lambda: kv.get("k"), lambda: kv.put("k", 2), lambda: client.get("k"),
                 lambda: kv.get("k", consistency="ONE"), lambda: bucket.get("k"),
                 lambda: kv.batch_put({"k": 2}), lambda: kv.status(), lambda: client.ring(),
                 lambda: kv.address):
        try:
            call()
        except dynamokv.ForkedError as error:
            raised += "before fork()" in str(error)
    client.close()
    kv.close()
    print("child", raised, flush=True)
    sys.exit(0)
print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
kv.put("k", 3)
print(kv.get("k"), client.get("k"))
"""

ENDS = {
    "node": MEMBER,
    "client": MEMBER + 'client = dynamokv.connect([kv.address])\nprint(client.get("k"))\n',
    "async node": """
import asyncio, dynamokv
async def main():
    kv = await dynamokv.join_async("127.0.0.1:0", data_dir="a")
    await kv.put("k", 1)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("name", ENDS)
def test_a_process_that_never_closes_ends(name: str, tmp_path: Path) -> None:
    # An AsyncNode has no exit handler, so that pyzmq may tell of its sockets (a ResourceWarning,
    # which Python does not show by default): the other faces have to end without even that.
    warnings = "default::DeprecationWarning" if name == "async node" else "error"
    run = run_python("-c", ENDS[name], cwd=tmp_path, PYTHONWARNINGS=warnings)
    assert (run.returncode, run.stderr) == (0, "")
    with dynamokv.join("127.0.0.1:0", data_dir=tmp_path / "a") as node:
        assert node.get("k") == 1


def test_fork(tmp_path: Path) -> None:
    run = run_python("-c", FORK, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == ["child 9", "exit 0", "3 3"]


def blocking_calls(kv: dynamokv.Node | dynamokv.Client) -> list[Callable[[], object]]:
    bucket = kv.bucket("b")
    return [
        lambda: kv.get("k"),
        lambda: kv.get("k", consistency="ONE"),
        lambda: kv.read("k"),
        lambda: kv.put("k", 1),
        lambda: kv.delete("k"),
        lambda: kv.update("k", str),
        lambda: kv.batch_get(["k"]),
        lambda: kv.batch_put({"k": 1}),
        lambda: kv.batch_delete(["k"]),
        lambda: "k" in kv,
        lambda: bucket["k"],
        lambda: kv.status(),
        lambda: kv.metrics(),
        lambda: kv.ring(),
    ]


def test_blocking_faces_after_close() -> None:
    before = ours()
    node = dynamokv.join("127.0.0.1:0")
    client = dynamokv.connect([node.address])
    assert ours() > before
    for kv in (client, node):
        calls = blocking_calls(kv)
        kv.close()
        kv.close()
        for call in calls:
            with pytest.raises(ClosedError, match="closed"):
                call()
    with pytest.raises(ClosedError):
        _ = node.address
    waiting.until(lambda: ours() <= before, "no thread left")


def ours() -> set[int | None]:
    return {each.ident for each in threading.enumerate() if each.name.startswith("dynamokv")}


@pytest.mark.asyncio
async def test_asyncio_faces_after_close() -> None:
    before = ours()
    unstarted = dynamokv.AsyncNode("127.0.0.1:0")
    with pytest.raises(ClosedError, match="not started"):
        await unstarted.get("k")
    node = await dynamokv.join_async("127.0.0.1:0")
    client = dynamokv.DistributedKVStore([node.address])
    await client.put("k", 1)
    for kv in (client, node):
        await kv.aclose()
        await kv.aclose()
        for store in (kv, kv.bucket("b")):
            for call in (
                store.get("k"),
                store.get("k", consistency="ONE"),
                store.read("k"),
                store.put("k", 1),
                store.delete("k"),
                store.update("k", str),
                store.batch_get(["k"]),
                store.batch_put({"k": 1}),
                store.batch_delete(["k"]),
                kv.start(),
            ):
                with pytest.raises(ClosedError, match="closed"):
                    await call
    for ask in (node.status, node.metrics, node.ring):
        with pytest.raises(ClosedError):
            ask()
    for question in (client.status(), client.metrics(), client.ring()):
        with pytest.raises(ClosedError):
            await question
    await waiting.until_async(lambda: ours() <= before, "no thread left")


def test_another_loop() -> None:
    async def use(kv: dynamokv.AsyncNode | dynamokv.DistributedKVStore) -> None:
        for call in (kv.get("k"), kv.put("k", 1), kv.batch_get(["k"]), kv.aclose()):
            with pytest.raises(dynamokv.UsageError, match="another event loop"):
                await call

    async def main() -> None:
        async with (
            dynamokv.AsyncNode("127.0.0.1:0") as node,
            dynamokv.DistributedKVStore([node.address]) as client,
        ):
            for kv in (node, client):
                await asyncio.to_thread(lambda kv=kv: asyncio.run(use(kv)))  # type: ignore[misc]
                await kv.put("k", 2)
                assert await kv.get("k") == 2

    asyncio.run(main())


def test_address_in_use() -> None:
    before = ours()
    with dynamokv.join("127.0.0.1:0") as node:
        with pytest.raises(dynamokv.AddressInUse, match=node.address):
            dynamokv.join(node.address)
        node.put("k", 1)
    waiting.until(lambda: ours() <= before, "no thread left")


def test_one_folder_for_two(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with dynamokv.join("127.0.0.1:0", data_dir=folder) as node:
        with pytest.raises(dynamokv.DataDirLocked, match=str(folder)):
            dynamokv.join("127.0.0.1:0", data_dir=folder)
        run = run_python("-c", MEMBER, cwd=tmp_path)
        assert run.returncode == 1
        assert "DataDirLocked" in run.stderr.splitlines()[-1]
        node.put("k", 2)
    with dynamokv.join("127.0.0.1:0", data_dir=folder) as node:
        assert node.get("k") == 2
