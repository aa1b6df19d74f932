"""What the faults really did, for tests to read: whom they hit, and when."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any


class TruthRecord:
    """The hits of one fault, one entry for each user id of the request or event it hit."""

    __slots__ = ("_at_ms", "_users", "hits")

    def __init__(self) -> None:
        self.hits = 0
        self._at_ms = array("q")
        self._users: list[str | None] = []

    def add(self, at_ms: int, users: Iterable[str | None]) -> None:
        """Record one hit; a query, or an upload nobody can read, has no user: None."""
        self.hits += 1
        for user in users:
            self._at_ms.append(at_ms)
            self._users.append(user)

    def as_json(self) -> dict[str, Any]:
        """Return it as the control endpoint shows it: columns of equal length."""
        return {"hits": self.hits, "user_ids": self._users, "at_ms": list(self._at_ms)}
