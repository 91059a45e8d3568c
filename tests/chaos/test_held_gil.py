"""The application of one of three holds the GIL: its process lives, and it answers nobody."""

from __future__ import annotations

from pathlib import Path

import dynamokv
from tests import waiting
from tests.chaos.member import Load
from tests.chaos.ring import Member, Ring

HELD_SECONDS = 10
NOTICED_SECONDS = 6.0
RETURN_SECONDS = 2.0
CALL_SECONDS_MAX = 1.5


def ring_of(member: Member) -> tuple[int, int]:
    """What no verdict may change: the epoch, and how much was copied from others."""
    return member.ask("status")["epoch"], member.ask("metrics")["counters"].get("filled_rows", 0)


def test_it_is_routed_around_and_soon_as_good_as_before(tmp_path: Path) -> None:
    """Row 49 of the failure catalogue: a held GIL is no death. Nothing moves, nobody waits."""
    with Ring(tmp_path) as ring:
        first, held, second = ring.members
        others = [first, second]
        before = [ring_of(member) for member in ring.members]
        for number, member in enumerate(others):
            member.ask("load", f"h{number}", 1, False)
            member.ask("load", f"h{number}?", 1, True)
        ring.wait_acks(100)
        holding = held.send("hold_gil", HELD_SECONDS)
        waiting.until(
            lambda: not any(member.is_up(held) for member in others), "all notice", NOTICED_SECONDS
        )
        for member in others:
            found = member.ask("status")["members"][held.node_id]
            assert found["state"] == "slow", "its link stands"
            assert found["why"] == "does not answer in time" or "got no answer" in found["why"]
        ring.wait_acks(100)
        assert holding[0].empty(), "it was held all the time"
        held.answer(holding)
        waiting.until(ring.linked, "everybody is up for everybody", RETURN_SECONDS)
        for number, member in enumerate(others):
            for load in (f"h{number}", f"h{number}?"):
                found = member.ask("end_load", load)
                assert not found["errors"], found
                assert found["longest"] < CALL_SECONDS_MAX, found
        for member in others:
            assert member.ask("metrics")["counters"]["peers_down"] == 0
        assert held.ask("metrics")["counters"]["peers_slow"] == 0, "it was late itself"
        assert [ring_of(member) for member in ring.members] == before
        ring.assert_nothing_lost()


def test_a_client_finds_its_way_round_it(tmp_path: Path) -> None:
    """It knows no verdicts: what it asked and got no answer to is what it goes by."""
    acked: dict[str, str] = {}
    with Ring(tmp_path) as ring, dynamokv.connect(ring.seeds) as client:
        client.put("key", "before")
        held = ring.members[2]
        holding = held.send("hold_gil", HELD_SECONDS)
        reads = Load(client, "r?", 2, True, acked.__setitem__)
        waiting.until(lambda: reads.calls > 300, "reads go on", NOTICED_SECONDS)
        writes = Load(client, "w", 2, False, acked.__setitem__)
        waiting.until(lambda: len(acked) > 100, "writes go on", NOTICED_SECONDS)
        assert holding[0].empty(), "it was held all the time"
        found = reads.stop()
        assert not found["errors"], found
        assert found["longest"] < CALL_SECONDS_MAX, found
        held.answer(holding)
        writes.stop()
        waiting.until(ring.linked, "everybody is up for everybody", RETURN_SECONDS)
