"""Running an emulator until it is told to stop: the event loop, the socket, the journal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.http.server import listening
from loadcheck.emulator.journal import Journal
from loadcheck.emulator.service import Emulator

_FLUSH_S = 0.25


@asynccontextmanager
async def serving(
    emulator: Emulator, host: str, port: int, journal: Journal | None = None
) -> AsyncIterator[str]:
    """Serve for the length of a block, which gets the base URL.

    What a journal holds is on disk a quarter of a second later, and at the end.

    Raises:
        OSError: The address cannot be had.
    """
    async with listening(emulator.router, host, port) as url:
        if journal is None:
            yield url
            return
        flushing = asyncio.create_task(_flush(journal))
        try:
            yield url
        finally:
            flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flushing
            journal.close()


async def _flush(journal: Journal) -> None:
    while True:
        await asyncio.sleep(_FLUSH_S)
        journal.flush()


def open_emulator(config: EmulatorConfig, data: Path | None) -> tuple[Emulator, Journal | None]:
    """Make an emulator, with the events of an earlier one if there is a data file.

    Raises:
        JournalError: The file cannot be used.
    """
    journal = None if data is None else Journal(data)
    return Emulator(config, journal=journal), journal


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on the fastest event loop there is, with room for many connections."""
    _allow_many_connections()
    gc.freeze()  # what is there by now stays: the collector need not look at it again
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop  # noqa: PLC0415 - not there on Windows

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


def _allow_many_connections() -> None:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
