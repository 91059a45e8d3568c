"""What one seed turns on: a plan is data, so that it can be printed, pasted into a test, and made
smaller.

Rules:
    - Swarm testing (Groce and others, ISSTA 2012): each seed has a random part of the faults, at
      random strength, so that one does not hide what another would show.
    - Everything random in a run comes from the plan's seed, by a stream for each thing. So to take
      something out of a plan leaves the rest as it was; and a new family, or a new setting that is
      drawn from a stream of its own, leaves what the seeds were before.
    - A seed is *lossy* when something in it destroys what was acknowledged. Those are few, because
      less can be demanded of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from random import Random
from typing import Any, Final

from dynamokv.limits import SCAN_PAGE_ITEMS, KiB, MiB
from dynamokv.storage.lsm.options import Compaction, Compression, LSMOptions
from dynamokv.testing.campaign.family import Family
from dynamokv.testing.campaign.faults import FAMILIES
from dynamokv.types import Durability

LOSSY_SHARE: Final = 0.25
"""Of all seeds."""

JOIN_SHARE: Final = 0.5
"""Of the rings that grow, so many do it while everything goes wrong."""

NO_GRACE_SECONDS: Final = 1e6
"""Nothing is forgotten: longer than any run."""

SECONDS: Final = 8.0
OPERATIONS_PER_SECOND: Final = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run.

    Attributes:
        grows: the ring begins with one member, the others join it one by one; otherwise all found
            it together.
        latency_us: of a frame, at least and at most.
        disk_us: until a batch of writes is on the disk.
        tombstone_grace: seconds before a delete may be forgotten.
        tree_check_interval: seconds between two partitions that a member compares with its store.
        values_bytes: the largest value.
        hint_bytes: that a member keeps for another one.
        families: what goes wrong, and how much: 1.0 is the usual strength.
    """

    seed: int
    members: int = 3
    n: int = 3
    grows: bool = False
    clients: int = 1
    partitions: int = 8
    sibling_cap: int = 64
    in_flight_max: int = 1024
    hint_bytes: int = 4 * MiB
    scan_page_items: int = SCAN_PAGE_ITEMS
    hedge_after: float = 0.03
    durability: Durability = Durability.FSYNC
    latency_us: tuple[int, int] = (100, 1_000)
    notice_us: int = 1_000
    disk_us: int = 300
    tombstone_grace: float = NO_GRACE_SECONDS
    tree_check_interval: float = 30.0
    store: LSMOptions = field(default_factory=LSMOptions)
    hot_keys: int = 3
    cold_keys: int = 50
    values_bytes: int = 32
    budget_ms: int = 1_500
    operations_per_second: float = OPERATIONS_PER_SECOND
    seconds: float = SECONDS
    families: tuple[tuple[str, float], ...] = ()

    @property
    def kinds(self) -> list[type[Family]]:
        """What goes wrong, as classes."""
        return [FAMILIES[name] for name, _ in self.families]

    @property
    def durable(self) -> bool:
        """Whether what is acknowledged survives all that this plan does."""
        if any(kind.lossy for kind in self.kinds):
            return False
        cut = any(kind.loses_unsynced for kind in self.kinds)
        return self.durability is Durability.FSYNC or not cut

    def __str__(self) -> str:
        """As Python source: what differs from the defaults."""
        return _source(self, Plan(seed=-1))


def draw(
    seed: int, seconds: float = SECONDS, operations_per_second: float = OPERATIONS_PER_SECOND
) -> Plan:
    """The plan of a seed."""
    random = Random(f"{seed} plan")
    members = random.choice((3, 3, 3, 4, 5, 5, 6))
    grows = random.random() < 0.25
    lossy = random.random() < LOSSY_SHARE
    share = random.choice((0.1, 0.2, 0.35))
    families = []
    for name, family in FAMILIES.items():
        often = max(share, JOIN_SHARE) if family.while_growing else share
        dice = Random(f"{seed} plan {name}")
        drawn, strength = dice.random() < often, dice.choice((0.3, 1.0, 1.0, 3.0))
        # A row that cannot be read holds up every newcomer, until something refills it.
        fits = not family.damages if grows else not family.while_growing
        if drawn and fits and (lossy or not family.lossy):
            families.append((name, strength))
    if any(FAMILIES[name].lossy for name, _ in families):
        families = [each for each in families if not FAMILIES[each[0]].spares_quorums]
    members = random.choice((3, 3, 4, 5, 6)) if grows else members
    synced = not lossy or random.random() < 0.5
    return Plan(
        seed=seed,
        members=members,
        n=members if grows else random.choice((3, 3, 3, min(members, 5), 2)),
        grows=grows,
        clients=random.choice((1, 2, 3)),
        partitions=random.choice((8, 16)),
        sibling_cap=random.choice((4, 64, 64)),
        in_flight_max=random.choice((8, 1024, 1024, 1024)),
        scan_page_items=Random(f"{seed} plan pages").choice((1, 4, 16, SCAN_PAGE_ITEMS)),
        hedge_after=random.choice((0.005, 0.03, 1.0)),
        durability=Durability.FSYNC if synced else random.choice(tuple(Durability)),
        latency_us=random.choice(((500, 500), (100, 1_000), (100, 20_000))),
        notice_us=random.choice((500, 5_000, 200_000)),
        disk_us=random.choice((50, 300, 3_000, 20_000)),
        store=_draw_store(random),
        hot_keys=random.choice((2, 3, 4)),
        cold_keys=random.choice((0, 10, 50)),
        values_bytes=random.choice((16, 64, 600)),
        budget_ms=random.choice((300, 1_500, 1_500)),
        operations_per_second=operations_per_second,
        seconds=seconds,
        families=tuple(families),
        tombstone_grace=Random(f"{seed} grace").choice((0.3, 1.0, 3.0, NO_GRACE_SECONDS)),
        tree_check_interval=random.choice((0.1, 1.0, 30.0)),
        hint_bytes=random.choice((300, 3 * KiB, 4 * MiB, 4 * MiB)),
    )


def _draw_store(random: Random) -> LSMOptions:
    """Small sizes, so that seconds of work reach every part of a store."""
    merge_tables = random.choice((2, 4))
    return LSMOptions(
        memtable_bytes=random.choice((1, 4, 64)) * KiB,
        cache_bytes=random.choice((0, 4 * KiB, 256 * KiB)),
        block_bytes=random.choice((128, 512, 4 * KiB)),
        compression=random.choice(tuple(Compression)),
        bloom_bits=random.choice((0, 4, 12)),
        compaction=random.choice(tuple(Compaction)),
        table_bytes=random.choice((2, 8, 64)) * KiB,
        level_bytes=random.choice((8, 64)) * KiB,
        level_ratio=random.choice((2, 10)),
        merge_tables=merge_tables,
        slow_tables=merge_tables + random.choice((2, 16)),
        stop_tables=merge_tables + random.choice((18, 40)),
        scrub_seconds=random.choice((0.0, 1.0, 100.0)),
    )


def _source(value: Any, plain: Any) -> str:
    """A call of the class with the fields that are not as in ``plain``."""
    parts = []
    for each in fields(value):
        mine = getattr(value, each.name)
        if mine != getattr(plain, each.name):
            parts.append(f"{each.name}={_text(mine)}")
    return f"{type(value).__name__}({', '.join(parts)})"


def _text(value: Any) -> str:
    if isinstance(value, LSMOptions):
        return _source(value, LSMOptions())
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    return repr(value)
