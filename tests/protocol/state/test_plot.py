"""One partition's book: what it says does not depend on when it is worked in."""

from __future__ import annotations

from random import Random

import pytest

from dynamokv.merkle.tree import Tree
from dynamokv.protocol.state.forest import TOLD_MAX, Plot
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.lone import ELSE, NOW, record

SEED = 7


def key_of(number: int) -> bytes:
    return row_key(1, name_of(b"", b"%d" % number))


def record_of(number: int) -> bytes:
    return record((ELSE, NOW + number, b"v"))


def taken(rows: dict[bytes, bytes]) -> Plot:
    """The plot of these rows, taken from a snapshot."""
    plot = Plot(Tree(SEED))
    for key, row in rows.items():
        plot.take(key, row)
    return plot


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys that trees were told of."""
    keys: list[bytes] = []
    replace = Tree.replace

    def seen(self: Tree, key: bytes, old: int, new: int) -> None:
        keys.append(key)
        replace(self, key, old, new)

    monkeypatch.setattr(Tree, "replace", seen)
    return keys


@pytest.mark.parametrize("seed", range(20))
def test_it_says_what_its_rows_say(seed: int) -> None:
    random = Random(seed)
    plot, rows = Plot(Tree(SEED)), dict[bytes, bytes]()
    for number in range(500):
        key = key_of(random.randrange(2 * TOLD_MAX))
        new = record_of(number) if random.random() < 0.7 else None
        plot.change(key, rows.pop(key, None), new)
        if new is not None:
            rows[key] = new
        if random.random() < 0.02:
            assert plot.rows == len(rows)
            assert plot.root() == taken(rows).root()
    assert plot == taken(rows)
    assert plot.branches() == taken(rows).branches()
    assert [plot.leaves(n) for n in range(32)] == [taken(rows).leaves(n) for n in range(32)]


def test_a_key_that_is_written_again_and_again_is_worked_in_once(replaced: list[bytes]) -> None:
    plot = taken({key_of(1): record_of(0)})
    for number in range(10 * TOLD_MAX):
        plot.change(key_of(1), record_of(number), record_of(number + 1))
    assert replaced == [key_of(1)], "when it was taken"
    assert plot == taken({key_of(1): record_of(10 * TOLD_MAX)})
    assert replaced == [key_of(1)] * 3, "and once more on each side to compare"


def test_many_keys_do_not_wait_until_somebody_looks(replaced: list[bytes]) -> None:
    plot = Plot(Tree(SEED))
    for number in range(3 * TOLD_MAX + 5):
        plot.change(key_of(number), None, record_of(number))
        assert len(plot.after) < TOLD_MAX
    assert len(replaced) == 3 * TOLD_MAX


def test_plots_are_equal_when_all_of_them_is() -> None:
    one = Plot(Tree(1))
    assert one == Plot(Tree(1))
    assert one != Plot(Tree(1), rows=0, passing=1)
    assert one != Tree(1)
