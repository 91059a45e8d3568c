"""The figures of the healing workload; their bounds stand in ``figures.TARGETS``."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Figure

MISSED: Final = "a member was killed, missed writes, and came back on its own disk"
WIPED: Final = "a member lost its disk, and came back on an empty one"

SIMULATED: Final = "the same in virtual time: how long repair waits, whatever the machine"


def _foreground(name: str, group: str) -> dict[str, Figure]:
    return {
        f"{name}.idle.p99": Figure(group, "a client's calls before, p99", "ms"),
        f"{name}.busy.p99": Figure(group, "a client's calls meanwhile, p99", "ms"),
        f"{name}.busy.over_idle": Figure(group, "p99 meanwhile / before", "x"),
        f"{name}.failed": Figure(group, "a client's calls that the kill left open", "calls"),
    }


FIGURES: Final[dict[str, Figure]] = {
    "healing.missed.writes": Figure(MISSED, "acknowledged writes that it missed", "writes"),
    "healing.missed.ready": Figure(MISSED, "until it serves again", "s"),
    "healing.missed.whole": Figure(MISSED, "from then until it holds all of them", "s"),
    "healing.missed.drained": Figure(MISSED, "from then until nobody keeps a hint", "s"),
    **_foreground("healing.missed", MISSED),
    "healing.wiped.rows": Figure(WIPED, "rows of the others", "rows"),
    "healing.wiped.whole": Figure(WIPED, "from its start until it holds all of them", "s"),
    **_foreground("healing.wiped", WIPED),
    "healing.simulated.rows": Figure(SIMULATED, "rows of the ring", "rows"),
    "healing.simulated.missed.whole": Figure(
        SIMULATED, "killed and back: no hints left, all trees equal", "s"
    ),
    "healing.simulated.wiped.whole": Figure(
        SIMULATED, "disk lost: refilled, no hints left, all trees equal", "s"
    ),
    "healing.simulated.repairs": Figure(SIMULATED, "repairs that reads caused then", "repairs"),
}
"""Every figure of the healing workload, in the order of the table."""
