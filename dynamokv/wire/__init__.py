"""Bytes: records, messages, frames. What comes from outside is checked here, once, against a closed
schema."""
