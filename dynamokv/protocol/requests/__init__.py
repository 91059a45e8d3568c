"""Puts and gets, from the side of whoever coordinates them or passes them on.

Knows: owners, levels, what to ask of whom, when an answer is enough, and who is asked to stand in
(``healing.handoff``). Must not know: how the others serve (``replica.py``), and what becomes of
what an owner missed.

``put``, ``get`` and ``forward`` are one request each, ``batch`` groups names into requests.
``tally`` counts answers. ``table`` has all that are under way, and their timers.
"""
