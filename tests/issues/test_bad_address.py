"""An address that is none, learned from a peer, raised out of the loop, and again at each restart.

It went to the socket as it was; now it is a peer that cannot be reached.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from dynamokv.transport.zeromq import ZeroMQTransport


@pytest.mark.asyncio
async def test_a_link_to_no_address_is_one_that_never_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = ZeroMQTransport(asyncio.get_running_loop())
    with caplog.at_level(logging.ERROR):
        transport.connect(b"peer", "nonsense")
    assert "cannot connect to 'nonsense'" in caplog.text
    assert not transport.send(b"peer", b"frame")
    transport.close()
    transport.connect(b"late", "127.0.0.1:1")
    assert not transport.send(b"late", b"frame")
