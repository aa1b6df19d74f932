"""How requests get onto the network and answers back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from loadcheck.workflow.exchange import Exchange, Origin, Request

Sink = Callable[[Exchange], None]
"""Receives the exchange that came of a request; called exactly once, never from ``submit``."""


class Transport(Protocol):
    """Sends requests; calls each request's sink exactly once."""

    def submit(self, request: Request, sink: Sink) -> None:
        """Send a request as soon as a connection is free; returns at once."""

    def abort(self) -> None:
        """Give up whatever is under way; each of those requests still comes back, as lost."""


class LoadTransport(Transport, Protocol):
    """A transport that a load can be prepared on.

    Attributes:
        stale_retries: Requests that the transport sent a second time of its own accord, because
            the connection of the first was being closed when it was used.
    """

    stale_retries: int

    async def warm(self, origin: Origin, connections: int) -> None:
        """Open connections that are about to be needed, at a bounded rate."""


__all__ = ["LoadTransport", "Sink", "Transport"]
