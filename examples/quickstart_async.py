"""The asyncio quickstart of README.md, with its results checked.

Run it: ``python examples/quickstart_async.py``. Three members of one ring run on one loop, to have
all of it on one page; an application has one member in each of its processes.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import dynamokv


async def main(folder: Path) -> None:
    async with (
        dynamokv.AsyncNode("127.0.0.1:0", data_dir=folder / "a") as a,
        dynamokv.AsyncNode("127.0.0.1:0", seeds=[a.address], data_dir=folder / "b") as b,
        dynamokv.AsyncNode("127.0.0.1:0", seeds=[a.address], data_dir=folder / "c") as c,
    ):
        await a.put("user:123", {"name": "Ada"}, consistency="QUORUM")
        print(await b.get("user:123", consistency="QUORUM"))  # {'name': 'Ada'}
        assert await b.get("user:123", consistency="QUORUM") == {"name": "Ada"}

        await asyncio.gather(*(c.put(f"number:{n}", n) for n in range(100)))
        numbers = await a.batch_get(f"number:{n}" for n in range(100))
        print(sum(numbers.values()))  # 4950
        assert sum(numbers.values()) == 4950

        kv_store = dynamokv.DistributedKVStore(nodes=[a.address, b.address])
        await kv_store.put("user:123", b"...", consistency="QUORUM")
        print(await kv_store.get("user:123", consistency="QUORUM"))  # b'...'
        assert await c.get("user:123") == b"..."
        await kv_store.batch_put([("key1", "value1"), ("key2", "value2")])
        print(await c.get("key2"))  # value2
        assert await c.get("key2") == "value2"
        await kv_store.aclose()


with TemporaryDirectory() as temporary:
    asyncio.run(main(Path(temporary)))
