"""``dynamokv status ADDRESS`` was answered by any member: what that one saw could not be seen."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import dynamokv
from dynamokv.cli import main
from dynamokv.cli.status import status_of

HERE, THERE = "127.0.0.1:1", "127.0.0.1:2"


@pytest.fixture(scope="module")
def ring() -> Iterator[list[dynamokv.Node]]:
    with dynamokv.join("127.0.0.1:0") as first:
        seeds = [first.address]
        with (
            dynamokv.join("127.0.0.1:0", seeds=seeds) as second,
            dynamokv.join("127.0.0.1:0", seeds=seeds) as third,
        ):
            yield [first, second, third]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_member_answers_that_was_asked(
    ring: list[dynamokv.Node], number: int, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ring[number].address.replace("127.0.0.1", host)
    for _ in range(3):
        assert main(["status", "--json", address]) == 0
        assert json.loads(capsys.readouterr().out)["status"]["node_id"] == ring[number].node_id


class Silent(dynamokv.Client):
    """Only the first of two members ever answers."""

    def __init__(self) -> None:
        pass

    def status(self) -> dict[str, object]:
        members = {"11": {"address": HERE}, "22": {"address": THERE}}
        return {"node_id": "11", "members": members}


def test_one_that_does_not_answer_is_said() -> None:
    with pytest.raises(dynamokv.JoinTimeout, match=f"nobody at {THERE} .* ask {HERE}"):
        status_of(Silent(), [THERE], 0.05)
    assert status_of(Silent(), [THERE, HERE], 0.05)["node_id"] == "11"


def test_an_address_that_the_ring_does_not_know_is_answered_by_any() -> None:
    """It may be the one that a member binds, and not the one that it advertises."""
    assert status_of(Silent(), ["127.0.0.1:3"], 0.0)["node_id"] == "11"
