"""Versions by example: what each rule is for, and what happens to those who break it."""

from __future__ import annotations

from random import Random

import pytest

from dynamokv.causality.hlc import HybridClock, time_at
from dynamokv.causality.versions import (
    EMPTY,
    Context,
    Dot,
    KeyState,
    Version,
    covers,
    dominates,
    join,
    join_contexts,
    update,
)
from dynamokv.types import Actor
from tests.causality.oracle import actor

A, B, C = sorted(actor(number) for number in range(3))


def write(name: Actor, time: int, value: bytes = b"x") -> Version:
    return Version(Dot(name, time), value)


def delete(name: Actor, time: int) -> Version:
    return Version(Dot(name, time), b"", tombstone=True)


def dots(state: KeyState) -> list[tuple[Actor, int]]:
    return [version.dot for version in state.versions]


# --- the parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "covered"),
    [
        ({}, False),
        ({B: 99}, False),
        ({A: 6}, False),
        ({A: 7}, True),
        ({A: 8, B: 1}, True),
    ],
)
def test_covers(context: Context, covered: bool) -> None:
    assert covers(context, Dot(A, 7)) == covered


@pytest.mark.parametrize(
    ("a", "b", "above", "below"),
    [
        ({}, {}, True, True),
        ({A: 1}, {}, True, False),
        ({A: 1}, {A: 1}, True, True),
        ({A: 2}, {A: 1}, True, False),
        ({A: 2, B: 1}, {A: 2}, True, False),
        ({A: 2, B: 1}, {A: 1, B: 1}, True, False),
        ({A: 2}, {A: 1, B: 1}, False, False),
        ({A: 2}, {B: 1}, False, False),
    ],
)
def test_dominates(a: Context, b: Context, above: bool, below: bool) -> None:
    assert (dominates(a, b), dominates(b, a)) == (above, below)


@pytest.mark.parametrize(
    ("a", "b", "joined"),
    [
        ({}, {}, {}),
        ({A: 1}, {}, {A: 1}),
        ({}, {A: 1}, {A: 1}),
        ({A: 1, B: 5}, {A: 2, B: 4, C: 3}, {A: 2, B: 5, C: 3}),
    ],
)
def test_contexts_join_to_their_maximum(a: Context, b: Context, joined: Context) -> None:
    before = dict(a), dict(b)
    assert join_contexts(a, b) == joined
    assert (a, b) == before, "contexts are shared between states: nobody may change one"


@pytest.mark.parametrize(
    ("version", "wall_ms", "alive"),
    [
        (Version(Dot(A, 1), b""), 2**44, True),
        (Version(Dot(A, 1), b"", expires_ms=1000), 999, True),
        (Version(Dot(A, 1), b"", expires_ms=1000), 1000, False),
        (Version(Dot(A, 1), b"", expires_ms=1000), 1001, False),
        (Version(Dot(A, 1), b"", tombstone=True), 0, False),
        (Version(Dot(A, 1), b"", tombstone=True, expires_ms=1000), 0, False),
    ],
)
def test_alive(version: Version, wall_ms: int, alive: bool) -> None:
    assert version.alive(wall_ms) is alive


def test_an_update_changes_neither_the_state_nor_what_was_seen() -> None:
    held = update(EMPTY, {}, write(A, 5))
    seen = {B: 3}
    after = update(held, seen, write(A, 9))
    update(held, None, write(A, 9))
    assert (held, seen) == (KeyState((write(A, 5),), {A: 5}), {B: 3})
    assert after == KeyState((write(A, 5), write(A, 9)), {A: 9, B: 3})
    assert KeyState((), {}) == EMPTY


def test_versions_are_sorted_by_dot_whoever_wrote_last() -> None:
    state = update(update(update(EMPTY, {}, write(C, 1)), {}, write(A, 9)), {}, write(B, 5))
    assert dots(state) == [(A, 9), (B, 5), (C, 1)]
    assert dots(join(update(EMPTY, {}, write(B, 7)), state)) == [(A, 9), (B, 7), (C, 1)]


def test_a_put_without_context_replaces_what_the_coordinator_holds_and_nothing_else() -> None:
    here = join(update(EMPTY, {}, write(A, 5)), update(EMPTY, {}, write(B, 6)))
    there = update(EMPTY, {}, write(C, 7))
    after = update(here, None, write(A, 8))
    assert after == KeyState((write(A, 8),), {A: 8, B: 6})
    assert dots(join(after, there)) == [(A, 8), (C, 7)]
    assert dots(join(after, here)) == [(A, 8)]


def test_a_context_replaces_what_it_has_seen_and_what_the_coordinator_has_not() -> None:
    """The reader saw B's write before this coordinator did: its later arrival brings nothing."""
    elsewhere = update(EMPTY, {}, write(B, 6))
    after = update(update(EMPTY, {}, write(A, 5)), elsewhere.context, write(A, 8))
    assert dots(after) == [(A, 5), (A, 8)]
    assert dots(join(after, elsewhere)) == [(A, 5), (A, 8)]


