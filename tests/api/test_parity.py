"""The four faces are one interface: the same names, the same arguments, the same documentation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import dynamokv
from dynamokv.api.asynchronous import AsyncStore
from dynamokv.api.blocking import BlockingStore

CALLS = ("get", "read", "put", "delete", "update", "batch_get", "batch_put", "batch_delete")
VIEWS = ("status", "metrics", "ring")
BLOCKING = (dynamokv.Node, dynamokv.Client, dynamokv.Bucket)
ASYNC = (dynamokv.AsyncNode, dynamokv.DistributedKVStore, dynamokv.AsyncBucket)
PAIRS = tuple(zip(BLOCKING, ASYNC, strict=True))
TWINS = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__"}


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("name", [*CALLS, "bucket"])
@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_calls_have_one_signature(name: str, blocking: type, asynchronous: type) -> None:
    one, other = getattr(blocking, name), getattr(asynchronous, name)
    assert parameters(one) == parameters(other)
    assert one.__doc__ == other.__doc__
    assert inspect.iscoroutinefunction(other) == (name != "bucket")
    assert not inspect.iscoroutinefunction(one)


@pytest.mark.parametrize("name", CALLS)
def test_annotations_are_the_same(name: str) -> None:
    one, other = getattr(BlockingStore, name), getattr(AsyncStore, name)
    assert inspect.get_annotations(one) == inspect.get_annotations(other)


@pytest.mark.parametrize("name", VIEWS)
def test_views_take_nothing(name: str) -> None:
    for kind in (dynamokv.Node, dynamokv.Client, dynamokv.AsyncNode, dynamokv.DistributedKVStore):
        assert [p[0] for p in parameters(getattr(kind, name))] == ["self"]


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_there_is_nothing_on_one_face_only(blocking: type, asynchronous: type) -> None:
    twins = set(TWINS) | set(TWINS.values()) | {"start"}
    assert public(blocking) - twins == public(asynchronous) - twins


@pytest.mark.parametrize(
    ("made", "shortcut", "kind"),
    [
        (dynamokv.Node, dynamokv.join, "member"),
        (dynamokv.AsyncNode, dynamokv.join_async, "member"),
        (dynamokv.Client, dynamokv.connect, "client"),
        (dynamokv.DistributedKVStore, dynamokv.Client, "client"),
    ],
)
def test_constructors_and_shortcuts_agree(made: Any, shortcut: Any, kind: str) -> None:
    assert parameters(made) == parameters(shortcut), kind


def test_only_members_and_clients_can_be_closed() -> None:
    for blocking in (dynamokv.Node, dynamokv.Client):
        assert {"close", "__enter__", "__exit__"} <= set(dir(blocking))
    for asynchronous in (dynamokv.AsyncNode, dynamokv.DistributedKVStore):
        assert {"aclose", "__aenter__", "__aexit__"} <= set(dir(asynchronous))
    for bucket in (dynamokv.Bucket, dynamokv.AsyncBucket):
        assert not {"close", "aclose"} & set(dir(bucket))


def test_only_blocking_faces_are_mappings() -> None:
    for blocking in BLOCKING:
        assert {"__getitem__", "__setitem__", "__delitem__", "__contains__"} <= set(dir(blocking))
    for asynchronous in ASYNC:
        assert not {"__getitem__", "__setitem__", "__delitem__"} & set(dir(asynchronous))
