"""The messages by which members find out who of them answers.

Each ends with six parallel lists, one item for each piece of news of a member; the sender's own
word comes first, so every message has at least that. What it means: ``protocol.liveness.gossip``.

Rules: those of ``wire.messages``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias

BOOT_MS_MAX = (1 << 44) - 1
"""As many bits as a hybrid time has for milliseconds."""

COUNTER_MAX = (1 << 32) - 1
"""A member that raises its counter a thousand times a second gets there in fifty days, and then
goes on with the next boot time."""


class State(IntEnum):
    """What is said of a member; about one claim to be alive, the greater wins. Append only."""

    ALIVE = 0
    """Its own word."""

    SLOW = 1
    """Its own word: its loop runs late."""

    SUSPECT = 2
    """Somebody got no answer from it, directly or through others."""

    DOWN = 3
    """And it did not object in time, and nobody who was asked has a link to it."""


class Probe(NamedTuple):
    """Do you answer? By ``ProbeAck``. ``full``: with all that you know of anybody."""

    id: int
    full: bool
    ids: list[bytes]
    boots: list[int]
    counters: list[int]
    states: list[int]
    lags: list[int]
    accusers: list[bytes]


class ProbeAck(NamedTuple):
    """I do; or, of a ``ProbeFor``: it did."""

    id: int
    ids: list[bytes]
    boots: list[int]
    counters: list[int]
    states: list[int]
    lags: list[int]
    accusers: list[bytes]


class ProbeFor(NamedTuple):
    """Probe this member for me; answered by ``ProbeAck`` or ``ProbeNack``."""

    id: int
    target: bytes
    ids: list[bytes]
    boots: list[int]
    counters: list[int]
    states: list[int]
    lags: list[int]
    accusers: list[bytes]


class ProbeNack(NamedTuple):
    """It did not answer me in time. ``linked``: my link to it works, so its process lives."""

    id: int
    linked: bool
    ids: list[bytes]
    boots: list[int]
    counters: list[int]
    states: list[int]
    lags: list[int]
    accusers: list[bytes]


LivenessMessage: TypeAlias = Probe | ProbeAck | ProbeFor | ProbeNack

PROBES = (Probe, ProbeAck, ProbeFor, ProbeNack)
