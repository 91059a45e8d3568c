"""Defaults that can be told from the same value given: an explicit argument wins over the
environment, also when it says what the default says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final


class _Text(str):
    """A text that equals the one it says, and is another object than any that a caller makes."""


class _Number(int):
    """As ``_Text``, for a number."""


class _Addresses(tuple[str, ...]):
    """As ``_Text``, for a list of addresses."""


DEFAULT_CLUSTER: Final[str] = _Text("dynamokv")
DEFAULT_WEIGHT: Final[int] = _Number(1)
NO_ADDRESSES: Final[Sequence[str]] = _Addresses()

_NOT_GIVEN = (DEFAULT_CLUSTER, DEFAULT_WEIGHT, NO_ADDRESSES, None)


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the caller gave."""
    return {
        name: value
        for name, value in arguments.items()
        if not any(value is default for default in _NOT_GIVEN)
    }
