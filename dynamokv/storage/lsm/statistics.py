"""The numbers that a store shows about itself.

Knows: where each number is counted. Must not know: what anybody makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dynamokv.ports import Stat
from dynamokv.storage.lsm.framing import RECORD_BYTES

if TYPE_CHECKING:
    from dynamokv.storage.lsm.engine import LSMEngine


def statistics(engine: LSMEngine) -> Mapping[str, Stat]:
    """Counts since opening (those of filters: of the tables that there are now), sizes in bytes,
    ratios as fractions."""
    store, log, chores = engine.store, engine.log, engine.chores
    view = store.view
    metas = view.tree.tables()
    tables = list(view.tables.values())
    table_bytes = sum(meta.size_bytes for meta in metas)
    memtables = list(view.memtables())
    log_bytes = log.size_bytes + sum(part.size_bytes for m in memtables for part in m.logs)
    counters = chores.counters
    written = (
        log.written_bytes
        + store.manifest.writer.written_bytes
        + counters["flush_bytes"]
        + counters["merge_bytes"]
    )
    # Keys, values and their lengths, without what the log puts around them.
    user_bytes = log.written_bytes - RECORD_BYTES * (log.sequence - engine.opened_at)
    deepest = next((level for level in reversed(view.tree.levels) if level), ())
    filter_checks = sum(table.filter_checks for table in tables)
    filter_negatives = sum(table.filter_negatives for table in tables)
    filter_false = sum(table.filter_false for table in tables)
    levels = {
        f"level_{number}_{what}": value
        for number, level in enumerate(view.tree.levels)
        for what, value in (
            ("tables", len(level)),
            ("bytes", sum(meta.size_bytes for meta in level)),
        )
    }
    return {
        "rows": _rows(engine),
        "storage_bytes": table_bytes + log_bytes + store.manifest.writer.size_bytes,
        "table_bytes": table_bytes,
        "log_bytes": log_bytes,
        "memtable_bytes": sum(memtable.size_bytes for memtable in memtables),
        "memtables": len(memtables),
        "tables": len(metas),
        **levels,
        **counters,
        "syncs": log.syncs,
        "written_bytes": written,
        "user_bytes": user_bytes,
        "write_amplification": written / max(user_bytes, 1),
        "space_amplification": table_bytes / max(sum(meta.size_bytes for meta in deepest), 1),
        # Of the reads that a memtable did not answer, those that needed no disk.
        "cache_hit_rate": _rate(store.rows.hits + store.blocks.hits, store.blocks.misses),
        "row_cache_bytes": store.rows.size_bytes,
        "row_cache_hit_rate": _rate(store.rows.hits, store.rows.misses),
        "block_cache_bytes": store.blocks.size_bytes,
        "block_cache_hit_rate": _rate(store.blocks.hits, store.blocks.misses),
        "index_bytes": sum(table.memory_bytes for table in tables),
        "filter_checks": filter_checks,
        "filter_hit_rate": _rate(filter_negatives, filter_false),
        "stalls": engine.pressure.stalls,
        "stall_seconds": engine.pressure.stall_seconds,
        "removal_failures": store.folder.removal_failures,
        "quarantined": [
            f"{lost.file}: {lost.start!r} to {lost.end!r}: {lost.reason}" for lost in view.lost
        ],
        "bytes_cut": engine.bytes_cut,
        "files_damaged": engine.files_damaged,
        "failed": int(log.failure is not None),
    }


def _rows(engine: LSMEngine) -> int:
    """Rows less deletions, as if no two places had the same key."""
    view = engine.store.view
    rows = sum(meta.rows - 2 * meta.deletions for meta in view.tree.tables())
    for memtable in view.memtables():
        # Counted, because small stores are all memtable, and people look at those.
        values = list(memtable.rows.values())
        deletions = values.count(None)
        older = bool(view.frozen) or bool(view.tree.tables())
        rows += len(values) - deletions * (2 if older else 1)
    return max(rows, 0)


def _rate(hits: int, misses: int) -> float:
    return hits / (hits + misses) if hits + misses else 0.0
