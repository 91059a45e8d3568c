"""Frames: the head that is read before anything else, and the list of messages behind it."""

from __future__ import annotations

from typing import Any

import pytest

from dynamokv import limits
from dynamokv.types import ClusterId
from dynamokv.wire import codec, frame
from dynamokv.wire import messages as m
from dynamokv.wire.frame import read_head
from tests.wire.samples import HEAD_BYTES, MESSAGES, MODEST, SENDER, TAG, pack, pack_body, unpack

GOOD = pack(m.Same(1))


def test_layout() -> None:
    assert pack(m.Same(1), m.Replicated(2)) == b"\x01\x00" + TAG + SENDER + codec.encode(
        [[5, 1], [2, 2]]
    )
    assert frame.head(TAG, SENDER) == b"\x01\x00" + TAG + SENDER
    assert len(frame.head(TAG, SENDER)) == HEAD_BYTES
    assert not any(frame.NO_TAG + frame.NO_SENDER)
    assert len(frame.NO_TAG + frame.NO_SENDER) == 24


def test_the_tag_is_the_start_of_the_ring_id() -> None:
    assert frame.tag_of(ClusterId(bytes(range(16)))) == TAG


def test_the_head_is_read_without_looking_further() -> None:
    assert read_head(GOOD) == (TAG, SENDER)
    assert read_head(GOOD[:HEAD_BYTES] + b"\xff") == (TAG, SENDER)
    nobody = frame.head(frame.NO_TAG, frame.NO_SENDER)
    assert read_head(nobody + b"\x80") == (frame.NO_TAG, frame.NO_SENDER)


@pytest.mark.parametrize("size", range(HEAD_BYTES + 1))
def test_too_short(size: int) -> None:
    with pytest.raises(ValueError, match="too short"):
        read_head(GOOD[:size])


@pytest.mark.parametrize(
    "start", [b"\x00\x00", b"\x02\x00", b"\xff\x00", b"\x01\x01", b"\x01\xff", b"\x00\x01"]
)
def test_another_version(start: bytes) -> None:
    with pytest.raises(ValueError, match="version"):
        read_head(start + GOOD[2:])


@pytest.mark.parametrize("messages", [(), MESSAGES, MODEST, MESSAGES * 20])
def test_round_trip(messages: tuple[m.Message, ...]) -> None:
    received = unpack(pack(*messages))
    assert received == list(messages)
    assert [type(message) for message in received] == [type(message) for message in messages]


def test_as_many_messages_as_a_frame_may_have() -> None:
    most = limits.MESSAGES_PER_FRAME_MAX
    assert unpack(pack(*[m.Same(7)] * most)) == [m.Same(7)] * most
    with pytest.raises(ValueError, match="list of messages"):
        unpack(pack(*[m.Same(7)] * (most + 1)))


@pytest.mark.parametrize("body", [None, 1, True, "text", b"bytes", 0.5, {}, {"a": [5, 1]}])
def test_a_body_is_a_list(body: Any) -> None:
    with pytest.raises(ValueError, match="list of messages"):
        unpack(pack_body(body))


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("bad", [None, [], [0], [5, -1], [999, 1]])
def test_one_bad_message_spoils_its_frame(position: int, bad: Any) -> None:
    body: list[Any] = [[5, 1], [5, 2]]
    body.insert(position, bad)
    with pytest.raises(ValueError, match=r"message|number"):
        unpack(pack_body(body))


def test_bytes_after_the_messages() -> None:
    for more in (b"\x80", b"\0", GOOD):
        with pytest.raises(ValueError, match="after the end"):
            unpack(GOOD + more)


def test_cut_short_anywhere() -> None:
    whole = pack(*MESSAGES)
    for size in range(len(whole)):
        with pytest.raises(ValueError, match=r"short|protocol"):
            unpack(whole[:size])
