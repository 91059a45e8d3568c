"""How much this node has outstanding at each peer: a bound above ZeroMQ, by count and by bytes.

High-water marks count frames, and the kernel, libzmq and the peer's own queue all swallow what is
sent to a peer that is linked but does not answer. So a question takes credit, and only its answer,
its failure or the end of the link gives it back.

Rules:
    - A peer without credit counts as unreachable, at once: the next owner takes over.
    - A peer answers all that it reads, and reads in order. So an answer to a later question gives
      back the credit of earlier ones that are past their deadlines: they were lost on the way.
    - Time alone gives nothing back: a silent peer still holds what it was sent. It is asked one
      question more now and then, twice as rarely each time up to a bound, in case all answers
      were lost.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeAlias

from dynamokv import limits
from dynamokv.protocol.load.admission import Refusal

Question: TypeAlias = tuple[int, float, float]
"""One message that expects an answer: its weight, when it was asked, and its deadline. No named
tuple, because there is one for each message."""


class _Account:
    """One peer's. Ordered, because the first entry of a plain dict is found behind the gaps that
    all removed ones left."""

    __slots__ = ("bytes", "fetches", "next_probe", "probe_after", "questions")

    def __init__(self) -> None:
        self.bytes = 0
        self.questions: OrderedDict[int, Question] = OrderedDict()
        self.fetches: OrderedDict[int, float] = OrderedDict()
        self.probe_after = limits.CREDIT_PROBE_SECONDS
        self.next_probe = 0.0

    def remove(self, id: int) -> None:
        self.bytes -= self.questions.pop(id)[0]
        self.fetches.pop(id, None)


class Credit:
    """Of all peers.

    Attributes:
        short: peers that have none left.
        refused: questions that were not sent for want of it.
    """

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self.short: set[bytes] = set()
        self.refused = 0
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._accounts: dict[bytes, _Account] = {}

    def has_room(self, peer: bytes, now: float) -> bool:
        """Whether this peer may be asked one question more."""
        return peer not in self.short or now >= self._accounts[peer].next_probe

    def take(self, peer: bytes, id: int, question: Question, *, fetches: bool = False) -> bool:
        """Ask it, or say False."""
        weight, now, _ = question
        account = self._accounts.get(peer)
        if account is None:
            account = self._accounts[peer] = _Account()
        elif peer in self.short and not self.has_room(peer, now):
            self.refused += 1
            return False
        if id in account.questions:
            # One that is asked again is answered twice, and outstanding once.
            account.remove(id)
        account.questions[id] = question
        account.bytes += weight
        if fetches:
            account.fetches[id] = now
        if account.bytes >= self._bytes_max or len(account.questions) >= self._messages_max:
            self.short.add(peer)
            account.next_probe = now + account.probe_after
            account.probe_after = min(account.probe_after * 2, limits.CREDIT_PROBE_SECONDS_MAX)
        return True

    def give_back(self, peer: bytes, id: int, now: float) -> float | None:
        """It answered, or the question never left. Returns when it was asked, if it was a read."""
        account = self._accounts.get(peer)
        question = account.questions.pop(id, None) if account is not None else None
        if account is None or question is None:
            return None
        weight, asked, _ = question
        account.bytes -= weight
        account.probe_after = limits.CREDIT_PROBE_SECONDS
        while account.questions:
            first = next(iter(account.questions))
            _, before, deadline = account.questions[first]
            if before >= asked or deadline > now:
                break
            account.remove(first)
        if peer in self.short and (
            account.bytes < self._bytes_max and len(account.questions) < self._messages_max
        ):
            self.short.discard(peer)
        return account.fetches.pop(id, None)

    def forget(self, peer: bytes) -> None:
        """The link is gone, and what was on it."""
        self._accounts.pop(peer, None)
        self.short.discard(peer)

    def is_behind(self, peer: bytes, since: float, now: float) -> bool:
        """Whether a read that was asked before this moment is not answered yet, and may still be:
        whoever is asked last would never show that an answer was lost."""
        account = self._accounts.get(peer)
        while account is not None and account.fetches:
            id, asked = next(iter(account.fetches.items()))
            if asked >= since:
                break  # and so were those after it
            if now < account.questions[id][2] + limits.ANSWER_LOST_SECONDS:
                return True
            del account.fetches[id]
        return False

    def is_silent(self, peer: bytes, now: float) -> bool:
        """Whether it should have answered what it was passed on, and may still do so: after a while
        the answer was lost, more likely, and only another question tells."""
        account = self._accounts.get(peer)
        for _, asked, deadline in account.questions.values() if account is not None else ():
            if asked + limits.FORWARD_LATE_SECONDS >= now:
                return False  # and those after it were asked later
            if now < deadline + limits.ANSWER_LOST_SECONDS:
                return True
        return False

    def refusal(self, peers: Iterable[bytes]) -> Refusal:
        """Why nothing more is asked of these peers, which have none left: what the one holds that
        holds the most."""
        messages, held = max(map(self.outstanding, peers), key=lambda each: each[::-1])
        return Refusal(
            "overloaded_owners",
            "too much is outstanding at its owners: one of them has not answered "
            f"{messages:,} of at most {self._messages_max:,} questions, with {held:,} of "
            f"{self._bytes_max:,} bytes",
        )

    def outstanding(self, peer: bytes) -> tuple[int, int]:
        """Messages and bytes."""
        account = self._accounts.get(peer)
        return (len(account.questions), account.bytes) if account is not None else (0, 0)
