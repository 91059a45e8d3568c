"""Waiting for a condition, with a deadline. The one file of the tests that may sleep.

A deadline here is no measurement: it is long enough for a busy machine, and only a test that is
about to fail ever reaches it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 20.0
POLL_SECONDS = 0.005


def until(condition: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """The first true result of the condition."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(POLL_SECONDS)


async def until_async(condition: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """The first true result of the condition, while the loop goes on."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(POLL_SECONDS)


def pass_time(seconds: float) -> None:
    """Let real time go by, where the passing of it is what the test is about."""
    time.sleep(seconds)
