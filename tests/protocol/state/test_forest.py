"""Trees that stay in step with a store, whatever becomes of its writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from dynamokv import limits
from dynamokv.causality.versions import Dot, KeyState, Version
from dynamokv.errors import CorruptionError
from dynamokv.protocol import effects as e
from dynamokv.protocol.state.forest import Forest
from dynamokv.testing.campaign.trees import rebuilt
from dynamokv.types import Actor
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of, row_key, tree_row
from tests.protocol.fakes import Store
from tests.protocol.lone import ELSE, NOW, record
from tests.ring import rings

ME = Actor(b"actor me")
RING = rings.ring(3, partitions=8)
OWNED = range(4)


def planted(store: Store, *, owned: range = OWNED, actor: Actor = ME) -> Forest:
    """A forest of four of eight partitions on this store."""
    forest = Forest(store)
    forest.adopt(RING, owned, actor)
    store.account = forest
    return forest


def built(store: Store, *, owned: range = OWNED) -> Forest:
    """The same, with all trees known."""
    forest = planted(store, owned=owned)
    build_all(forest)
    return forest


def build_all(forest: Forest) -> None:
    while forest.unknown:
        build = forest.begin(next(iter(forest.unknown)))
        while forest.grow(build, 3) == 3:
            pass
        forest.finish()


def is_right(forest: Forest, store: Store) -> bool:
    """Whether every known tree is the one that is built from what the store shows."""
    return all(
        plot == rebuilt(store.disk, forest.seed, partition)
        for partition, plot in forest.plots.items()
    )


def key_of(number: int) -> bytes:
    return row_key(number % 5, name_of(b"", b"key %d" % number))


def some_record(random: Random) -> bytes:
    version = Version(Dot(ELSE, NOW + random.randrange(50)), b"v", False, 0)
    if random.random() < 0.3:
        version = version._replace(value=b"", tombstone=True)
    elif random.random() < 0.3:
        version = version._replace(expires_ms=1)
    return records.encode(KeyState((version,), {ELSE: version.dot.time}))


def write(store: Store, *rows: tuple[bytes, bytes | None]) -> None:
    """A batch of these, decided."""
    store.write(e.Write(rows))
    store.begin()
    store.finish()


# --- in step --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_a_tree_is_the_one_that_is_built_from_the_store(seed: int) -> None:
    """Puts, deletions, batches with a key twice, refused batches; trees that are built and built
    anew in small pieces meanwhile."""
    random = Random(seed)
    store = Store()
    for number in range(random.randrange(40)):
        store.rows[key_of(number)] = some_record(random)
    forest = planted(store)
    under_way = False
    for _ in range(400):
        match random.randrange(6):
            case 0 | 1:
                rows = [
                    (
                        key_of(random.randrange(40)),
                        some_record(random) if random.random() < 0.8 else None,
                    )
                    for _ in range(random.randrange(4))
                ]
                store.write(e.Write(rows))
            case 2:
                under_way = store.begin()
            case 3 if under_way:
                store.disk.failing = "full" if random.random() < 0.3 else ""
                store.finish()
                under_way = store.begin()
            case 4:
                if forest.build is None:
                    forest.begin(random.choice(OWNED))
                elif forest.build.rows is not None and forest.grow(forest.build, 2) < 2:
                    built_now = forest.build.plot
                    before = forest.finish()
                    assert before is None or before == built_now
            case 5 if random.random() < 0.05:
                forest.forget(random.choice(OWNED))
        assert is_right(forest, store)
    assert len(forest.plots) + len(forest.unknown) == len(OWNED)
    assert forest.plots


def test_a_refused_batch_is_not_accounted_for() -> None:
    store = Store()
    forest = built(store)
    before = forest.root(1)
    store.disk.failing = "full"
    write(store, (key_of(1), record((ELSE, NOW, b"v"))))
    assert forest.root(1) == before
    store.disk.failing = ""
    write(store, (key_of(1), record((ELSE, NOW, b"v"))))
    assert forest.root(1) != before


def test_a_tree_says_what_is_visible_not_what_is_on_its_way() -> None:
    store = Store()
    forest = built(store)
    before = forest.root(1)
    store.write(e.Write([(key_of(1), record((ELSE, NOW, b"v")))]))
    store.begin()
    assert forest.root(1) == before
    store.finish()
    assert forest.root(1) != before


def test_a_snapshot_waits_for_the_batch_under_way_and_is_taken_before_the_next() -> None:
    store = Store()
    forest = planted(store)
    store.write(e.Write([(key_of(0), record((ELSE, NOW, b"1")))]))
    store.begin()
    build = forest.begin(0)
    assert build.rows is None
    store.write(e.Write([(key_of(5), record((ELSE, NOW, b"2")))]))
    store.finish()
    assert build.rows is not None
    assert store._job is not None, "the next batch is on its way"
    assert forest.grow(build, 10) == 1
    store.finish()
    forest.finish()
    assert forest.rows(0) == 2
    assert is_right(forest, store)


def test_only_records_of_owned_partitions_count() -> None:
    store = Store()
    forest = built(store)
    ours = row_key(3, name_of(b"", b"k"))
    rows = [(key, b"new") for key in (row_keys.IDENTITY_ROW, key_of(4), ours)]
    before, after = forest.about_to_change(rows, lambda _: b"old")
    assert before == {ours: b"old"}
    assert after[ours] == b"new"
    roots = [forest.root(partition) for partition in OWNED]
    write(store, (row_keys.IDENTITY_ROW, b"me"), (key_of(4), record((ELSE, NOW, b"v"))))
    assert [forest.root(partition) for partition in OWNED] == roots


def test_what_a_tree_was_told_is_not_read_again() -> None:
    store = Store()
    forest = built(store)
    first, second = record((ELSE, NOW, b"1")), record((ELSE, NOW + 1, b"2"))
    write(store, (key_of(1), first), (key_of(2), first))
    write(store, (key_of(2), None))
    assert forest.root(3) is not None
    read = []

    def visible(key: bytes) -> bytes | None:
        read.append(key)
        return None

    rows = [(key_of(1), second), (key_of(2), second), (key_of(3), first), (key_of(3), second)]
    before, after = forest.about_to_change(rows, visible)
    assert before == {key_of(1): records.head_of(first), key_of(2): None, key_of(3): None}
    assert after == dict.fromkeys(before, second)
    assert read == [key_of(3)]


def test_rows_that_are_no_records_are_in_no_tree() -> None:
    store = Store()
    store.rows[b"\0\0\7not a record"] = b"x"
    assert built(store).rows(0) == 0


def test_rows_are_counted_and_those_that_will_pass() -> None:
    store = Store()
    forest = built(store)
    kept = record((ELSE, NOW, b"v"))
    gone = records.encode(KeyState((Version(Dot(ELSE, NOW), b"", True, 0),), {ELSE: NOW}))
    write(store, (key_of(0), kept), (key_of(5), gone))
    assert (forest.rows(0), forest.passing(0)) == (2, 1)
    write(store, (key_of(0), gone), (key_of(5), None))
    assert (forest.rows(0), forest.passing(0)) == (1, 1)
    assert (forest.rows(7), forest.passing(7), forest.root(7), forest.tree(7)) == (0, 0, None, None)
    assert forest.tree(0) is forest.plots[0]


# --- what is not known ----------------------------------------------------------------------------


class Unreadable(Store):
    """A store that cannot read one key."""

    key = b""

    def scan_visible(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        if start <= self.key < end:
            raise CorruptionError("block 7 is damaged")
        return super().scan_visible(start, end)


def test_a_change_from_what_cannot_be_read_costs_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    forest = built(store)
    forest.begin(1)

    def get(key: bytes) -> bytes:
        raise CorruptionError("block 7 is damaged")

    monkeypatch.setattr(store.disk, "get", get)
    store.disk.failing = "full"
    write(store, (key_of(1), record((ELSE, NOW, b"v"))))
    assert forest.root(1) is not None, "nothing has changed"
    store.disk.failing = ""
    write(store, (key_of(1), record((ELSE, NOW, b"v"))))
    assert forest.root(1) is None
    assert forest.build is None
    assert list(forest.unknown) == [1]
    write(store, (key_of(1), record((ELSE, NOW + 1, b"w"))))
    forest.lost_track(row_key(6, b"\0k"))
    assert list(forest.unknown) == [1]
    monkeypatch.undo()
    build_all(forest)
    assert is_right(forest, store)


def test_a_partition_that_cannot_be_read_says_so_when_it_is_built() -> None:
    store = Unreadable()
    store.key = key_of(2)
    forest = planted(store)
    assert "damaged" in forest.begin(2).error
    assert not forest.begin(1).error


def test_another_topology_brings_and_takes_trees() -> None:
    store = Store()
    forest = built(store)
    roots = {partition: forest.root(partition) for partition in OWNED}
    forest.begin(1)
    forest.adopt(replace(RING, epoch=2), range(2, 6), ME)
    assert forest.build is None
    assert forest.root(0) is forest.root(1) is None
    assert forest.root(2) == roots[2]
    assert list(forest.unknown) == [4, 5]
    forest.adopt(replace(RING, seed=8), range(2, 6), ME)
    assert not forest.plots
    assert list(forest.unknown) == [2, 3, 4, 5]


def test_the_seed_is_the_rings_secret() -> None:
    seeds = set()
    for topology in (RING, replace(RING, seed=8), replace(RING, context_key=b"another secret!!")):
        forest = Forest(Store())
        forest.adopt(topology, OWNED, ME)
        seeds.add(forest.seed)
    assert len(seeds) == 3


# --- over a stop ----------------------------------------------------------------------------------


def stopped(store: Store, forest: Forest, actor: Actor = ME) -> None:
    write(store, *forest.keep(actor))


def filled() -> tuple[Store, Forest]:
    store = Store()
    random = Random(0)
    for number in range(40):
        store.rows[key_of(number)] = some_record(random)
    return store, built(store)


def test_a_kept_tree_is_taken_over() -> None:
    store, forest = filled()
    stopped(store, forest)
    after = planted(store)
    assert not after.unknown
    assert after.plots == forest.plots


def test_a_tree_of_another_life_is_not() -> None:
    store, forest = filled()
    stopped(store, forest)
    assert not planted(store, actor=Actor(b"actor b.")).plots


@pytest.mark.parametrize("change", [{"seed": 8}, {"context_key": b"another secret!!"}])
def test_nor_one_of_another_ring(change: dict[str, object]) -> None:
    store, forest = filled()
    stopped(store, forest)
    after = Forest(store)
    after.adopt(replace(RING, **change), OWNED, ME)  # type: ignore[arg-type]
    assert not after.plots


def test_nor_one_of_a_partition_that_is_no_longer_owned() -> None:
    store, forest = filled()
    stopped(store, forest)
    after = planted(store, owned=range(3, 6))
    assert list(after.plots) == [3]
    assert list(after.unknown) == [4, 5]


@pytest.mark.parametrize("damage", [b"", b"\2" + bytes(30), b"\1actor me" + bytes(30)])
def test_nor_what_is_no_tree(damage: bytes) -> None:
    store, forest = filled()
    stopped(store, forest)
    store.rows[tree_row(1)] = damage
    assert list(planted(store).unknown) == [1]


def test_a_kept_tree_does_not_outlive_the_next_stop() -> None:
    """It was taken over, its partition was then built anew, and was not through at the stop."""
    store, forest = filled()
    stopped(store, forest)
    second = planted(store)
    second.forget(1)
    stopped(store, second)
    assert tree_row(1) not in store.rows
    assert list(planted(store).unknown) == [1]


def test_nor_if_it_could_not_be_read_when_it_was_to_be_taken_over() -> None:
    store, forest = filled()
    stopped(store, forest)
    unreadable = Unreadable()
    unreadable.rows.update(store.rows)
    unreadable.key = tree_row(2)
    second = planted(unreadable)
    assert not second.plots
    stopped(unreadable, second)
    assert not [key for key in unreadable.rows if key >= row_keys.TREE_ROWS]


def test_what_is_kept_is_bounded_and_the_trees_of_most_rows_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, forest = filled()
    write(store, *((row_key(2, b"\0more %d" % n), record((ELSE, NOW, b"v"))) for n in range(40)))
    one = len(forest.plots[2].encode())
    monkeypatch.setattr(limits, "TREES_KEPT_BYTES", one + 100)
    assert [key for key, _ in forest.keep(ME)] == [tree_row(2)]


def test_a_write_after_the_last_words_takes_them_back() -> None:
    store, forest = filled()
    own: list[e.Effect] = [e.Write([(row_keys.IDENTITY_ROW, b"me")]), e.Ready()]
    stopped(store, forest)
    assert forest.while_clean(own, stopping=True) == []
    late = e.Write([(key_of(1), record((ELSE, NOW, b"late")))])
    [taken_back] = forest.while_clean([*own, late], stopping=True)
    store.write(late)
    assert type(taken_back) is e.Write
    store.write(taken_back)
    store.begin()
    store.finish()
    after = planted(store)
    assert not after.plots


def test_nothing_is_kept_of_a_write_before_the_last_words() -> None:
    _, forest = filled()
    late = e.Write([(key_of(1), record((ELSE, NOW, b"late")))])
    assert forest.while_clean([late], stopping=True) == []
    assert forest.keep(ME) == []
