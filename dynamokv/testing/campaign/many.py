"""Many seeds over all cores, and what to do with those that fail.

Knows: processes, a terminal, files. Must not know: what a run does.

Rules:
    - A seed is played in one process from beginning to end, so its outcome depends on nothing else.
    - Processes are spawned, not forked: they begin as a new interpreter does.
    - A seed that takes too long in real time fails, and the campaign goes on.
    - A failing seed is told with what plays it again, made small, and its trace is written down.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from dynamokv.testing.campaign.findings import Finding, Rule
from dynamokv.testing.campaign.plan import OPERATIONS_PER_SECOND, SECONDS, Plan, draw
from dynamokv.testing.campaign.rare import STATES
from dynamokv.testing.campaign.shrink import shrink
from dynamokv.testing.campaign.summary import Summary
from dynamokv.testing.campaign.trace import trace_of
from dynamokv.testing.campaign.watchdog import play_within

CHUNK_SEEDS: Final = 10
"""Played by one process before it reports."""

SHRUNK_MAX: Final = 3
"""Of all failing seeds of a campaign, so many are made small: they mostly have one cause."""

BAR: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What to play.

    Attributes:
        jobs: processes.
        folder: for the traces of what failed.
        limit_seconds: of real time, for one seed.
    """

    first: int = 0
    seeds: int = 1_000
    jobs: int = 1
    seconds: float = SECONDS
    operations_per_second: float = OPERATIONS_PER_SECOND
    folder: Path = Path("sim-findings")
    limit_seconds: float = 120.0

    def plan(self, seed: int) -> Plan:
        """Of one of its seeds."""
        return draw(seed, self.seconds, self.operations_per_second)


def quietly() -> None:
    """What simulated members log is no news: the trace of a seed has it."""
    logging.disable(logging.CRITICAL)


def play_some(campaign: Campaign, seeds: range) -> Summary:
    """Play these seeds, here."""
    summary = Summary()
    for seed in seeds:
        began = time.perf_counter()
        outcome = play_within(campaign.plan(seed), campaign.limit_seconds)
        summary.add(outcome, time.perf_counter() - began)
    return summary


def play_many(campaign: Campaign, done: Callable[[Summary], None] = lambda _: None) -> Summary:
    """Play all seeds; ``done`` hears of the sums so far."""
    total = Summary()
    for part in _parts(campaign):
        total.merge(part)
        done(total)
    return total


def _parts(campaign: Campaign) -> Iterator[Summary]:
    end = campaign.first + campaign.seeds
    chunks = [
        range(start, min(start + CHUNK_SEEDS, end))
        for start in range(campaign.first, end, CHUNK_SEEDS)
    ]
    if campaign.jobs == 1:
        for chunk in chunks:
            yield play_some(campaign, chunk)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(campaign.jobs, mp_context=context, initializer=_be_worker)
    try:
        futures: list[Future[Summary]] = [pool.submit(play_some, campaign, it) for it in chunks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _be_worker() -> None:
    """An interrupt ends this process at once, not just its task; and so does its parent's end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    quietly()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def outlive_nobody() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=outlive_nobody, daemon=True).start()


def run_campaign(campaign: Campaign, out: TextIO) -> int:
    """Play, tell, and return the exit code."""
    quietly()
    progress = _Progress(campaign.seeds, out)
    began = time.perf_counter()
    summary = play_many(campaign, progress.show)
    progress.end()
    for line in summary.lines(time.perf_counter() - began):
        out.write(line + "\n")
    for name in summary.missing():
        out.write(f"never reached: {name} ({STATES[name]})\n")
    failed = sorted(summary.failed)
    out.write(f"findings              {len(failed)} failing seeds\n")
    for number, seed in enumerate(failed):
        explain(campaign, seed, summary.failed[seed], out, small=number < SHRUNK_MAX)
    return 1 if failed or summary.missing() else 0


def run_one(campaign: Campaign, out: TextIO) -> int:
    """Play one seed again, tell everything about it, and return the exit code."""
    quietly()
    plan = campaign.plan(campaign.first)
    began = time.perf_counter()
    outcome = play_within(plan, campaign.limit_seconds)
    summary = Summary()
    summary.add(outcome, time.perf_counter() - began)
    out.write(f"{plan}\n")
    for line in summary.lines(summary.pace.real_seconds):
        out.write(line + "\n")
    out.write(f"fingerprint           {outcome.fingerprint}\n")
    if not outcome.findings:
        out.write("findings              none\n")
        return 0
    explain(campaign, plan.seed, outcome.findings, out, small=True)
    return 1


def explain(
    campaign: Campaign, seed: int, findings: list[Finding], out: TextIO, *, small: bool
) -> None:
    """What a failing seed broke, how to play it again, and, made small, what happened in it."""
    out.write(f"\nseed {seed} fails; again: {_again(campaign, seed)}\n")
    for finding in findings[:3]:
        out.write(f"    {finding}\n")
    if not small or findings[0].rule is Rule.HUNG:
        return
    out.flush()  # what follows takes as long as a hundred seeds

    def broken_by(candidate: Plan) -> list[Finding]:
        return play_within(candidate, campaign.limit_seconds).findings

    plan = shrink(campaign.plan(seed), findings[0], broken_by)
    lines, findings = trace_of(plan)
    campaign.folder.mkdir(parents=True, exist_ok=True)
    path = campaign.folder / f"seed-{seed}.txt"
    path.write_text("\n".join([*_head(plan, findings), "", *lines, ""]), "utf-8")
    out.write(f"    made small: {plan}\n    its trace: {path}\n")


def _again(campaign: Campaign, seed: int) -> str:
    """A command. How long and how much is asked makes another run of a seed."""
    if (campaign.seconds, campaign.operations_per_second) == (SECONDS, OPERATIONS_PER_SECOND):
        return f"make sim SEED={seed}"
    return (
        f"python -m dynamokv.testing.campaign --seed {seed} --seconds {campaign.seconds:g} "
        f"--rate {campaign.operations_per_second:g}"
    )


def _head(plan: Plan, findings: list[Finding]) -> list[str]:
    return [*map(str, findings), "", "To be pasted into a test:", f"    replay({plan})"]


class _Progress:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, seeds: int, out: TextIO) -> None:
        self.seeds = seeds
        self.out = out
        self.terminal = out.isatty()
        self.began = time.perf_counter()
        self.told = 0

    def show(self, summary: Summary) -> None:
        """So far."""
        share = summary.seeds / self.seeds
        rate = summary.seeds / (time.perf_counter() - self.began)
        text = f"{summary.seeds:,} of {self.seeds:,} seeds, {len(summary.failed)} failed"
        text += f", {rate:.1f} a second"
        if self.terminal:
            full = round(BAR * share)
            self.out.write(f"\r[{'#' * full}{'.' * (BAR - full)}] {text} ")
            self.out.flush()
        elif int(share * 10) > self.told:
            self.told = int(share * 10)
            self.out.write(text + "\n")
            self.out.flush()

    def end(self) -> None:
        """The line is over."""
        if self.terminal:
            self.out.write("\n")
