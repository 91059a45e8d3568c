"""Whole rings of ``Liveness`` under virtual time: what is found, how soon, and what never is."""

from __future__ import annotations

import pytest

from dynamokv.protocol.liveness.beliefs import LivenessSettings, Verdict
from dynamokv.protocol.liveness.gossip import Incarnation, News
from dynamokv.wire.probes import (
    BOOT_MS_MAX,
    COUNTER_MAX,
    LivenessMessage,
    Probe,
    ProbeAck,
    ProbeFor,
    State,
)
from tests.protocol.liveness.net import BOOT, Net

DEFAULT = LivenessSettings()
PERIOD = DEFAULT.period
UP, SLOW, DOWN = Verdict.UP, Verdict.SLOW, Verdict.DOWN


def settled(count: int, **options: object) -> Net:
    """A ring in which everybody answers, and whose first news is told."""
    net = Net(count, **options)  # type: ignore[arg-type]
    net.run_until(net.all_up, 10 * PERIOD)
    net.run(20 * PERIOD)
    assert net.all_up()
    return net


# --- a host that holds the GIL --------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_a_held_gil_is_routed_around_and_forgotten_on_return(count: int) -> None:
    """Row 49 of the failure catalogue."""
    net = settled(count)
    start = net.now
    net.pause(1, 10.0)
    first = net.run_until(lambda: bool(net.seen(SLOW, start)), 10)
    assert first <= 4 * PERIOD + DEFAULT.answer_within
    net.run_until(lambda: net.all_see(1, SLOW), 5 * PERIOD)
    net.run(start + 9.99 - net.now)
    assert net.all_see(1, SLOW)
    net.run(0.01)
    assert net.run_until(net.all_up, 2.0) < 0.1
    net.run(20.0)
    assert net.all_up()
    assert not net.seen(DOWN, start)
    assert net.total("declared_down") == 0
    assert len(net.seen(SLOW, start)) == count - 1, "once by each, and nobody else"


@pytest.mark.parametrize("count", [2, 4])
def test_a_process_with_a_link_is_never_declared_down(count: int) -> None:
    net = settled(count)
    net.pause(1, 300.0)
    net.run(299.0)
    assert net.all_see(1, SLOW)
    assert net.total("declared_down") == 0
    assert net.total("suspicions") > 0


def test_who_doubts_a_member_knows_within_one_answer_time() -> None:
    net = settled(20)
    net.pause(7, 10.0)
    net.doubt(3, 7)
    net.run(DEFAULT.answer_within)
    assert net.why(3, 7) == "does not answer in time"
    net.doubt(3, 7)  # one is under way already
    net.run(10.0)
    assert net.all_up()


def test_who_is_silent_is_looked_at_again_before_its_turn() -> None:
    net = settled(30, links=False)
    for other in range(1, 6):
        net.cut(0, other)
        net.doubt(0, other)
        net.run(DEFAULT.answer_within + 0.01)
        assert net.verdict(0, other) is SLOW
        net.heal()
        net.run(DEFAULT.recheck_every + PERIOD)
        assert net.verdict(0, other) is UP


def test_a_loop_that_runs_late_says_so_itself() -> None:
    net = settled(10)
    net.lag[4] = 0.45
    net.run(15 * PERIOD)
    assert net.all_see(4, SLOW)
    assert net.why(0, 4).startswith("its loop runs 4")
    assert net.lives[4].beliefs.own.state == State.SLOW
    start = net.now
    net.lag[4] = 0.0
    net.run_until(net.all_up, 8 * PERIOD)
    net.run(30.0)
    assert len([change for change in net.changes if change[0] >= start]) == 9, "no flapping"


def test_one_stall_is_no_reason_to_call_oneself_slow() -> None:
    net = settled(3)
    net.pause(1, 10.0)
    net.run(20.0)
    assert net.lives[1].beliefs.own.state == State.ALIVE


@pytest.mark.parametrize("links", [True, False])
def test_a_member_that_was_stalled_accuses_nobody(links: bool) -> None:
    """Row 48 of the failure catalogue."""
    net = settled(10, links=links)
    for _ in range(10):
        net.pause(2, 20.0)
        net.run(20.0)
        start = net.now
        net.run(1.0)
        assert not [change for change in net.seen(SLOW, start) if change[1] == 2]
        net.run(10.0)
    # Whoever is accused objects, with a higher counter; only the stalled one ever had to.
    objected = {
        peer.news.id
        for life in net.lives.values()
        for peer in life.beliefs.peers.values()
        if peer.news.counter > 0
    }
    assert objected == {net.ids[2]}


