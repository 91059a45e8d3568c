"""One member and what it makes of answers: in time, late, of others, of another time."""

from __future__ import annotations

from random import Random

import pytest

from dynamokv.protocol.liveness.beliefs import LivenessSettings, Verdict
from dynamokv.protocol.liveness.gossip import columns
from dynamokv.protocol.liveness.liveness import Liveness
from dynamokv.types import NodeId
from dynamokv.wire.probes import Probe, ProbeAck, ProbeFor, ProbeNack, State
from tests.protocol.liveness.test_liveness_rules import (
    BOOT,
    ME,
    STRANGER,
    A,
    B,
    C,
    accusation,
    ack,
    asked_for,
    probes,
    ring,
    word,
)
from tests.ring.rings import node_id

DEFAULT = LivenessSettings()
PATIENCE = DEFAULT.answer_within


def doubted(life: Liveness, id: NodeId, now: float) -> int:
    """A probe of this member alone, and its id."""
    [probe] = probes(life.doubt(id, now), id)
    return probe.id


def answer_all(life: Liveness, now: float, but: NodeId = STRANGER) -> None:
    """Whoever is asked now answers at once."""
    for peer, message in life.tick(now):
        if peer != but and type(message) is Probe:
            life.on_message(peer, ack(peer, message.id), now)


def quiet_ring(*ids: NodeId) -> Liveness:
    """No probe is under way, and the next turn is far away."""
    life = ring(*ids)
    life.settings = LivenessSettings(period=1000.0)
    life.tick(0.0)
    answer_all(life, life.next_deadline())
    for id in ids:
        life.on_link(id, False, 0.5)
        [probe] = probes(life.on_link(id, True, 0.5), id)
        life.on_message(id, ack(id, probe.id), 0.5)
    life.health.change(-9)
    life.changed()
    assert all(life.verdict(id).verdict is Verdict.UP for id in ids)
    return life


def test_the_first_probe_exchanges_everything_and_links_do_not_all_do() -> None:
    life = Liveness(ME, BOOT, Random(1))
    life.members([ME, A, B, C], 0.0)
    [first] = probes(life.on_link(A, True, 0.0), A)
    [second] = probes(life.on_link(B, True, 0.0), B)
    assert (first.full, second.full) == (True, False)
    life.on_message(A, ack(A, first.id, word(C)), 0.1)
    for _ in range(20):
        life.beliefs.attached(C)
    [(_, everything)] = life.on_message(B, Probe(3, True, *columns([word(B)])), 0.1)
    assert sorted(everything.ids) == sorted([ME, A, C])
    # Answered: so not again soon, unless another link comes up, and then not at once.
    assert not probes(life.doubt(A, 5.0), A)[0].full
    [third] = probes(life.on_link(C, True, 5.0), C)
    assert not third.full
    life.on_message(A, ack(A, first.id + 2), 5.0)
    [fourth] = probes(life.doubt(A, 6.0), A)
    assert fourth.full
    life.on_message(A, ack(A, fourth.id), 6.0)
    [fifth] = probes(life.doubt(A, 5.9 + DEFAULT.full_every), A)
    assert not fifth.full
    life.on_message(A, ack(A, fifth.id), 6.0 + DEFAULT.full_every)
    assert probes(life.doubt(A, 6.3 + DEFAULT.full_every), A)[0].full


def test_silence_is_seen_at_the_deadline_and_over_with_the_answer() -> None:
    life = quiet_ring(A, B, C)
    probe = doubted(life, A, 1.0)
    assert life.next_deadline() == 1.0 + PATIENCE
    assert life.doubt(A, 1.1) == [], "one is under way"
    life.tick(1.0 + PATIENCE)
    assert life.verdict(A) == (Verdict.SLOW, "does not answer in time", 1.0 + PATIENCE)
    assert life.changed() == [A]
    assert life.changed() == []
    life.on_message(A, ack(A, probe - 1), 2.0)
    assert life.verdict(A).verdict is Verdict.SLOW, "an earlier answer proves nothing"
    life.on_message(A, Probe(9, False, *columns([word(A)])), 2.0)
    assert life.verdict(A).verdict is Verdict.SLOW, "it asks, but does not answer"
    life.on_message(A, ack(A, probe), 2.1)
    assert life.verdict(A) == (Verdict.UP, "answers", 2.1)


def test_who_always_answers_late_stays_slow() -> None:
    life = quiet_ring(A, B)
    now = 1.0
    for _ in range(3):
        probe = doubted(life, A, now)
        life.tick(now + PATIENCE)
        life.on_message(A, ack(A, probe), now + PATIENCE + 0.05)
        life.on_message(A, ack(A, probe), now + PATIENCE + 0.05)  # twice on the wire
        now += 1.0
    assert life.verdict(A)[:2] == (Verdict.SLOW, "answers late")
    for _ in range(3):
        assert life.verdict(A).verdict is Verdict.SLOW
        life.on_message(A, ack(A, doubted(life, A, now)), now)
        now += 1.0
    assert life.verdict(A).verdict is Verdict.UP


