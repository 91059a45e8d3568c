"""``update`` put what it had read without its end: a session that was updated lived for ever."""

from __future__ import annotations

from dynamokv.testing.ring import Ring


def test_what_was_to_lapse_still_does() -> None:
    with Ring(3) as ring:
        node = ring[0]
        node.put("session", 1, ttl=60)
        ring.advance(20)
        assert 39 < (node.read("session").ttl or 0) <= 40
        node.update("session", lambda found: found + 1)
        ring.advance(30)
        assert node.get("session") == 2
        ring.advance(11)
        assert node.get("session") is None
        assert node.read("session").ttl is None


def test_one_that_is_given_counts() -> None:
    with Ring(3) as ring:
        brief = ring[0].bucket("brief", ttl=10)
        ring[0].put("key", 1, ttl=10)
        ring[0].update("key", lambda _: 2, ttl=60)
        brief.put("key", 1)
        ring.advance(9)
        brief.update("key", lambda _: 2)
        ring.advance(9)
        assert (ring[0].get("key"), brief.get("key")) == (2, 2)


def test_what_stays_stays() -> None:
    """Also when it is a sibling of something that lapses."""
    with Ring(3) as ring:
        bucket = ring[0].bucket("b", resolver=sum)
        context = bucket.read("key").context
        bucket.put("key", 1, context=context, ttl=10)
        bucket.put("key", 2, context=context)
        assert bucket.read("key").ttl is None
        bucket.update("key", lambda found: found)
        ring.advance(20)
        assert bucket.get("key") == 3
