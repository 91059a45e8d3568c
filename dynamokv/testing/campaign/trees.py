"""Whether trees say what the stores hold, and all owners the same.

Knows: forests and engines. Rule: a look at a store is none that its disk notices (``looking``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from dynamokv.merkle.tree import Tree
from dynamokv.ports import StorageEngine
from dynamokv.protocol.state.forest import Plot
from dynamokv.testing.campaign.looking import looked
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import keys as row_keys


def rebuilt(engine: StorageEngine, seed: int, partition: int) -> Plot:
    """A partition as it is in the store. Raises ``StorageError`` where it cannot be read."""
    plot = Plot(Tree(seed))
    for key, record in engine.scan(*row_keys.partition_range(partition)):
        if row_keys.is_data_row(key):
            plot.change(key, None, record)
    return plot


def differing_owners(members: list[Process]) -> Iterator[str]:
    """Partitions whose owners do not hold the same, or do not know what they hold."""
    for partition in range(max(len(member.home.owners) for member in members)):
        roots = {
            member.name: member.home.forest.root(partition)
            for member in members
            if member.home.node_id in member.home.owners[partition]
        }
        if len(set(roots.values())) > 1 or None in roots.values():
            shown = ", ".join(
                f"{name} {root.hex()[:8] if root else 'unknown'}" for name, root in roots.items()
            )
            yield f"owners of partition {partition} differ: {shown}"


def wrong_trees(process: Process) -> Iterator[str]:
    """Partitions of which this member's forest says something else than its store."""
    forest = process.home.forest
    for partition, plot in forest.plots.items():
        look = partial(rebuilt, process.engine, forest.seed, partition)
        right = looked(process, look)
        if right is not None and plot != right:
            yield (
                f"{process.name} has a wrong tree of partition {partition}: it counts {plot.rows} "
                f"rows, {plot.passing} of them passing, and there are {right.rows} and "
                f"{right.passing}"
            )
