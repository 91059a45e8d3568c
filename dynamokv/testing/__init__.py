"""What tests of an application need to see it fail: stand-ins for the world outside, in memory and
repeatable.

``Ring`` is a whole ring in virtual time, whose members are cut off, crash and come back where a
test says; ``plugin`` has it as pytest fixtures. ``disk`` is a file system that fills up, breaks,
and forgets what was not synced. Nothing in dynamokv imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamokv.testing.ring import Ring, RingFactory
    from dynamokv.testing.ring_nodes import SimulatedClient, SimulatedNode

__all__ = ["Ring", "RingFactory", "SimulatedClient", "SimulatedNode"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Whoever wants a disk, or the plug-in, has no need of all the rest.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from dynamokv.testing import ring

        return getattr(ring, name)
