"""What members believe of each other, looked at in a campaign.

Knows: news, verdicts, sets of ``home``. Must not know: how a verdict comes to be.

Rules:
    - Of two pieces of news of a member, everybody keeps the newer one, and nobody's own claim to be
      alive is ever older than an earlier one, of the lives before on the same store either.
    - Once all is healed, everybody sends requests to everybody, and says of nobody that it does not
      answer.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.liveness.beliefs import Peer
from dynamokv.protocol.liveness.gossip import NEVER, Incarnation, News
from dynamokv.protocol.liveness.liveness import Liveness
from dynamokv.protocol.membership.reachability import standing
from dynamokv.protocol.node import Node
from dynamokv.testing.simulation.process import Process
from dynamokv.types import NodeId
from dynamokv.wire.probes import PROBES, State

_PROBES = frozenset(PROBES)

VERDICTS = ("peers_slow", "peers_down")
"""Counters of verdicts against somebody."""


class Believing:
    """A watcher of every step; ``report`` hears of news that went back. Not ``durable``: a store
    may be that of an earlier time, or run twice."""

    def __init__(self, report: Callable[[str], None], *, durable: bool) -> None:
        self._report = report
        self._durable = durable
        self._claims: dict[NodeId, Incarnation] = {}
        self._news: dict[Peer, News] = {}
        self._own: dict[Liveness, Incarnation] = {}

    def watch(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """One step."""
        if event is None and isinstance(process.core, Node):
            self._begins(process, process.core.reach.liveness.beliefs.own)
        if type(event) is not e.Received or type(event.message) not in _PROBES:
            return
        core = process.core
        assert isinstance(core, Node), "clients take no part"
        if not core.reach.speaks:
            return  # nobody hears of a life that is not written down
        liveness = core.reach.liveness
        own = liveness.beliefs.own.incarnation
        if own < self._own.get(liveness, own):
            self._report(f"{process.name} takes back its claim to be alive")
        self._own[liveness] = self._claims[process.home.node_id] = own
        for peer in liveness.beliefs.peers.values():
            news = peer.news
            if news is not self._news.get(peer):
                if news.rank < self._news.get(peer, news).rank:
                    self._report(f"{process.name} takes older news for newer: {news}")
                self._news[peer] = news

    def _begins(self, process: Process, own: News) -> None:
        before = self._claims.get(own.id, NEVER)
        if self._durable and own.incarnation <= before:
            self._report(f"{process.name} begins as of {own.incarnation}, and was {before} before")


def doubts(members: list[Process]) -> list[str]:
    """Who does not believe of whom that it answers, and why."""
    found = []
    for one in members:
        for other in members:
            if one is not other and (doubt := _doubt(one, other)):
                found.append(f"{one.name} of {other.name}: {doubt}")
    return found


def _doubt(one: Process, other: Process) -> str:
    home, id = one.home, other.home.node_id
    if home.liveness is None or id not in home.liveness.beliefs.peers:
        return "knows no such member"
    why = standing(home, id).why
    if id not in home.up or id in home.slow:
        return why
    news = home.liveness.beliefs.peers[id].news
    return "" if news.state == State.ALIVE else f"says it is {State(news.state).name}"


def verdicts_of(process: Process) -> int:
    """How many verdicts it has come to against others, so far."""
    return sum(process.home.counters[name] for name in VERDICTS)
