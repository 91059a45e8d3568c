"""What a horizon lets in and lets go: property tests, and a model of one key on some owners to whom
old messages come at any time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamokv.causality.hlc import time_at, wall_ms_of
from dynamokv.causality.versions import Context, Dot, KeyState, Version, covers, update
from dynamokv.types import Actor
from dynamokv.wire import record as records
from dynamokv.wire.collecting import admit, ripe_at, unknown_below
from tests.wire.samples import A, B
from tests.wire.test_record import states

HORIZONS = st.integers(0, 8) | st.integers(0, 2**64 - 1)


def record(*versions: Version, knows: Context | None = None) -> bytes:
    """A record of these versions, which has seen more besides."""
    context = dict(knows or {})
    for version in versions:
        context[version.dot.actor] = max(version.dot.time, context.get(version.dot.actor, 0))
    return records.encode(KeyState(tuple(sorted(versions)), context))


def value(actor: Actor, time: int, expires_ms: int = 0) -> Version:
    return Version(Dot(actor, time), b"v", False, expires_ms)


def tombstone(actor: Actor, time: int) -> Version:
    return Version(Dot(actor, time), b"", True)


# --- what comes in --------------------------------------------------------------------------------


def test_a_version_from_below_the_horizon_comes_in_nowhere_new() -> None:
    old = record(value(A, 4), knows={B: 2})
    assert admit(old, {}, 4) is old
    assert admit(old, {}, 5) == records.ABSENT
    assert admit(old, {A: 3}, 5) == records.ABSENT
    # Whoever knows it joins it as ever.
    assert admit(old, {A: 4}, 5) is old


def test_what_is_newer_comes_in_without_it() -> None:
    both = record(value(A, 4), value(B, 7))
    assert admit(both, {}, 5) == record(value(B, 7), knows={A: 4})
    assert admit(both, {A: 4}, 5) is both


def test_what_it_knows_of_newer_writes_comes_in_alone() -> None:
    assert admit(record(value(A, 4), knows={B: 9}), {}, 5) == record(knows={A: 4, B: 9})


@given(states(), states(), HORIZONS)
def test_all_that_is_left_out_is_old_and_unknown(
    state: KeyState, held: KeyState, horizon: int
) -> None:
    incoming, ours = records.encode(state), held.context
    admitted = admit(incoming, ours, horizon)
    left = records.decode(admitted) if admitted else KeyState((), {})
    out = set(state.versions) - set(left.versions)
    assert out == {v for v in state.versions if v.dot.time < horizon and not covers(ours, v.dot)}
    assert (admitted is incoming) == (not out) == (not unknown_below(incoming, ours, horizon))
    if admitted:
        assert left.context == state.context
    else:
        assert all(time < horizon for time in state.context.values())


@given(states(), states(), HORIZONS)
def test_to_look_twice_changes_nothing(state: KeyState, held: KeyState, horizon: int) -> None:
    once = admit(records.encode(state), held.context, horizon)
    assert not once or admit(once, held.context, horizon) == once


# --- what goes ------------------------------------------------------------------------------------


def test_a_tombstone_goes_when_all_that_it_knows_is_older() -> None:
    assert ripe_at(record(tombstone(A, 4), knows={B: 2})) == 5
    assert ripe_at(record(tombstone(A, 4), knows={B: 9})) == 10
    assert ripe_at(record(tombstone(A, 4), tombstone(B, 9))) == 10


def test_a_value_stays() -> None:
    assert ripe_at(record(value(A, 4))) is None
    assert ripe_at(record(tombstone(A, 4), value(B, 1))) is None
    assert ripe_at(record(value(A, 4), value(B, 1, expires_ms=1))) is None


def test_an_expired_value_goes_once_the_horizon_is_past_its_end() -> None:
    assert ripe_at(record(value(A, 4, expires_ms=1000))) == time_at(1000)
    assert ripe_at(record(value(A, time_at(2000), expires_ms=1))) == time_at(2000) + 1
    assert ripe_at(record(value(A, 4, 1000), tombstone(B, 3))) == time_at(1000)


def test_a_record_without_versions_goes_like_a_tombstone() -> None:
    assert ripe_at(record(knows={A: 4})) == 5
    assert ripe_at(record()) == 1


@given(states(), HORIZONS)
def test_nothing_goes_that_a_read_would_show(state: KeyState, horizon: int) -> None:
    ripe = ripe_at(records.encode(state))
    dead = not any(version.alive(wall_ms_of(horizon)) for version in state.versions)
    old = all(time < horizon for time in state.context.values())
    assert (ripe is not None and ripe <= horizon) == (dead and old and horizon > 0)


# --- one key, some owners, and messages that come when they like ----------------------------------


class Owners:
    """Some owners of a key. Every record that there ever was may come to any of them again.

    Attributes:
        held: what each holds.
        sent: every record that ever left an owner.
        gone: writes that were deleted or overwritten by what was collected.
    """

    def __init__(self, count: int) -> None:
        self.held = [records.ABSENT] * count
        self.actors = [Actor(bytes([number + 1]) * 8) for number in range(count)]
        self.clocks = [1] * count
        self.horizons = [0] * count
        self.sent: list[bytes] = []
        self.gone: set[Dot] = set()

    def put(self, at: int, *, delete: bool) -> None:
        """A write that has seen what this owner holds."""
        self.clocks[at] += 1
        dot = Dot(self.actors[at], self.clocks[at])
        held = self.held[at]
        state = KeyState((), records.context_of(held) if held else {})
        version = Version(dot, b"" if delete else b"v", delete)
        self._hold(at, records.encode(update(state, None, version)))

    def deliver(self, at: int, which: int) -> None:
        """Any record that there ever was arrives."""
        if self.sent:
            self._join(at, self.sent[which % len(self.sent)])

    def confirm(self) -> bool:
        """A round: all promise, and then all have to hold the same."""
        time = max(self.clocks) + 1
        self.clocks = [time] * len(self.clocks)
        if len(set(self.held)) > 1:
            return False
        self.horizons = [time] * len(self.horizons)
        return True

    def collect(self, at: int) -> None:
        """One owner comes to it."""
        held = self.held[at]
        ripe = ripe_at(held) if held else None
        if ripe is not None and ripe <= self.horizons[at]:
            self.gone |= {
                dot
                for sent in self.sent
                for dot in records.dots_of(sent)
                if covers(records.context_of(held), dot)
            }
            self.held[at] = records.ABSENT

    def meet(self) -> None:
        """Everybody sends everybody what it holds, until nothing changes."""
        for _ in self.held:
            for record in [held for held in self.held if held]:
                for at in range(len(self.held)):
                    self._join(at, record)

    def _join(self, at: int, incoming: bytes) -> None:
        held = self.held[at]
        ours = records.context_of(held) if held else {}
        newest = max(records.context_of(incoming).values())
        self.clocks[at] = max(self.clocks[at], newest)
        admitted = admit(incoming, ours, self.horizons[at])
        if admitted:
            self._hold(at, records.join_records(held or None, admitted))

    def _hold(self, at: int, record: bytes) -> None:
        self.held[at] = record
        self.sent.append(record)

    def check(self) -> None:
        """What is gone is shown nowhere, but by a tombstone that is not collected yet."""
        for held in filter(None, self.held):
            shown = {v.dot for v in records.decode(held).versions if not v.tombstone}
            assert not shown & self.gone


STEPS = st.lists(
    st.tuples(st.sampled_from(("put", "delete", "late", "meet", "round", "collect")),
              st.integers(0, 2), st.integers(0, 1000)),
    max_size=40,
)  # fmt: skip


@given(STEPS)
@settings(max_examples=300)
def test_what_was_deleted_never_returns(steps: list[tuple[str, int, int]]) -> None:
    owners = Owners(3)
    for what, at, which in steps:
        match what:
            case "put" | "delete":
                owners.put(at, delete=what == "delete")
            case "late":
                owners.deliver(at, which)
            case "meet":
                owners.meet()
            case "round":
                owners.confirm()
            case _:
                owners.collect(at)
        owners.check()
    # What one has collected and another has not makes no difference that stays.
    for at in range(3):
        owners.collect(at)
    owners.meet()
    owners.check()
    assert owners.confirm()
    for at in range(3):
        owners.collect(at)
    assert len(set(owners.held)) == 1
    settled = list(owners.held)
    owners.meet()
    assert owners.held == settled