def test_a_writer_that_goes_on_from_its_receipt_replaces_its_own_write_alone() -> None:
    """Its write was kept beside a sibling by the same actor, which it has never seen. A context
    that covered the one would cover the other, so its own dot stands apart."""
    first = update(EMPTY, None, write(A, 10))
    sibling = update(first, first.context, write(A, 20))
    mine = update(sibling, first.context, write(A, 30))
    assert dots(mine) == [(A, 20), (A, 30)]

    after = update(mine, first.context, write(A, 40), Dot(A, 30))
    assert dots(after) == [(A, 20), (A, 40)]
    assert join(after, mine) == join(mine, after) == after


def test_a_coordinator_that_never_heard_of_the_own_write_keeps_both() -> None:
    """It cannot write into its context what it knows of one dot only. The next read sees both."""
    mine = update(EMPTY, {}, write(A, 30))
    after = update(EMPTY, {}, write(B, 40), Dot(A, 30))
    assert after.context == {B: 40}
    assert dots(join(after, mine)) == [(A, 30), (B, 40)]


def test_siblings_of_one_actor_overwrite_one_by_one() -> None:
    """Gaps in its times, and both versions under its name: what lists of counters get wrong."""
    first = update(EMPTY, {}, write(A, 1000))
    both = update(first, {}, write(A, 5_000_000))
    assert dots(both) == [(A, 1000), (A, 5_000_000)]
    resolved = update(both, first.context, write(B, 7))
    assert dots(resolved) == [(A, 5_000_000), (B, 7)]
    assert join(resolved, both) == join(resolved, first) == resolved


# --- the failures that the rules prevent ----------------------------------------------------------


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("reads", [True, False])
def test_two_clients_never_make_a_third_sibling(replicas: int, reads: bool) -> None:
    """Ten thousand rounds of read and write, or of writes that go on from their receipts, in any
    interleaving: the case in which plain version vectors make siblings without end."""
    random = Random(replicas)
    actors = [A, B, C][:replicas]
    state, time, most = EMPTY, 0, 0
    contexts: dict[str, Context | None] = {"one": None, "other": None}
    own: dict[str, Dot | None] = {"one": None, "other": None}
    rounds = dict.fromkeys(contexts, 0)
    while min(rounds.values()) < 10_000:
        client = random.choice(["one", "other"])
        seen = contexts[client]
        if seen is None:
            contexts[client], own[client] = state.context, None
            continue
        time += random.choice([1, 7, 1 << 21])
        version = write(random.choice(actors), time, client.encode())
        state = update(state, seen, version, own[client])
        own[client] = version.dot
        if reads:
            contexts[client] = None
        rounds[client] += 1
        most = max(most, len(state.versions))
        assert len(state.context) <= replicas
    assert most == 2


def test_a_key_made_again_after_its_delete_is_not_eaten_by_the_old_tombstone() -> None:
    """Riak's doomstone: the tombstone arrives late, at a replica that has the key anew."""
    deleted = update(update(EMPTY, None, write(A, 10)), None, delete(A, 20))
    reborn = update(deleted, deleted.context, write(B, 30))
    assert dots(join(reborn, deleted)) == [(B, 30)]

    forgotten = update(EMPTY, None, write(B, 30))
    assert dots(join(forgotten, deleted)) == [(A, 20), (B, 30)]
    assert [v.alive(0) for v in join(forgotten, deleted).versions] == [False, True]


def test_times_that_start_anew_would_be_eaten() -> None:
    """Why a dot has a hybrid time: the actor whose tombstone was purged counts on, never again from
    one."""
    clock = HybridClock(last=0, drift_max_ms=0)
    clock.raise_ceiling(time_at(100))
    old = update(EMPTY, None, delete(A, clock.tick(50)))

    from_one = update(EMPTY, None, write(A, 1))
    assert dots(join(from_one, old)) == [(A, time_at(50))], "the new value was eaten"

    onwards = update(EMPTY, None, write(A, clock.tick(51)))
    assert join(onwards, old) == onwards


def test_an_actor_used_again_after_its_store_forgot_loses_a_write() -> None:
    """Why amnesia takes a new actor. The context says "all writes of A up to here", and after the
    loss it is wrong."""
    before = update(EMPTY, None, write(A, 10, b"acknowledged"))
    after = update(EMPTY, None, write(A, 20, b"knows nothing of it"))
    assert dots(join(before, after)) == [(A, 20)], "a hybrid time does not help"

    fresh = update(EMPTY, None, write(C, 20, b"knows nothing of it"))
    assert dots(join(before, fresh)) == [(A, 10), (C, 20)]


def test_a_dot_not_above_its_actor_would_be_lost() -> None:
    """Why the caller mints above every time of the actor: the state may be older than the
    context."""
    elsewhere = update(EMPTY, None, write(A, 30))
    stale = update(EMPTY, None, write(A, 10))
    low = update(stale, elsewhere.context, write(A, 20))
    assert covers(elsewhere.context, Dot(A, 20))
    assert dots(join(low, elsewhere)) == [(A, 30)], (
        "the write is gone, and what it replaced is back"
    )

    high = update(stale, elsewhere.context, write(A, 31))
    assert dots(join(high, elsewhere)) == [(A, 31)]
