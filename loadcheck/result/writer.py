"""The results document of a run, and the file that it is saved to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread

from loadcheck.errors import ResultFileError, SaveError
from loadcheck.result import document
from loadcheck.secrets import Redactor


class ResultSink(Protocol):
    """Where a results document is saved, be it a file or not."""

    @property
    def path(self) -> Path:
        """Where that is."""

    def save(self, document: dict[str, Any], *, durable: bool = True) -> None:
        """Put a document there."""

    def close(self) -> None:
        """Let others write there."""


class ResultWriter:
    """The results document of a run, and the file that it is saved to.

    Attributes:
        file: Where it is saved.
        document: What is known so far.
        trouble: What went wrong with the target, if anything did.
        unsaved: Why the last save failed; None if it did not.
        missed: Saves that failed while the load went on.
    """

    def __init__(self, file: ResultSink, intent: dict[str, Any], redactor: Redactor) -> None:
        self.file = file
        self.document: dict[str, Any] = redactor.document(intent, document.own_words())
        self.trouble: str | None = None
        self.unsaved: ResultFileError | None = None
        self.missed = 0
        self._redactor = redactor

    def enter(self, sections: dict[str, Any]) -> None:
        """Enter sections that hold words of the service, in which a secret might stand."""
        clean = self._redactor.document(sections, document.own_words())
        self.document |= document.brief(clean)

    def hide(self, secrets: Iterable[str]) -> None:
        """Keep further secrets out of what is entered from now on."""
        self._redactor |= secrets

    async def save(self, phase: str, *, durable: bool) -> None:
        """Save in a thread, so that the disk does not hold up the load.

        Raises:
            ResultFileError: The disk is full, or the file cannot be written.
        """
        self.document["run"]["phase"] = phase
        snapshot = dict(self.document)
        await anyio.to_thread.run_sync(lambda: self.file.save(snapshot, durable=durable))
        self.unsaved = None

    async def try_save(self, phase: str, *, durable: bool) -> None:
        """Save if it can be done: a disk that is full must not end a run that has begun."""
        try:
            await self.save(phase, durable=durable)
        except ResultFileError as error:
            self.unsaved = error
            self.missed += 1

    async def save_intent(self) -> None:
        """Save before anything is sent.

        Raises:
            ResultFileError: It cannot be: nothing is to be sent.
        """
        try:
            await self.save("intent", durable=True)
        except SaveError as error:
            raise ResultFileError(error.problems) from error
