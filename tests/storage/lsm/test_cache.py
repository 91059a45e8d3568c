"""A cache within its budget, for any number of threads."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from sys import getsizeof
from threading import Event

from dynamokv.storage.lsm.cache import ENTRY_BYTES, BlockCache, Cache, RowCache, block_id


def charge(key: object, value: bytes) -> int:
    return getsizeof(key) + getsizeof(value) + ENTRY_BYTES


def test_what_was_put_is_there_until_it_is_replaced_or_discarded() -> None:
    cache: RowCache = Cache(10_000)
    assert cache.get(b"a") is None
    cache.put(b"a", b"1")
    assert cache.get(b"a") == b"1"
    cache.put(b"a", b"")
    assert cache.get(b"a") == b""
    cache.discard(b"a")
    cache.discard(b"never there")
    assert cache.get(b"a") is None
    assert (cache.hits, cache.misses) == (2, 2)
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_the_bound_holds_after_every_step() -> None:
    generator = random.Random(1)
    cache: RowCache = Cache(20_000)
    newest: dict[bytes, bytes] = {}
    held: dict[bytes, bytes] = {}
    for step in range(20_000):
        key = b"%d" % generator.randrange(60)
        match generator.randrange(10):
            case 0:
                cache.discard(key)
                newest.pop(key, None)
            case 1 if step % 50 == 0:
                cache.resize(generator.choice([400, 8_000, 20_000, 20_000]))
            case 2 | 3 | 4:
                newest[key] = generator.randbytes(generator.randrange(2_000))
                cache.put(key, newest[key])
            case _:
                assert cache.get(key) in (None, newest.get(key))
        held = {key: value for key in newest if (value := peek(cache, key)) is not None}
        assert len(held) == len(cache)
        assert cache.size_bytes <= cache.budget_bytes
    assert cache.hits > 1_000
    # Whatever is forgotten and not freed yet counts as well.
    assert cache.size_bytes >= sum(charge(key, value) for key, value in held.items())


def peek(cache: RowCache, key: bytes) -> bytes | None:
    """Without moving it."""
    return cache._young.get(key, cache._old.get(key))


def test_what_is_read_again_stays() -> None:
    cache: BlockCache = Cache(20 * charge(block_id(1, 0), bytes(4096)))
    hot = block_id(1, 1 << 30)
    cache.put(hot, bytes(4096))
    for block in range(1000):
        cache.put(block_id(2, block), bytes(4096))
        assert cache.get(hot) is not None
    assert cache.get(block_id(2, 0)) is None
    assert cache.get(block_id(2, 999)) is not None


def test_half_of_the_budget_is_always_of_use() -> None:
    cache: BlockCache = Cache(20 * charge(block_id(1, 0), bytes(100)))
    for block in range(200):
        cache.put(block_id(1, block), bytes(100))
        assert len(cache) >= min(block + 1, 10)


def test_what_is_too_large_is_not_kept_and_its_predecessor_goes() -> None:
    cache: RowCache = Cache(2_000)
    cache.put(b"a", b"old")
    cache.put(b"a", bytes(1_000))
    assert cache.get(b"a") is None
    assert cache.size_bytes == 0


def test_no_budget_keeps_nothing() -> None:
    cache: RowCache = Cache(0)
    cache.put(b"a", b"1")
    assert cache.get(b"a") is None


def test_a_smaller_budget_holds_at_once() -> None:
    cache: BlockCache = Cache(100_000)
    for block in range(1000):
        cache.put(block, bytes(100))
    before = len(cache)
    cache.resize(99_000)
    assert len(cache) >= before // 3, "a little less must not empty it"
    cache.resize(3_000)
    assert cache.size_bytes <= 3_000
    cache.put(1, bytes(100))
    assert cache.get(1) == bytes(100)
    cache.clear()
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_blocks_of_different_tables_have_different_ids() -> None:
    tables = (0, 1, 2, 1 << 31, 1 << 40)
    assert len({block_id(table, block) for table in tables for block in range(100)}) == 500


def test_threads_see_no_value_that_was_replaced() -> None:
    """One thread writes each key and must find its newest value, or none, while others read the
    same keys and move them between the generations."""
    cache: RowCache = Cache(20_000)
    keys = [b"%d" % i for i in range(100)]
    done = Event()

    def write(mine: list[bytes], seed: int) -> None:
        generator = random.Random(seed)
        for version in range(8_000):
            key = generator.choice(mine)
            value = b"%s=%d" % (key, version)
            if version % 7:
                cache.put(key, value)
                assert cache.get(key) in (None, value)
            else:
                cache.discard(key)
                assert cache.get(key) is None

    def read(seed: int) -> None:
        generator = random.Random(seed)
        while not done.is_set():
            key = generator.choice(keys)
            value = cache.get(key)
            assert value is None or value.startswith(key + b"=")

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, seed) for seed in (1, 2)]
        writers = [pool.submit(write, keys[half::2], half) for half in (0, 1)]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert 0 <= cache.size_bytes <= cache.budget_bytes
    for key in keys:
        cache.discard(key)
    assert len(cache) == 0
    cache.clear()
    assert cache.size_bytes == 0
