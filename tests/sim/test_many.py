"""Plans as text, plans made small, many seeds at once, and what is told of them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dynamokv.protocol.requests.tally import Tally
from dynamokv.protocol.state.home import Home
from dynamokv.storage.lsm.options import Compaction, Compression, LSMOptions
from dynamokv.testing.campaign import __main__ as command
from dynamokv.testing.campaign import rare
from dynamokv.testing.campaign.faults import FAMILIES
from dynamokv.testing.campaign.findings import Finding, Rule
from dynamokv.testing.campaign.many import Campaign, play_many, play_some, run_campaign, run_one
from dynamokv.testing.campaign.plan import Plan, draw
from dynamokv.testing.campaign.run import play, replay
from dynamokv.testing.campaign.shrink import shrink
from dynamokv.testing.campaign.summary import Pace, Summary
from dynamokv.types import Durability, NodeId
from tests.documents import ROOT
from tests.waiting import until

NAMES = {
    "Plan": Plan,
    "LSMOptions": LSMOptions,
    "Compaction": Compaction,
    "Compression": Compression,
    "Durability": Durability,
}


def plan_of(source: str) -> Plan:
    """What somebody pastes into a test."""
    plan = eval(source, NAMES)  # noqa: S307 - it was made by this very test
    assert isinstance(plan, Plan)
    return plan


@pytest.fixture
def counts_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that counts each acknowledgement as two."""

    def add(self: Tally, owner: NodeId) -> None:
        self.yes += [owner, owner]

    monkeypatch.setattr(Tally, "add", add)


def test_a_plan_is_its_text() -> None:
    for seed in range(100):
        plan = draw(seed)
        assert plan_of(str(plan)) == plan
    assert str(Plan(seed=3)) == "Plan(seed=3)"


def test_a_plan_without_a_family_is_otherwise_the_same() -> None:
    whole = Plan(seed=4, seconds=1.5, families=(("kill", 3.0), ("clock jump", 1.0)))
    part = Plan(seed=4, seconds=1.5, families=(("kill", 3.0),))
    assert play(whole).struck["kill"] == play(part).struck["kill"] > 0


def test_shrinking_leaves_what_it_takes() -> None:
    whole = Plan(seed=0, seconds=8.0, clients=3, families=tuple((it, 1.0) for it in FAMILIES))
    broken = Finding(Rule.QUORUM, 3_000_000_000, b"", "")
    asked: list[Plan] = []

    def fails(plan: Plan) -> list[Finding]:
        asked.append(plan)
        names = {name for name, _ in plan.families}
        if "loss" in names and plan.seconds >= 1:
            return (
                [broken] if plan.operations_per_second > 20 else [broken._replace(rule=Rule.CRASH)]
            )
        return []

    small = shrink(whole, broken, fails)
    assert small.families == (("loss", 1.0),)
    assert 1 <= small.seconds < 2
    assert 20 < small.operations_per_second < 50
    assert (small.clients, small.hot_keys, small.cold_keys) == (0, 1, 0)
    assert len(asked) <= 120
    assert len(set(map(str, asked))) == len(asked), "it went back to what it had left"
    asked.clear()
    assert shrink(whole, broken, fails, attempts_max=3) != small
    assert len(asked) == 3


@pytest.mark.usefixtures("counts_twice")
def test_a_bug_is_found_made_small_and_written_down(tmp_path: Path) -> None:
    out = io.StringIO()
    campaign = Campaign(first=11, seeds=1, seconds=1.0, folder=tmp_path / "found")
    assert run_campaign(campaign, out) == 1
    again = "--seed 11 --seconds 1 --rate 50"
    assert again in out.getvalue(), "with other seconds, make sim would play another run"
    written = (tmp_path / "found" / "seed-11.txt").read_text("utf-8")
    assert written.startswith("(c) at ")
    assert "replay(Plan(seed=11" in written
    assert "PutRequest" in written
    small = written.partition("replay(")[2].partition("\n")[0].removesuffix(")")
    with pytest.raises(AssertionError, match="counted"):
        replay(plan_of(small))
    out = io.StringIO()
    assert run_one(campaign, out) == 1
    assert again in out.getvalue()