def test_nobody_answered_so_others_are_asked_and_then_it_is_accused() -> None:
    life = quiet_ring(A, B, C)
    out = life.on_link(A, False, 1.0)
    helpers = asked_for(out, A)
    assert {peer for peer, _ in helpers} == {B, C}
    assert life.verdict(A).verdict is Verdict.DOWN
    probe = helpers[0][1]
    for helper in (B, B, STRANGER):
        nack = ProbeNack(probe, False, *columns([word(helper)]))
        life.on_message(helper, nack, 1.1)
    assert life.beliefs.peers[A].news.state == State.ALIVE
    life.tick(1.0 + 2 * PATIENCE)
    assert life.beliefs.peers[A].news == accusation(A, ME)
    assert life.health.score == 1, "C did not say a word"
    life.on_message(B, ProbeNack(probe, True, *columns([word(B)])), 2.0)
    assert life.beliefs.peers[A].vouched_at < 0, "too late"


def test_who_is_not_in_a_hurry_asks_again_beside_its_helpers() -> None:
    life = quiet_ring(A, B)
    life.on_link(A, False, 1.0)
    [first] = probes(life.on_link(A, True, 1.0), A)
    out = life.tick(1.0 + PATIENCE)
    [again] = probes(out, A)
    assert asked_for(out, A) == [(B, first.id)]
    assert again.id == first.id
    life.on_message(A, ack(A, first.id), 1.4)
    life.tick(1.0 + 3 * PATIENCE)
    assert life.beliefs.peers[A].news.state == State.ALIVE


def test_who_distrusts_itself_waits_longer() -> None:
    life = quiet_ring(A, B)
    life.health.change(+2)
    doubted(life, A, 1.0)
    assert life.next_deadline() == pytest.approx(1.0 + 3 * PATIENCE)
    life.on_link(A, False, 1.1)
    assert life.next_deadline() == pytest.approx(1.1 + 6 * PATIENCE)


@pytest.mark.parametrize("answer", ["ack", "nack"])
def test_a_helper_that_knows_better_is_believed(answer: str) -> None:
    life = quiet_ring(A, B)
    [(_, probe)] = asked_for(life.on_link(A, False, 1.0), A)
    if answer == "ack":
        life.on_message(B, ack(B, probe), 1.1)
    else:
        life.on_message(B, ProbeNack(probe, True, *columns([word(B)])), 1.1)
    assert life.beliefs.peers[A].vouched_at == 1.1
    life.tick(1.0 + 2 * PATIENCE)
    accused = life.beliefs.peers[A].news.state == State.SUSPECT
    assert accused == (answer == "nack"), "its process lives, and does not answer"


def test_helpers_that_answer_are_asked_before_others() -> None:
    life = quiet_ring(A, B, C)
    life.settings = LivenessSettings(period=1000.0, helpers=1)
    life.beliefs.missed(B, 0, 1.0)
    for _ in range(20):
        assert asked_for(life.on_link(A, False, 1.0), A)[0][0] == C
        life.on_link(A, True, 1.0)
    assert life.verdict(B).verdict is Verdict.SLOW


def test_an_accusation_is_checked_at_once() -> None:
    life = quiet_ring(A, B)
    out = life.on_message(B, ack(B, 1, accusation(A, B)), 1.0)
    assert life.verdict(A)[:2] == (Verdict.SLOW, f"{B.hex()[:8]} got no answer")
    [probe] = probes(out, A)
    assert probe.ids[:2] == [ME, A], "and the accused hears of it"
    life.on_message(A, ack(A, probe.id, word(A, 1)), 1.1)
    assert life.verdict(A).verdict is Verdict.UP
    assert life.on_message(B, ack(B, 1, accusation(A, B)), 1.2) == [], "old news"
    life.on_link(A, False, 2.0)
    life.beliefs.learn(accusation(A, B, 2, State.DOWN), 2.0)
    assert life.tick(2.0) == [], "there is no way to check"


def test_who_answered_since_is_up_whoever_accuses_it() -> None:
    life = quiet_ring(A, B)
    life.on_message(B, ack(B, 1, accusation(A, B, 0, State.DOWN)), 1.0)
    assert life.verdict(A).verdict is Verdict.SLOW
    life.on_message(A, Probe(1, False, *columns([word(A)])), 1.1)
    assert life.verdict(A).verdict is Verdict.UP


def test_who_was_late_itself_gives_everybody_as_much_more_time() -> None:
    life = quiet_ring(A, B, C)
    probe = doubted(life, A, 1.0)
    life.on_message(B, Probe(8, False, *columns([word(B)])), 1.0)
    life.on_message(B, ProbeFor(9, A, *columns([word(B), accusation(C, B)])), 1.0)
    case = life.beliefs.suspects[C].deadline
    out = life.tick(21.0)
    assert life.verdict(A).verdict is Verdict.UP
    assert not [m for _, m in out if type(m) is ProbeNack]
    late = 21.0 - 1.0 - PATIENCE
    assert life.beliefs.suspects[C].deadline == pytest.approx(case + late + PATIENCE)
    assert life.next_deadline() == pytest.approx(21.0 + PATIENCE)
    life.on_message(A, ack(A, probe), 21.01)
    life.tick(22.0)
    assert life.beliefs.peers[A].silent_since is None
    assert life.verdict(A).verdict is Verdict.UP


