"""What this member holds of every other: its own evidence beside the news that goes round, and the
verdict that follows.

Knows nothing of probes. A verdict is for routing only: no placement and no quorum asks for it.

Rules:
    - News goes round and is the same everywhere in the end; the verdict is of this member alone.
      Its own way to a member counts first: without a link there is no routing there, whatever
      others reach, and what answers here is up, whoever accuses it.
    - A link that works says that the process lives. Who does not answer over it is slow, not down.
    - An accusation becomes ``DOWN`` only after a time in which the accused could object. The time
      is long when one member accuses, and short when several do, independently. Any sign of life
      starts it again: an answer, a working link, somebody else's working link.
    - Who hears of itself what it did not say objects, with an incarnation above it. So a member
      that started again is above whatever anybody remembers of its earlier lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import ceil, inf, log, log2, log10
from typing import NamedTuple

from dynamokv.protocol.liveness.gossip import (
    NEVER,
    Columns,
    Incarnation,
    News,
    Retelling,
    columns,
)
from dynamokv.protocol.liveness.probes import Lateness
from dynamokv.types import NodeId
from dynamokv.wire.probes import State


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessSettings:
    """Times are seconds."""

    period: float = 0.5
    """Between two probes of the round. Every member is probed about once a period by somebody."""

    answer_within: float = 0.3
    """An answer takes a millisecond, and a host that collects garbage some 100."""

    helpers: int = 3
    """Who are asked to probe for this member (SWIM's k)."""

    late: float = 0.2
    """A loop that runs so late answers noticeably later than its peers."""

    health_max: int = 8
    """The most that a member distrusts itself: it then waits nine times as long (Lifeguard's S)."""

    suspicion_periods: float = 8.0
    """The shortest time to object, in periods, for up to ten members; it grows with the logarithm
    of their number. Routing does not wait for it."""

    suspicion_spread: float = 6.0
    """The longest time to object, in shortest ones (Lifeguard's beta)."""

    confirmations: int = 3
    """So many further accusers make the time the shortest (Lifeguard's K)."""

    retell: int = 3
    """Times the logarithm of the members: how often news is told by each (SWIM's lambda)."""

    news_max: int = 8
    """Pieces of news in a message, beside the sender's own word and the receiver's case."""

    recheck_every: float = 1.0
    """Between two probes of a member that is not up; answers to all of them wait for its return."""

    rechecks: int = 3
    """Members that are probed again in a period, beside the one whose turn it is."""

    relays_max: int = 256
    """Probes for others under way. Beyond it they are not answered, and the asker hears from
    another helper."""

    full_every: float = 30.0
    """Between two exchanges of everything, for news that got lost."""

    full_retry: float = 1.0
    """The same while none has succeeded since the last link came up, so that a start of a large
    ring does not exchange everything with everybody."""


class Verdict(Enum):
    """Whether to send a request there."""

    UP = "up"
    SLOW = "slow"
    DOWN = "down"


class Standing(NamedTuple):
    """A verdict, why, for people, and since when, in the clock's monotonic seconds."""

    verdict: Verdict
    why: str
    since: float


class Suspicion:
    """The time that an accused member has to object."""

    def __init__(self, now: float, accuser: NodeId, members: int, settings: LivenessSettings):
        self.start = now
        self.accusers = [accuser]
        self._shortest = settings.period * settings.suspicion_periods * max(1.0, log10(members))
        self._longest = self._shortest * settings.suspicion_spread
        # More can never accuse than there are beside the accused and the first accuser.
        self._enough = min(settings.confirmations, members - 2)

    def confirm(self, accuser: NodeId) -> bool:
        """Whether this is a further accuser, of those that are counted."""
        if accuser in self.accusers or len(self.accusers) > self._enough:
            return False
        self.accusers.append(accuser)
        return True

    @property
    def deadline(self) -> float:
        """When it is over."""
        if self._enough < 1:
            return self.start + self._shortest
        share = log(len(self.accusers)) / log(self._enough + 1)
        return self.start + self._longest - (self._longest - self._shortest) * share


class Peer:
    """One other member: the news of it, and this member's own evidence.

    Attributes:
        linked: whether the link to it works; ``None`` before anything was said of it.
        heard_at: when a message of its own came.
        vouched_at: when another member last had an answer of it, or a working link.
        silent_since: since when a probe is unanswered past its time; an answer ends it.
        missed: the last such probe.
        asked: a probe of it is under way.
        behind: its own word was older than the news of it.
    """

    def __init__(self, id: NodeId, now: float) -> None:
        self.news = News(id, *NEVER, State.DOWN, 0, id)
        self.news_at = now
        self.linked: bool | None = None
        self.heard_at = -inf
        self.vouched_at = -inf
        self.silent_since: float | None = None
        self.missed = 0
        self.asked = False
        self.probed_at = -inf
        self.behind = False
        self.lateness = Lateness()
        self.suspicion: Suspicion | None = None
        self.standing = Standing(Verdict.DOWN, "not heard of yet", now)

    @property
    def known(self) -> bool:
        """Whether anything was ever heard of it."""
        return self.news.incarnation != NEVER

    @property
    def accused(self) -> bool:
        """Whether somebody says that it does not answer, and it did not answer here since."""
        return self.news.state >= State.SUSPECT and self.heard_at < self.news_at

    @property
    def disputed(self) -> bool:
        """Whether the news of it is not what it says itself."""
        return self.known and (self.behind or self.news.state >= State.SUSPECT)

    @property
    def given_up(self) -> bool:
        """Whether there is no way to it, and nobody else had one."""
        return self.linked is False and self.news.state == State.DOWN

    def due(self, now: float, settings: LivenessSettings) -> bool:
        """Whether to look at it before its turn comes: an open case, or one that does not answer
        as it should. The longer it is silent the less often, for its answers wait for its return.
        """
        quiet = self.silent_since is not None or self.accused or self.lateness.slow
        if self.news.state != State.SUSPECT and (not quiet or self.linked is False):
            return False
        silent = now - (now if self.silent_since is None else self.silent_since)
        return self.probed_at + max(settings.recheck_every, silent / 10) <= now

    def judge(self, now: float) -> bool:
        """Bring the standing up to date; whether the verdict changed."""
        verdict, why = self._verdict()
        changed = verdict is not self.standing.verdict
        if changed or why != self.standing.why:
            self.standing = Standing(verdict, why, now if changed else self.standing.since)
        return changed

    def _verdict(self) -> tuple[Verdict, str]:
        news = self.news
        by = news.by.hex()[:8]
        if self.linked is False:
            others = "; others say it is alive" if news.state < State.SUSPECT else ""
            return Verdict.DOWN, f"no link to it{others}"
        if self.accused and news.state == State.DOWN and self.linked is None:
            return Verdict.DOWN, f"declared down by {by}" if self.known else "not heard of yet"
        if self.silent_since is not None:
            return Verdict.SLOW, "does not answer in time"
        if self.accused:
            return Verdict.SLOW, f"{by} got no answer" if self.known else "not heard of yet"
        if news.state == State.SLOW:
            return Verdict.SLOW, f"its loop runs {news.lag_ms} ms late"
        if self.lateness.slow:
            return Verdict.SLOW, "answers late"
        return Verdict.UP, "answers"


class Beliefs:
    """All that is known of who answers."""

    def __init__(
        self,
        me: NodeId,
        incarnation: Incarnation,
        settings: LivenessSettings,
        counters: Counter[str] | None = None,
    ) -> None:
        self.me = me
        self.own = News(me, *max(incarnation, NEVER.next()), State.ALIVE, 0, me)
        self.settings = settings
        self.peers: dict[NodeId, Peer] = {}
        self.suspects: dict[NodeId, Suspicion] = {}
        self.counters: Counter[str] = Counter() if counters is None else counters
        self.touched: dict[NodeId, None] = {}
        self._to_check: list[NodeId] = []
        self._lateness = Lateness()
        self._retelling = Retelling()
        self._times = 0

    def become(self, ids: Iterable[NodeId], now: float) -> list[NodeId]:
        """These are the members from now on; the new ones."""
        kept = dict.fromkeys(id for id in ids if id != self.me)
        for id in [id for id in self.peers if id not in kept]:
            del self.peers[id]
            self.suspects.pop(id, None)
            self._retelling.forget(id)
        added = [id for id in kept if id not in self.peers]
        for id in added:
            self.peers[id] = Peer(id, now)
        self._times = self.settings.retell * ceil(log2(len(self.peers) + 2))
        return added

    # --- news -------------------------------------------------------------------------------------

    def learn(self, news: News, now: float) -> None:
        """Somebody said this."""
        if news.id == self.me:
            self._object(news)
        elif (peer := self.peers.get(news.id)) is not None:
            self._weigh(peer, news, now)

    def accuse(self, id: NodeId, now: float) -> None:
        """It answered neither this member nor those who were asked to help."""
        news = self.peers[id].news
        if news.state <= State.SUSPECT:
            self.learn(news._replace(state=State.SUSPECT, by=self.me), now)

    def expire(self, now: float) -> None:
        """Declare down who did not object in time, and gave no other sign of life."""
        for id in [id for id, suspicion in self.suspects.items() if suspicion.deadline <= now]:
            peer, suspicion = self.peers[id], self.suspects[id]
            if peer.linked or max(peer.heard_at, peer.vouched_at) > suspicion.start:
                suspicion.start = now
            else:
                self._adopt(peer, peer.news._replace(state=State.DOWN, by=self.me), now)

    def missed(self, id: NodeId, probe: int, now: float) -> None:
        """A probe of it is unanswered past its time."""
        peer = self.peers[id]
        peer.missed = probe
        if peer.silent_since is None:
            peer.silent_since = now
            self.touched[id] = None

    def answered(self, id: NodeId) -> bool:
        """It answered a probe; whether in time."""
        peer = self.peers[id]
        if peer.silent_since is None:
            peer.lateness.note(False)
            return True
        return False

    def answered_late(self, id: NodeId, probe: int) -> None:
        """It answered, maybe what it had missed. An answer to an earlier probe may have been under
        way since then, and proves nothing."""
        peer = self.peers.get(id)
        if peer is not None and peer.silent_since is not None and probe >= peer.missed:
            peer.silent_since = None
            peer.lateness.note(True)

    def judge(self, now: float) -> list[NodeId]:
        """Whose verdict changed since this was last called."""
        touched = [self.peers[id] for id in self.touched if id in self.peers]
        self.touched.clear()
        return [peer.news.id for peer in touched if peer.judge(now)]

    def take_to_check(self) -> list[NodeId]:
        """Who was accused since this was last called."""
        found, self._to_check = self._to_check, []
        return found

    def next_deadline(self) -> float:
        """When ``expire`` has something to do."""
        if not self.suspects:
            return inf
        return min(suspicion.deadline for suspicion in self.suspects.values())

    def say_late(self, lag_ms: int, late: bool) -> None:
        """How late this member's own loop runs. It says so once that is the rule."""
        self.own = self.own._replace(lag_ms=lag_ms)
        if self._lateness.note(late):
            self._say(self.own.incarnation.next(), self._lateness.slow)

    def attached(self, to: NodeId, *, full: bool = False) -> Columns:
        """The news for a message to this peer."""
        news = [self.own]
        receiver = self.peers.get(to)
        if receiver is not None and receiver.disputed:
            # The accused hears of it from everybody, and can object at once.
            news.append(receiver.news)
        if full:
            news += [peer.news for id, peer in self.peers.items() if peer.known and id != to]
        else:
            chosen = self._retelling.take(self.settings.news_max, self._times, to, self._gravity)
            news += [self.peers[id].news for id in chosen]
        return columns(news)

    def _gravity(self, id: NodeId) -> int:
        return self.peers[id].news.state

    def _weigh(self, peer: Peer, news: News, now: float) -> None:
        held = peer.news
        if news.rank > held.rank:
            self._adopt(peer, news, now)
            if news.state >= State.SUSPECT:
                self._to_check.append(news.id)
        elif news.rank < held.rank:
            # Whoever said so has older news, and maybe those it speaks to.
            if peer.known:
                self._retelling.again(news.id, self._times)
        elif peer.suspicion is not None and peer.suspicion.confirm(news.by):
            peer.news = news
            self._retelling.add(news.id)

    def _adopt(self, peer: Peer, news: News, now: float) -> None:
        id = news.id
        if news.state == State.SUSPECT:
            suspicion = Suspicion(now, news.by, len(self.peers) + 1, self.settings)
            self.suspects[id] = peer.suspicion = suspicion
            self.counters["suspicions"] += 1
        else:
            self.suspects.pop(id, None)
            peer.suspicion = None
            self.counters["declared_down"] += news.state == State.DOWN
        peer.news = news
        peer.news_at = now
        self._retelling.add(id)
        self.touched[id] = None

    def _object(self, news: News) -> None:
        own = self.own
        if news.incarnation < own.incarnation or news.rank == own.rank:
            return
        if news.state >= State.SUSPECT:
            self.counters["objections"] += 1
        self._say(news.incarnation.next(), own.state == State.SLOW)

    def _say(self, incarnation: Incarnation, slow: bool) -> None:
        state = State.SLOW if slow else State.ALIVE
        self.own = News(self.me, *incarnation, state, self.own.lag_ms, self.me)
