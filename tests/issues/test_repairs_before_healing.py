"""Read repairs stood in no line: a thousand of them a second took all that a hindered node may move
besides its requests, and left a fiftieth each to hints, pages and exchanges. To have them wait as
those do is no answer: a repair does not come back for its turn, and had a thousandth then."""

from __future__ import annotations

from collections import Counter

import pytest

from dynamokv.limits import BACKGROUND_FLOOR, BACKGROUND_ROW_BYTES
from dynamokv.protocol.load.pressure import Pressure

RATE = 16 << 20
SECONDS = 20
PAGE_BYTES = 64 << 10
OTHERS = ("hints", "pages", "exchanges")


def moved(repairs_per_second: int, repair_bytes: int) -> dict[str, float]:
    """What each has of the rate, where all others want as much as they can get."""
    pressure = Pressure(RATE)
    pressure.share = BACKGROUND_FLOOR
    moved: Counter[str] = Counter()
    due = dict.fromkeys(OTHERS, 0.0)
    for step in range(repairs_per_second * SECONDS):
        now = step / repairs_per_second
        if pressure.take(now, repair_bytes - BACKGROUND_ROW_BYTES, rows=1):
            moved["repairs"] += repair_bytes
        for who in [who for who, at in due.items() if at <= now]:
            if pressure.turn(now, who):
                pressure.spend(now, PAGE_BYTES)
                moved[who] += PAGE_BYTES
                due[who] = now + 0.002
            else:
                due[who] = now + pressure.pause(now)
    whole = RATE * BACKGROUND_FLOOR * SECONDS
    return {who: moved[who] / whole for who in ("repairs", *OTHERS)}


@pytest.mark.parametrize("repair_bytes", [3 << 10, 1 << 20])
@pytest.mark.parametrize("repairs_per_second", [1000, 5000])
def test_none_of_them_takes_the_whole_rate(repairs_per_second: int, repair_bytes: int) -> None:
    shares = moved(repairs_per_second, repair_bytes)
    assert sum(shares.values()) == pytest.approx(1, abs=0.1)
    assert min(shares.values()) > 0.2, shares


def test_a_few_repairs_are_not_kept_waiting_by_the_others() -> None:
    shares = moved(100, 3 << 10)
    wanted = 100 * (3 << 10) / (RATE * BACKGROUND_FLOOR)
    assert shares["repairs"] == pytest.approx(wanted, rel=0.01)
