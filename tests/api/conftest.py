"""A member, a client of it, and keys that no other test uses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import dynamokv
from dynamokv.api.blocking import BlockingStore
from tests.chaos.ring import free_addresses

_numbers = itertools.count()


@pytest.fixture(scope="module")
def node() -> Iterator[dynamokv.Node]:
    """A ring of one, in memory."""
    with dynamokv.join(durability="os") as kv:
        yield kv


@pytest.fixture(scope="module")
def client(node: dynamokv.Node) -> Iterator[dynamokv.Client]:
    """A client of that ring."""
    with dynamokv.connect([node.address]) as kv:
        yield kv


@pytest.fixture(params=["node", "client"])
def kv(request: pytest.FixtureRequest) -> BlockingStore:
    """A member, or a client: the same methods."""
    found: BlockingStore = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"key-{next(_numbers)}"


@pytest.fixture(scope="module")
def ring() -> Iterator[list[dynamokv.Node]]:
    """Three members in this process, in memory."""
    seeds = free_addresses(3)

    def join(address: str) -> dynamokv.Node:
        return dynamokv.join(address, seeds=seeds, durability="os")

    with ThreadPoolExecutor(3) as pool:
        nodes = list(pool.map(join, seeds))
    yield nodes
    for member in nodes:
        member.close()


def siblings(kv: BlockingStore, key: str, *values: object) -> None:
    """Write values that do not know of each other; the last is the newest."""
    context = kv.read(key).context
    for value in values:
        kv.put(key, value, context=context)
