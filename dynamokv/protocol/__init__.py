"""Decisions: events in, effects out. No socket, file, thread, clock or random source is imported
here.

``node`` is a member and ``client`` a process that owns nothing; both only dispatch. ``effects`` is
their vocabulary. What they decide stands in sub-packages, by what it does with the data, and each
says what it must not know; ``replica`` serves all of them. Their layers are in ``setup.cfg``.
"""
