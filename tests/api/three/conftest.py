"""A ring of three blocking members in this process, and a client of it, once for each file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

import dynamokv
from tests import waiting


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dynamokv.Node]]:
    folder = tmp_path_factory.mktemp("ring")
    with ExitStack() as stack:
        nodes: list[dynamokv.Node] = []
        for name in "abc":
            seeds = [nodes[0].address] if nodes else []
            node = dynamokv.join(
                "127.0.0.1:0", seeds=seeds, data_dir=folder / name, durability="os"
            )
            nodes.append(stack.enter_context(node))
        for node in nodes:
            waiting.until(partial(all_up, node), "three members that know of each other")
        yield nodes


def all_up(node: dynamokv.Node) -> bool:
    return [each["state"] for each in node.status()["members"].values()] == ["up"] * 3


@pytest.fixture(scope="module")
def client(members: list[dynamokv.Node]) -> Iterator[dynamokv.Client]:
    with dynamokv.connect([node.address for node in members]) as client:
        yield client


@pytest.fixture(params=["node", "client"])
def kv(
    request: pytest.FixtureRequest, members: list[dynamokv.Node], client: dynamokv.Client
) -> dynamokv.Node | dynamokv.Client:
    """Each blocking face in turn."""
    return members[1] if request.param == "node" else client
