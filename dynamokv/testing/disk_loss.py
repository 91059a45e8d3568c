"""What is left of a simulated disk when its process, or its power, is gone.

Knows: which parts of the unsynced may survive without which others. Must not know: who wrote them.
Follows "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014): contents and names are
lost by themselves, a write tears between sectors, and a file system promises no order of its own.

Rules:

- What a sync made durable survives everything.
- Each file and each directory is a case of its own. A name may survive without the content of its
  file, and the other way round.
- A step of names is never done by half. One that touches two directories waits for the steps
  before it in both.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeAlias

from dynamokv.testing.disk_image import (
    Directory,
    Entry,
    Image,
    Inode,
    Names,
    Node,
    Resize,
    Step,
    Write,
)


@dataclass(frozen=True, slots=True)
class Kill:
    """The process ended. The kernel still has everything: what is unsynced is there, and still
    unsynced."""


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The power went, and of what was unsynced a first part had been written: of each file and of
    each directory this share, in the order in which it was done. A write that it ends in is torn at
    the last whole sector."""

    contents: float
    names: float


@dataclass(frozen=True, slots=True)
class Scatter:
    """The power went, after a disk that writes in the order that suits it. Each sector of a file is
    as any of the writes to it left it, whatever became of its neighbours; the length is any that
    the file had; where nothing was written are zeros or the old bytes. Of a directory's steps, any
    survive. The same seed makes the same choices."""

    seed: int


Loss: TypeAlias = Kill | PowerCut | Scatter

USUAL_LOSSES: Final[tuple[Loss, ...]] = (
    Kill(),
    PowerCut(contents=0.0, names=0.0),
    PowerCut(contents=0.0, names=1.0),
    PowerCut(contents=1.0, names=0.0),
    PowerCut(contents=1.0, names=1.0),
    PowerCut(contents=0.5, names=1.0),
    Scatter(0),
    PowerCut(contents=0.9, names=0.5),
    PowerCut(contents=0.2, names=1.0),
)
"""The telling ones first: with the first five, contents and names are wholly there or not at all,
in every combination."""


def losses() -> Iterator[Loss]:
    """The usual ones, then endless arbitrary ones."""
    yield from USUAL_LOSSES
    yield from map(Scatter, count(1))


def survivor(image: Image, loss: Loss, sector_bytes: int) -> Image:
    """The disk that the next process finds. ``image`` stays as it is."""
    if isinstance(loss, Kill):
        return image.copy()
    if isinstance(loss, PowerCut):
        cut = loss

        def content(inode: Inode) -> bytes:
            return first_part(inode, cut.contents, sector_bytes)

        steps = _first_steps(image.journal, cut.names)
    else:
        rng = random.Random(loss.seed)

        def content(inode: Inode) -> bytes:
            if rng.random() < 0.5:
                return first_part(inode, rng.random(), sector_bytes)
            return scattered(inode, rng, sector_bytes)

        if rng.random() < 0.5:
            steps = [step for step in image.journal if rng.random() < 0.5]
        else:
            steps = _first_steps(image.journal, rng.random())
    return _rebuild(image.root, steps, content)


def first_part(inode: Inode, share: float, sector_bytes: int) -> bytes:
    """A file's content when this share of its changes was written, in order."""
    content = bytearray(inode.durable)
    left = int(share * sum(change.weight for change in inode.changes))
    for change in inode.changes:
        if change.weight <= left:
            change.apply(content)
            left -= change.weight
            continue
        if isinstance(change, Write):
            end = (change.offset + left) // sector_bytes * sector_bytes
            if end > change.offset:
                Write(change.offset, change.data[: end - change.offset]).apply(content)
        break
    return bytes(content)


def scattered(inode: Inode, rng: random.Random, sector_bytes: int) -> bytes:
    """A file's content when its sectors were written in any order."""
    sizes = [len(inode.durable)]
    for change in inode.changes:
        if isinstance(change, Write):
            sizes.append(max(sizes[-1], change.offset + len(change.data)))
        else:
            sizes.append(change.size_bytes)
    size = sizes[-1] if rng.random() < 0.5 else rng.choice(sizes)
    content = bytearray(inode.durable[:size])
    content.extend(bytes(size - len(content)))
    # A sector is written whole: it has the first so many changes, and none after them. Every second
    # one has all.
    total = len(inode.changes)
    starts = range(0, size, sector_bytes)
    numbers = rng.choices(range(total + 1), [1] * total + [total or 1], k=len(starts))
    for start, number in zip(starts, numbers, strict=True):
        _replay(content, start, min(start + sector_bytes, size), inode.changes[:number])
    return bytes(content)


def _replay(content: bytearray, start: int, end: int, changes: list[Write | Resize]) -> None:
    """Do what changes did to ``content[start:end]``."""
    for change in changes:
        if isinstance(change, Write):
            low = max(start, change.offset)
            high = min(end, change.offset + len(change.data))
            if low < high:
                content[low:high] = change.data[low - change.offset : high - change.offset]
        elif change.size_bytes < end:
            low = max(start, change.size_bytes)
            content[low:end] = bytes(end - low)


def _first_steps(journal: list[Step], share: float) -> list[Step]:
    left = Counter(id(at) for step in journal for at in _directories(step))
    left = Counter({at: int(share * number) for at, number in left.items()})
    kept: list[Step] = []
    for step in journal:
        directories = {id(at) for at in _directories(step)}
        if all(left[at] > 0 for at in directories):
            kept.append(step)
            left.subtract(directories)
        else:
            left.update(dict.fromkeys(directories, -len(journal)))
    return kept


def _directories(step: Step) -> list[Directory]:
    return list({id(entry.directory): entry.directory for entry in step}.values())


def _rebuild(root: Directory, steps: list[Step], content: Callable[[Inode], bytes]) -> Image:
    """What is durable plus some steps, as a disk on which everything is durable."""
    changes: dict[int, list[Entry]] = {}
    for step in steps:
        for entry in step:
            changes.setdefault(id(entry.directory), []).append(entry)
    copies: dict[int, Node] = {}

    def rebuilt(node: Node) -> Node:
        known = copies.get(id(node))
        if known is not None:
            return known
        if isinstance(node, Inode):
            copies[id(node)] = Inode(content(node))
            return copies[id(node)]
        names: Names = dict(node.durable)
        for entry in changes.get(id(node), ()):
            entry.apply(names)
        copies[id(node)] = directory = Directory()
        directory.durable = {name: rebuilt(at) for name, at in sorted(names.items(), key=_name)}
        directory.visible = dict(directory.durable)
        return directory

    made = rebuilt(root)
    assert isinstance(made, Directory)
    return Image(made)


def _name(item: tuple[str, Node]) -> str:
    return item[0]
