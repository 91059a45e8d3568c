"""Members as real processes: started, spoken to line by line, killed, frozen, and started again.

Every process that is started here is ended here, by its pid, when the ``with`` block ends. What a
member wrote to its error stream is then looked through: an internal error or a traceback fails the
test, whatever else it saw.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests import waiting

ROOT: Final = Path(__file__).resolve().parents[2]
MEMBER: Final = ROOT / "tests" / "chaos" / "member.py"
ANSWER_SECONDS: Final = 30.0


class Raised(Exception):
    """A member's call raised; ``kind`` is the name of its exception."""

    def __init__(self, kind: str, text: str, seconds: float) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text
        self.seconds = seconds


def free_addresses(count: int) -> list[str]:
    """Loopback addresses that nobody listens at; the first would found a ring of them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return sorted(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)


class Member:
    """One process. ``options`` are those of ``dynamokv.join``."""

    def __init__(self, log: Path, **options: Any) -> None:
        self.log = log
        self.options = options
        self.address = ""
        self.node_id = ""
        self.acked: dict[str, str] = {}
        self.acks = 0
        self.frozen = False
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self.begin()

    # --- life -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the process; ``wait_ready`` waits until it serves."""
        self._hello = self._expect(0)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(MEMBER), json.dumps(self.options)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def wait_ready(self) -> Member:
        """Return when it serves; raises ``Raised`` when it could not join."""
        hello = self._answer(self._hello, "join")
        self.address, self.node_id = hello["address"], hello["node_id"]
        return self

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone and its last line is read."""
        self.process.kill()
        self._gone()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def begin_again(self, **changes: Any) -> None:
        """Start on the same data, at the same address unless told otherwise."""
        self.options = self.options | {"address": self.address} | changes
        self.begin()

    def restart(self, **changes: Any) -> Member:
        """As ``begin_again``, and wait until it serves."""
        self.begin_again(**changes)
        return self.wait_ready()

    def close(self) -> float:
        """A clean stop. Returns the seconds that ``close()`` took."""
        seconds: float = self.ask("close")
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._gone()
        assert self.process.returncode == 0, self.said()
        return seconds

    def end(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        if self.process.poll() is None:
            self.process.kill()
        self._gone()

    def said(self) -> str:
        """What it wrote to its error stream, in all its lives."""
        return self.log.read_text("utf-8", "replace")

    def _gone(self) -> None:
        self.process.wait(ANSWER_SECONDS)
        self._reader.join(ANSWER_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    # --- calls ------------------------------------------------------------------------------------

    def ask(self, do: str, *arguments: Any, **options: Any) -> Any:
        """One call in the member, and its result. Raises ``Raised`` for what it raised there."""
        return self.answer(self.send(do, *arguments, **options))

    def send(
        self, do: str, *arguments: Any, **options: Any
    ) -> tuple[queue.SimpleQueue[dict[str, Any]], str]:
        """Begin a call; ``answer`` waits for it."""
        number = next(self._ids)
        found = self._expect(number)
        line = {"id": number, "do": do, "with": arguments, "options": options}
        assert self.process.stdin is not None
        with self._lock:
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
        return found, do

    def answer(self, sent: tuple[queue.SimpleQueue[dict[str, Any]], str]) -> Any:
        """The result of a call that ``send`` began."""
        return self._answer(*sent)

    def is_up(self, other: Member) -> bool:
        """Whether this member reaches the other."""
        return self.state_of(other) == "up"

    def state_of(self, other: Member) -> str:
        """What this member believes of the other."""
        found: dict[str, Any] = self.ask("status")["members"]
        return str(found[other.node_id]["state"])

    def _expect(self, number: int) -> queue.SimpleQueue[dict[str, Any]]:
        found: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting[number] = found
        return found

    def _answer(self, found: queue.SimpleQueue[dict[str, Any]], what: str) -> Any:
        try:
            reply = found.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise AssertionError(f"no answer to {what}: {self.said()}") from None
        if "raised" in reply:
            kind, text = reply["raised"]
            raise Raised(kind, text, reply["seconds"])
        return reply["gave"]

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.endswith("\n"):
                return  # cut short by a kill
            reply = json.loads(line)
            if "acked" in reply:
                key, value = reply["acked"]
                self.acked[key] = value
                self.acks += 1
            else:
                self._waiting.pop(reply["id"]).put(reply)


class Ring:
    """Members that know each other as seeds."""

    def __init__(self, folder: Path, count: int = 3, **options: Any) -> None:
        self.folder = folder
        self.options = options
        self.seeds = free_addresses(count)
        self.members = [
            Member(
                folder / f"member-{number}.log",
                address=address,
                seeds=self.seeds,
                data_dir=str(folder / f"data-{number}"),
                **options,
            )
            for number, address in enumerate(self.seeds)
        ]

    def wait_ready(self) -> None:
        """Return when every member serves, and reaches every other."""
        for member in self.members:
            member.wait_ready()
        waiting.until(self.linked, "all members reach each other")

    def linked(self) -> bool:
        """Whether every member reaches every other."""
        return all(a.is_up(b) for a, b in itertools.permutations(self.members, 2))

    def restart_all(self) -> None:
        """Start all again, at once, and wait until they serve."""
        for member in self.members:
            member.begin_again()
        self.wait_ready()

    def kill_all(self) -> None:
        """SIGKILL to all at once."""
        for member in self.members:
            member.process.kill()
        for member in self.members:
            member.kill()

    def acks(self) -> int:
        """How many writes the loads of all members were acknowledged."""
        return sum(member.acks for member in self.members)

    def wait_acks(self, more: int) -> None:
        """Return when that many more writes of loads were acknowledged."""
        goal = self.acks() + more
        waiting.until(lambda: self.acks() >= goal, f"{more} more acknowledged writes")

    def assert_nothing_lost(self) -> None:
        """Every acknowledged write of the loads, or a later one, is read at QUORUM everywhere."""
        acked = self.acked()
        assert acked, "no write was acknowledged: nothing is tested"
        for member in self.members:
            found = member.ask("get_many", sorted(acked))
            lost = {k: (v, found.get(k)) for k, v in acked.items() if int(found.get(k, 0)) < int(v)}
            assert not lost, f"{member.address} lost acknowledged writes: {lost}"

    def acked(self) -> dict[str, str]:
        """What the loads of all members were acknowledged. A key is written by one load only."""
        found: dict[str, str] = {}
        for member in self.members:
            found |= member.acked
        return found

    def __enter__(self) -> Ring:
        try:
            self.wait_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        if error is None:
            for member in self.members:
                assert_no_internal_errors(member.said())

    def _end(self) -> None:
        for member in self.members:
            member.end()


@contextmanager
def another(log: Path, **options: Any) -> Iterator[Member]:
    """A process beside the ring, ended at the end of the block. It may never get ready."""
    member = Member(log, **options)
    try:
        yield member
    finally:
        member.end()


def assert_no_internal_errors(said: str) -> None:
    """Nothing that a member wrote points at a bug of ours."""
    assert "internal error" not in said, said
    assert "Traceback" not in said, said
