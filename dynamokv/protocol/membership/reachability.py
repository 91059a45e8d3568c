"""Where requests go: links, and the verdicts of ``liveness/liveness.py`` on whoever is behind them.

Knows: which members this one has links to, and what it believes of them. Must not know: placement
and quorums, which no verdict changes.

Rules:
    - ``home.linked``: the link works, so a process lives at the other end. ``home.up``: linked, and
      not declared down; requests go there. ``home.slow``: up, but whoever has a choice asks others
      first.
    - Only a member that serves probes. Whoever asks is answered, by a newcomer too.
    - A request that is under way when a verdict changes goes on: it may yet be answered. One whose
      link breaks has failed.
    - Who is up again may have missed something, and so may who was slow, since what is sent to a
      peer that does not answer has a bound: ``on_return`` is the one place where that is made good.
    - The clock goes on from the boot time of a life, so that every later life of this store starts
      after that, whatever the wall clock says by then.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from dynamokv import limits
from dynamokv.causality.hlc import time_at, wall_ms_of
from dynamokv.protocol.effects import Effect, Report, Send
from dynamokv.protocol.liveness.beliefs import Standing, Verdict
from dynamokv.protocol.liveness.gossip import Incarnation
from dynamokv.protocol.liveness.liveness import Liveness, Outgoing
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Topology
from dynamokv.types import NodeId
from dynamokv.wire.probes import BOOT_MS_MAX, LivenessMessage, Probe


def standing(home: Home, peer: NodeId) -> Standing:
    """What this process believes of a member, why, and since when; now, where nobody probes."""
    if home.liveness is None or peer == home.node_id:
        linked = peer in home.linked
        verdict, why = (Verdict.UP, "linked") if linked else (Verdict.DOWN, "no link to it")
        return Standing(verdict, why, home.clock.monotonic())
    found = home.liveness.verdict(peer)
    if peer not in home.linked and found.verdict is not Verdict.DOWN:
        # It was heard over its own link to this member, and that is no way for requests.
        return found._replace(verdict=Verdict.DOWN, why="no link to it yet")
    return found


def loop_lag_of(home: Home, peer: NodeId) -> float:
    """How many seconds the loop of a member ran late, by its own word."""
    if home.liveness is None:
        return 0.0
    beliefs = home.liveness.beliefs
    known = beliefs.peers.get(peer)
    return (beliefs.own if known is None else known.news).lag_ms / 1000


class Reachability:
    """What one member knows of its ways to the others; it keeps the sets of ``home`` current.

    Attributes:
        speaks: this life is written down, so that no later one begins where it did.
        on_return: what to do about a member that is up, and was not, or that was slow for long.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.liveness = Liveness(home.node_id, next_boot(home), home.rng, counters=home.counters)
        self.on_return: list[Callable[[NodeId], list[Effect]]] = []
        self.speaks = False
        self._slow_since: dict[NodeId, float] = {}

    def adopt(self, topology: Topology) -> None:
        """These are the members from now on."""
        ids = [member.node_id for member in topology.members]
        self.liveness.members(ids, self.home.clock.monotonic())

    def begin(self) -> list[Effect]:
        """This member serves: from now on it probes, and verdicts count."""
        home, now = self.home, self.home.clock.monotonic()
        home.liveness = self.liveness
        out: Outgoing = []
        for peer in self.liveness.beliefs.peers:
            if peer in home.linked:
                out += self.liveness.on_link(peer, True, now)
        return self._route(out + self.liveness.tick(now))

    def on_link(self, peer: NodeId, *, up: bool) -> list[Effect]:
        """The link to a member works, or broke."""
        home = self.home
        (home.linked.add if up else home.linked.discard)(peer)
        out: Outgoing = []
        if home.liveness is not None:
            out = self.liveness.on_link(peer, up, home.clock.monotonic())
        return self._place(peer) + self._route(out)

    def on_message(self, peer: bytes, message: LivenessMessage) -> list[Effect]:
        """Another member probes, or answers."""
        if not self.speaks:
            return []
        now = self.home.clock.monotonic()
        return self._route(self.liveness.on_message(NodeId(peer), message, now))

    def on_undelivered(self, peer: NodeId, message: LivenessMessage) -> list[Effect]:
        """It never left. Where there never was a link, that is as good as one that broke."""
        known = self.liveness.beliefs.peers.get(peer)
        if type(message) is not Probe or known is None or known.linked is not None:
            return []
        return self._route(self.liveness.on_link(peer, False, self.home.clock.monotonic()))

    def tick(self, now: float) -> list[Effect]:
        """Probe whose turn it is, and whom requests found late."""
        doubted, self.home.doubted = self.home.doubted, {}
        if self.home.liveness is None:
            return []
        out: Outgoing = []
        for peer in doubted:
            out += self.liveness.doubt(peer, now)
        if now >= self.liveness.next_deadline():
            out += self.liveness.tick(now)
        return self._route(out)

    def next_deadline(self) -> float:
        """When ``tick`` has something to do."""
        return inf if self.home.liveness is None else self.liveness.next_deadline()

    def _route(self, out: Outgoing) -> list[Effect]:
        """What is to be sent, and what follows from verdicts that changed."""
        effects: list[Effect] = [Send(peer, message) for peer, message in out]
        for peer in self.liveness.changed():
            if self.home.liveness is not None:
                effects += [*self._report(peer), *self._place(peer)]
        return effects

    def _report(self, peer: NodeId) -> list[Effect]:
        # No warning: that others stop and start is every day's business, and not this member's.
        if not self.liveness.beliefs.peers[peer].known:
            return []
        verdict, why, _ = self.liveness.verdict(peer)
        self.home.counters[f"peers_{verdict.value}"] += 1
        return [Report("ring", "INFO", f"{peer.hex()[:8]} is {verdict.value}: {why}")]

    def _place(self, peer: NodeId) -> list[Effect]:
        """Put a member into the sets that it belongs to."""
        home, now = self.home, self.home.clock.monotonic()
        verdict = standing(home, peer).verdict
        slow_since = now
        if verdict is Verdict.SLOW:
            home.slow.add(peer)
            self._slow_since.setdefault(peer, now)
        else:
            home.slow.discard(peer)
            slow_since = self._slow_since.pop(peer, now)
        if verdict is Verdict.DOWN:
            home.up.discard(peer)
            return []
        if peer not in home.up:
            home.up.add(peer)
            if peer in home.seen_up:
                home.returned[peer] = now
            home.seen_up.add(peer)
        elif now - slow_since < limits.SLOW_MISSES_SECONDS:
            return []
        return [effect for hook in self.on_return for effect in hook(peer)]


def next_boot(home: Home) -> Incarnation:
    """The boot time of the life that begins. Its clock starts at the ceiling of the one before, or,
    after a clean stop, at its last time, which may be just before its own boot time."""
    hybrid = home.hybrid
    boot_ms = min(BOOT_MS_MAX, max(home.clock.wall_ms(), wall_ms_of(hybrid.last) + 2))
    hybrid.last = max(hybrid.last, time_at(boot_ms) - 1)
    return Incarnation(boot_ms, 0)