# --- death and return -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_a_dead_process_is_avoided_at_once_and_declared_soon(count: int) -> None:
    net = settled(count)
    net.kill(1)
    net.run(0.1)
    assert net.all_see(1, DOWN)
    members = range(count)
    dead = [number for number in members if number != 1]
    took = net.run_until(lambda: all(net.believed(n, 1) == State.DOWN for n in dead), 30.0)
    assert took <= 20 * PERIOD
    assert net.total("declared_down") == count - 1, "only this one, once by each"
    assert net.why(0, 1) == "no link to it"
    # Nobody goes on asking for it.
    asked: list[bytes] = []
    net.watch = lambda number, other, message: (
        asked.append(message.target) if type(message) is ProbeFor else None
    )
    net.run(30.0)
    assert not asked


def test_without_links_only_silence_tells_of_a_death() -> None:
    net = settled(10, links=False)
    start = net.now
    net.kill(1)
    first = net.run_until(lambda: bool(net.seen(SLOW, start)), 20.0)
    assert first <= 6 * PERIOD
    took = net.run_until(lambda: net.all_see(1, DOWN), 60.0)
    assert took <= 40 * PERIOD
    assert net.why(0, 1).startswith("declared down by ")
    others = [change for change in net.changes if change[0] > start and change[2] != 1]
    assert not others
    # The helpers' negative answers told that nobody is deaf.
    assert all(life.health.score == 0 for life in net.lives.values())


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("boot_ms", [BOOT.boot_ms + 60_000, BOOT.boot_ms, 5])
def test_a_restart_outranks_every_obituary(boot_ms: int, links: bool) -> None:
    """Row 42 of the failure catalogue."""
    net = settled(5, links=links)
    net.kill(1)
    net.run(60.0)
    assert net.all_see(1, DOWN)
    life = net.start(1, Incarnation(boot_ms, 0))
    took = net.run_until(net.all_up, 30.0)
    assert took <= (1 if links else 20) * PERIOD
    net.run(5.0)
    assert all(net.believed(n, 1) == State.ALIVE for n in (0, 2, 3, 4))
    assert life.beliefs.own.incarnation > BOOT
    assert {net.lives[n].beliefs.peers[net.ids[1]].news for n in (0, 2, 3, 4)} == {life.beliefs.own}


def test_a_restart_with_a_clock_set_back_is_told_of_its_own_past() -> None:
    """Nobody accused it, so the news of its last life is just ahead of it."""
    net = settled(3)
    net.kill(1)
    net.run(0.05)
    life = net.start(1, Incarnation(5, 0))
    net.run(10 * PERIOD)
    assert life.beliefs.own.incarnation > BOOT
    assert {net.lives[n].beliefs.peers[net.ids[1]].news for n in (0, 2)} == {life.beliefs.own}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_a_full_restart_converges_within_ten_periods(seed: int, links: bool) -> None:
    """Row 42 of the failure catalogue."""
    net = settled(20, seed=seed, links=links)
    for number in list(net.lives):
        net.kill(number)
    for number in range(20):
        net.start(number, Incarnation(BOOT.boot_ms + 1000 + number, 0))

    def converged() -> bool:
        return net.all_up() and all(
            {peer.news.incarnation for peer in life.beliefs.peers.values()}
            == {other.beliefs.own.incarnation for other in net.lives.values() if other is not life}
            for life in net.lives.values()
        )

    net.run_until(converged, 10 * PERIOD)
    assert net.total("declared_down") == 0


# --- bad networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False])
def test_loss_alone_never_declares_anybody_down(links: bool) -> None:
    net = Net(10, links=links, loss=0.3)
    net.run(300.0)
    assert net.total("declared_down") == 0
    assert net.total("objections") > 100, "there was enough to object to"


def test_a_way_that_is_cut_is_this_members_own_problem() -> None:
    net = settled(5)
    net.cut(0, 1)
    net.run(60.0)
    assert net.verdict(0, 1) is DOWN
    assert net.why(0, 1) == "no link to it; others say it is alive"
    assert all(net.verdict(n, 1) is UP for n in (2, 3, 4))
    assert net.believed(0, 1) == State.ALIVE
    assert net.total("suspicions") == 0
    # The other way round, answers are missing.
    assert net.why(1, 0) == "does not answer in time"
    net.heal()
    net.run(2 * PERIOD)
    assert net.verdict(0, 1) is UP
    net.run(30.0)
    assert net.all_up()


def test_without_links_a_way_that_is_cut_is_slow_and_accuses_nobody() -> None:
    net = settled(5, links=False)
    net.cut(0, 1)
    net.run(60.0)
    assert net.why(0, 1) == "does not answer in time"
    assert all(net.verdict(n, 1) is UP for n in (2, 3, 4))
    assert net.total("suspicions") == 0
    assert net.lives[0].beliefs.peers[net.ids[1]].vouched_at > net.now - 12 * PERIOD


