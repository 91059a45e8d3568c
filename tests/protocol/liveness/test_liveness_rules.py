"""The rules of ``protocol.liveness``, one at a time."""

from __future__ import annotations

from random import Random

import pytest

from dynamokv.protocol.liveness.beliefs import (
    Beliefs,
    LivenessSettings,
    Peer,
    Suspicion,
    Verdict,
)
from dynamokv.protocol.liveness.gossip import NEVER, Incarnation, News, Retelling, columns, news_of
from dynamokv.protocol.liveness.liveness import Liveness, Outgoing
from dynamokv.protocol.liveness.probes import Health, Lateness, Turns
from dynamokv.types import NodeId
from dynamokv.wire.probes import (
    BOOT_MS_MAX,
    COUNTER_MAX,
    Probe,
    ProbeAck,
    ProbeFor,
    ProbeNack,
    State,
)
from tests.ring.rings import node_id

ME, A, B, C, D = IDS = [node_id(number) for number in range(5)]
STRANGER = node_id(99)
BOOT = Incarnation(1000, 0)
DEFAULT = LivenessSettings()


def word(id: NodeId, counter: int = 0, state: State = State.ALIVE) -> News:
    return News(id, BOOT.boot_ms, counter, state, 0, id)


def accusation(id: NodeId, by: NodeId, counter: int = 0, state: State = State.SUSPECT) -> News:
    return News(id, BOOT.boot_ms, counter, state, 0, by)


def ring(*ids: NodeId, linked: bool = True) -> Liveness:
    """One member, at time 0, that heard of all others."""
    life = Liveness(ME, BOOT, Random(7))
    life.members([ME, *ids], 0.0)
    for id in ids:
        if linked:
            life.on_link(id, True, 0.0)
        life.on_message(id, ack(id, 0), 0.0)
    return life


def ack(id: NodeId, probe: int, *news: News) -> ProbeAck:
    return ProbeAck(probe, *columns([word(id), *news]))


def probes(out: Outgoing, to: NodeId) -> list[Probe]:
    return [m for peer, m in out if peer == to and type(m) is Probe]


def asked_for(out: Outgoing, target: NodeId) -> list[tuple[NodeId, int]]:
    return [(peer, m.id) for peer, m in out if type(m) is ProbeFor and m.target == target]


# --- news -----------------------------------------------------------------------------------------


def test_incarnations_have_an_order_and_an_end() -> None:
    assert Incarnation(5, 7).next() == (5, 8)
    assert Incarnation(5, COUNTER_MAX).next() == (6, 0)
    last = Incarnation(BOOT_MS_MAX, COUNTER_MAX)
    assert last.next() == last
    assert NEVER < Incarnation(0, 1) < Incarnation(1, 0)


def test_the_lists_of_a_message_are_its_news() -> None:
    news = [word(ME), accusation(A, B), News(C, 2, 3, State.SLOW, 450, C)]
    for message in (
        Probe(1, True, *columns(news)),
        ProbeAck(1, *columns(news)),
        ProbeFor(1, A, *columns(news)),
        ProbeNack(1, False, *columns(news)),
    ):
        assert news_of(message) == news


def test_news_is_retold_so_often_the_least_told_and_gravest_first() -> None:
    retelling = Retelling()
    for id in (A, B, C):
        retelling.add(id)
    gravity = {A: 0, B: 3, C: 1, D: 0}.__getitem__
    assert retelling.take(2, 2, ME, gravity) == [B, C]
    assert retelling.take(2, 2, ME, gravity) == [A, B]
    assert retelling.take(9, 2, C, gravity) == [A]
    assert len(retelling) == 1
    retelling.again(D, 2)
    retelling.again(C, 2)
    assert retelling.take(9, 2, ME, gravity) == [C, D]
    assert len(retelling) == 0
    retelling.add(A)
    retelling.forget(A)
    assert retelling.take(9, 2, ME, gravity) == []


def test_a_message_without_its_senders_word_is_counted_and_dropped() -> None:
    life = ring(A, B)
    assert life.on_message(A, Probe(1, False, *columns([word(B)])), 0.1) == []
    assert life.beliefs.counters["probes_malformed"] == 1


