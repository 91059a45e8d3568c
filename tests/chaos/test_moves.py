"""Members at other addresses, copies of them, and processes that belong elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import dynamokv
from tests import waiting
from tests.chaos.ring import Member, Raised, Ring, another, free_addresses


def addresses(member: Member) -> dict[str, str]:
    """Where this member believes each member to be."""
    found: dict[str, dict[str, Any]] = member.ask("status")["members"]
    return {node_id: entry["address"] for node_id, entry in found.items()}


def assert_ring_knows(ring: Ring) -> None:
    """Each knows where all are, reaches them, and any of them writes and reads with all."""
    truth = {member.node_id: member.address for member in ring.members}
    waiting.until(ring.linked, "all members reach each other")
    waiting.until(
        lambda: all(addresses(member) == truth for member in ring.members), "the ring learns it"
    )
    for member in ring.members:
        member.ask("put", "by", member.address, consistency="ALL")
        for other in ring.members:
            assert other.ask("get", "by", consistency="ONE") == member.address


@pytest.mark.parametrize("moved", [0, 1], ids=["founder", "other"])
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "closed"])
def test_one_comes_back_at_another_port(tmp_path: Path, moved: int, killed: bool) -> None:
    with Ring(tmp_path) as ring:
        member = ring.members[moved]
        old_id = member.node_id
        member.ask("put", "kept", "yes", consistency="ALL")
        member.kill() if killed else member.close()
        ring.members[2].ask("put", "meanwhile", "yes")
        member.restart(address=free_addresses(1)[0])
        assert member.node_id == old_id
        assert_ring_knows(ring)
        assert member.ask("get", "kept", consistency="ONE") == "yes"
        assert member.ask("get", "meanwhile") == "yes"


def test_one_after_another_moves(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring:
        for member in ring.members:
            member.kill()
            member.restart(address=free_addresses(1)[0])
            assert_ring_knows(ring)


def test_all_come_back_at_other_ports_at_once(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring:
        ids = [member.node_id for member in ring.members]
        ring.members[1].ask("put", "kept", "yes", consistency="ALL")
        ring.kill_all()
        moved = free_addresses(3)
        for member, address in zip(ring.members, moved, strict=True):
            member.begin_again(address=address, seeds=moved)
        ring.wait_ready()
        assert [member.node_id for member in ring.members] == ids
        assert_ring_knows(ring)
        assert [member.ask("get", "kept") for member in ring.members] == ["yes"] * 3


def test_a_client_survives_the_restart_of_all(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring, dynamokv.connect(ring.seeds[:2]) as client:
        client.put("kept", 1)
        ring.kill_all()
        with pytest.raises(dynamokv.QuorumError):
            client.put("nobody", 1, timeout=0.5)
        ring.restart_all()
        waiting.until(lambda: served(client), "the client finds the ring again", 10.0)
        client.put("kept", 2)
        assert client.get("kept") == 2


def served(client: dynamokv.Client) -> bool:
    """Whether a call of the client succeeds."""
    try:
        return bool(client.get("kept") == 1)
    except dynamokv.QuorumError:
        return False


@pytest.mark.parametrize("original", [0, 1], ids=["founder", "other"])
@pytest.mark.parametrize("port", ["other port", "any port"])
def test_a_copy_of_a_living_member_is_refused(tmp_path: Path, original: int, port: str) -> None:
    with Ring(tmp_path) as ring:
        member = ring.members[original]
        member.ask("put", "k", "v", consistency="ALL")
        copy = tmp_path / "copy"
        shutil.copytree(member.options["data_dir"], copy)
        options = member.options | {
            "data_dir": str(copy),
            "address": free_addresses(1)[0] if port == "other port" else "127.0.0.1:0",
        }
        with another(tmp_path / "copy.log", **options) as process:
            with pytest.raises(Raised, match="one identity cannot run twice") as caught:
                process.wait_ready()
            assert caught.value.kind == "JoinRefused"
        assert_ring_knows(ring)


def test_its_original_directory_is_locked(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring:
        options = ring.members[1].options | {"address": "127.0.0.1:0"}
        with another(tmp_path / "second.log", **options) as process:
            with pytest.raises(Raised) as caught:
                process.wait_ready()
            assert caught.value.kind == "DataDirLocked"
        assert_ring_knows(ring)


def test_who_names_another_cluster_is_refused(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring:
        options = {"address": "127.0.0.1:0", "seeds": ring.seeds, "cluster": "other"}
        with another(tmp_path / "other.log", **options) as process:
            with pytest.raises(Raised, match="other") as caught:
                process.wait_ready()
            assert caught.value.kind == "ClusterMismatch"
        with pytest.raises(dynamokv.ClusterMismatch, match="other"):
            dynamokv.connect(ring.seeds, cluster="other")
        assert_ring_knows(ring)


def test_a_member_of_another_ring_of_that_name_is_refused(tmp_path: Path) -> None:
    """Its data directory says where it belongs; to take it over would mix two rings."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Ring(tmp_path / "a") as ring, Ring(tmp_path / "b") as other:
        stranger = other.members[1]
        stranger.ask("put", "whose", "theirs", consistency="ALL")
        other.kill_all()
        stranger.begin_again(seeds=ring.seeds, address=free_addresses(1)[0], timeout=3.0)
        with pytest.raises(Raised) as caught:
            stranger.wait_ready()
        assert caught.value.kind in ("ClusterMismatch", "JoinTimeout")  # today the latter
        assert ring.members[0].ask("get", "whose") is None
        assert_ring_knows(ring)
