"""Links and verdicts in a whole node: who is probed, where requests go, who returned."""

from __future__ import annotations

from dynamokv.causality.hlc import HybridClock, time_at
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect
from dynamokv.protocol.liveness.beliefs import LivenessSettings, Verdict
from dynamokv.protocol.liveness.gossip import News, columns
from dynamokv.protocol.membership.reachability import loop_lag_of, next_boot, standing
from dynamokv.testing.simulation.clocks import START_MS
from dynamokv.types import Consistency, NodeId
from dynamokv.wire import messages as m
from dynamokv.wire.probes import BOOT_MS_MAX, Probe, ProbeAck, ProbeFor, State
from tests.protocol.lone import Bench, Lone, of, sent
from tests.ring import rings

DEFAULT = LivenessSettings()


def word(of: NodeId, state: int = State.ALIVE, *, by: NodeId | None = None, lag: int = 0) -> News:
    return News(of, START_MS, 0, state, lag, by or of)


def ack(lone: Lone, peer: NodeId, *more: News) -> list[Effect]:
    """This peer answers the last probe that it got."""
    probe = [s.message for s in lone.probes if s.peer == peer and type(s.message) is Probe][-1]
    return lone.receive(peer, ProbeAck(probe.id, *columns([word(peer), *more])))


def answering(count: int = 3) -> Lone:
    """A member whose peers all have answered."""
    lone = Lone(count)
    for peer in lone.peers:
        ack(lone, peer)
    assert lone.home.slow == set()
    return lone


def reports(effects: list[Effect]) -> list[str]:
    return [effect.text for effect in of(e.Report, effects)]


# --- who is where ---------------------------------------------------------------------------------


def test_a_link_is_probed_and_an_answer_makes_its_member_up() -> None:
    lone = Lone()
    first, second = lone.peers
    assert lone.home.linked == lone.home.up == {lone.me, first, second}
    assert lone.home.slow == {first, second}, "nobody has answered yet"
    assert reports(ack(lone, first)) == [f"{first.hex()[:8]} is up: answers"]
    assert lone.home.slow == {second}
    assert lone.home.up == {lone.me, first, second}


def test_a_link_that_breaks_takes_its_member_away_at_once() -> None:
    lone = answering()
    peer = lone.peers[0]
    effects = lone.step(e.PeerDown(peer))
    assert lone.home.up == lone.home.linked == {lone.me, lone.peers[1]}
    [text] = reports(effects)
    assert text.startswith(f"{peer.hex()[:8]} is down: no link to it")
    assert ProbeFor in {type(probe.message) for probe in lone.probes}, "do others reach it?"


def test_who_does_not_answer_over_a_link_that_works_is_slow_and_up() -> None:
    lone = answering()
    held, other = lone.peers
    for _ in range(8):
        lone.after(max(0.0, lone.node.next_deadline() - lone.home.clock.monotonic()))
        ack(lone, other)
    assert lone.home.slow == {held}
    assert held in lone.home.up
    assert lone.home.counters["peers_slow"] == 1
    assert standing(lone.home, held).why == "does not answer in time"
    assert standing(lone.home, held).since > standing(lone.home, other).since
    # It returns, and answers all that it was asked.
    assert reports(ack(lone, held)) == [f"{held.hex()[:8]} is up: answers"]
    assert lone.home.slow == set()


def test_only_who_serves_probes_but_everybody_answers() -> None:
    newcomer = Lone(
        up=[],
        topology=rings.ring(3, partitions=8).with_member(rings.member(3), filling=True),
        number=3,
    )
    assert not newcomer.node.ready
    peer = newcomer.peers[0]
    newcomer.step(e.PeerUp(peer))
    newcomer.after(5.0)
    assert newcomer.probes == []
    assert newcomer.home.up == {newcomer.me, peer}
    assert newcomer.home.slow == set()
    assert standing(newcomer.home, peer)[:2] == (Verdict.UP, "linked")
    assert standing(newcomer.home, newcomer.peers[1]).verdict is Verdict.DOWN
    assert loop_lag_of(newcomer.home, peer) == 0.0
    effects = newcomer.receive(peer, Probe(7, False, *columns([word(peer)])))
    assert reports(effects) == []
    [answer] = newcomer.probes
    assert (answer.peer, type(answer.message)) == (peer, ProbeAck)


