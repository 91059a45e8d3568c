"""One setting at a time: text from an environment, plain values from a file or a caller, brought to
the type of their field, and checked.

A parser raises ``TypeError`` or ``ValueError`` with what is needed; ``config.py`` adds the name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dynamokv import limits
from dynamokv.errors import ConfigError
from dynamokv.types import Consistency, Durability


def check_range(name: str, value: float, low: float, high: float) -> None:
    """A number between two bounds, both allowed."""
    if not low <= value <= high:
        raise ConfigError(f"{name} must be between {low} and {high}, not {value}")


def check_name(name: str, value: str) -> None:
    """A name of a length that fits everywhere."""
    if not 0 < len(value.encode("utf-8", "surrogatepass")) <= limits.BUCKET_NAME_BYTES_MAX:
        raise ConfigError(
            f"{name} must have 1 to {limits.BUCKET_NAME_BYTES_MAX} bytes, not {value!r}"
        )


def check_address(name: str, value: str, *, port_zero: bool = False) -> None:
    """``host:port``."""
    host, _, port = value.rpartition(":")
    if "/" in host:
        raise ConfigError(f"{name} must be 'host:port' without a scheme or a path, not {value!r}")
    if not host or not port.isdecimal() or not (0 if port_zero else 1) <= int(port) <= 65_535:
        raise ConfigError(f"{name} must be 'host:port', not {value!r}")


def integer(value: Any) -> int:
    """A whole number."""
    if isinstance(value, (bool, float)):
        raise TypeError("a whole number is needed")
    return int(value)


def optional_integer(value: Any) -> int | None:
    """The same, or ``None``."""
    return None if value is None else integer(value)


def number(value: Any) -> float:
    """Any number."""
    if isinstance(value, bool):
        raise TypeError("a number is needed")
    return float(value)


def flag(value: Any) -> bool:
    """True or false."""
    if isinstance(value, str) and value.lower() in ("1", "true", "yes", "on"):
        return True
    if isinstance(value, str) and value.lower() in ("0", "false", "no", "off"):
        return False
    if isinstance(value, bool):
        return value
    raise TypeError("true or false is needed")


def text(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        raise TypeError("text is needed")
    value.encode()  # raises a ValueError for what is no text
    return value


def optional_text(value: Any) -> str | None:
    """Text, or nothing."""
    return None if value is None else text(value)


def address(value: Any) -> str:
    """An address, with one spelling for loopback."""
    # One spelling for loopback, because a member recognises its own address in the list of seeds.
    return re.sub("^localhost:", "127.0.0.1:", text(value).strip())


def optional_address(value: Any) -> str | None:
    """An address, or nothing."""
    return None if value is None else address(value)


def addresses(value: Any) -> tuple[str, ...]:
    """Addresses, in a list or between commas."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(address(part) for part in parts if address(part))


def path(value: Any) -> Path | None:
    """A path, or nothing."""
    return None if value is None else Path(value)


def durability(value: Any) -> Durability:
    """A durability, or its name."""
    if isinstance(value, Durability):
        return value
    try:
        return Durability(text(value).lower())
    except ValueError:
        raise ValueError("it must be 'fsync', 'interval' or 'os'") from None


def consistency(value: Any) -> int:
    """A level, its name, or a number."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if value == Consistency.QUORUM or value == Consistency.ALL:
        return int(value)
    return Consistency.parse(value)
