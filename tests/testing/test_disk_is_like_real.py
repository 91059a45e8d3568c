"""The same calls on the simulated disk and on the operating system have the same outcomes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamokv.ports import AppendFile, FileSystem, ReadFile
from dynamokv.storage.files import RealFiles
from dynamokv.testing.disk import SimulatedDisk


class Session:
    """A process with open files. Everything that it sees is a return value, errors included."""

    def __init__(self, files: FileSystem, root: Path) -> None:
        self.files = files
        self.root = root
        self.appending: list[AppendFile] = []
        self.reading: list[ReadFile] = []

    def do(self, number: int, random_seed: int) -> object:
        rng = random.Random(random_seed)
        path, other = self.path(rng), self.path(rng)
        calls: list[Callable[[], object]] = [
            lambda: self.files.make_dir(path),
            lambda: self.files.list_dir(path),
            lambda: self.files.read(path),
            lambda: self.files.replace(path, other),
            lambda: self.files.remove(path),
            lambda: self.files.sync_dir(path),
            lambda: self.files.link(path, other),
            lambda: self.append_to(path),
            lambda: self.append_to(path),
            lambda: self.read_from(path),
            lambda: self.write(rng),
            lambda: self.write(rng),
            lambda: self.look(rng),
        ]
        try:
            return calls[number % len(calls)]()
        except OSError as error:
            return type(error), error.errno

    def path(self, rng: random.Random) -> Path:
        return self.root.joinpath(*(rng.choice("abc") for _ in range(rng.choice((1, 1, 1, 2, 3)))))

    def append_to(self, path: Path) -> int:
        self.appending.append(self.files.open_append(path))
        return self.appending[-1].size()

    def read_from(self, path: Path) -> int:
        if path in self.directories():
            # Refused here and not there, where only reading it is.
            return -1
        self.reading.append(self.files.open_read(path))
        return self.reading[-1].size()

    def directories(self) -> list[Path]:
        found = [self.root]
        for at in found:
            for name in self.files.list_dir(at):
                try:
                    self.files.list_dir(at / name)
                except NotADirectoryError:
                    continue
                found.append(at / name)
        return found

    def write(self, rng: random.Random) -> int:
        if not self.appending:
            return 0
        file = rng.choice(self.appending)
        chosen = rng.random()
        if chosen < 0.6:
            file.append(rng.randbytes(rng.randrange(20)))
        elif chosen < 0.75:
            file.truncate(rng.randrange(40))
        elif chosen < 0.9:
            file.sync()
        else:
            self.appending.remove(file)
            file.close()
            return -1
        return file.size()

    def look(self, rng: random.Random) -> tuple[int, bytes]:
        if not self.reading:
            return 0, b""
        file = rng.choice(self.reading)
        seen = file.size(), file.read_at(rng.randrange(20), rng.randrange(20))
        if rng.random() < 0.1:
            self.reading.remove(file)
            file.close()
        return seen

    def listing(self) -> dict[Path, object]:
        directories = self.directories()
        found: dict[Path, object] = {at: self.files.list_dir(at) for at in directories}
        for directory in directories:
            for name in self.files.list_dir(directory):
                if directory / name not in found:
                    found[directory / name] = self.files.read(directory / name)
        return found

    def close(self) -> None:
        for file in self.appending:
            file.close()
        for reader in self.reading:
            reader.close()


@pytest.mark.parametrize("seed", range(20))
def test_random_calls(tmp_path: Path, seed: int) -> None:
    disk = SimulatedDisk()
    disk.make_dir(tmp_path)
    real, simulated = Session(RealFiles(), tmp_path), Session(disk, tmp_path)
    rng = random.Random(seed)
    outcomes = set()
    for _ in range(300):
        call = rng.randrange(1 << 20), rng.randrange(1 << 20)
        outcome = real.do(*call)
        assert simulated.do(*call) == outcome, call
        outcomes.add(str(outcome))
    assert real.listing() == simulated.listing()
    real.close()
    simulated.close()
    assert not disk.open_files
    assert len(outcomes) > 20
