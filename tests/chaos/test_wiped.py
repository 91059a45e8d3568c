"""A member whose data directory is lost: started at its address, it is whole again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import waiting
from tests.chaos.ring import Member, Raised, Ring

KEYS = 3_000


@pytest.mark.parametrize("lost", [0, 2], ids=["founder", "other"])
def test_a_wiped_disk_is_refilled_and_nothing_is_lost(tmp_path: Path, lost: int) -> None:
    with Ring(tmp_path) as ring:
        held = {f"key-{number}": number for number in range(KEYS)}
        ring.members[1].ask("put_many", held)
        member, others = (
            ring.members[lost],
            [m for m in ring.members if m is not ring.members[lost]],
        )
        for number, other in enumerate(others):
            other.ask("load", f"load-{number}", 1, False)
        ring.wait_acks(50)
        old_id, kept = member.node_id, tmp_path / "kept"
        member.kill()
        shutil.move(member.options["data_dir"], kept)
        ring.wait_acks(50)
        member.restart()
        assert member.node_id != old_id
        for number, other in enumerate(others):
            assert other.ask("end_load", f"load-{number}")["errors"] == {}
        assert member.ask("get_many", list(held), consistency="ONE") == held
        ring.assert_nothing_lost()
        waiting.until(ring.linked, "all members reach each other")
        replaced = [m.ask("metrics")["counters"]["members_replaced"] for m in ring.members]
        assert sum(replaced) == 1
        assert member.ask("status")["filling"] is None

        # Its old directory is found, and of no use any more.
        new = member.options["data_dir"]
        member.kill()
        member.begin_again(data_dir=str(kept))
        told = refusal(member)
        assert (told.kind, "was replaced" in told.text) == ("JoinRefused", True)
        member.end()
        member.restart(data_dir=new)
        member.ask("put", "after", "yes", consistency="ALL")
        ring.assert_nothing_lost()


def refusal(member: Member) -> Raised:
    """Why it cannot join. It may serve for a moment, until it hears of it."""
    try:
        member.wait_ready()
    except Raised as raised:
        return raised
    waiting.until(lambda: member.ask("status")["state"] == "replaced", "it is told")
    member.kill()
    with pytest.raises(Raised) as caught:
        member.restart()
    return caught.value


def test_members_in_memory_come_back_one_after_the_other(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring:
        for member in ring.members:
            member.kill()
            member.restart(data_dir=None)
        held = {f"key-{number}": number for number in range(500)}
        ring.members[0].ask("put_many", held, consistency="ALL")
        for member in ring.members:
            member.kill()
            member.restart()
            assert member.ask("get_many", list(held), consistency="ONE") == held
