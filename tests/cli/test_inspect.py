"""``dynamokv inspect``: a file in words, and an exit status that says whether it is sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamokv.cli import main
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import FileKind
from tests.storage.lsm.stores import newer


@pytest.fixture
def store(tmp_path: Path) -> Path:
    engine = LSMEngine(tmp_path / "store", background=False)
    engine.apply([(b"apple", b"red"), (b"pear", None)], sync=True)
    engine.close()
    return tmp_path / "store"


def test_sound_files_exit_with_0(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(map(str, store.iterdir()))
    assert main(["inspect", *paths]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [f"{path}:" for path in paths]
    assert "  batch 1 at 36: 2 rows, 28 bytes" in lines
    assert "apple" not in said.out
    assert main(["inspect", "--rows", *paths]) == 0
    said = capsys.readouterr()
    assert "    b'apple': b'red'\n    b'pear': deleted\n" in said.out


def test_damage_exits_with_1_and_shows_the_rest(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted(store.glob("*-*"))
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        assert main(["inspect", *map(str, paths)]) == 1
        said = capsys.readouterr()
        assert said.out.count("DAMAGED") == 1
        assert said.out.count(":\n") == len(paths)
        path.write_bytes(data)


@pytest.mark.parametrize(("name", "status"), [("notes", 2), (".", 2), ("nowhere", 1), ("new", 1)])
def test_what_cannot_be_shown_is_one_line(
    name: str, status: int, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "notes").write_text("text")
    log = next(store.glob("wal-*")).read_bytes()
    (store / "new").write_bytes(newer(log, FileKind.WAL))
    assert main(["inspect", str(store / name)]) == status
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert str(store) in said.err