def test_strangers_are_answered_but_not_believed() -> None:
    life = ring(A)
    life.beliefs.learn(word(STRANGER), 0.0)
    probe = Probe(5, False, *columns([word(STRANGER)]))
    [(peer, answer)] = life.on_message(STRANGER, probe, 0.0)
    assert (peer, type(answer), answer.id) == (STRANGER, ProbeAck, 5)
    life.on_message(STRANGER, ack(STRANGER, 5), 0.0)
    assert life.on_link(STRANGER, True, 0.0) == life.doubt(STRANGER, 0.0) == []
    assert life.verdict(STRANGER) == (Verdict.DOWN, "no member", 0.0)
    assert life.verdict(ME).verdict is Verdict.UP
    assert list(life.beliefs.peers) == [A]


def test_news_holds_in_any_order() -> None:
    """Row 43 of the failure catalogue: old news brings nobody back."""
    items = [
        word(A),
        accusation(A, B),
        accusation(A, C, 1),
        word(A, 2, State.SLOW),
        accusation(A, C, 2, State.DOWN),
        word(A, 3),
    ]
    random = Random(3)
    for _ in range(200):
        beliefs = Beliefs(ME, BOOT, DEFAULT)
        beliefs.become(IDS, 0.0)
        random.shuffle(items)
        for item in items:
            beliefs.learn(item, 0.0)
        assert beliefs.peers[A].news == word(A, 3)
        assert not beliefs.suspects


def test_old_news_is_answered_with_what_is_held() -> None:
    beliefs = Beliefs(ME, BOOT, DEFAULT)
    beliefs.become(IDS, 0.0)
    beliefs.learn(word(A, 5), 0.0)
    for _ in range(20):
        beliefs.attached(B)
    assert A not in beliefs.attached(B)[0]
    beliefs.learn(word(A, 4), 0.0)
    beliefs.learn(News(D, 0, 0, State.ALIVE, 0, D), 0.0)  # below what was never heard of
    assert beliefs.attached(B)[0] == [ME, A]
    assert beliefs.attached(B)[0] == [ME], "once"


def test_who_is_behind_hears_of_itself_first() -> None:
    life = ring(A, B)
    life.beliefs.learn(word(A, 5), 0.0)
    [(_, answer)] = life.on_message(A, Probe(1, False, *columns([word(A, 3)])), 0.1)
    assert news_of(answer)[:2] == [life.beliefs.own, word(A, 5)]
    [(_, answer)] = life.on_message(A, Probe(1, False, *columns([word(A, 6)])), 0.1)
    assert A not in answer.ids


def test_a_member_objects_to_what_it_did_not_say() -> None:
    beliefs = Beliefs(ME, BOOT, DEFAULT)
    beliefs.become(IDS, 0.0)
    beliefs.learn(beliefs.own, 0.0)
    beliefs.learn(accusation(ME, A)._replace(boot_ms=999), 0.0)
    assert beliefs.own == word(ME)
    beliefs.learn(accusation(ME, A), 0.0)
    assert beliefs.own == word(ME, 1)
    beliefs.learn(word(ME, 7), 0.0)  # of an earlier life, with a clock ahead
    assert beliefs.own == word(ME, 8)
    beliefs.learn(word(ME, 8, State.SLOW), 0.0)
    assert beliefs.own == word(ME, 9)
    assert beliefs.counters["objections"] == 1
    assert Beliefs(ME, NEVER, DEFAULT).own.incarnation > NEVER


def test_a_slow_member_objects_as_slow() -> None:
    beliefs = Beliefs(ME, BOOT, DEFAULT)
    for _ in range(3):
        beliefs.say_late(400, True)
    assert beliefs.own == word(ME, 1, State.SLOW)._replace(lag_ms=400)
    beliefs.learn(accusation(ME, A, 1), 0.0)
    assert beliefs.own == word(ME, 2, State.SLOW)._replace(lag_ms=400)


# --- suspicion ------------------------------------------------------------------------------------


def test_suspicion_is_short_when_several_accuse_independently() -> None:
    suspicion = Suspicion(100.0, A, 10, DEFAULT)
    times = [suspicion.deadline - 100.0]
    for accuser in (A, B, B, C, D, STRANGER):
        suspicion.confirm(accuser)
        times.append(suspicion.deadline - 100.0)
    shortest = DEFAULT.period * DEFAULT.suspicion_periods
    assert times[0] == times[1] == pytest.approx(shortest * DEFAULT.suspicion_spread)
    assert times[1] > times[2] == times[3] > times[4] > times[5] == times[6]
    assert times[6] == pytest.approx(shortest)
    assert suspicion.accusers == [A, B, C, D]
    assert Suspicion(0.0, A, 2, DEFAULT).deadline == shortest
    assert Suspicion(0.0, A, 100, DEFAULT).deadline == 2 * shortest * DEFAULT.suspicion_spread


