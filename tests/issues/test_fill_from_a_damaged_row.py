"""One row that the only owner could not read kept a member from being filled, for ever, and nobody
said which: not the member that waited, nor the one that had the row.

It is still not filled without that row: as a copy that counts, it would have a quorum say that
there is no value. But both say what cannot be read, and when the row was written again, or given up
(``python -m dynamokv abandon``), the copy goes on by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import dynamokv
from dynamokv.cli import main
from dynamokv.protocol.node import Node
from dynamokv.runtime.status import cannot_give, filling
from dynamokv.storage.lsm.names import Kind
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, partition_of
from tests.issues.rotten_ring import Rotten
from tests.protocol.lone import get_request, put_request
from tests.storage.lsm.tables import flip

NAMES = [name_of(b"", b"%d" % number) for number in range(50)]


class Copies:
    """A ring with two copies of everything, of members ``n1`` to as many as there are."""

    def __init__(self, size: int) -> None:
        self.cluster = Cluster(0, memory=True, shuffled=False)
        self.disks: dict[str, Rotten] = {}
        self.size = size
        self.members = [self.start(f"n{number + 1}") for number in range(size)]
        self.cluster.run(4.0)
        for name in NAMES:
            self.put(name)

    def start(self, name: str) -> Process:
        disk = self.disks[name] = Rotten()
        machine = self.cluster.machine(name, disk=disk)
        return self.cluster.start(machine, seeds=("n1:1",), expect_members=self.size, n=2)

    def put(self, name: bytes) -> None:
        request = put_request(level=Consistency.ALL, names=[name], values=[b"v"])
        assert type(self.cluster.ask(self.members[0], request)) is m.PutDone


def node(process: Process) -> Node:
    assert isinstance(process.core, Node)
    return process.core


@pytest.mark.parametrize("size", [1, 2])
def test_both_say_it_and_it_goes_on_when_the_row_was_written(size: int) -> None:
    """A second member comes, or one of two was replaced."""
    ring = Copies(size)
    cluster, source = ring.cluster, ring.members[0]
    if size == 2:
        machine = cluster.kill(ring.members[1])
        machine.wipe()
    bad = source.home.locate(NAMES[7])[0]
    ring.disks["n1"].bad = {bad}
    newcomer = cluster.start(machine) if size == 2 else ring.start("n2")
    cluster.run(120.0)
    assert not newcomer.ready
    text = f"partition {partition_of(bad)} cannot be read: quarantined"
    assert f"n1:1 (its {text})" in node(newcomer).why_not_ready()
    copied = filling(node(newcomer))
    assert copied is not None
    assert copied["damaged"] == {source.home.node_id.hex(): text}
    assert cannot_give(node(source)) == text
    read = cluster.ask(source, get_request(NAMES[7]))
    assert type(read) is m.Failed, "not: there is no value"
    ring.put(NAMES[7])
    cluster.run(10.0)
    assert newcomer.ready
    assert filling(node(newcomer)) is None
    assert cannot_give(node(source)) == ""
    for name in NAMES:
        assert newcomer.home.reader.visible(newcomer.home.locate(name)[0])


def test_it_goes_on_when_the_row_was_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with dynamokv.join("127.0.0.1:0", data_dir=first) as member:
        address = member.address
        for number in range(200):
            member.put(f"{number}", "v" * 1000)
    # Opened again, what was in the log is in a table.
    dynamokv.join(address, data_dir=first).close()
    tables = [path for path in first.iterdir() if path.name.startswith(f"{Kind.TABLE.value}-")]
    flip(max(tables, key=lambda path: path.stat().st_size), 50_000 * 8)
    with dynamokv.join(address, data_dir=first) as member:
        with pytest.raises(dynamokv.JoinTimeout, match=r"its partition \d+ cannot be read: rows"):
            dynamokv.join("127.0.0.1:0", data_dir=second, seeds=[address], timeout=3.0)
        assert "cannot be read: rows" in member.status()["cannot_give"]
    assert main(["abandon", str(first)]) == 0
    said = capsys.readouterr().out
    assert "given up from" in said
    with (
        dynamokv.join(address, data_dir=first) as member,
        dynamokv.join("127.0.0.1:0", data_dir=second, seeds=[address], timeout=20.0) as newcomer,
    ):
        assert member.status()["healthy"]
        kept = [number for number in range(200) if member.get(f"{number}") is not None]
        assert 100 < len(kept) < 200
        assert all(newcomer.get(f"{number}") == "v" * 1000 for number in kept)
