"""``python -m benchmarks [WORKLOAD] [--quick] [--check] [--output PATH]``"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import healing, overload, pieces, report, ring, storage_page, trees
from benchmarks.cpu import Neighbours
from benchmarks.figures import Row

LATEST: Final = Path(__file__).parent / "results" / "latest.json"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure dynamokv.")
    parser.add_argument(
        "what",
        nargs="?",
        choices=("all", "ring", "micro", "storage", "overload", "healing", "trees"),
        default="all",
        help="ring: three members in processes, beside bare sockets; micro: the pure pieces; "
        "storage: the LSM engine beside RocksDB; overload: three times what a ring can do, for a "
        "minute; healing: members that come back; trees: what hash trees cost a put. These four "
        "take long and are not part of all",
    )
    parser.add_argument("--quick", action="store_true", help="see that it works, in seconds")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument(
        "--output", type=Path, default=LATEST, metavar="PATH", help="the JSON (%(default)s)"
    )
    parser.add_argument("--short", action="store_true", help="overload: ten seconds of it")
    parser.add_argument("--rows", type=int, help="storage: rows of each store (1,000,000)")
    parser.add_argument(
        "--write-docs", action="store_true", help="storage: put the figures into the documentation"
    )
    arguments = parser.parse_args(given)
    if arguments.what != "storage" and (arguments.rows or arguments.write_docs):
        parser.error("--rows and --write-docs are for storage")
    if arguments.what != "overload" and arguments.short:
        parser.error("--short is for overload")
    return arguments


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    arguments = _arguments(given)
    document = report.begin(arguments.what, quick=arguments.quick)
    print(*report.headline(document), "", sep="\n", flush=True)
    others = Neighbours()
    rows: list[Row] = []
    if arguments.what in ("all", "ring"):
        counts = ring.QUICK if arguments.quick else ring.FULL
        found, document["counters"] = asyncio.run(ring.run(counts, _tell))
        rows += found
    if arguments.what in ("all", "micro"):
        _tell("micro-benchmarks")
        rows += pieces.run(quick=arguments.quick)
    if arguments.what == "storage":
        rows += _storage(arguments)
    if arguments.what == "overload":
        phases = overload.SHORT if arguments.short else overload.FULL
        phases = overload.QUICK if arguments.quick else phases
        rows += asyncio.run(overload.run(phases, _tell))
    if arguments.what == "healing":
        part = healing.QUICK if arguments.quick else healing.FULL
        rows += asyncio.run(healing.run(part, _tell))
    if arguments.what == "trees":
        rows += asyncio.run(trees.run(trees.QUICK if arguments.quick else trees.FULL, _tell))
    document["others_share"] = others.share()
    print(*report.table(rows), "", *report.reasons(rows), sep="\n")
    print(report.neighbours(document["others_share"]))
    report.write(arguments.output, document, rows)
    print(f"written to {arguments.output}")
    if arguments.write_docs:
        storage_page.write(document, rows)
        print(f"written to {storage_page.PAGE}")
    missed = any(row.target is not None and row.verdict != "met" for row in rows)
    return 1 if arguments.check and missed else 0


def _storage(arguments: argparse.Namespace) -> list[Row]:
    # Here, because the others need no rocksdict.
    from benchmarks import storage

    counts = storage.QUICK if arguments.quick else storage.FULL
    if arguments.rows:
        counts = replace(counts, rows=arguments.rows)
    return asyncio.run(storage.run(counts, _tell))


def _tell(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