def test_a_life_says_nothing_before_it_is_written_down() -> None:
    """Otherwise the next one, which knows nothing of it, would begin at the same moment."""
    topology = rings.ring(3, partitions=8)
    starting = Bench(rings.member(0).node_id, topology, address=rings.member(0).address)
    peer = topology.members[1].node_id
    starting.step(e.PeerUp(peer))
    starting.receive(peer, Probe(7, False, *columns([word(peer)])))
    assert starting.probes == []
    starting.durable()
    starting.receive(peer, Probe(8, False, *columns([word(peer)])))
    answers = [probe.message for probe in starting.probes if type(probe.message) is ProbeAck]
    assert [answer.id for answer in answers] == [8]


def test_who_has_another_address_is_not_ready_and_heard_without_a_link_is_not_up() -> None:
    lone = Lone(up=[0])
    ack(lone, lone.peers[0])
    silent = lone.peers[1]
    lone.receive(silent, Probe(7, False, *columns([word(silent, lag=40)])))
    assert silent not in lone.home.up
    assert standing(lone.home, silent)[:2] == (Verdict.DOWN, "no link to it yet")
    assert loop_lag_of(lone.home, silent) == 0.04
    assert loop_lag_of(lone.home, lone.me) == 0.0


def test_a_probe_that_never_left_is_as_good_as_a_link_that_broke() -> None:
    lone = Lone(up=[0])
    ack(lone, lone.peers[0])
    silent = lone.peers[1]
    lone.after(1.0)
    lone.after(1.0)
    [probe] = [s.message for s in lone.probes if s.peer == silent and type(s.message) is Probe][:1]
    lone.step(e.Undelivered(silent, probe))
    assert standing(lone.home, silent)[:2] == (Verdict.DOWN, "no link to it")
    before = len(lone.probes)
    lone.step(e.Undelivered(silent, probe))
    lone.step(e.Undelivered(lone.peers[0], probe))
    lone.step(e.Undelivered(lone.peers[0], ProbeAck(7, *columns([word(lone.me)]))))
    lone.step(e.Undelivered(b"stranger", probe))
    assert len(lone.probes) == before
    assert lone.home.counters["undelivered"] == 0


def test_a_topology_brings_and_takes_members() -> None:
    lone = Lone(n=4)
    newcomer = rings.member(7)
    lone.receive(lone.peers[0], m.Announce(lone.topology.with_member(newcomer).encode()))
    lone.step(e.PeerUp(newcomer.node_id))
    assert {probe.peer for probe in lone.probes} >= {newcomer.node_id}
    assert newcomer.node_id in lone.home.up


# --- returns --------------------------------------------------------------------------------------


def test_whoever_comes_up_is_told_to_those_who_make_good_what_it_missed() -> None:
    lone = answering()
    peer = lone.peers[0]
    seen: list[NodeId] = []

    def made_good(peer: NodeId) -> list[Effect]:
        seen.append(peer)
        return [e.Report("hints", "INFO", "delivered")]

    lone.node.reach.on_return.append(made_good)
    lone.step(e.PeerDown(peer))
    assert peer not in lone.home.returned
    effects = lone.step(e.PeerUp(peer))
    assert seen == [peer]
    assert "delivered" in reports(effects)
    assert lone.home.returned == {peer: lone.home.clock.monotonic()}
    ack(lone, peer)
    assert seen == [peer], "once"


