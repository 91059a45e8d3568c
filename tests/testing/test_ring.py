"""The ring for tests of applications: what its members do is what members do, and each fault is
that fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import dynamokv
from dynamokv.testing import Ring, SimulatedNode
from dynamokv.testing.ring import HEAL_SECONDS


@pytest.fixture
def ring() -> Iterator[Ring]:
    with Ring(3) as found:
        yield found


def test_every_call_is_the_real_one(ring: Ring) -> None:
    a, b, c = ring
    receipt = a.put("key", {"n": 1}, consistency="ALL")
    assert (receipt.acks, receipt.needed) == (3, 3)
    assert b.get("key") == {"n": 1}
    assert c.get("key", consistency="ONE") == {"n": 1}
    b.update("key", lambda value: {"n": value["n"] + 1})
    assert a.read("key").value == {"n": 2}
    a["other"] = 1
    assert "other" in b
    assert b["other"] == 1
    del c["other"]
    assert a.get("other", "gone") == "gone"
    a.batch_put({f"k{n}": n for n in range(20)}).raise_for_errors()
    assert b.batch_get([f"k{n}" for n in range(20)]) == {f"k{n}": n for n in range(20)}
    ring.advance(1)  # until all copies have them: a delete covers what its coordinator holds
    c.batch_delete([f"k{n}" for n in range(20)]).raise_for_errors()
    assert a.get("k3") is None
    with pytest.raises(dynamokv.InvalidKey):
        a.get("")


def test_time_is_virtual(ring: Ring) -> None:
    node = ring[0]
    receipt = node.put("key", 1, ttl=3600)
    assert 0 < receipt.duration < 1
    assert ring[1].get("key") == 1
    ring.advance(3599)
    assert [member.get("key") for member in ring] == [1, 1, 1]
    assert node.get("key", consistency="ONE") == 1
    ring.advance(2)
    assert [member.get("key") for member in ring] == [None, None, None]
    assert node.get("key", consistency="ONE") is None
    assert node.read("key").values == []
    assert node.batch_get(["key"]) == {"key": None}
    assert ring.seconds > 3600


def test_one_seed_is_one_run() -> None:
    def run(seed: int) -> tuple[str, list[str]]:
        with Ring(3, seed=seed) as ring:
            ring.partition(["n1"], ["n2", "n3"])
            for node in ring:
                node.put("key", node.name, consistency="ONE")
            ring.crash("n2")
            ring.heal()
            ring[1].get("key")
            return ring.cluster.fingerprint(), ring.story()

    assert run(1) == run(1)
    assert run(1)[0] != run(2)[0]


def test_a_partition_keeps_both_sides_apart(ring: Ring) -> None:
    a, b, c = ring
    a.put("key", "before", consistency="ALL")
    ring.partition([a], ["n2", 2])
    assert ring.status()["partition"] == [["n1"], ["n2", "n3"]]
    with pytest.raises(dynamokv.Indeterminate):
        a.put("key", "alone")  # nobody has noticed yet
    ring.advance(2)
    assert ring.status()["nodes"]["n1"]["reaches"] == []
    assert ring.status()["nodes"]["n2"]["reaches"] == ["n3"]
    with pytest.raises(dynamokv.Unavailable):
        a.put("key", "still alone")
    b.put("key", "majority")
    assert c.get("key") == "majority"
    assert a.get("key", consistency="ONE") == "alone"
    ring.heal()
    assert a.get("key", consistency="ALL") == b.get("key", consistency="ALL") == "majority"


def test_one_group_is_cut_off_from_all_others(ring: Ring) -> None:
    ring.partition(["n3"])
    ring.advance(2)
    reaches = {name: state["reaches"] for name, state in ring.status()["nodes"].items()}
    assert reaches == {"n1": ["n2"], "n2": ["n1"], "n3": []}
    ring.partition(["n1"])
    ring.advance(2)
    reaches = {name: state["reaches"] for name, state in ring.status()["nodes"].items()}
    assert reaches == {"n1": [], "n2": ["n3"], "n3": ["n2"]}


def test_who_is_in_no_group_reaches_everybody(ring: Ring) -> None:
    ring.partition(["n1"], ["n2"])
    ring.advance(2)
    reaches = {name: state["reaches"] for name, state in ring.status()["nodes"].items()}
    assert reaches == {"n1": ["n3"], "n2": ["n3"], "n3": ["n1", "n2"]}


@pytest.mark.parametrize(("durability", "kept"), [("fsync", True), ("os", False)])
def test_a_power_cut_takes_what_was_not_durable(durability: str, kept: bool) -> None:
    with Ring(1, durability=durability) as ring:
        node = ring[0]
        node.put("key", 1)
        ring.crash(node)
        ring.restart(node)
        assert node.get("key") == (1 if kept else None)


def test_the_interval_of_fsyncs_is_that_of_the_settings() -> None:
    with Ring(1, durability="interval", fsync_interval=5.0) as ring:
        node = ring[0]
        node.put("early", 1)
        ring.advance(5.5)
        node.put("late", 1)
        ring.crash(node)
        ring.heal()
        assert (node.get("early"), node.get("late")) == (1, None)


def test_a_killed_process_loses_nothing() -> None:
    with Ring(1, durability="os") as ring:
        ring[0].put("key", 1)
        ring.crash(0, power=False)
        ring.heal()
        assert ring[0].get("key") == 1


def test_a_member_that_is_down_says_so(ring: Ring) -> None:
    node = ring["n2"]
    node_id = node.node_id
    ring.crash(node)
    assert ring.status()["nodes"]["n2"] == {"state": "down", "address": "n2:1", "reaches": []}
    for call in (lambda: node.get("key"), lambda: node.get("key", consistency="ONE"), node.status):
        with pytest.raises(dynamokv.ClosedError, match=r"n2 is down: ring.restart\('n2'\)"):
            call()
    ring[0].put("key", 1)
    ring.restart(node)
    assert node.get("key") == 1
    assert node.node_id == node_id


def test_a_member_that_runs_is_restarted_cleanly(ring: Ring) -> None:
    process = ring["n2"].session.process
    ring["n2"].put("key", 1)
    ring.restart("n2")
    assert ring["n2"].session.process is not process
    assert ring["n2"].get("key", consistency="ONE") == 1


def test_a_member_is_closed_by_its_application(ring: Ring) -> None:
    with ring["n1"] as node:
        node.put("key", 1)
    node.close()
    assert repr(node) == "<SimulatedNode n1, down>"
    ring.heal()
    assert node.get("key") == 1


def test_a_paused_member_goes_on_where_it_was(ring: Ring) -> None:
    a, b, _ = ring
    ring.pause(b)
    a.put("key", 1)
    with pytest.raises(dynamokv.UsageError, match="paused"):
        b.get("key")
    ring.advance(5)
    assert "n2" not in ring.status()["nodes"]["n1"]["reaches"]
    ring.resume(b)
    ring.advance(2)
    assert b.get("key", consistency="ALL") == 1
    ring.pause(b)
    ring.heal()
    assert b.session.state == "up"


def test_a_ring_heals_of_everything_at_once() -> None:
    with Ring(5, n=3) as ring:
        for number in range(20):
            ring[number % 5].put(f"k{number}", number)
        ring.partition(["n1", "n2"], ["n3", "n4", "n5"])
        ring.crash("n1")
        ring.pause("n4")
        ring.advance(10)
        ring.heal()
        status = ring.status()
        assert status["partition"] == []
        assert all(len(state["reaches"]) == 4 for state in status["nodes"].values())
        assert ring["n4"].batch_get([f"k{n}" for n in range(20)]).ok


def test_a_member_whose_disk_was_lost_is_filled_again(ring: Ring) -> None:
    ring[0].put("key", 1, consistency="ALL")
    ring.crash("n3")
    ring.cluster.machines["n3"].wipe()
    ring.heal()
    assert ring["n3"].get("key", consistency="ONE") == 1


def test_a_ring_that_cannot_heal_says_who_is_missing(ring: Ring) -> None:
    for name in ("n2", "n3"):
        ring.crash(name)
        ring.cluster.machines[name].wipe()  # two of three copies are gone
    with pytest.raises(dynamokv.JoinTimeout, match="'n2'"):
        ring.heal()
    assert ring.seconds > HEAL_SECONDS


def test_members_tell_of_themselves_as_real_ones_do(ring: Ring) -> None:
    node = ring[0]
    node.put("key", 1)
    node.get("key")
    status, metrics, owned = node.status(), node.metrics(), node.ring()
    with dynamokv.join(durability="os") as real:
        assert status.keys() == real.status().keys()
        assert metrics.keys() == real.metrics().keys()
        assert owned.keys() == real.ring().keys()
    assert (status["state"], status["healthy"], status["node_id"]) == (
        "serving",
        True,
        node.node_id,
    )
    assert [member["state"] for member in status["members"].values()] == ["up"] * 3
    assert 0 < metrics["write_latency_p99"] < 1
    assert len(owned["owned"]) == 3


def test_a_client_finds_the_ring_and_fails_over(ring: Ring) -> None:
    client = ring.client()
    client.put("key", 1)
    assert ring[0].get("key") == 1
    assert len(client.status()["members"]) == 3
    assert client.metrics()["counters"]["amnesia"] == 0
    assert len(client.ring()["owned"]) == 3
    ring.crash(0)
    assert client.get("key") == 1
    ring.partition([client], ["n2", "n3"])
    ring.advance(2)
    with pytest.raises(dynamokv.QuorumError):
        client.get("key", timeout=0.5)
    ring.heal()
    assert client.get("key") == 1
    client.close()
    with pytest.raises(dynamokv.ClosedError):
        client.get("key")
    assert ring.status()["clients"]["c1"]["state"] == "down"


def test_a_client_knows_the_members_that_it_was_told(ring: Ring) -> None:
    ring.crash("n1")
    with pytest.raises(dynamokv.JoinTimeout, match="c1"):
        ring.client(["n1"], timeout=3)
    with ring.client([ring[1]], consistency="ONE") as client:
        assert client.put("key", 1).needed == 1


def test_settings_are_those_of_join() -> None:
    with Ring(2, consistency="ALL", n=2, partitions=16, sibling_cap=2) as ring:
        assert ring[0].put("key", 1).needed == 2
        assert ring[0].config.sibling_cap == 2
        assert ring[0].ring()["partitions"] == 16


def test_all_of_it_ends() -> None:
    with Ring(1) as ring:
        node, client = ring[0], ring.client()
    ring.close()
    for used in (lambda: node.get("k"), lambda: client.get("k"), lambda: ring.advance(1)):
        with pytest.raises(dynamokv.ClosedError):
            used()


def test_the_story_is_for_people(ring: Ring) -> None:
    ring["n1"].bucket("carts").put("ada", 1)
    ring.partition(["n1"])
    with pytest.raises(dynamokv.Indeterminate):
        ring["n1"].delete("key", timeout=0.1)
    story = ring.story()
    assert story[0].startswith("seed 0, 0.")
    assert story[0].endswith("n1 up, n2 up, n3 up, partition n1 | n2, n3")
    events = [line.split(maxsplit=1)[1] for line in story[1:]]
    assert events == [
        "ring  founded by n1, n2, n3",
        "n1    put 'carts/ada': done",
        "ring  partition n1 | n2, n3",
        "n1    delete 'key': INDETERMINATE (needed 2, got 1)",
    ]


def test_a_member_is_what_an_application_takes(ring: Ring) -> None:
    def application(kv: dynamokv.Node | SimulatedNode) -> int:
        kv.bucket("visits", resolver="merge").update("n", lambda n: n + 1, default=0)
        found: int = kv.bucket("visits").get("n")
        return found

    assert application(ring[0]) == 1
    assert application(ring[1]) == 2
