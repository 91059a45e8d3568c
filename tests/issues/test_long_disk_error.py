"""A long error text of a storage engine cost a client its answer, and five seconds.

What the disk said travelled in the answer. Beyond 1,024 characters the receiver refused the whole
frame as malformed, and with it every other answer in it. The text is now cut where it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import dynamokv
from dynamokv.ports import Row
from dynamokv.storage.memory import MemoryEngine


class Broken(MemoryEngine):
    """Says much about little."""

    broken = False

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        if self.broken:
            raise OSError("x" * 100_000)
        super().apply(batch, sync=sync)


def test_the_answer_arrives(tmp_path: Path) -> None:
    engine = Broken()
    with (
        dynamokv.join(data_dir=tmp_path, engine=lambda _: engine) as node,
        dynamokv.connect([node.address]) as client,
    ):
        client.put("k", 1)
        engine.broken = True
        with pytest.raises(dynamokv.Indeterminate, match="disk") as caught:
            client.put("k", 2)
        assert "no answer in time" not in str(caught.value)
        assert node.status()["healthy"] is False
        engine.broken = False
