"""A port scan, a health check or a browser at a node's port became a peer of it.

libzmq takes whatever does not begin like ZMTP 3 for a peer of version 1, which says nothing before
its messages: the bytes of an HTTP request arrived as frames, its connection stayed open for ever,
and where the bytes made no message no counter moved. Only version 3 is spoken now.
"""

from __future__ import annotations

import dynamokv
from tests.transport.ends import tcp
from tests.waiting import until

HTTP = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n" * 3


def test_a_browser_is_counted_and_sent_away() -> None:
    with dynamokv.join() as kv:
        for count, garbage in enumerate((HTTP, bytes(100), b"SSH-2.0-OpenSSH_9.6\r\n"), 1):
            with tcp(kv.address) as connection:
                connection.sendall(garbage)
                until(lambda n=count: failed(kv) == n, "it is counted")  # type: ignore[misc]
                connection.settimeout(20.0)
                try:
                    while connection.recv(1024):
                        pass
                except ConnectionResetError:
                    pass
        assert kv.metrics()["counters"]["frames_rejected"] == 0


def failed(kv: dynamokv.Node) -> int:
    count: int = kv.metrics()["counters"]["handshakes_failed"]
    return count
