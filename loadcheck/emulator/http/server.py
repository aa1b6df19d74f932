"""A listening socket whose connections are answered by an application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from loadcheck.emulator.http.protocol import Connection

if TYPE_CHECKING:
    from loadcheck.emulator.http.message import Application

_BACKLOG = 4096


@asynccontextmanager
async def listening(application: Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve for the length of a block, which gets the base URL.

    Raises:
        OSError: The address cannot be had.
    """
    connections: set[Connection] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(application, connections), host, port, backlog=_BACKLOG
    )
    try:
        bound = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{bound}"
    finally:
        server.close()
        for connection in list(connections):
            connection.abort()
