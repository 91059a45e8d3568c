"""Hints were said to be gone, and waited for minutes, while their target was up.

A few could not be read when they were counted, and could when they were delivered. They were taken
off the sums all the same, which came to nothing while hints were left. A collecting round that was
told so would have raised the horizon above them.
"""

from __future__ import annotations

from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.healing.holding import LATER, OLD, Holder


class Holding(Holder):
    """It keeps so many hints in each of two partitions for one target, and has just started; those
    of the first could not be read when it counted."""

    def __init__(self, each: int) -> None:
        super().__init__(partitions=64)
        rows = enumerate(self.home.owners)
        self.both = [p for p, row in rows if self.me not in row and self.target in row][:2]
        for partition in self.both:
            keys = [row_key(partition, name_of(b"", b"%d" % number)) for number in range(each)]
            asker = next(o for o in self.home.owners[partition] if o != self.target)
            hint = m.Hint(7, self.home.epoch, 5000, self.target, keys, [OLD] * each)
            self.receive(asker, hint)
            self.durable()
        damaged = self.store.disk.damaged
        damaged.update(self.kept()[:each])
        self.node.handoff.recount()
        while not self.home.hints.counted:
            self.after(LATER)
        damaged.clear()


def test_other_partitions_are_held_until_their_hints_are_delivered() -> None:
    holder = Holding(128)
    first, second = holder.both
    hints = holder.home.hints
    assert hints.doubtful == {first}
    page = holder.comes_up()
    assert page is not None
    assert len(page.keys) == 128
    holder.acknowledge(page)
    holder.durable()
    assert len(holder.kept()) == 128
    assert hints.holds(second)


def test_all_are_delivered_one_after_the_other() -> None:
    holder = Holding(128)
    assert len(holder.delivered()) == 256
    assert not holder.kept()
    hints = holder.home.hints
    assert not hints.accounts
    assert not hints.doubtful
    assert not any(hints.holds(partition) for partition in holder.both)


def test_nothing_is_less_than_nothing() -> None:
    holder = Holding(2)
    holder.acknowledge(holder.comes_up())
    (status,) = holder.home.hints.status().values()
    assert (status["keys"], status["bytes"]) == (0, 0)
