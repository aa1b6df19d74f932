"""How often something came lately."""

from __future__ import annotations

from collections import deque


class RollingCounts:
    """Counts per key over the last ``steps`` steps, the current one included."""

    __slots__ = ("_recent", "_step_ms", "_steps", "_totals")

    def __init__(self, step_ms: int, steps: int) -> None:
        self._step_ms = step_ms
        self._steps = steps
        self._recent: deque[tuple[int, dict[str, int]]] = deque()
        self._totals: dict[str, int] = {}

    def advance(self, now_ms: int) -> None:
        """Forget what is older than the window."""
        oldest = now_ms // self._step_ms - self._steps
        while self._recent and self._recent[0][0] <= oldest:
            for key, count in self._recent.popleft()[1].items():
                left = self._totals[key] - count
                if left:
                    self._totals[key] = left
                else:
                    del self._totals[key]

    def of(self, key: str) -> int:
        """Return the count of a key."""
        return self._totals.get(key, 0)

    def add(self, key: str, count: int, now_ms: int) -> None:
        """Count a key that came now."""
        step = now_ms // self._step_ms
        if not self._recent or self._recent[-1][0] != step:
            self._recent.append((step, {}))
        current = self._recent[-1][1]
        current[key] = current.get(key, 0) + count
        self._totals[key] = self._totals.get(key, 0) + count
