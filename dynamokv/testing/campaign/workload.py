"""Users: they ask at their own pace whatever the ring does, and remember the contexts they got.

Knows: requests, replies, keys. Must not know: faults, beyond the bad habits that it is told of.

Rules:
    - Open loop: how many requests there are does not depend on how fast they are answered.
    - A user holds exactly the contexts that it was given: by its reads, and by its receipts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from random import Random
from typing import TYPE_CHECKING, Final

from dynamokv.protocol.requests.batch import group
from dynamokv.testing.campaign.asking import Asking
from dynamokv.testing.campaign.history import Asked, History, Read
from dynamokv.testing.campaign.looking import kept, stored
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency, NodeId
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import token_of
from dynamokv.wire.keys import name_of
from dynamokv.wire.messages import Message

if TYPE_CHECKING:
    from dynamokv.testing.campaign.lives import Lives

LEVELS: Final = (
    *[Consistency.QUORUM] * 6,
    *[Consistency.ONE] * 2,
    *[Consistency.ALL] * 2,
)
COUNTED_SHARE: Final = 0.1
"""Of the requests, so many ask for a number of replicas."""

STRICT_SHARE: Final = 0.2
"""Of the writes, so many take no stand-ins."""

TTLS_MS: Final = (*[0] * 6, 1, 3_000, 86_400_000)
PUT_SHARE: Final = 0.5
DELETE_SHARE: Final = 0.15
BLIND_SHARE: Final = 0.35
BATCH_SHARE: Final = 0.1
BATCH_MAX: Final = 6
HOT_SHARE: Final = 0.7
WRONG_AT: Final = 6
"""So far from the end of a context is a byte whose bits are worth minutes."""

NOTHING_DONE: Final = (m.FailedCode.UNAVAILABLE, m.FailedCode.OVERLOADED)

TOKENS_MAX: Final = 6
"""Contexts of one key that a user remembers."""


class Workload(Asking):
    """The users of one run.

    Attributes:
        touched: names that were written.
    """

    def __init__(self, world: Lives, history: History) -> None:
        super().__init__(world, history)
        plan = world.plan
        self.hot = [name_of(b"", b"hot%d" % number) for number in range(plan.hot_keys)]
        self.cold = [name_of(b"", b"cold%d" % number) for number in range(plan.cold_keys)]
        self.touched: dict[bytes, None] = {}
        self._tokens: dict[tuple[str, bytes], list[bytes]] = {}
        self._values = 0
        self._extras = Random(f"{plan.seed} workload extras")

    def begin(self) -> None:
        """Ask, from now until the chaos ends."""
        if self.world.plan.operations_per_second > 0:
            self._again()

    def burst(self, count: int, user: Process | None = None) -> bool:
        """Many requests at once, of one user: this one, if it can ask."""
        if user is None:
            user = self._user()
        elif not user.ready or user.paused:
            return False
        if user is None:
            return False
        name = self._name()
        for _ in range(count):
            if user.alive:
                self._one(user, name if self._chance(0.8) else self._name())
        return True

    def _again(self) -> None:
        pause = self.random.random() * 2 / self.world.plan.operations_per_second
        self.world.during_chaos(pause, self._turn)

    def _turn(self) -> None:
        user = self._user()
        if user is not None:
            self._one(user, self._name())
        self._again()

    def _user(self) -> Process | None:
        users = [one for one in self.world.users() if one.ready and not one.paused]
        return self.random.choice(users) if users else None

    def _name(self) -> bytes:
        keys = self.cold if self.cold and not self._chance(HOT_SHARE) else self.hot
        return self.random.choice(keys)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    # --- asking -----------------------------------------------------------------------------------

    def _one(self, user: Process, name: bytes) -> None:
        level = self._level()
        names = self._batch(user, name) if self._chance(BATCH_SHARE) else [name]
        if self._chance(PUT_SHARE):
            self._put(user, names, level)
        else:
            self.read(user, names, level)

    def _level(self) -> int:
        """A named one, or a number of replicas."""
        named = self.random.choice(LEVELS)
        plan = self.world.plan
        if self._extras.random() < COUNTED_SHARE:
            return self._extras.randint(1, min(plan.n, plan.members))
        return named

    def _batch(self, user: Process, name: bytes) -> list[bytes]:
        """Some names that share their owners, this one first."""
        others = self.random.sample(self.hot + self.cold, min(BATCH_MAX, len(self.hot)))
        names = list(dict.fromkeys([name, *others]))
        return [names[at] for at in group(user.home, names, [0] * len(names))[0]]

    def _put(self, user: Process, names: list[bytes], level: int) -> None:
        delete = self._chance(DELETE_SHARE)
        tokens = [self._token(user, name) for name in names]
        values = [b"" if delete else self.value() for _ in names]
        self.write(user, names, values, tokens, level)

    def write(
        self,
        user: Process,
        names: list[bytes],
        values: list[bytes],
        tokens: list[bytes],
        level: int,
        then: Callable[[Message], None] = lambda _: None,
    ) -> None:
        """Write these, or delete them where the values are empty; ``then`` hears the answer."""
        delete = not values[0]
        rows = [user.home.locate(name)[0] for name in names]
        sloppy = self._extras.random() >= STRICT_SHARE
        asked = [
            Asked(row, value, delete, token, level, sloppy)
            for row, value, token in zip(rows, values, tokens, strict=True)
        ]
        contexts = tokens if any(tokens) else []
        ttl_ms = 0 if delete else self._extras.choice(TTLS_MS)
        request = m.PutRequest(
            0, 0, self.world.plan.budget_ms, level, sloppy, delete, ttl_ms, names, values, contexts
        )
        self.touched.update(dict.fromkeys(names))

        def done(reply: Message) -> None:
            if type(reply) is m.PutDone:
                self._on_put(user, names, asked, reply)
            elif type(reply) is m.Failed and reply.code in NOTHING_DONE:
                for one in asked:
                    self.history.refused(one, m.FailedCode(reply.code).name)
            then(reply)

        self.ask(user, request, done)

    def read(
        self,
        user: Process,
        names: list[bytes],
        level: int,
        then: Callable[[Message], None] = lambda _: None,
    ) -> None:
        """Read these; ``then`` hears the answer."""
        reads = [self.history.read_begins(user.home.locate(name)[0], level) for name in names]
        request = m.GetRequest(0, 0, self.world.plan.budget_ms, level, True, names)

        def done(reply: Message) -> None:
            if type(reply) is m.GetDone:
                self._on_get(user, names, reads, reply)
            then(reply)

        self.ask(user, request, done)

    def _token(self, user: Process, name: bytes) -> bytes:
        """A context for a write: of this key, as this user was given it, or none."""
        if self._chance(self.habits.get("wrong contexts", 0.0)):
            return self._wrong_token(user, name)
        held = self._tokens.get((user.name, name))
        if held is None or self._chance(BLIND_SHARE):
            return b""
        if self._chance(self.habits.get("stale contexts", 0.0)):
            self.happened["stale contexts"] += 1
            return self.random.choice(held)
        return held[-1]

    def _wrong_token(self, user: Process, name: bytes) -> bytes:
        """A context that this ring never gave for this key."""
        keys = [key for key in self.hot + self.cold if key != name]
        tokens = [self._tokens[user.name, key] for key in keys if (user.name, key) in self._tokens]
        if not tokens:
            return b""
        self.happened["wrong contexts"] += 1
        token = self.random.choice(tokens)[-1]
        if self._chance(0.5) or len(token) < WRONG_AT:
            return token
        # The last time that it names becomes one of the future.
        return token[:-WRONG_AT] + bytes((token[-WRONG_AT] ^ 1,)) + token[1 - WRONG_AT :]

    def value(self) -> bytes:
        """Like no other."""
        self._values += 1
        value = b"v%d" % self._values
        return value.ljust(self.random.randint(1, self.world.plan.values_bytes), b".")

    # --- answers ----------------------------------------------------------------------------------

    def _on_put(
        self, user: Process, names: list[bytes], asked: list[Asked], done: m.PutDone
    ) -> None:
        self.history.answered([one.key for one in asked], done)
        settled = self.world.is_settled()
        for at, (name, one) in enumerate(zip(names, asked, strict=True)):
            error = done.errors[at] if done.errors else 0
            if error:
                reason = m.PutError(error)
                self.happened[reason.name] += 1
                self.history.refused(one, reason.name, context=reason is m.PutError.CONTEXT)
                continue
            owners = user.home.locate(name)[1]
            copies = _copies(self.world, one.key, owners, done)
            owners = owners if user.home.epoch == done.epoch else ()
            self.history.acknowledged(one, done, at, copies, owners, settled=settled)
            self._remember(user, name, one.key, done.contexts[at])

    def _on_get(
        self, user: Process, names: list[bytes], reads: list[Read], done: m.GetDone
    ) -> None:
        # An answer that would be too large goes only as far as it goes; here none is.
        self.history.answered([read.key for read in reads], done)
        answers = zip(names, reads, done.records, done.seals, strict=False)
        for name, read, record, seal in answers:
            self.history.read_ends(read, record, done)
            self._remember(user, name, read.key, token_of(record, seal))

    def _remember(self, user: Process, name: bytes, key: bytes, token: bytes) -> None:
        self.history.of(key).handed[token] = None
        tokens = self._tokens.setdefault((user.name, name), [])
        tokens.append(token)
        if len(tokens) > TOKENS_MAX:
            # The first one stays: it is the stalest.
            del tokens[1]


def _copies(
    world: Lives, key: bytes, owners: tuple[NodeId, ...], done: m.PutDone
) -> list[tuple[str, bytes | None]]:
    """What those have that a receipt names, and that run. A stand-in has a hint, or has given it to
    the owner that it was for; so it is looked at together with these, if they all run."""
    members = [member for member in world.members() if member.machine not in world.lent]
    by_id = {member.home.node_id: member for member in members}
    copies: list[tuple[str, bytes | None]] = []
    for member in members:
        if member.home.node_id not in done.replicas:
            continue
        if not done.sloppy or member.home.node_id in owners:
            copies.append((member.name, stored(member, key)))
        elif by_id.keys() >= set(done.hinted):
            targets = [stored(by_id[NodeId(owner)], key) for owner in done.hinted]
            copies.append((member.name, reduce(_join, targets, kept(member, key))))
    return copies


def _join(one: bytes | None, other: bytes | None) -> bytes | None:
    return records.join_records(one, other) if other else one
