"""What is demanded once everything is healed: each demand is shown a ring that does not meet it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.state import home
from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import Watcher, play, replay
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import MILLISECOND

PLAN = Plan(seed=3, clients=1, seconds=0.5, operations_per_second=10.0)


def texts(plan: Plan, watcher: Watcher | None = None) -> str:
    """All that was found."""
    return "\n".join(map(str, play(plan, watcher).findings))


def test_a_ring_that_needs_all_to_write_cannot_do_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(home, "replicas_needed", lambda level, count: count)
    assert "a calm write at QUORUM by" in texts(PLAN)
    # Where the quorum is all, nobody has to be missed.
    assert "calm" not in texts(replace(PLAN, n=2))


def test_a_member_that_takes_no_writes_any_more() -> None:
    def spoil(process: Process, event: Event | None, effects: list[Effect]) -> None:
        if process.name == "n2":
            process.home.writable = False

    assert "n2 still takes no writes" in texts(PLAN, spoil)


def test_a_storm_of_frames_that_nobody_asked_for() -> None:
    began: list[Process] = []

    def chatter(process: Process) -> None:
        if process.alive:
            for peer in process.endpoint.links:
                process.endpoint.send(peer, b"so what")
            process.world.schedule.after(10 * MILLISECOND, lambda: chatter(process))

    def begin(process: Process, event: Event | None, effects: list[Effect]) -> None:
        if process not in began:
            began.append(process)
            process.world.schedule.after(MILLISECOND, lambda: chatter(process))

    assert "frames in a second in which nobody asks" in texts(PLAN, begin)


def test_a_copy_of_a_directory_that_took_the_place_of_its_original() -> None:
    # It is let in while its original cannot be reached; once it is gone, the original has to ask
    # for its place.
    replay(
        Plan(
            seed=28,
            clients=3,
            notice_us=200_000,
            hot_keys=1,
            cold_keys=0,
            operations_per_second=0.78,
            families=(("partition", 1.0), ("cloned disk", 1.0)),
        )
    )
