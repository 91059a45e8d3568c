"""The log-structured merge store: what is durable where, and how it gets there.

After O'Neil et al., "The Log-Structured Merge-Tree" (Acta Informatica, 1996), in the shape that
LevelDB gave it. A write goes to the log and the memtable; a full memtable becomes a table of level
0; merges move tables down. Read ``engine.py`` first. The rest, by what it is about:

- State: ``store`` makes the steps, ``view`` is what readers see, ``tree`` which tables there are,
  ``memtable``, ``cache``, ``folder`` and ``names``.
- Writing: ``journal`` over ``record_writer``, ``pressure`` (when a write waits). ``framing`` and
  ``batch`` are the bytes, ``replay`` and ``log_recovery`` read them.
- Manifest: ``manifest``, ``manifest_codec``, ``manifest_recovery``, ``orphans``.
- Tables: ``builder`` writes, ``table`` reads over ``table_file``; ``table_format``, ``block``,
  ``bloom`` and ``codec`` are the bytes; ``verify`` and ``salvage`` are for damage.
- Work: ``chores`` says what is due (``pick`` for merges), ``background`` has the threads, ``jobs``
  are the tasks as data. ``work`` does them, with ``merge``, ``new_tables``, ``metered`` and
  ``throttle``; in the process of ``worker``, which ``supervisor`` starts, and talks to by
  ``task_codec`` over ``channel``.
- The whole: ``opening``, ``checkpoint``, ``scanning``, ``statistics``, ``inspect``.
"""
