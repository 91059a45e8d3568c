"""Frames between processes, over ZeroMQ."""
