"""Members and clients of a simulated ring, with the faces that applications know.

A ``SimulatedNode`` stands for ``dynamokv.Node`` and its ``.asynchronous`` for ``AsyncNode``; a
``SimulatedClient`` for ``Client`` and its ``.asynchronous`` for ``DistributedKVStore``. They are
the same stores over the same calls, so an application under test takes them as they are.

A node is the place, not the process: the object stays what it is while processes come and go.
"""

from __future__ import annotations

from typing import Any, Self

from dynamokv.api import calls
from dynamokv.api.asynchronous import AsyncStore
from dynamokv.api.blocking import BlockingStore
from dynamokv.api.calls import Scope
from dynamokv.api.closing import AsyncClosing, Closing
from dynamokv.config import ClientConfig, NodeConfig
from dynamokv.protocol.node import Node
from dynamokv.runtime import status
from dynamokv.testing.ring_session import SimulatedSession
from dynamokv.wire import codec


class Place:
    """What all faces of one place share.

    Attributes:
        session: its process, through all of its lives.
    """

    def __init__(self, session: SimulatedSession, scope: Scope) -> None:
        self.session = self._session = session
        self._scope = scope

    @property
    def name(self) -> str:
        """What the ring calls it."""
        return self._session.machine.name

    @property
    def address(self) -> str:
        """Where others reach it."""
        return self._session.machine.address

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self._session.state}>"


class _Member(Place):
    def __init__(self, session: SimulatedSession, scope: Scope, config: NodeConfig) -> None:
        super().__init__(session, scope)
        self.config = config

    @property
    def node_id(self) -> str:
        """This member's id, in hex."""
        return self._session.running().home.node_id.hex()

    def ring(self) -> dict[str, Any]:
        """Who owns what."""
        return status.ring(self._session.running())

    def status(self) -> dict[str, Any]:
        """This member, its store, and every member with its state."""
        process = self._session.running()
        core, committer = process.core, process.committer
        assert isinstance(core, Node)
        assert committer is not None
        return status.status_of(
            core,
            self.config,
            state=status.state_of(core),
            sound=True,
            disk_error=committer.last_error,
            storage=committer.engine.stats(),
        )

    def metrics(self) -> dict[str, Any]:
        """The five essential figures, in virtual time, and the counters."""
        session = self._session
        process = session.running()
        core: Any = process.core
        counted = {
            **dict.fromkeys(status.WATCHED, 0),
            **process.home.load.counters(),
            **process.home.counters,
            **process.executor.counters,
        }
        return status.metrics_of(
            process.home,
            reads=session.reads,
            writes=session.writes,
            storage=process.engine.stats(),
            fraction=None,
            loop_lag=0.0,
            in_flight=len(core.table.operations),
            counters=counted,
        )


class AsyncSimulatedNode(_Member, AsyncStore, AsyncClosing):
    """A member for applications that await: while a task waits for it, time passes."""

    _session: SimulatedSession

    async def start(self) -> Self:
        """It has started already."""
        self._session.running()
        return self

    async def aclose(self) -> None:
        """Stop, as its process would at its end. ``Ring.restart`` brings it back."""
        self._session.stop()


class SimulatedNode(_Member, BlockingStore, Closing):
    """A member. ``asynchronous`` is the same one for applications that await."""

    _session: SimulatedSession

    def __init__(self, session: SimulatedSession, scope: Scope, config: NodeConfig) -> None:
        super().__init__(session, scope, config)
        self.asynchronous = AsyncSimulatedNode(session, scope, config)
        session.machine.describe = lambda: codec.encode(
            {"status": self.status(), "metrics": self.metrics()}
        )

    def close(self) -> None:
        """Stop, as its process would at its end. ``Ring.restart`` brings it back."""
        self._session.stop()


class _Client(Place):
    def __init__(self, session: SimulatedSession, scope: Scope, config: ClientConfig) -> None:
        super().__init__(session, scope)
        self.config = config


class AsyncSimulatedClient(_Client, AsyncStore, AsyncClosing):
    """A client for applications that await: while a task waits for it, time passes."""

    _session: SimulatedSession

    async def start(self) -> Self:
        """It has started already."""
        self._session.running()
        return self

    async def aclose(self) -> None:
        """Close. A client that was closed stays so."""
        self._session.stop()

    async def ring(self) -> dict[str, Any]:
        """Who owns what, as this client knows it."""
        return status.ring(self._session.running())

    async def status(self) -> dict[str, Any]:
        """The status of some member that answers."""
        return await self._run(calls.ask(self._scope.budget_ms, "status"))

    async def metrics(self) -> dict[str, Any]:
        """The metrics of some member that answers."""
        return await self._run(calls.ask(self._scope.budget_ms, "metrics"))


class SimulatedClient(_Client, BlockingStore, Closing):
    """A client. ``asynchronous`` is the same one for applications that await."""

    _session: SimulatedSession

    def __init__(self, session: SimulatedSession, scope: Scope, config: ClientConfig) -> None:
        super().__init__(session, scope, config)
        self.asynchronous = AsyncSimulatedClient(session, scope, config)

    def close(self) -> None:
        """Close. A client that was closed stays so."""
        self._session.stop()

    def ring(self) -> dict[str, Any]:
        """Who owns what, as this client knows it."""
        return status.ring(self._session.running())

    def status(self) -> dict[str, Any]:
        """The status of some member that answers."""
        return self._run(calls.ask(self._scope.budget_ms, "status"))

    def metrics(self) -> dict[str, Any]:
        """The metrics of some member that answers."""
        return self._run(calls.ask(self._scope.budget_ms, "metrics"))