def test_two_processes_find_what_one_does() -> None:
    campaign = Campaign(seeds=12, seconds=0.5, jobs=2)
    heard: list[int] = []
    together = play_many(campaign, lambda so_far: heard.append(so_far.seeds))
    alone = play_some(campaign, range(12))
    assert heard[-1] == 12
    assert together.happened == alone.happened
    assert together.struck == alone.struck
    assert (together.writes, together.reads) == (alone.writes, alone.reads)


def test_what_a_campaign_tells(tmp_path: Path) -> None:
    out = io.StringIO()
    assert run_campaign(Campaign(seeds=10, seconds=0.5, folder=tmp_path / "found"), out) == 0
    text = out.getvalue()
    for words in (
        "10 of 10 seeds, 0 failed",
        "faults injected",
        "acknowledged writes",
        "rare states reached",
        "per real second and core",
        "0 failing seeds",
    ):
        assert words in text
    assert not (tmp_path / "found").exists()


def test_the_pace_is_told_for_each_size_of_a_ring() -> None:
    summary = Summary()
    summary.merge(Summary(paces={5: Pace(40.0, 8.0, 1.0, 0.4)}))
    summary.merge(Summary(paces={3: Pace(60.0, 8.0, 1.0, 0.2), 5: Pace(20.0, 8.0, 1.0, 0.4)}))
    lines = list(summary.lines(3.0))[-3:]
    assert lines[0].startswith("simulated seconds     40 per real second and core; 24 in the chaos")
    assert " ".join(lines[1].split()) == "of 3 members 60; 40 in the chaos, 8 so counted"
    assert " ".join(lines[2].split()) == "of 5 members 30; 20 in the chaos, 8 so counted"


def test_one_fingerprint(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--fingerprints", "--seed", "3", "--seconds", "0.5"]) == 0
    assert capsys.readouterr().out == f"3 {play(draw(3, 0.5)).fingerprint}\n"


def test_one_seed_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seed", "3", "--seconds", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Plan(seed=3")
    assert play(draw(3, 0.5)).fingerprint in shown


def test_a_long_campaign_that_never_came_to_a_rare_state_fails() -> None:
    short, long = Summary(seeds=999), Summary(seeds=1_000)
    for summary in (short, long):
        summary.happened.update(dict.fromkeys(rare.STATES, 1))
        summary.happened["parked"] = 0
    assert short.missing() == []
    assert long.missing() == ["parked"]


def test_a_seed_that_hangs_is_named_and_the_others_are_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    locate = Home.locate
    hangs = True

    def turns_in_a_circle(self: Home, name: bytes) -> tuple[bytes, tuple[NodeId, ...]]:
        while hangs:
            with suppress(Exception):
                len(name)
        return locate(self, name)

    monkeypatch.setattr(Home, "locate", turns_in_a_circle)
    out = io.StringIO()
    campaign = Campaign(first=1, seeds=1, seconds=0.5, limit_seconds=0.3)
    assert run_campaign(campaign, out) == 1
    assert "seed 1 fails" in out.getvalue()
    assert "(hung)" in out.getvalue()
    assert "turns_in_a_circle" in out.getvalue()
    hangs = False
    summary = play_some(replace(campaign, limit_seconds=60.0), range(1, 3))
    assert summary.failed == {}
    assert summary.seeds == 2


def test_an_interrupt_ends_all_of_it() -> None:
    command = [sys.executable, "-m", "dynamokv.testing.campaign", "--seeds", "5000", "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    # The tracker of multiprocessing is the first of them.
    until(lambda: len(children.read_text("ascii").split()) > 2, "its processes are there")
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130, out
    assert out.endswith("interrupted\n")
