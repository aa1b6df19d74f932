"""The results document of a run, and the file that it is saved to."""

from __future__ import annotations

from typing import Any

import anyio.to_thread

from loadcheck.pipeline import document
from loadcheck.result import ResultFile


class Book:
    """The results document of a run, and the file that it is saved to."""

    def __init__(self, file: ResultFile, intent: dict[str, Any], hidden: frozenset[str]) -> None:
        self.file = file
        self.document: dict[str, Any] = document.redact(intent, hidden)
        self.trouble: str | None = None
        self._hidden = hidden

    def enter(self, sections: dict[str, Any]) -> None:
        """Enter sections that hold words of the service, in which a secret might stand."""
        self.document |= document.redact(sections, self._hidden)

    async def save(self, phase: str, *, durable: bool) -> None:
        """Save in a thread, so that the disk does not hold up the load."""
        self.document["run"]["phase"] = phase
        snapshot = dict(self.document)
        await anyio.to_thread.run_sync(lambda: self.file.save(snapshot, durable=durable))
