"""A thread that puts one key after the other through a member, and keeps the account."""

from __future__ import annotations

import threading

from dynamokv.cli.process import CallRefused, MemberFailed, MemberProcess


class Writer(threading.Thread):
    """Writes at QUORUM until ``finish``.

    Attributes:
        longest: seconds that the slowest acknowledged write took, as its receipt says.
        refusals: errors of writes that were not acknowledged.
    """

    def __init__(self, member: MemberProcess) -> None:
        super().__init__(name="writer", daemon=True)
        self.longest = 0.0
        self.refusals: list[str] = []
        self.keys: list[str] = []
        self.values: list[int] = []
        self._member = member
        self._changed = threading.Condition()
        self._over = False

    @property
    def acknowledged(self) -> int:
        """Writes so far."""
        return len(self.values)

    def run(self) -> None:
        """Write."""
        number = 0
        while not self._over:
            key = f"written:{number}"
            try:
                receipt = self._member.call("put", key=key, value=number, level="QUORUM")
            except (CallRefused, MemberFailed) as error:
                with self._changed:
                    self.refusals.append(f"{key}: {error}")
                    self._changed.notify_all()
                return
            with self._changed:
                self.keys.append(key)
                self.values.append(number)
                self.longest = max(self.longest, receipt["seconds"])
                self._changed.notify_all()
            number += 1

    def wait_for(self, count: int, seconds: float) -> None:
        """Return when so many writes are acknowledged, one was refused, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.values) >= count or self.refusals, seconds)

    def finish(self) -> None:
        """Stop writing."""
        self._over = True
        self.join()
