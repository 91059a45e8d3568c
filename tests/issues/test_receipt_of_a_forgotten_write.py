"""A receipt names its own write apart from its context, and a coordinator whose store had lost that
write did not look there: it went on under the old name, and its next context claimed to know all
that it had forgotten.
"""

from __future__ import annotations

from dynamokv.causality.versions import Dot, join
from dynamokv.wire import record as records
from dynamokv.wire.context import token_after
from tests.protocol.lone import ACTOR, ELSE, NOW, Lone, record
from tests.ring import rings


def test_a_receipt_that_knows_more_of_this_node_than_its_store_proves_amnesia() -> None:
    lone = Lone()
    read = record((ELSE, NOW - 9, b"read"))
    lone.hold(read)
    receipt = token_after(lone.token(read), Dot(ACTOR, NOW - 3), lone.row, rings.CONTEXT_KEY)
    lone.put(b"after", contexts=[receipt])
    assert lone.home.actor != ACTOR
    assert lone.home.counters["amnesia"] == 1

    elsewhere = record((ACTOR, NOW - 5, b"sibling"), (ACTOR, NOW - 3, b"before"))
    joined = join(lone.held(), records.decode(elsewhere))
    assert {version.value for version in joined.versions} == {b"sibling", b"before", b"after"}


def test_a_receipt_of_a_write_that_is_there_proves_nothing() -> None:
    lone = Lone()
    held = record((ACTOR, NOW - 3, b"before"))
    lone.hold(held)
    receipt = token_after(
        lone.token(records.ABSENT), Dot(ACTOR, NOW - 3), lone.row, rings.CONTEXT_KEY
    )
    lone.put(b"after", contexts=[receipt])
    assert lone.home.actor == ACTOR
    assert [version.value for version in lone.held().versions] == [b"after"]
