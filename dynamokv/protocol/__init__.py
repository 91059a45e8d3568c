"""Decisions: events in, effects out. No socket, file, thread, clock or random source is imported
here."""
