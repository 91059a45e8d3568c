"""``dynamokv abandon``: what only this member had is given up, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dynamokv.cli import main
from dynamokv.errors import CorruptionError
from dynamokv.protocol.state.identity import Identity
from dynamokv.ring.topology import Topology
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.options import Compression, LSMOptions
from dynamokv.types import Actor
from dynamokv.wire import codec
from dynamokv.wire.keys import IDENTITY_ROW, TOPOLOGY_ROW, name_of, partition_range, row_key
from tests.ring import rings
from tests.storage.lsm.tables import flip

OPTIONS = LSMOptions(block_bytes=400, compression=Compression.NONE)
ALL = partition_range(0)[0], partition_range(7)[1]


def damaged(directory: Path, topology: Topology | None) -> LSMEngine:
    """A store of the first member, in which a block of 8 partitions with two rows each cannot be
    read."""
    engine = LSMEngine(directory, OPTIONS, background=False)
    me = Identity(rings.node_id(0), Actor(b"actor me"), True, 0)
    own = [(IDENTITY_ROW, me.encode())]
    if topology is not None:
        own.append((TOPOLOGY_ROW, codec.encode(topology.encode())))
    names = [name_of(b"", b"a"), name_of(b"", b"b")]
    rows = [(row_key(partition, name), b"v" * 50) for partition in range(8) for name in names]
    engine.apply([*own, *rows], sync=True)
    engine.close()
    LSMEngine(directory, OPTIONS, background=False).close()
    (table,) = directory.glob("table-*")
    flip(table, (HEADER_BYTES + 600) * 8)
    engine = LSMEngine(directory, OPTIONS, background=False)
    with pytest.raises(CorruptionError):
        list(engine.scan(*ALL))
    engine.pressure.work_off()
    assert engine.quarantined()
    return engine


def unreadable(directory: Path) -> set[int]:
    """Partitions of which something cannot be read."""
    engine = LSMEngine(directory, OPTIONS, background=False)
    found = set()
    for partition in range(8):
        try:
            list(engine.scan(*partition_range(partition)))
        except CorruptionError:
            found.add(partition)
    engine.close()
    return found


def test_a_lone_member_gives_up_what_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged(tmp_path, rings.ring(1, partitions=8)).close()
    before = unreadable(tmp_path)
    assert len(before) > 1
    assert main(["abandon", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"partition {p}" for p in sorted(before)]
    assert all("given up from b'" in line for line in lines)
    assert unreadable(tmp_path) == set()
    engine = LSMEngine(tmp_path, OPTIONS, background=False)
    assert 8 <= len(list(engine.scan(*ALL))) < 16
    assert engine.forgot, "the member has to take that in"
    engine.close()
    assert main(["abandon", str(tmp_path)]) == 0
    assert "nothing of this member's" in capsys.readouterr().out


@pytest.mark.parametrize("filled", [True, False])
def test_what_another_owner_has_is_left_to_it(
    filled: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ring = replace(rings.ring(2, partitions=8), change=None if filled else rings.node_id(1))
    damaged(tmp_path, ring).close()
    before = unreadable(tmp_path)
    assert main(["abandon", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("left as it is") == (len(before) if filled else 0)
    assert said.count("given up") == (0 if filled else len(before))
    assert unreadable(tmp_path) == (before if filled else set())


def test_a_member_that_is_being_filled_itself_keeps_it(tmp_path: Path) -> None:
    damaged(tmp_path, replace(rings.ring(2, partitions=8), change=rings.node_id(0))).close()
    before = unreadable(tmp_path)
    assert main(["abandon", str(tmp_path)]) == 0
    assert unreadable(tmp_path) == before


def test_what_it_does_not_own_is_left_alone(tmp_path: Path) -> None:
    """Rows of an older ring: nothing reads them."""
    ring = rings.ring(2, n=1, partitions=8)
    damaged(tmp_path, ring).close()
    before = unreadable(tmp_path)
    assert main(["abandon", str(tmp_path)]) == 0
    left = unreadable(tmp_path)
    assert left < before
    assert left


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_what_is_no_data_directory_stays_as_it_is(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "CURRENT").write_text("MANIFEST-000005\n")
    assert main(["abandon", str(tmp_path / name)]) == 2
    assert "is no data directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["CURRENT"]


def test_a_member_that_runs_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = damaged(tmp_path, None)
    assert main(["abandon", str(tmp_path)]) == 1
    assert "DataDirLocked" in capsys.readouterr().err
    engine.close()
    assert main(["abandon", str(tmp_path)]) == 2
    assert "belongs to no ring yet" in capsys.readouterr().err
