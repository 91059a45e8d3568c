"""What had been brought back into a quarantined range was lost to a power cut, and nobody said so.

Where newer rows of the range had been mixed with the lost ones, the end of the quarantine was on
the disk before the rows that had been written anew, if writes were synced by interval only.
"""

from __future__ import annotations

import pytest

from dynamokv.storage.lsm import quarantine
from dynamokv.testing.disk_loss import PowerCut
from tests.issues.test_old_row_behind_a_quarantine import END, OPTIONS, REMOVED, Store, lost
from tests.storage.lsm.stores import open_store


@pytest.mark.parametrize("known_max", [0, quarantine.KNOWN_MAX])
def test_what_was_brought_back_is_on_the_disk_when_its_quarantine_ends(
    known_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "KNOWN_MAX", known_max)
    store = Store()
    engine = store.damage()
    assert {piece.mixed for piece in engine.store.view.lost} == {not known_max}
    back = [key for key in lost(engine) if key != REMOVED]
    engine.apply([(key, b"back") for key in back], sync=False)
    engine.heal([(b"", END)])
    again = open_store(store.disk.survivor(PowerCut(contents=0.0, names=0.0)), OPTIONS)
    assert again.quarantined() == []
    assert [again.get(key) for key in back] == [b"back"] * len(back)
