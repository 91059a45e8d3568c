"""The storage figures of one run as a part of ``docs/performance.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks import report
from benchmarks.child import ROOT
from benchmarks.figures import STORAGE_SIZES, Row
from benchmarks.storage_figures import ENGINES, PERCENTILES, WORKLOADS

PAGE: Final = ROOT / "docs" / "performance.md"
START: Final = "<!-- storage -->\n"
END: Final = "<!-- end -->"


def write(document: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Put the figures in the place of those of an earlier run."""
    PAGE.write_text(page(PAGE.read_text("utf-8"), document, rows), "utf-8")


def page(text: str, document: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The page with these figures."""
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{PAGE.name} needs one {START.strip()} ... {END}")
    made = START + "\n".join(_lines(document, {row.name: row for row in rows})) + "\n" + END
    return pattern.sub(lambda _: made, text)


def _lines(document: Mapping[str, Any], rows: Mapping[str, Row]) -> Iterator[str]:
    yield f"Measured {document['began'][:10]}. " + ". ".join(report.headline(document)) + "."
    yield report.neighbours(document["others_share"]).capitalize() + "."
    left = dict(rows)
    for size in STORAGE_SIZES:
        yield from ("", f"Values of {size}, latencies in microseconds (p50 / p99 / p99.9):", "")
        yield "| | lsm | rocksdict | lsm / rocksdict | target | lsm | rocksdict |"
        yield "|---|--:|--:|--:|--:|--:|--:|"
        for workload, (label, unit, _) in WORKLOADS.items():
            yield _compared(left, f"storage.{size}.{workload}", f"{label}, {unit}")
    yield from ("", "| | median | low | high | | target | |", "|---|--:|--:|--:|---|--:|---|")
    for row in left.values():
        label = f"{row.figure.group.removeprefix('storage: ')}: {row.figure.label}"
        numbers = map(report.shown, (row.median, min(row.values), max(row.values)))
        cells = (label, *numbers, row.figure.unit, str(row.target or ""), row.verdict)
        yield f"| {' | '.join(cells)} |"


def _compared(left: dict[str, Row], name: str, label: str) -> str:
    """One line; its rows are taken out of ``left``."""
    ratio = left.pop(f"{name}.over_rocksdict")
    rates = [report.shown(left.pop(f"{name}.{engine}.rate").median) for engine in ENGINES]
    latencies = [
        " / ".join(report.shown(left.pop(f"{name}.{engine}.{at}").median) for at in PERCENTILES)
        for engine in ENGINES
    ]
    target = f"{ratio.target}, {ratio.verdict}" if ratio.target else ""
    return f"| {' | '.join((label, *rates, report.shown(ratio.median), target, *latencies))} |"
