"""The log-structured merge store: what is durable where, and how it gets there.

After O'Neil et al., "The Log-Structured Merge-Tree" (Acta Informatica, 1996), in the shape that
LevelDB gave it. A write goes to the log and the memtable; a full memtable becomes a table of level
0; merges move tables down. Read ``engine.py`` first.
"""
