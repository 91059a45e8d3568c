"""A limit in real time for what should be over soon: a core that turns in a circle never ends, and
the virtual time, in which all other bounds are, does not go on while it does.

Knows: this process, and its alarm clock. Where there is none (not POSIX, or not the main thread),
there is no limit.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from dynamokv.testing.campaign.findings import Finding, Rule
from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import Outcome, play

CALLS_TOLD: Final = 6
"""Innermost ones, of a run that is not over."""


class TooLongError(BaseException):
    """The time is over. Not an ``Exception``: whoever turns in a circle may catch those."""


def play_within(plan: Plan, seconds: float) -> Outcome:
    """Run a plan; one that takes longer than this fails for that, and says where it was."""
    try:
        with _limited(seconds):
            return play(plan)
    except TooLongError as late:
        return Outcome(plan, [Finding(Rule.HUNG, 0, b"", str(late))])


def _where(frame: FrameType | None) -> str:
    """The innermost calls."""
    calls: list[str] = []
    while frame is not None and len(calls) < CALLS_TOLD:
        calls.append(f"{frame.f_code.co_qualname} (line {frame.f_lineno})")
        frame = frame.f_back
    return ", called by ".join(calls)


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """``TooLongError`` comes out when what is inside takes longer."""
    here = threading.current_thread() is threading.main_thread()
    if not here or not hasattr(signal, "setitimer"):
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"not over after {seconds:g} s of real time, in {_where(frame)}")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
