"""What tests of an application need to see it fail: stand-ins for the world outside, in memory and
repeatable.

``disk`` is a file system that fills up, breaks, and forgets what was not synced. Nothing in
dynamokv imports this package.
"""
