"""The faces differ in how they wait, and in nothing else but what ``ALLOWED`` names."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

import pytest

import dynamokv

MAPPING: Final = frozenset({"__getitem__", "__setitem__", "__delitem__", "__contains__"})
TALKATIVE: Final = frozenset({"status", "metrics", "ring"})
"""A client asks a member for these, so that its asyncio face has to wait."""

ALLOWED: Final[dict[tuple[type, type], frozenset[str]]] = {
    (dynamokv.Node, dynamokv.AsyncNode): MAPPING | {"close", "aclose", "start"},
    (dynamokv.Client, dynamokv.DistributedKVStore): MAPPING | {"close", "aclose", "start"},
    (dynamokv.Node, dynamokv.Client): frozenset({"address", "node_id"}),
    (dynamokv.AsyncNode, dynamokv.DistributedKVStore): frozenset({"address", "node_id"}),
    (dynamokv.Bucket, dynamokv.AsyncBucket): MAPPING,
}
"""What one of a pair has and the other has not, all of it."""

PAIRS: Final = [pytest.param(*pair, id="-".join(t.__name__ for t in pair)) for pair in ALLOWED]

CALLS: Final = (
    "get", "read", "put", "delete", "update", "batch_get", "batch_put", "batch_delete",
)  # fmt: skip


def public(face: type) -> dict[str, Any]:
    names = {name for name in dir(face) if not name.startswith("_")}
    names |= MAPPING & set(dir(face))
    return {name: inspect.getattr_static(face, name) for name in names}


def shape(function: Any, face: type) -> inspect.Signature:
    """The signature, with the classes of a face by one name."""
    signature = inspect.signature(function)
    returns = re.sub("^Async", "", str(signature.return_annotation))
    if signature.return_annotation == face.__name__:
        returns = "Self"
    return signature.replace(return_annotation=returns)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_same_names(one: type, other: type) -> None:
    assert set(public(one)) ^ set(public(other)) == ALLOWED[one, other]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_same_signatures(one: type, other: type) -> None:
    ours, theirs = public(one), public(other)
    compared = 0
    for name in ours.keys() & theirs.keys():
        assert type(ours[name]) is type(theirs[name]), name
        if inspect.isfunction(ours[name]):
            assert shape(ours[name], one) == shape(theirs[name], other), name
            compared += 1
    assert compared >= len(CALLS) + 1


@pytest.mark.parametrize("face", [dynamokv.AsyncNode, dynamokv.DistributedKVStore])
def test_asyncio_faces_wait_by_await(face: type) -> None:
    waits = {name for name, each in public(face).items() if inspect.iscoroutinefunction(each)}
    expected = {*CALLS, "start", "aclose"}
    assert waits == expected | (TALKATIVE if face is dynamokv.DistributedKVStore else set())


@pytest.mark.parametrize("face", [dynamokv.Node, dynamokv.Client, dynamokv.Bucket])
def test_blocking_faces_never_await(face: type) -> None:
    assert not [name for name, each in public(face).items() if inspect.iscoroutinefunction(each)]


@pytest.mark.parametrize(
    ("function", "face"),
    [
        (dynamokv.join, dynamokv.Node),
        (dynamokv.join, dynamokv.AsyncNode),
        (dynamokv.join, dynamokv.join_async),
        (dynamokv.connect, dynamokv.Client),
        (dynamokv.connect, dynamokv.DistributedKVStore),
    ],
)
def test_functions_take_what_faces_take(function: Any, face: Any) -> None:
    ours, theirs = inspect.signature(function), inspect.signature(face)
    assert list(ours.parameters.values()) == list(theirs.parameters.values())


@pytest.mark.parametrize("one", [dynamokv.Node, dynamokv.Client, dynamokv.Bucket])
@pytest.mark.parametrize("name", CALLS)
def test_same_documentation(one: type, name: str) -> None:
    assert getattr(one, name).__doc__ == getattr(dynamokv.AsyncNode, name).__doc__


def test_every_call_takes_keyword_options_only() -> None:
    for name in CALLS:
        parameters = inspect.signature(getattr(dynamokv.Node, name)).parameters
        for option in ("consistency", "timeout", "ttl", "sloppy", "context"):
            if option in parameters:
                assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY, (name, option)
                assert parameters[option].default is None, (name, option)