def test_whoever_was_slow_for_long_is_told_of_as_well_but_needs_no_further_reads() -> None:
    lone = answering()
    late, _ = lone.peers
    seen: list[NodeId] = []

    def made_good(peer: NodeId) -> list[Effect]:
        seen.append(peer)
        return []

    lone.node.reach.on_return.append(made_good)
    for at, (seconds, told) in enumerate(((0.9, []), (1.1, [late]))):
        for pause, state in ((seconds, State.SLOW), (0.0, State.ALIVE)):
            own = word(late, state)._replace(counter=2 * at + 2 - (state == State.SLOW))
            lone.receive(late, Probe(1, False, *columns([own])))
            assert lone.home.slow == ({late} if state == State.SLOW else set())
            lone.wait(pause)
        assert seen == told
    assert lone.home.returned == {}


def test_who_was_declared_down_and_answers_after_all_has_returned() -> None:
    """A verdict takes nobody out while its link works; should one ever do, its end is a return."""
    lone = answering()
    peer, other = lone.peers
    known = lone.node.reach.liveness.beliefs.peers[peer]
    known.linked = False
    lone.receive(other, Probe(9, False, *columns([word(other), word(peer, State.DOWN, by=other)])))
    assert peer in lone.home.linked
    assert peer not in lone.home.up
    lone.home.returned.clear()
    known.linked = True
    lone.receive(peer, Probe(10, False, *columns([word(peer)])))
    assert peer in lone.home.up
    assert peer in lone.home.returned


# --- requests -------------------------------------------------------------------------------------


def slow(lone: Lone, *peers: NodeId) -> None:
    for peer in peers:
        lone.receive(
            peer,
            Probe(
                1, False, *columns([word(peer)._replace(counter=1, state=State.SLOW, lag_ms=900)])
            ),
        )
    assert lone.home.slow == set(peers)


def test_reads_ask_slow_owners_last() -> None:
    lone = answering()
    for number in range(6):
        slow(lone, lone.peers[0])
        effects = lone.get(ticket=number)
        assert set(sent(m.Fetch, effects)) == {lone.peers[1]}


def test_a_quorum_is_as_large_as_ever_and_writes_go_to_the_slow_too() -> None:
    lone = answering()
    slow(lone, *lone.peers)
    assert set(sent(m.Replicate, lone.put())) == set(lone.peers)
    assert len(sent(m.Fetch, lone.get(ticket=2, level=Consistency.ALL))) == 2


def test_who_is_late_for_a_read_is_probed_at_once_and_not_for_each() -> None:
    lone = answering()
    lone.wait(DEFAULT.answer_within)
    asked = list(sent(m.Fetch, lone.get(ticket=1)))
    assert len(asked) == 1
    lone.get(ticket=2)
    lone.get(ticket=3)
    lone.probes.clear()
    lone.after(0.04)
    assert asked[0] in [probe.peer for probe in lone.probes]
    assert len({probe.peer for probe in lone.probes}) == len(lone.probes)
    assert lone.home.doubted == {}


def test_a_forward_prefers_owners_that_are_not_slow() -> None:
    lone = answering(5)
    name = lone.name(mine=False)
    owners = lone.home.locate(name)[1]
    slow(lone, *owners[1:])
    for number in range(4):
        effects = lone.put(names=[name], ticket=number)
        assert set(sent(m.PutRequest, effects)) == {owners[0]}


# --- the boot time --------------------------------------------------------------------------------


def test_a_life_starts_after_everything_that_the_one_before_can_have_used() -> None:
    """Row 43 of the failure catalogue."""
    lone = Lone()
    boot_ms = lone.node.reach.liveness.beliefs.own.boot_ms
    assert boot_ms == START_MS
    # Also after a clean stop, and although the clock was set back: its ceiling is the last time.
    lone.step(e.Stop())
    assert lone.home.hybrid.last >= time_at(boot_ms) - 1


def test_a_clock_that_was_set_back_or_ends() -> None:
    home = Lone().home
    home.hybrid = HybridClock(last=time_at(START_MS + 5000), drift_max_ms=1)
    assert next_boot(home).boot_ms == START_MS + 5002
    assert next_boot(home).boot_ms == START_MS + 5003
    home.hybrid = HybridClock(last=time_at(BOOT_MS_MAX), drift_max_ms=1)
    assert next_boot(home).boot_ms == BOOT_MS_MAX
