"""A run as a table for people and as JSON for later."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Row
from benchmarks.machine import machine, versions

FORMAT = 1
"""Of the document; a change that a reader would notice is a new number."""

NOISY_SHARE = 0.05
"""Of the machine, used by others: above it, absolute figures are those of a busy machine."""

_COLUMNS = ("median", "low", "high", "unit", "target", "verdict")


def begin(what: str, *, quick: bool) -> dict[str, Any]:
    """The head of the document."""
    return {
        "format": FORMAT,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
    }


def write(path: Path, document: dict[str, Any], rows: Iterable[Row]) -> None:
    """Write all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {**document, "rows": [row.document() for row in rows]}
    path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")


def headline(document: Mapping[str, Any]) -> list[str]:
    """What was measured, and where."""
    host, made = document["machine"], document["versions"]
    lines = [
        f"dynamokv {made['dynamokv']} on {host['cpu']}, {host['cores']} cores, {host['kernel']}",
        f"{made['python']}, pyzmq {made['pyzmq']} (libzmq {made['libzmq']}), "
        f"cbor2 {made['cbor2']}, xxhash {made['xxhash']}, zstandard {made['zstandard']}, "
        f"rocksdict {made['rocksdict']}",
    ]
    if document["quick"]:
        lines.append("quick: too few of everything for the figures to mean much")
    return lines


def table(rows: Sequence[Row]) -> list[str]:
    """One line for each row, under the names of their groups."""
    cells = [
        (
            f"  {row.figure.label}",
            shown(row.median),
            shown(min(row.values)),
            shown(max(row.values)),
            row.figure.unit,
            str(row.target or ""),
            row.verdict,
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(("", *_COLUMNS), *cells, strict=True)]
    lines = [_line(("", *_COLUMNS), widths)]
    numbered = zip(rows, cells, strict=True)
    for group, members in itertools.groupby(numbered, lambda pair: pair[0].figure.group):
        lines += ["", group]
        lines += [_line(line, widths) for _, line in members]
    return lines


def reasons(rows: Iterable[Row]) -> list[str]:
    """Why the bounds that were not kept are there."""
    return [
        f"{row.verdict}: {row.figure.group}: {row.figure.label}: {target} {row.figure.unit}, "
        f"since {target.reason}"
        for row in rows
        if (target := row.target) is not None and row.verdict != "met"
    ]


def neighbours(share: float) -> str:
    """How far the figures can be trusted."""
    text = f"others used {share:.0%} of all cores' time during the run"
    return f"{text}: not a machine at rest" if share > NOISY_SHARE else text


def shown(value: float) -> str:
    """Three digits that mean something, or more before the point."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    label, *numbers = (
        cell.ljust(width) if at in (0, 4, 6) else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((label, *numbers)).rstrip()
