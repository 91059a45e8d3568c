"""What members tell each other so that tombstones go (``protocol.collecting.round`` and
``protocol.collecting.gossip``).

Rules: those of ``messages``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class RoundStep(IntEnum):
    """What a ``Round`` asks for.

    - ``SETTLE``, of all members: make no write below the time. Of which partitions do you keep no
      hint, and hold the same, where you own them?
    - ``CONFIRM``, of owners: turn away what is older than the time from now on; is this what you
      hold?
    - ``ADOPT``, of owners: this is the horizon now.
    - ``COLLECT``, to owners: all have it, so what is dead below it may go.
    - ``ABANDON``, to owners: nothing comes of it.
    - ``HOLD``, of an owner: is your horizon still as high as this?
    """

    SETTLE = 1
    CONFIRM = 2
    ADOPT = 3
    COLLECT = 4
    ABANDON = 5
    HOLD = 6


class Round(NamedTuple):
    """One step of a round that raises horizons to ``time``; answered by ``Agreed``, except for
    ``COLLECT`` and ``ABANDON``. ``roots``: what the asker holds of each partition, for those who
    have to say whether they hold the same."""

    id: int
    epoch: int
    step: int
    time: int
    partitions: list[int]
    roots: list[bytes]


class Agreed(NamedTuple):
    """The step is done, durably, for these of the partitions."""

    id: int
    partitions: list[int]


class Horizons(NamedTuple):
    """Of each of these partitions I hold all below its horizon, and below ``collected`` all owners
    do; ``trees`` are the roots of mine now. Nobody makes writes below the floor. No answer."""

    epoch: int
    floor: int
    partitions: list[int]
    horizons: list[int]
    collected: list[int]
    trees: list[bytes]
