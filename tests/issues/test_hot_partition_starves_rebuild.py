"""A member that was restored from a backup never gave up what had been deleted in one partition
while another, with a lower number, was written to all the time: each statement of a member that is
ahead began with the first partition that differs, and that one always did."""

from __future__ import annotations

from dynamokv.wire.keys import name_of
from tests.protocol.collecting.test_catching_up import DELETED, HORIZON, Restored
from tests.protocol.council import X, record, value


def test_every_partition_gets_its_turn() -> None:
    council = Restored()
    names = [name_of(b"", b"%d" % number) for number in range(200)]
    name = {council.restored.home.locate(each)[0][1]: each for each in names}
    hot, cold = min(name), max(name)
    for seat in council.seats[:2]:
        for partition in (hot, cold):
            seat.home.horizons.adopt(partition, HORIZON)
            seat.home.horizons.collect(partition, HORIZON)
    council.restored.hold(DELETED, name[cold])
    for turn in range(5):
        # A write of the hot one is under way to the restored member at each statement.
        council.ahead.hold(record(value(X, HORIZON + 10 + turn)), name[hot])
        council.meet(rounds=1)
        council.restored.hold(council.ahead.held(name[hot]), name[hot])
    assert council.restored.held(name[cold]) is None