def test_lag_is_measured_here() -> None:
    life = ring()
    life.tick(0.0)
    for _ in range(3):
        assert life.beliefs.own.state == State.ALIVE
        life.tick(life.next_deadline() + 0.4)
    assert life.beliefs.own.state == State.SLOW
    assert life.beliefs.own.lag_ms in (399, 400)
    assert life.health.score == 3, "and whoever is late trusts itself less"
    life.tick(life.next_deadline())
    assert life.beliefs.own.lag_ms == 0


def test_a_probe_for_another_is_passed_on_and_answered() -> None:
    life = quiet_ring(A, B)
    out = life.on_message(B, ProbeFor(77, A, *columns([word(B)])), 1.0)
    [probe] = probes(out, A)
    assert probe.id != 77
    assert life.on_message(B, ack(B, probe.id), 1.1) == [], "not of the target"
    [(peer, answer)] = life.on_message(A, ack(A, probe.id), 1.1)
    assert (peer, type(answer), answer.id) == (B, ProbeAck, 77)
    assert life.on_message(A, ack(A, probe.id), 1.1) == []


@pytest.mark.parametrize("linked", [True, False, None])
def test_a_probe_for_another_that_is_not_answered_says_whether_there_is_a_link(
    linked: bool | None,
) -> None:
    life = quiet_ring(A, B)
    life.beliefs.peers[A].linked = linked
    out = life.on_message(B, ProbeFor(77, A, *columns([word(B)])), 1.0)
    if linked is not False:
        assert probes(out, A)
        out = life.tick(1.0 + PATIENCE)
    [(peer, answer)] = out
    assert type(answer) is ProbeNack
    assert (peer, answer.id, answer.linked) == (B, 77, linked is True)
    [(_, answer)] = life.on_message(B, ProbeFor(78, STRANGER, *columns([word(B)])), 2.0)
    assert type(answer) is ProbeNack
    assert not answer.linked


def test_probes_for_others_are_bounded() -> None:
    life = quiet_ring(A, B)
    life.settings = LivenessSettings(relays_max=2, period=1000.0)
    out = [life.on_message(B, ProbeFor(id, A, *columns([word(B)])), 1.0) for id in range(5)]
    assert [len(sent) for sent in out] == [1, 1, 0, 0, 0]
    assert life.beliefs.counters["probes_refused"] == 3


def test_who_leaves_the_ring_is_forgotten_with_all_that_concerns_it() -> None:
    life = quiet_ring(A, B, C)
    life.on_message(B, ProbeFor(1, A, *columns([word(B), accusation(A, B)])), 1.0)
    probe = doubted(life, C, 1.0)
    life.members([ME, B, C], 1.1)
    assert list(life.beliefs.peers) == [B, C]
    assert A not in probes(life.doubt(B, 1.1), B)[0].ids
    life.on_message(B, ack(B, 1, accusation(A, B)), 1.2)
    out = life.tick(1.0 + PATIENCE)
    assert A not in [peer for peer, _ in out]
    assert not life.beliefs.suspects
    assert life.verdict(A).verdict is Verdict.DOWN
    life.on_message(C, ack(C, probe), 2.0)
    life.members([A, B, C], 2.0)
    assert life.verdict(A).why == "not heard of yet"
    life.on_link(A, True, 2.0)
    assert life.verdict(A)[:2] == (Verdict.SLOW, "not heard of yet")


def test_of_many_that_are_silent_only_some_are_looked_at_in_a_period() -> None:
    others = [node_id(number) for number in range(100, 120)]
    life = ring(*others)
    life.tick(0.0)
    now = 5.0
    for id in others:
        life.on_link(id, True, now)
        life.beliefs.missed(id, 0, now)
        life.beliefs.peers[id].asked = False
        life.beliefs.peers[id].probed_at = 0.0
    life.members([*others, ME], now)
    out = life.tick(now)
    assert len([m for _, m in out if type(m) is Probe]) == 1 + DEFAULT.rechecks


def test_members_that_start_together_do_not_probe_together() -> None:
    starts = []
    for seed in range(5):
        life = Liveness(ME, BOOT, Random(seed))
        life.tick(7.0)
        starts.append(life.next_deadline())
    assert len(set(starts)) == 5
    assert all(7.0 <= start < 7.0 + DEFAULT.period for start in starts)


def test_alone_there_is_nobody_to_ask() -> None:
    life = ring()
    assert life.next_deadline() == 0.0, "at once: the first tick starts the clock"
    for _ in range(5):
        assert life.tick(life.next_deadline()) == []


def test_a_change_of_a_member_that_left_in_the_meantime_is_none() -> None:
    life = quiet_ring(A, B)
    life.beliefs.learn(accusation(A, B), 1.0)
    life.members([ME, B], 1.0)
    assert life.tick(1.0) == []
    assert life.changed() == []
