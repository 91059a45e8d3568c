"""What is on a simulated disk, twice: as processes see it, and as a power cut may leave it.

Knows: files without names, directories, and the changes that no sync has made durable yet. Must not
know: who calls, what fails, which changes survive (``disk_loss``).

Invariants:

- ``visible`` is ``durable`` plus all changes, in order. Only a failed sync, which drops changes,
  breaks this for a file.
- A file is durable without its name and a name without its file: each has its own sync.
- Names change in atomic steps (a rename is one). ``journal`` has the steps that are not durable.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from xxhash import xxh3_128

from dynamokv.testing.disk_faults import os_error


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes put into a file."""

    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        """Do it; a gap before it fills with zeros."""
        if self.offset > len(content):
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data

    @property
    def weight(self) -> int:
        """Of all that is unsynced, how much this is."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Resize:
    """A file cut, or extended with zeros."""

    size_bytes: int

    def apply(self, content: bytearray) -> None:
        """Do it."""
        del content[self.size_bytes :]
        content.extend(bytes(self.size_bytes - len(content)))

    @property
    def weight(self) -> int:
        """Of all that is unsynced, how much this is."""
        return 1


class Inode:
    """A file without its name."""

    __slots__ = ("changes", "durable", "visible")

    def __init__(self, content: bytes = b"") -> None:
        self.visible = bytearray(content)
        self.durable = bytearray(content)
        self.changes: list[Write | Resize] = []

    def change(self, change: Write | Resize) -> None:
        """Show a change; only ``sync`` makes it last."""
        change.apply(self.visible)
        self.changes.append(change)

    def sync(self) -> None:
        """Make all changes durable."""
        for change in self.changes:
            change.apply(self.durable)
        self.changes.clear()

    def fail_sync(self, written: bytearray, *, reverts: bool) -> None:
        """Only this much was written, and the rest counts as written from now on."""
        self.durable = written
        self.changes.clear()
        if reverts:
            self.visible = bytearray(written)

    def settle(self, content: bytes) -> None:
        """Hold this, and have it on the disk."""
        self.visible = bytearray(content)
        self.durable = bytearray(content)
        self.changes.clear()

    def copy(self) -> Inode:
        """Another one of the same state."""
        other = Inode()
        other.visible = bytearray(self.visible)
        other.durable = bytearray(self.durable)
        other.changes = list(self.changes)
        return other


class Directory:
    """Names, and what each stands for."""

    __slots__ = ("durable", "visible")

    def __init__(self) -> None:
        self.visible: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}


Node: TypeAlias = Inode | Directory
Names: TypeAlias = dict[str, Node]


@dataclass(frozen=True, slots=True)
class Entry:
    """A name of a directory and what it stands for from now on, if anything."""

    directory: Directory
    name: str
    node: Node | None

    def apply(self, names: Names) -> None:
        """Do it."""
        if self.node is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.node


Step: TypeAlias = tuple[Entry, ...]
"""Entries that change together, or not at all."""


class Image:
    """A tree of directories and files. The root is always there."""

    def __init__(self, root: Directory | None = None) -> None:
        self.root = Directory() if root is None else root
        self.journal: list[Step] = []

    def find(self, path: Path) -> Node | None:
        """What a path stands for.

        Raises:
            ValueError: the path is not absolute.
            OSError: a directory on the way is not there, or is none.
        """
        if path == path.parent:
            return self.root
        return self.parent(path).visible.get(path.name)

    def parent(self, path: Path) -> Directory:
        """The directory that a path is in. Raises as ``find`` does."""
        return self._walk(path, path.parts[1:-1])

    def directory(self, path: Path) -> Directory:
        """A directory. Raises as ``find`` does, also when it is not there, or is none."""
        return self._walk(path, path.parts[1:])

    def _walk(self, path: Path, names: tuple[str, ...]) -> Directory:
        if not path.is_absolute():
            raise ValueError(f"{path} is relative: a simulated disk has no current directory")
        node: Node | None = self.root
        for name in names:
            if not isinstance(node, Directory):
                break
            node = node.visible.get(name)
        if node is None:
            raise os_error(errno.ENOENT, path)
        if not isinstance(node, Directory):
            raise os_error(errno.ENOTDIR, path)
        return node

    def file(self, path: Path) -> Inode:
        """A file.

        Raises:
            OSError: it is not there, or is none.
        """
        node = self.find(path)
        if node is None:
            raise os_error(errno.ENOENT, path)
        if isinstance(node, Directory):
            raise os_error(errno.EISDIR, path)
        return node

    def is_durable(self, path: Path) -> bool:
        """Whether a name stands on the disk for what it is seen to stand for."""
        if path == path.parent:
            return True
        directory = self.parent(path)
        return directory.durable.get(path.name) is directory.visible.get(path.name)

    def step(self, *entries: Entry) -> None:
        """Change names; only ``sync_dir`` makes it last."""
        for entry in entries:
            entry.apply(entry.directory.visible)
        self.journal.append(entries)

    def sync_dir(self, directory: Directory) -> None:
        """Make the steps durable that touch a directory, and those that they build on."""
        touched = {id(directory)}
        durable: list[Step] = []
        for step in reversed(self.journal):
            directories = {id(entry.directory) for entry in step}
            if directories & touched:
                touched |= directories
                durable.append(step)
        chosen = {id(step) for step in durable}
        self.journal = [step for step in self.journal if id(step) not in chosen]
        for step in reversed(durable):
            for entry in step:
                entry.apply(entry.directory.durable)

    def files(self) -> Iterator[tuple[Path, Inode]]:
        """All visible files, by name; one with two names twice."""
        return _files(self.root, Path("/"))

    def copy(self) -> Image:
        """Another one of the same state, with what is unsynced still unsynced."""
        copies: dict[int, Node] = {}

        def copied(node: Node) -> Node:
            known = copies.get(id(node))
            if known is not None:
                return known
            if isinstance(node, Inode):
                copies[id(node)] = node.copy()
                return copies[id(node)]
            copies[id(node)] = directory = Directory()
            directory.visible = {name: copied(at) for name, at in node.visible.items()}
            directory.durable = {name: copied(at) for name, at in node.durable.items()}
            return directory

        def copied_entry(entry: Entry) -> Entry:
            directory = copied(entry.directory)
            assert isinstance(directory, Directory)
            node = None if entry.node is None else copied(entry.node)
            return Entry(directory, entry.name, node)

        root = copied(self.root)
        assert isinstance(root, Directory)
        image = Image(root)
        image.journal = [tuple(map(copied_entry, step)) for step in self.journal]
        return image

    def fingerprint(self) -> bytes:
        """The same for two disks on which everything, durable or not, is the same."""
        digest = xxh3_128()
        seen: dict[int, int] = {}

        def add(*values: object) -> None:
            digest.update(repr(values).encode())

        def visit(node: Node | None) -> None:
            if node is None or id(node) in seen:
                add(-1 if node is None else seen[id(node)])
                return
            seen[id(node)] = len(seen)
            if isinstance(node, Inode):
                # The changes alone do not say what a failed sync dropped.
                add(len(node.visible), len(node.durable), node.changes)
                digest.update(node.visible)
                digest.update(node.durable)
                return
            for names in (node.visible, node.durable):
                add(sorted(names))
                for name in sorted(names):
                    visit(names[name])

        visit(self.root)
        for step in self.journal:
            add(len(step))
            for entry in step:
                visit(entry.directory)
                add(entry.name)
                visit(entry.node)
        return digest.digest()


def distinct(inodes: Iterable[Inode]) -> list[Inode]:
    """Each file once, however many names or users it has."""
    return list({id(inode): inode for inode in inodes}.values())


def _files(directory: Directory, path: Path) -> Iterator[tuple[Path, Inode]]:
    for name, node in sorted(directory.visible.items(), key=lambda item: item[0]):
        if isinstance(node, Inode):
            yield path / name, node
        else:
            yield from _files(node, path / name)
