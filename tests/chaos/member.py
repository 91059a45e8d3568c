"""One member in a process of its own, told what to do line by line.

Run as a script, with its options as one JSON object in the first argument. A request is one line of
JSON on standard input, ``{"id": 1, "do": "put", "with": ["key", "value"]}``. Each gets one line
back, in any order: ``{"id": 1, "gave": ..., "seconds": 0.002}``, or ``"raised"`` with the name of
the error, its text, and how many seconds the call took. Acknowledged writes of a load come as lines
``{"acked": [key, value]}`` at the moment of their acknowledgement, so a kill cannot take them back.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import dynamokv

_printing = threading.Lock()


def say(line: dict[str, Any]) -> None:
    """One line, whole, at once."""
    text = json.dumps(line) + "\n"
    with _printing:
        sys.stdout.write(text)
        sys.stdout.flush()


def say_acked(key: str, value: str) -> None:
    """A write of a load was acknowledged."""
    say({"acked": [key, value]})


class Load:
    """Threads that call for as long as the load is on, and what became of their calls.

    A key is written by one thread only, with a number that grows. ``acked`` hears of every
    acknowledged write. The load ``a?`` reads what the load ``a`` writes.
    """

    def __init__(
        self,
        kv: dynamokv.Node | dynamokv.Client,
        name: str,
        threads: int,
        reads: bool,
        acked: Callable[[str, str], None],
    ) -> None:
        self.kv = kv
        self.name = name.rstrip("?")
        self.acked = acked
        self.calls = 0
        self.longest = 0.0
        self.errors: dict[str, int] = {}
        self.texts: set[str] = set()
        self._on = True
        self._reads = reads
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> dict[str, Any]:
        """End it, and say how it went."""
        self._on = False
        for thread in self._threads:
            thread.join()
        found = {"calls": self.calls, "longest": self.longest, "errors": self.errors}
        return found | {"texts": sorted(self.texts)[:5]}

    def _run(self, number: int) -> None:
        turn = 0
        while self._on:
            turn += 1
            key = f"{self.name}-{number}-{turn % 200}"
            if self._reads:
                self._measured(partial(self.kv.get, key))
                continue
            value = f"{turn}"
            if self._measured(partial(self.kv.put, key, value)):
                self.acked(key, value)

    def _measured(self, call: Callable[[], object]) -> bool:
        started = time.monotonic()
        try:
            call()
        except dynamokv.DynamoKVError as error:
            name = type(error).__name__
            self.errors[name] = self.errors.get(name, 0) + 1
            self.texts.add(str(error))
            return False
        finally:
            self.calls += 1
            self.longest = max(self.longest, time.monotonic() - started)
        return True


class Worker:
    """What the lines may ask for."""

    def __init__(self, kv: dynamokv.Node) -> None:
        self.kv = kv
        self.loads: dict[str, Load] = {}

    def hello(self) -> dict[str, str]:
        return {"address": self.kv.address, "node_id": self.kv.node_id}

    def put(self, key: str, value: Any, **options: Any) -> dict[str, Any]:
        receipt = self.kv.put(key, value, **options)
        return {"acks": receipt.acks, "needed": receipt.needed, "replicas": receipt.replicas}

    def get(self, key: str, **options: Any) -> Any:
        return self.kv.get(key, **options)

    def get_many(self, keys: list[str], **options: Any) -> dict[str, Any]:
        found = self.kv.batch_get(keys, **options)
        found.raise_for_errors()
        return {str(key): value for key, value in found.items()}

    def put_many(self, items: dict[str, Any], **options: Any) -> int:
        done = self.kv.batch_put(items, **options)
        done.raise_for_errors()
        return len(done)

    def siblings(self, key: str) -> list[Any]:
        return self.kv.read(key).values

    def status(self) -> dict[str, Any]:
        return self.kv.status()

    def metrics(self) -> dict[str, Any]:
        return self.kv.metrics()

    def load(self, name: str, threads: int, reads: bool) -> None:
        self.loads[name] = Load(self.kv, name, threads, reads, say_acked)

    def end_load(self, name: str) -> dict[str, Any]:
        return self.loads.pop(name).stop()

    def hold_gil(self, seconds: int) -> None:
        """As an application does that calls C code which never lets go of it."""
        ctypes.PyDLL(None).sleep(seconds)

    def close(self) -> float:
        started = time.monotonic()
        self.kv.close()
        return time.monotonic() - started

    def answer(self, request: dict[str, Any]) -> None:
        started = time.monotonic()
        reply: dict[str, Any] = {"id": request["id"]}
        try:
            reply["gave"] = getattr(self, request["do"])(*request["with"], **request["options"])
        except Exception as error:
            reply["raised"] = [type(error).__name__, str(error)]
        say(reply | {"seconds": time.monotonic() - started})


def main() -> None:
    try:
        kv = dynamokv.join(**json.loads(sys.argv[1]))
    except dynamokv.DynamoKVError as error:
        say({"id": 0, "raised": [type(error).__name__, str(error)], "seconds": 0.0})
        return
    worker = Worker(kv)
    say({"id": 0, "gave": worker.hello(), "seconds": 0.0})
    for line in sys.stdin:
        request = json.loads(line)
        threading.Thread(target=worker.answer, args=(request,), daemon=True).start()


if __name__ == "__main__":
    main()
