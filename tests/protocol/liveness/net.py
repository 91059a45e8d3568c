"""A network of ``Liveness`` objects under virtual time: links, loss, one-way cuts, members that are
paused, killed, restarted.

With ``links``, a link is reported as libzmq does it: it breaks when a process dies, not when its
host holds the GIL. Without, nothing is ever said of links, and only answers count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from dynamokv.protocol.liveness.beliefs import LivenessSettings, Verdict
from dynamokv.protocol.liveness.gossip import Incarnation
from dynamokv.protocol.liveness.liveness import Liveness, Outgoing
from dynamokv.types import NodeId
from dynamokv.wire import codec
from dynamokv.wire.probes import LivenessMessage, State
from tests.ring.rings import node_id

BOOT = Incarnation(1_700_000_000_000, 0)
FRAME_HEAD_BYTES = 26
LINK_SECONDS = 0.02
"""Until a new process has its links, and its peers theirs."""


def size_of(message: LivenessMessage) -> int:
    """On the wire, alone in its frame."""
    return FRAME_HEAD_BYTES + len(codec.encode([(99, *message)]))


class Wire:
    """Time, messages, and members 0 to count - 1, none of them started."""

    def __init__(
        self,
        count: int,
        *,
        seed: int = 1,
        loss: float = 0.0,
        settings: LivenessSettings | None = None,
    ) -> None:
        self.random = Random(f"{seed} net")
        self.seed = seed
        self.loss = loss
        self.settings = settings or LivenessSettings()
        self.now = 0.0
        self.ids = [node_id(number) for number in range(count)]
        self.number = {id: number for number, id in enumerate(self.ids)}
        self.lives: dict[int, Liveness] = {}
        self.cuts: set[tuple[int, int]] = set()
        self.paused: dict[int, list[Callable[[], None]]] = {}
        self.lag: dict[int, float] = {}
        self.changes: list[tuple[float, int, int, Verdict]] = []
        self.sent: Counter[int] = Counter()
        self.bytes: Counter[int] = Counter()
        self.weigh = False
        self.watch: Callable[[int, int, LivenessMessage], None] = lambda *_: None
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._alarms: dict[int, float] = {}

    # --- time -------------------------------------------------------------------------------------

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self._order += 1
        heappush(self._queue, (self.now + seconds, self._order, action))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heappop(self._queue)
            action()
        self.now = until

    def run_until(self, condition: Callable[[], bool], seconds: float) -> float:
        """How long it took."""
        start = self.now
        while not condition():
            assert self.now - start < seconds, "it never came"
            self.now, _, action = heappop(self._queue)
            action()
        return self.now - start

    def _step(self, number: int, life: Liveness, action: Callable[[], Outgoing]) -> None:
        if self.lives.get(number) is not life:
            return
        if number in self.paused:
            self.paused[number].append(lambda: self._step(number, life, action))
            return
        for peer, message in action():
            self._transmit(number, self.number[peer], message)
        for id in life.changed():
            change = (self.now, number, self.number[id], life.verdict(id).verdict)
            self.changes.append(change)
        self._arm(number)

    def _tick(self, number: int, life: Liveness) -> None:
        self._step(number, life, lambda: life.tick(self.now))

    def _arm(self, number: int) -> None:
        life = self.lives[number]
        due = life.next_deadline()
        if self._alarms.get(number) != due:
            self._alarms[number] = due
            delay = max(0.0, due - self.now) + self.lag.get(number, 0.0)
            self.after(delay, lambda: self._alarm(number, life, due))

    def _alarm(self, number: int, life: Liveness, due: float) -> None:
        if self.lives.get(number) is life and self._alarms.get(number) == due:
            del self._alarms[number]
            if number not in self.paused:
                self._tick(number, life)

    def _transmit(self, number: int, other: int, message: LivenessMessage) -> None:
        size = size_of(message) if self.weigh else 0
        self.sent[number] += 1
        self.bytes[number] += size
        self.watch(number, other, message)
        if (number, other) in self.cuts or self.random.random() < self.loss:
            return
        latency = self.random.uniform(0.0005, 0.002)
        self.after(latency, lambda: self._deliver(number, other, message))

    def _deliver(self, number: int, other: int, message: LivenessMessage) -> None:
        life = self.lives.get(other)
        if life is not None:
            peer = NodeId(self.ids[number])
            self._step(other, life, lambda: life.on_message(peer, message, self.now))


class Net(Wire):
    """A ring of started members."""

    def __init__(
        self,
        count: int,
        *,
        seed: int = 1,
        links: bool = True,
        loss: float = 0.0,
        settings: LivenessSettings | None = None,
    ) -> None:
        super().__init__(count, seed=seed, loss=loss, settings=settings)
        self.links = links
        self.births = 0
        for number in range(count):
            self.start(number)

    # --- processes --------------------------------------------------------------------------------

    def start(self, number: int, incarnation: Incarnation = BOOT) -> Liveness:
        """A new life, that knows the ring."""
        self.births += 1
        random = Random(f"{self.seed} {number} {self.births}")
        life = Liveness(self.ids[number], incarnation, random, self.settings)
        life.members(self.ids, self.now)
        self.lives[number] = life
        self._alarms.pop(number, None)
        self._arm(number)
        if self.links:
            for other in self.lives:
                if other != number:
                    self.link(number, other, up=True)
                    self.link(other, number, up=True)
        return life

    def kill(self, number: int) -> None:
        del self.lives[number]
        if self.links:
            for other in self.lives:
                self.link(other, number, up=False)

    def pause(self, number: int, seconds: float) -> None:
        """Its host holds the GIL: what comes in waits, links stay."""
        self.paused[number] = []

        def resume() -> None:
            # A loop that wakes up finds its sockets readable before it looks at its timers.
            for event in self.paused.pop(number):
                event()
            self._tick(number, self.lives[number])

        self.after(seconds, resume)

    def link(self, number: int, other: int, *, up: bool) -> None:
        """What one member's transport reports."""
        life = self.lives[number]
        delay = self.random.uniform(0, LINK_SECONDS)
        peer = self.ids[other]
        self.after(
            delay, lambda: self._step(number, life, lambda: life.on_link(peer, up, self.now))
        )

    def doubt(self, number: int, other: int) -> None:
        life = self.lives[number]
        self._step(number, life, lambda: life.doubt(self.ids[other], self.now))

    def cut(self, number: int, other: int) -> None:
        """One way: messages vanish. The link of the sender breaks, as TCP needs both ways."""
        self.cuts.add((number, other))
        if self.links:
            self.link(number, other, up=False)

    def heal(self) -> None:
        for number, other in sorted(self.cuts):
            if self.links:
                self.link(number, other, up=True)
        self.cuts.clear()

    # --- what is seen -----------------------------------------------------------------------------

    def verdict(self, number: int, other: int) -> Verdict:
        return self.lives[number].verdict(self.ids[other]).verdict

    def why(self, number: int, other: int) -> str:
        return self.lives[number].verdict(self.ids[other]).why

    def believed(self, number: int, other: int) -> State:
        return State(self.lives[number].beliefs.peers[self.ids[other]].news.state)

    def all_see(self, other: int, verdict: Verdict) -> bool:
        return all(self.verdict(n, other) is verdict for n in self.lives if n != other)

    def all_up(self) -> bool:
        return all(self.all_see(number, Verdict.UP) for number in self.lives)

    def total(self, counter: str) -> int:
        return sum(life.beliefs.counters[counter] for life in self.lives.values())

    def seen(self, verdict: Verdict, since: float = 0.0) -> list[tuple[float, int, int, Verdict]]:
        return [change for change in self.changes if change[3] is verdict and change[0] >= since]
