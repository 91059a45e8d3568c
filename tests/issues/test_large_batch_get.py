"""A ``batch_get`` of much data cut the connection, and failed everybody else's calls with it.

All values of one set of owners came in one frame. Above 64 MiB the receiver's libzmq drops the
connection, without a word: the batch and every other call on it ended as "connection lost", and for
a while the member counted as down. Now an answer holds what fits, and the caller asks for the rest.
"""

from __future__ import annotations

import os
import threading

import dynamokv
from dynamokv import limits

VALUE = os.urandom(limits.VALUE_BYTES_MAX - 5)
COUNT = limits.FRAME_BYTES_MAX // limits.VALUE_BYTES_MAX + 10


def test_a_client_reads_more_than_a_frame_holds() -> None:
    keys = [f"k{number}" for number in range(COUNT)]
    with dynamokv.join(durability="os") as node, dynamokv.connect([node.address]) as client:
        for key in keys:
            node.put(key, VALUE)
        failed: list[BaseException] = []
        over = threading.Event()

        def others() -> None:
            while not over.is_set():
                try:
                    client.get("k0")
                except dynamokv.DynamoKVError as error:
                    failed.append(error)

        thread = threading.Thread(target=others)
        thread.start()
        found = client.batch_get(keys)
        over.set()
        thread.join()
        assert not found.errors
        assert list(found) == keys
        assert all(value == VALUE for value in found.values())
        assert not failed
        assert node.metrics()["counters"]["frames_too_large"] == 0
