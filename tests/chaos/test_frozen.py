"""One of three is frozen: its connections stand, and nothing comes from it."""

from __future__ import annotations

import time
from pathlib import Path

import dynamokv
from tests import waiting
from tests.chaos.member import Load
from tests.chaos.ring import Ring

READ_SECONDS_MAX = 1.5
CLOSE_SECONDS_MAX = 2.0
NOTICED_SECONDS = 2.0


def test_the_others_read_and_write_on_and_the_frozen_comes_back(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring:
        for frozen in ring.members[:2]:
            others = [member for member in ring.members if member is not frozen]
            name = f"f{frozen.node_id[:4]}"
            for number, member in enumerate(others):
                member.ask("load", f"{name}{number}", 2, False)
                member.ask("load", f"{name}{number}?", 2, True)
            ring.wait_acks(100)
            frozen.freeze()
            ring.wait_acks(100)
            waiting.pass_time(NOTICED_SECONDS)
            assert not others[0].is_up(frozen)
            ring.wait_acks(100)
            frozen.thaw()
            waiting.until(ring.linked, "the thawed member is back")
            for number, member in enumerate(others):
                for load in (f"{name}{number}", f"{name}{number}?"):
                    found = member.ask("end_load", load)
                    assert not found["errors"], found
                    assert found["longest"] < READ_SECONDS_MAX, found
            frozen.ask("put", "thawed", name, consistency="ALL")
            assert others[0].ask("get", "thawed") == name
            ring.assert_nothing_lost()


def test_its_own_calls_end_after_it_was_frozen(tmp_path: Path) -> None:
    """In-process calls that span the freeze end within their timeout of the thaw."""
    with Ring(tmp_path) as ring:
        frozen = ring.members[1]
        frozen.ask("load", "own", 4, False)
        ring.wait_acks(100)
        frozen.freeze()
        waiting.until(lambda: not ring.members[0].is_up(frozen), "the silence is noticed", 5.0)
        frozen.thaw()
        waiting.until(ring.linked, "the thawed member is back")
        before = frozen.acks
        waiting.until(lambda: frozen.acks > before + 20, "it writes again")
        found = frozen.ask("end_load", "own")
        assert set(found["errors"]) <= {"Indeterminate", "Unavailable"}, found
        ring.assert_nothing_lost()


def test_a_client_reads_past_a_frozen_member(tmp_path: Path) -> None:
    acked: dict[str, str] = {}
    with Ring(tmp_path) as ring, dynamokv.connect(ring.seeds) as client:
        writes = Load(client, "w", 4, False, acked.__setitem__)
        waiting.until(lambda: len(acked) > 100, "the client writes")
        writes.stop()
        reads = Load(client, "w?", 4, True, acked.__setitem__)
        frozen = ring.members[2]
        frozen.freeze()
        waiting.pass_time(NOTICED_SECONDS)
        for key, value in acked.items():
            assert int(client.get(key)) >= int(value)
        started = time.monotonic()
        client.put("after", "noticed")
        assert time.monotonic() - started < READ_SECONDS_MAX
        frozen.thaw()
        waiting.until(ring.linked, "the thawed member is back")
        found = reads.stop()
        # The thawed member still answers what was asked of it before: it reaches nobody yet, and
        # the client takes its word (protocol/requests/forward.py), one call for each thread at
        # most.
        assert set(found["errors"]) <= {"Unavailable"}, found
        assert found["errors"].get("Unavailable", 0) <= 4, found
        assert found["longest"] < READ_SECONDS_MAX, found


def test_close_does_not_wait_for_a_frozen_peer(tmp_path: Path) -> None:
    """Neither before the silence is noticed, with calls under way, nor after it, with two."""
    with Ring(tmp_path) as ring:
        first, second, frozen = ring.members
        first.ask("load", "closing", 4, False)
        ring.wait_acks(50)
        frozen.freeze()
        first.ask("end_load", "closing")
        pending = first.send("put", "pending", "?", consistency="ALL")
        assert first.close() < CLOSE_SECONDS_MAX
        assert not pending[0].empty(), "a call under way was never answered"
        waiting.pass_time(NOTICED_SECONDS)
        assert second.close() < CLOSE_SECONDS_MAX
        frozen.thaw()
        assert frozen.close() < CLOSE_SECONDS_MAX
