"""What a storage engine must do that sets damaged ranges aside, for ours and for anybody's.

As with ``conformance``, derive a test class, and say how rows come to be damaged.
"""

from __future__ import annotations

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.ports import Quarantines, StorageEngine
from tests.storage.conformance import END, all_rows


class QuarantineConformance:
    """An engine that gives up single ranges of damaged rows (``ports.Quarantines``). Say how its
    store comes by it: ``damaged`` is an open engine in which all ``KEYS`` were written with
    ``FIRST``, then with ``LATER``, and some of the latter were damaged and are quarantined."""

    KEYS = tuple(b"key %03d" % n for n in range(60))
    FIRST = b"first" * 4
    LATER = b"later" * 4

    @pytest.fixture
    def damaged(self) -> StorageEngine:
        raise NotImplementedError("a derived class says how rows are damaged")

    def quarantine(self, engine: StorageEngine) -> Quarantines:
        assert isinstance(engine, Quarantines)
        return engine

    def refused(self, engine: StorageEngine) -> list[bytes]:
        """Keys that reads refuse. The others have their last value."""
        refused, gone = self.refused_or_gone(engine)
        assert not gone
        return refused

    def refused_or_gone(self, engine: StorageEngine) -> tuple[list[bytes], list[bytes]]:
        """Keys that reads refuse, and those that have no value. The others have their last one."""
        refused, gone = [], []
        for key in self.KEYS:
            try:
                value = engine.get(key)
            except CorruptionError:
                refused.append(key)
            else:
                assert value in {None, self.LATER}
                gone += [key] * (value is None)
        return refused, gone

    def test_reads_in_its_ranges_are_refused_and_no_others(self, damaged: StorageEngine) -> None:
        ranges = self.quarantine(damaged).quarantined()
        refused = self.refused(damaged)
        assert 0 < len(refused) < len(self.KEYS)
        assert refused == [key for key in self.KEYS if any(a <= key < b for a, b in ranges)]
        for start, end in ranges:
            with pytest.raises(CorruptionError):
                list(damaged.scan(start, end))
        assert "quarantined" in damaged.stats()

    def test_what_was_written_again_is_read_and_the_rest_is_gone(
        self, damaged: StorageEngine
    ) -> None:
        gone, *back = self.refused(damaged)
        damaged.apply([(key, self.LATER) for key in back], sync=True)
        assert self.refused(damaged) == [gone]
        self.quarantine(damaged).heal([(b"", END)])
        assert not self.quarantine(damaged).quarantined()
        assert damaged.get(gone) is None, "an older state is none"
        assert all_rows(damaged) == dict.fromkeys([*set(self.KEYS) - {gone}], self.LATER)

    def test_a_part_of_a_range_is_healed_by_itself(self, damaged: StorageEngine) -> None:
        first, second, *others = self.refused(damaged)
        self.quarantine(damaged).heal([(b"", second)])
        assert damaged.get(first) is None
        for key in (second, *others):
            with pytest.raises(CorruptionError):
                damaged.get(key)

    def test_so_are_several_in_any_order_that_overlap(self, damaged: StorageEngine) -> None:
        one, two, three, four, *others = self.refused(damaged)
        assert others
        self.quarantine(damaged).heal([(three, others[0]), (b"", two), (three, four)])
        assert self.refused_or_gone(damaged) == ([two, *others], [one, three, four])
        self.quarantine(damaged).heal([])
        assert self.refused_or_gone(damaged) == ([two, *others], [one, three, four])
