"""What a test says wrongly is an error of a type of its own, whose text says what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dynamokv
from dynamokv.testing import Ring


@pytest.fixture(scope="module")
def ring() -> Iterator[Ring]:
    with Ring(3) as found:
        yield found


NONSENSE: list[tuple[Callable[[Any], object], str]] = [
    (lambda ring: ring["n4"], "no member 'n4' in this ring: there are n1, n2, n3"),
    (lambda ring: ring[3], "no member 3"),
    (lambda ring: ring[None], "no member None"),
    (lambda ring: ring.partition(), "a partition has groups"),
    (lambda ring: ring.partition([], ["n1"]), "a partition has groups"),
    (lambda ring: ring.partition(["n1", "n2", "n3"]), "a partition has groups"),
    (lambda ring: ring.partition("n1", "n2"), r"a group is a list: ring.partition\(\['n1'\]"),
    (lambda ring: ring.partition(ring[0], ring[1]), "a group is a list"),
    (lambda ring: ring.partition(0, 1), "a group is a list"),
    (lambda ring: ring.partition(["n1"], ["n1", "n2"]), "n1 cannot be on two sides"),
    (lambda ring: ring.partition(["n1", ring[0]]), "n1 cannot be on two sides, or twice on one"),
    (lambda ring: ring.partition(["n1"], ["other"]), "no member 'other'"),
    (lambda ring: ring.crash("n9"), "no member 'n9'"),
    (lambda ring: ring.resume("n1"), "n1 is not paused, it is up"),
    (lambda ring: ring.advance(0), "a positive number of seconds"),
    (lambda ring: ring.advance("1"), "a positive number of seconds"),
    (lambda ring: ring.advance(True), "a positive number of seconds"),
    (lambda ring: ring.advance(float("nan")), "a positive number of seconds"),
    (lambda ring: ring.advance(float("inf")), "a positive number of seconds"),
    (lambda ring: Ring(0), "1 to"),
    (lambda ring: Ring(True), "a number of members"),
    (lambda ring: Ring("3"), "a number of members"),  # type: ignore[arg-type]
    (lambda ring: Ring(3, seed="x"), "a seed is a whole number"),  # type: ignore[arg-type]
    (lambda ring: Ring(3, durabilty="os"), "did you mean durability"),
    (lambda ring: Ring(3, data_dir="x"), "data_dir is not for a simulated ring"),
    (lambda ring: ring.client(timeout=0), "timeout must be a positive number"),
    (lambda ring: ring.client(timout=1), "unknown option timout"),
    (lambda ring: ring.client([]), "nodes is empty"),
]


@pytest.mark.parametrize(("nonsense", "text"), NONSENSE, ids=[text for _, text in NONSENSE])
def test_nonsense_is_refused(ring: Ring, nonsense: Callable[[Any], object], text: str) -> None:
    before = ring.status()
    with pytest.raises(dynamokv.UsageError, match=text):
        nonsense(ring)
    assert ring.status() == before


def test_what_is_down_cannot_crash_or_pause() -> None:
    with Ring(2) as ring:
        ring.crash("n2")
        with pytest.raises(dynamokv.UsageError, match="n2 is down already"):
            ring.crash("n2")
        with pytest.raises(dynamokv.ClosedError, match="n2 is down"):
            ring.pause("n2")


def test_a_client_is_no_member() -> None:
    with Ring(1) as ring:
        client = ring.client()
        with pytest.raises(dynamokv.UsageError, match="c1 is a client"):
            ring.crash(client)


def test_a_member_of_another_ring_is_none_of_this(ring: Ring) -> None:
    with Ring(1) as other, pytest.raises(dynamokv.UsageError, match="belongs to another ring"):
        ring.crash(other[0])
