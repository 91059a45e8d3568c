"""What ``with`` and ``async with`` do to everything that is open until it is closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """``with`` closes it at the end."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClosing(ABC):
    """``async with`` starts it, and closes it at the end."""

    @abstractmethod
    async def start(self) -> Self:
        """Open it, if it is not open yet."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of everything. A second call does nothing."""

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
