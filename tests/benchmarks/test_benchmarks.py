"""``python -m benchmarks --quick`` from end to end: everything is measured, and nothing is said
about how fast it was."""

from __future__ import annotations

import ast
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks import (
    cpu,
    healing_figures,
    overload,
    report,
    ring,
    storage_figures,
    storage_page,
    trees,
)
from benchmarks.__main__ import main
from benchmarks.figures import FIGURES, TARGETS, Figure, Row, Samples, Target
from benchmarks.member import without_trees
from benchmarks.micro.samples import PLAIN, topology
from dynamokv.merkle.tree import Tree
from dynamokv.protocol.effects import Write
from dynamokv.protocol.state.forest import Forest, Plot
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.storage.memory import MemoryEngine
from dynamokv.types import Actor, Durability, NodeId
from dynamokv.wire.keys import name_of, row_key

ROOT: Final = Path(__file__).resolve().parents[2]
RUN_SECONDS: Final = 50.0
"""It takes some 8; this is below pytest's own limit, so that the output of a stuck run is seen."""


def ran(output: Path, *arguments: str) -> tuple[dict[str, Any], list[str]]:
    """The document and the lines of a quick run."""
    command = [sys.executable, "-m", "benchmarks", *arguments, "--quick", f"--output={output}"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(output.read_text("utf-8"))
    return document, done.stdout.splitlines()


def pieces_written() -> set[str]:
    """Every micro-benchmark there is, by reading the sources."""
    return {
        f"micro.{path.stem.removeprefix('test_')}.{node.name.removeprefix('test_')}"
        for path in (ROOT / "benchmarks" / "micro").glob("test_*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_a_quick_run_measures_everything(tmp_path: Path) -> None:
    document, lines = ran(tmp_path / "results" / "latest.json")
    rows = {row["name"]: row for row in document["rows"]}
    known = {name for name in FIGURES if cpu.AVAILABLE or not name.startswith("cpu.")}
    assert {name for name in rows if not name.startswith("micro.")} == known
    pieces = pieces_written()
    assert len(pieces) > 10
    assert {name.partition("[")[0] for name in rows if name.startswith("micro.")} == pieces

    assert [name for name, row in rows.items() if not 0 < row["low"] <= row["high"]] == []
    assert {name for name, row in rows.items() if row["verdict"]} == TARGETS.keys() & FIGURES
    for row in rows.values():
        cells = (row["label"], report.shown(row["median"]), row["unit"])
        assert any(all(cell in line for cell in cells) for line in lines), row["name"]

    assert document["quick"] is True
    assert document["machine"]["cores"] > 0
    assert {"python", "pyzmq", "libzmq", "cbor2", "dynamokv"} <= document["versions"].keys()
    assert all(document["versions"].values())


def test_a_quick_run_heals(tmp_path: Path) -> None:
    document, _ = ran(tmp_path / "latest.json", "healing")
    rows = {row["name"]: row for row in document["rows"]}
    assert rows.keys() == healing_figures.FIGURES.keys()
    assert rows["healing.simulated.repairs"]["median"] == 0
    assert rows["healing.missed.whole"]["median"] > 0


def test_a_quick_run_measures_the_engines_and_fills_the_page(tmp_path: Path) -> None:
    pytest.importorskip("rocksdict")
    document, lines = ran(tmp_path / "latest.json", "storage")
    rows = {row["name"]: row for row in document["rows"]}
    known = {
        name
        for name in storage_figures.FIGURES
        if cpu.AVAILABLE or not name.startswith("storage.memory")
    }
    assert {*rows, *(n for n in known if n.endswith(".amplification"))} == known
    # A store may have nothing to do beside its puts in so short a run.
    idle = {name for name, row in rows.items() if name.endswith(".working") and not row["low"]}
    wrong = {name for name, row in rows.items() if not 0 < row["low"] <= row["high"]}
    assert wrong <= idle
    assert any("rocksdict" in line and "rows/s" in line for line in lines)

    figures = storage_figures.FIGURES
    measured = [Row(name, figures[name], tuple(row["values"])) for name, row in rows.items()]
    text = storage_page.page("before\n<!-- storage -->\n<!-- end -->\nafter\n", document, measured)
    assert text.startswith("before\n<!-- storage -->\nMeasured ")
    assert text.endswith("|\n<!-- end -->\nafter\n")
    for name in ("storage.100B.put.over_rocksdict", "storage.1KB.overwritten.lsm.open"):
        assert f" {report.shown(rows[name]['median'])} |" in text
    again = storage_page.page(text, document, measured)
    assert again == text
    assert storage_page.page(storage_page.PAGE.read_text("utf-8"), document, measured)


def test_a_quick_run_offers_too_much(tmp_path: Path) -> None:
    document, _ = ran(tmp_path / "latest.json", "overload")
    rows = {row["name"]: row["median"] for row in document["rows"]}
    known = {name for name in overload.FIGURES if cpu.AVAILABLE or ".memory." not in name}
    assert rows.keys() == known
    assert min(rows["overload.sustained"], rows["overload.before"]) > 0


def test_options_of_storage_are_refused_elsewhere() -> None:
    with pytest.raises(SystemExit):
        main(["ring", "--rows", "5"])


def test_options_of_overload_are_refused_elsewhere() -> None:
    with pytest.raises(SystemExit):
        main(["ring", "--short"])


def test_a_quick_run_compares_rings_with_and_without_trees(tmp_path: Path) -> None:
    document, _ = ran(tmp_path / "latest.json", "trees")
    rows = {row["name"]: row["median"] for row in document["rows"]}
    assert rows.keys() == {name for name in trees.FIGURES if cpu.AVAILABLE or ".cpu." not in name}
    assert min(rows["trees.put.with"], rows["trees.batch.without"]) > 0


class Queue(CommitQueue):
    """One that has no disk to wait for."""

    def _start(self, job: Job) -> None:
        raise AssertionError("nothing is synced here")


@pytest.mark.parametrize("kept", [True, False])
def test_members_made_without_trees_keep_none(kept: bool) -> None:
    with contextlib.nullcontext() if kept else without_trees():
        queue = Queue(MemoryEngine(), Durability.OS)
        queue.account = forest = Forest(queue)
    forest.adopt(topology([NodeId(bytes(16))]), [0], Actor(bytes(8)))
    assert list(forest.unknown) == [0] * kept
    forest.plots[0] = Plot(Tree(7))
    queue.write(Write([(row_key(0, name_of(b"", b"key")), PLAIN)]))
    queue.commit()
    assert forest.rows(0) == kept


@pytest.mark.parametrize(
    ("microseconds", "options", "status"),
    [(9.0, ["--check"], 1), (9.0, [], 0), (1.0, ["--check"], 0)],
)
def test_a_missed_target_fails_only_a_check(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    microseconds: float,
    options: list[str],
    status: int,
) -> None:
    row = Row("local.blocking", FIGURES["local.blocking"], (microseconds,))

    async def run(counts: ring.Counts, progress: ring.Progress) -> tuple[list[Row], dict[str, int]]:
        return [row], {"late_replies": 1}

    monkeypatch.setattr(ring, "run", run)
    output = tmp_path / "latest.json"
    assert main(["ring", *options, f"--output={output}"]) == status
    document = json.loads(output.read_text("utf-8"))
    assert [row["name"] for row in document["rows"]] == ["local.blocking"]
    assert document["counters"] == {"late_replies": 1}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((1.0, 2.0, 9.0), "met"), ((1.0, 3.0, 3.0), "at best"), ((3.0, 3.0, 3.0), "missed")],
)
def test_a_verdict_is_about_the_median(
    monkeypatch: pytest.MonkeyPatch, values: tuple[float, ...], verdict: str
) -> None:
    monkeypatch.setitem(TARGETS, "time", Target("it is so", at_most=2.0))
    row = Row("time", Figure("group", "label", "us"), values)
    assert row.verdict == verdict
    (told,) = report.reasons([row]) or ("met: it is so",)
    assert told.startswith(verdict)
    assert told.endswith("it is so")


@pytest.mark.parametrize(("value", "met"), [(19_999.0, False), (20_000.0, True)])
def test_a_bound_may_be_from_below(value: float, met: bool) -> None:
    target = Target("it is so", at_least=20_000)
    assert target.met_by(value) is met
    assert str(target) == ">= 20,000"


def test_every_target_is_a_figure_of_the_table() -> None:
    every = FIGURES | storage_figures.FIGURES | overload.FIGURES | healing_figures.FIGURES
    every |= trees.FIGURES
    assert TARGETS.keys() <= every.keys()
    samples = Samples(every)
    for name in TARGETS:
        samples.add(name, 1.0)
    assert [row.name for row in samples.rows()] == [name for name in every if name in TARGETS]
    with pytest.raises(AssertionError):
        samples.add("unheard of", 1.0)
