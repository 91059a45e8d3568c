"""Who answers: SWIM's probes with Lifeguard's local health, as a pure state machine.

It is fed time, messages and links, and returns messages to send. What is believed, and the verdict
that follows, stands in ``beliefs.py``.

Rules:
    - Once a period, the next member of a shuffled round is probed: whoever stops answering is found
      within two rounds by each, and within about a period by somebody.
    - No answer in time: routing avoids it at once, and some others are asked to probe it. It is
      accused only when none of them had an answer.
    - An accusation is checked first-hand by whoever hears of it and has a way there. The probe
      tells the accused, which objects. To a host that holds the GIL it waits, and is answered the
      moment it returns; so nobody has to hear of a return from others.
    - A broken link is evidence at once: others are asked without waiting for the next turn.
    - Who was late itself accuses nobody for it: what it waited for gets as much more time. Who
      misses answers, negative ones of helpers too, distrusts itself and waits longer.
    - Bounded: one probe of the round and ``rechecks`` more in a period, one under way for each
      member, ``relays_max`` for others, ``news_max`` pieces of news in a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from dynamokv.ports import Rng
from dynamokv.protocol.liveness.beliefs import Beliefs, LivenessSettings, Standing, Verdict
from dynamokv.protocol.liveness.gossip import Incarnation, news_of
from dynamokv.protocol.liveness.probes import Asked, Health, Relay, Table, Turns, shuffled
from dynamokv.types import NodeId
from dynamokv.wire.probes import LivenessMessage, Probe, ProbeAck, ProbeFor, ProbeNack

Outgoing: TypeAlias = list[tuple[NodeId, LivenessMessage]]


class Liveness:
    """What one member does to know who answers.

    Attributes:
        beliefs: the news of everybody, its counters, and this member's own word.
        health: how far this member trusts its own ears.
    """

    def __init__(
        self,
        me: NodeId,
        incarnation: Incarnation,
        rng: Rng,
        settings: LivenessSettings | None = None,
        counters: Counter[str] | None = None,
    ) -> None:
        self.settings = settings or LivenessSettings()
        self.beliefs = Beliefs(me, incarnation, self.settings, counters)
        self.health = Health(self.settings.health_max)
        self._rng = rng
        # Ids start anywhere, so that late answers to an earlier life meet no probe of this one.
        self._id = int.from_bytes(rng.randbytes(6))
        self._asked: Table[Asked] = Table()
        self._relays: Table[Relay] = Table()
        self._turns = Turns(rng)
        self._period_at: float | None = None
        self._due = 0.0
        self._lag = 0.0
        self._full_at = 0.0
        self._out: Outgoing = []
        self._changed: dict[NodeId, None] = {}

    # --- what comes in ----------------------------------------------------------------------------

    def members(self, ids: Iterable[NodeId], now: float) -> None:
        """Who is in the ring, by its topology; never by what is believed here."""
        added = self.beliefs.become(ids, now)
        self._turns.become(self.beliefs.peers, added)
        self._asked.keep(self.beliefs.peers)
        self._relays.keep(self.beliefs.peers)

    def tick(self, now: float) -> Outgoing:
        """Time has passed."""
        self._wake(now)
        if self._period_at is None:
            # Members that start together do not probe together.
            self._period_at = now + self.settings.period * self._rng.random()
        for id in self._asked.expired(now):
            self._unanswered(id, now)
        for id in self._relays.expired(now):
            self._nack(self._relays.pop(id))
        self.beliefs.expire(now)
        if self._period_at <= now:
            self._period_at = now + self.settings.period
            self._period(now, self._lag)
            self._lag = 0.0
        return self._settle(now)

    def on_message(self, peer: NodeId, message: LivenessMessage, now: float) -> Outgoing:
        """A message of another member."""
        self._wake(now)
        beliefs = self.beliefs
        news = news_of(message)
        if news[0].id != peer:
            beliefs.counters["probes_malformed"] += 1
            return self._settle(now)
        for item in news:
            beliefs.learn(item, now)
        known = beliefs.peers.get(peer)
        if known is not None:
            known.heard_at = now
            known.behind = news[0].rank < known.news.rank
            beliefs.touched[peer] = None
        if type(message) is Probe:
            attached = beliefs.attached(peer, full=message.full)
            self._out.append((peer, ProbeAck(message.id, *attached)))
        elif type(message) is ProbeAck:
            self._on_ack(peer, message.id, now)
        elif type(message) is ProbeFor:
            self._on_probe_for(peer, message, now)
        elif (asked := self._asked.get(message.id)) is not None and asked.nack(peer):
            assert type(message) is ProbeNack
            if message.linked:
                beliefs.peers[asked.target].vouched_at = now
        return self._settle(now)

    def on_link(self, peer: NodeId, up: bool, now: float) -> Outgoing:
        """The link to a member works, or broke."""
        self._wake(now)
        known = self.beliefs.peers.get(peer)
        if known is not None:
            known.linked = up
            known.silent_since = None
            self.beliefs.touched[peer] = None
            # What was asked over the link before is lost; who answers now may be another life.
            for id in self._asked.of(peer):
                self._forget(id)
            if up:
                self._full_at = min(self._full_at, now + self.settings.full_retry)
            self._probe(peer, now, thorough=True)
        return self._settle(now)

    def doubt(self, peer: NodeId, now: float) -> Outgoing:
        """A request to this member is not answered as soon as it should: look at once."""
        self._wake(now)
        known = self.beliefs.peers.get(peer)
        if known is not None and known.probed_at + self.settings.answer_within <= now:
            self._check(peer, now)
        return self._settle(now)

    # --- what is known ----------------------------------------------------------------------------

    def verdict(self, id: NodeId) -> Standing:
        """Whether to send requests to this member; who is no member is down."""
        peer = self.beliefs.peers.get(id)
        if peer is not None:
            return peer.standing
        if id == self.beliefs.me:
            return Standing(Verdict.UP, "this member", 0.0)
        return Standing(Verdict.DOWN, "no member", 0.0)

    def changed(self) -> list[NodeId]:
        """Members whose verdict changed since the last call."""
        found = list(self._changed)
        self._changed.clear()
        return found

    def next_deadline(self) -> float:
        """When the next ``tick`` is due. To be on time matters: this is how lag is measured."""
        return self._due

    # --- time -------------------------------------------------------------------------------------

    def _wake(self, now: float) -> None:
        """Give back the time that this member itself was late, and as much as an answer takes:
        those that came meanwhile may still wait to be read."""
        late = now - self._due
        if self._period_at is None or late < self.settings.late:
            return
        self._lag = max(self._lag, late)
        more = late + self.settings.answer_within
        self._asked.extend(more)
        self._relays.extend(more)
        for suspicion in self.beliefs.suspects.values():
            suspicion.start += more
        self._due = now

    def _settle(self, now: float) -> Outgoing:
        """The end of every step: check accusations, judge, and hand over what is to be sent."""
        beliefs = self.beliefs
        for id in beliefs.take_to_check():
            self._check(id, now)
        for id in beliefs.judge(now):
            self._changed[id] = None
        if self._period_at is not None:
            self._due = min(
                self._period_at,
                self._asked.next_deadline(),
                self._relays.next_deadline(),
                beliefs.next_deadline(),
            )
        out, self._out = self._out, []
        return out

    def _period(self, now: float, lag: float) -> None:
        late = lag >= self.settings.late
        self.beliefs.say_late(int(lag * 1000), late)
        if late:
            self.health.change(+1)
        peers = self.beliefs.peers
        for _ in range(len(peers)):
            id = self._turns.next(peers)
            if not peers[id].asked and not peers[id].given_up:
                self._probe(id, now, thorough=True)
                break
        waiting = [
            (peer.probed_at, id) for id, peer in peers.items() if peer.due(now, self.settings)
        ]
        for _, id in sorted(waiting)[: self.settings.rechecks]:
            self._check(id, now)

    # --- probing ----------------------------------------------------------------------------------

    def _check(self, id: NodeId, now: float) -> None:
        """A look at a member before its turn comes."""
        peer = self.beliefs.peers.get(id)
        if peer is not None and not peer.asked and not peer.given_up:
            self._probe(id, now, thorough=False)

    def _probe(self, id: NodeId, now: float, *, thorough: bool) -> None:
        peer = self.beliefs.peers[id]
        peer.asked = True
        peer.probed_at = now
        self._id += 1
        linked = peer.linked is not False
        full = linked and now >= self._full_at
        if full:
            self._full_at = now + self.settings.full_retry
        deadline = now + self.settings.answer_within * self.health.patience
        self._asked[self._id] = Asked(id, deadline, full=full, thorough=thorough)
        if linked:
            attached = self.beliefs.attached(id, full=full)
            self._out.append((id, Probe(self._id, full, *attached)))
        else:
            self._ask_others(self._id, now)

    def _unanswered(self, id: int, now: float) -> None:
        asked = self._asked[id]
        target = asked.target
        if asked.helpers:
            # A helper that had no answer either can be heard here. If one said nothing, maybe it is
            # this member that is deaf.
            self.health.change(+len(asked.quiet))
            self._forget(id)
            self.beliefs.accuse(target, now)
            return
        self.beliefs.missed(target, id, now)
        if asked.thorough:
            attached = self.beliefs.attached(target)
            self._out.append((target, Probe(id, False, *attached)))
            self._ask_others(id, now)
        else:
            self._forget(id)

    def _ask_others(self, id: int, now: float) -> None:
        asked, peers = self._asked[id], self.beliefs.peers
        able = [
            other
            for other, peer in peers.items()
            if other != asked.target and peer.standing.verdict is not Verdict.DOWN
        ]
        able = shuffled(able, self._rng)
        able.sort(key=lambda other: peers[other].standing.verdict is Verdict.SLOW)
        if not able:
            # Nobody can say which of the two is deaf, unless the link does.
            self.health.change(+int(peers[asked.target].linked is not False))
            self._forget(id)
            self.beliefs.accuse(asked.target, now)
            return
        asked.helpers = able[: self.settings.helpers]
        asked.quiet = list(asked.helpers)
        asked.deadline = now + 2 * self.settings.answer_within * self.health.patience
        for helper in asked.helpers:
            attached = self.beliefs.attached(helper)
            self._out.append((helper, ProbeFor(id, asked.target, *attached)))

    def _forget(self, id: int) -> None:
        self.beliefs.peers[self._asked.pop(id).target].asked = False

    # --- answers ----------------------------------------------------------------------------------

    def _on_ack(self, peer: NodeId, id: int, now: float) -> None:
        relay, asked = self._relays.get(id), self._asked.get(id)
        if relay is not None and relay.target == peer:
            self._relays.pop(id)
            attached = self.beliefs.attached(relay.asker)
            self._out.append((relay.asker, ProbeAck(relay.id, *attached)))
        elif asked is not None and peer in asked.helpers:
            self.beliefs.peers[asked.target].vouched_at = now
            self._forget(id)
        elif asked is not None and asked.target == peer:
            self._forget(id)
            if asked.full:
                self._full_at = now + self.settings.full_every
            if self.beliefs.answered(peer):
                self.health.change(-1)
        self.beliefs.answered_late(peer, id)

    def _on_probe_for(self, asker: NodeId, message: ProbeFor, now: float) -> None:
        target = NodeId(message.target)
        peer = self.beliefs.peers.get(target)
        relay = Relay(asker, message.id, target, now + self.settings.answer_within)
        if peer is None or peer.linked is False:
            self._nack(relay)
        elif len(self._relays) >= self.settings.relays_max:
            self.beliefs.counters["probes_refused"] += 1
        else:
            self._id += 1
            self._relays[self._id] = relay
            attached = self.beliefs.attached(target)
            self._out.append((target, Probe(self._id, False, *attached)))

    def _nack(self, relay: Relay) -> None:
        peer = self.beliefs.peers.get(relay.target)
        linked = peer is not None and peer.linked is True
        attached = self.beliefs.attached(relay.asker)
        self._out.append((relay.asker, ProbeNack(relay.id, linked, *attached)))