def test_a_link_of_somebody_else_keeps_a_held_gil_from_being_declared_down() -> None:
    net = settled(5)
    net.cut(0, 1)
    net.pause(1, 120.0)
    net.run(119.0)
    assert net.believed(0, 1) == State.SUSPECT
    assert net.total("declared_down") == 0


def test_the_deaf_distrusts_itself() -> None:
    net = settled(10, links=False)
    start = net.now
    for other in range(10):
        if other != 3:
            net.cut(other, 3)
    net.run(20 * PERIOD)
    assert net.lives[3].health.score == DEFAULT.health_max
    net.run(100.0)
    net.heal()
    net.run(40.0)
    assert net.all_up()
    assert net.lives[3].health.score == 0
    mine = [change for change in net.seen(DOWN, start) if change[1] != 3 and change[2] != 3]
    assert not mine, "what the deaf says of others is objected to in time"


def test_two_members_alone_cannot_tell_who_is_deaf() -> None:
    net = settled(2, links=False)
    net.pause(1, 5.0)
    net.run(4.0)
    assert net.lives[0].health.score > 0


def test_everything_is_exchanged_now_and_then() -> None:
    """News that was told as often as it may be, and reached nobody."""
    net = settled(6)
    net.kill(5)
    net.run(60.0)
    for number in range(1, 5):
        peer = net.lives[number].beliefs.peers[net.ids[5]]
        peer.news = peer.news._replace(counter=9)
    net.run(DEFAULT.full_every + 2 * PERIOD)
    assert net.lives[0].beliefs.peers[net.ids[5]].news.counter == 9


# --- accusations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.SUSPECT, State.DOWN])
@pytest.mark.parametrize("links", [True, False])
def test_a_false_accusation_is_objected_to(state: State, links: bool) -> None:
    net = settled(10, links=links)
    accused = News(net.ids[1], BOOT.boot_ms, BOOT.counter, state, 0, net.ids[9])
    net.lives[9].beliefs.learn(accused, net.now)
    net.run(20 * PERIOD)
    assert net.all_up()
    own = net.lives[1].beliefs.own
    assert own.incarnation == Incarnation(BOOT.boot_ms, BOOT.counter + 1)
    assert {net.lives[n].beliefs.peers[net.ids[1]].news for n in range(10) if n != 1} == {own}
    assert net.total("objections") == 1


def test_no_incarnation_keeps_a_member_out() -> None:
    """Row 44 of the failure catalogue: at the highest one nobody can object, and what answers is
    still up."""
    net = settled(5)
    accused = News(net.ids[1], BOOT_MS_MAX, COUNTER_MAX, State.DOWN, 0, net.ids[4])
    net.lives[4].beliefs.learn(accused, net.now)
    net.run(20 * PERIOD)
    assert all(net.believed(n, 1) == State.DOWN for n in (0, 2, 3, 4))
    assert net.all_up()


# --- bounds ---------------------------------------------------------------------------------------


def test_messages_and_their_rate_are_bounded() -> None:
    members = 30
    net = settled(members)
    largest: list[int] = []

    def watch(number: int, other: int, message: LivenessMessage) -> None:
        full = type(message) is Probe and message.full
        if not full and not (type(message) is ProbeAck and len(message.ids) >= members - 1):
            largest.append(len(message.ids))

    net.watch = watch
    net.run(20.0)
    before = net.sent.copy()
    for number in range(members // 2):
        net.pause(number, 20.0)
    net.run(20.0)
    periods = 20.0 / PERIOD
    # Own probes, twice and with helpers for the round's one; nacks and relays for others.
    own = periods * (2 + DEFAULT.helpers + DEFAULT.rechecks)
    assert max((net.sent - before).values()) <= 4 * own
    assert max(largest) <= 2 + DEFAULT.news_max
    net.run(40.0)
    before, net.weigh = net.sent.copy(), True
    net.run(20.0)
    assert net.all_up()
    # A probe and an answer each period, and nothing else.
    assert sum((net.sent - before).values()) <= members * periods * 2.1
    assert sum(net.bytes.values()) <= members * 20.0 * 500


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[object]:
        net = Net(8, seed=seed, loss=0.2)
        trace: list[object] = []
        net.watch = lambda number, other, message: trace.append((net.now, number, other, message))
        net.run(20.0)
        return [*trace, *net.changes]

    assert run(5) == run(5)
    assert run(5) != run(6)
