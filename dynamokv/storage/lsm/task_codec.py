"""Tasks and outcomes as bytes, for the way to another process and back.

Knows: the shapes in ``jobs`` and ``tree``, from their own definitions. Must not know: pipes,
processes.

A dataclass is the list of its fields in their order; where there is a choice of classes, the number
of the choice comes first. Whoever decodes checks everything, so that a stray byte becomes an error
and never a wrong job. Nothing of this is ever stored: ``VERSION`` is for two running processes, one
of which may have been started after the library was replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import cbor2

from dynamokv.storage.lsm import jobs
from dynamokv.storage.lsm.framing import VERSION as FORMAT_VERSION

VERSION: Final = (1, FORMAT_VERSION)
"""Of this codec, and of the files that a worker makes."""

_PLAIN: Final = (int, str, bytes, bool)

_Read = Callable[[Any], Any]


def greeting() -> bytes:
    """What a worker says first. Another one is from a worker that this process cannot work with."""
    return cbor2.dumps(list(VERSION))


def encode_task(task: jobs.Task) -> bytes:
    """A task, for ``decode_task``."""
    return cbor2.dumps(_encode(jobs.Task, task))


def decode_task(data: bytes) -> jobs.Task:
    """The task.

    Raises:
        ValueError: it is none.
    """
    task: jobs.Task = _decode(data, jobs.Task)
    return task


def encode_outcome(outcome: jobs.Outcome) -> bytes:
    """An outcome, for ``decode_outcome``."""
    return cbor2.dumps(_encode(jobs.Outcome, outcome))


def decode_outcome(data: bytes) -> jobs.Outcome:
    """The outcome.

    Raises:
        ValueError: it is none.
    """
    outcome: jobs.Outcome = _decode(data, jobs.Outcome)
    return outcome


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return _reader(kind)(cbor2.loads(data))
    except (cbor2.CBORError, ValueError, TypeError, LookupError) as error:
        raise ValueError(f"not a {kind}: {error}") from error


def _encode(kind: Any, value: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        choices = get_args(kind)
        number = choices.index(type(value))
        return [number, _encode(choices[number], value)]
    if get_origin(kind) is tuple:
        return [_encode(item, x) for item, x in zip(_items(kind, value), value, strict=True)]
    if _is_record(kind):
        return [_encode(hint, getattr(value, name)) for name, hint in _hints(kind).items()]
    return value.value if isinstance(value, Enum) else value


@cache
def _reader(kind: Any) -> _Read:
    """What checks and converts a decoded value of this type."""
    if kind in _PLAIN:
        return lambda value: _plain(kind, value)
    if get_origin(kind) in (Union, UnionType):
        return lambda value: _choice(get_args(kind), value)
    if get_origin(kind) is tuple:
        return lambda value: tuple(
            _reader(item)(x) for item, x in zip(_items(kind, value), _list(value), strict=True)
        )
    if _is_record(kind):
        hints = tuple(_hints(kind).values())
        return lambda value: kind(
            *(_reader(hint)(x) for hint, x in zip(hints, _list(value), strict=True))
        )
    assert issubclass(kind, Enum), kind
    return lambda value: kind(value)


def _plain(kind: type, value: Any) -> Any:
    # A bool is an int to isinstance. No number of ours is below zero.
    if type(value) is not kind or (isinstance(value, int) and value < 0):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def _choice(choices: tuple[Any, ...], value: Any) -> Any:
    number, content = _list(value)
    return _reader(choices[_plain(int, number)])(content)


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind)


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError(f"{value!r} is no list")
    return value


def _items(kind: Any, value: Any) -> tuple[Any, ...]:
    """The type of each item of a tuple."""
    items = get_args(kind)
    return (items[0],) * len(value) if items[-1] is Ellipsis else items


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """The fields of a dataclass and their types, in order."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