def test_each_further_accuser_is_told_of_and_counts_here() -> None:
    beliefs = Beliefs(ME, BOOT, DEFAULT)
    beliefs.become([ME, A, B, C, D], 0.0)
    beliefs.learn(word(A), 0.0)
    beliefs.learn(accusation(A, B), 0.0)
    first = beliefs.next_deadline()
    while A in beliefs.attached(B)[0]:
        pass
    beliefs.learn(accusation(A, B), 0.0)
    assert A not in beliefs.attached(B)[0]
    beliefs.accuse(A, 1.0)
    assert beliefs.next_deadline() < first
    assert beliefs.attached(B)[5][1] == ME
    beliefs.expire(beliefs.next_deadline())
    assert beliefs.peers[A].news == accusation(A, ME, 0, State.DOWN)
    beliefs.accuse(A, 99.0)
    assert beliefs.peers[A].news.state == State.DOWN
    assert beliefs.counters["suspicions"] == beliefs.counters["declared_down"] == 1


@pytest.mark.parametrize("sign", ["linked", "heard_at", "vouched_at"])
def test_a_sign_of_life_starts_the_time_to_object_again(sign: str) -> None:
    beliefs = Beliefs(ME, BOOT, DEFAULT)
    beliefs.become([ME, A, B], 0.0)
    beliefs.learn(word(A), 0.0)
    beliefs.learn(accusation(A, B), 0.0)
    deadline = beliefs.next_deadline()
    setattr(beliefs.peers[A], sign, True if sign == "linked" else 1.0)
    beliefs.expire(deadline)
    assert beliefs.peers[A].news.state == State.SUSPECT
    assert beliefs.next_deadline() == 2 * deadline
    beliefs.peers[A].linked = False
    beliefs.expire(2 * deadline)
    assert beliefs.peers[A].news.state == State.DOWN


# --- probes ---------------------------------------------------------------------------------------


def test_everybody_has_a_turn_in_each_round_and_no_order_is_like_the_last() -> None:
    members = dict.fromkeys(IDS)
    turns = Turns(Random(1))
    orders = [[turns.next(members) for _ in IDS] for _ in range(20)]
    assert all(sorted(order) == sorted(IDS) for order in orders)
    assert len({tuple(order) for order in orders}) > 15
    turns.next(members)
    places = set()
    for _ in range(40):
        turns.become({**members, STRANGER: None}, [STRANGER])
        rest = [turns.next({}) for _ in range(len(IDS))]
        places.add(rest.index(STRANGER))
        turns.become({}, IDS[1:])
    assert places == set(range(5)), "anywhere in the round under way"


def test_late_once_is_not_late_and_every_other_time_does_not_flap() -> None:
    lateness = Lateness()
    assert not any(lateness.note(late) for late in (True, True, False, False, True, True))
    assert lateness.note(True)
    assert not any(lateness.note(late) for late in (False, True) * 20)
    assert [lateness.note(False) for _ in range(4)] == [False, False, True, False]


def test_health_has_two_ends() -> None:
    health = Health(8)
    health.change(-1)
    assert health.patience == 1
    health.change(20)
    assert health.patience == 9


def test_the_longer_a_member_is_silent_the_less_often_it_is_looked_at() -> None:
    peer = Peer(A, 0.0)
    peer.news, peer.linked, peer.heard_at, peer.probed_at = word(A), True, 1.0, 1000.0
    assert not peer.due(2000.0, DEFAULT)
    peer.silent_since = 999.0
    assert [peer.due(1000.0 + late, DEFAULT) for late in (0.99, 1.0)] == [False, True]
    peer.silent_since = 0.0
    assert [peer.due(1000.0 + late, DEFAULT) for late in (110.0, 112.0)] == [False, True]
    peer.linked = False
    assert not peer.due(2000.0, DEFAULT)
    peer.news = accusation(A, B)
    assert peer.due(2000.0, DEFAULT)
