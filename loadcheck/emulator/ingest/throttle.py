"""Rate limits of one ingestion endpoint: per user, per device, and for the project."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from loadcheck.emulator.ingest.refusal import throttled
from loadcheck.emulator.ingest.rolling import RollingCounts

if TYPE_CHECKING:
    from loadcheck.emulator.config.model import UploadLimits
    from loadcheck.emulator.http.message import Answer

_PROJECT = ""
_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_IDS = (("user_id", "users"), ("device_id", "devices"))


class Throttle:
    """Lets uploads pass until a limit is reached.

    A request that holds one throttled id is refused as a whole [D] Batch API. What was refused is
    not counted [U], so a sender above the rate gets through at the rate.
    """

    def __init__(self, limits: UploadLimits, *, batch: bool) -> None:
        self._limits = limits
        self._batch = batch
        self._second = 0
        self._events = 0
        self._requests = 0
        self._rates = {name: RollingCounts(1000, limits.window_s) for name, _ in _IDS}
        self._days = {name: RollingCounts(_HOUR_MS, 24) for name, _ in _IDS}
        self._spammy: set[tuple[str, str]] = set()

    def refuse(self, events: list[dict[str, Any]], now_ms: int) -> Answer | None:
        """Return the answer that refuses an upload, or None and count it."""
        limits = self._limits
        second = now_ms // 1000
        if second != self._second:
            self._second, self._events, self._requests = second, 0, 0
        if _exceeds(self._events + len(events), limits.project_events_per_s) or _exceeds(
            self._requests + 1, limits.project_requests_per_s
        ):
            # what is said at the project's ceiling is [U]: nobody is named
            return throttled(self._threshold, batch=self._batch)
        if limits.user_events_per_s is not None or limits.user_events_per_day is not None:
            answer = self._refuse_ids(events, now_ms)
            if answer is not None:
                return answer
        self._events += len(events)
        self._requests += 1
        return None

    @property
    def _threshold(self) -> int:
        return self._limits.user_events_per_s or 0

    def _refuse_ids(self, events: list[dict[str, Any]], now_ms: int) -> Answer | None:
        counts = {
            name: Counter(event[name] for event in events if event.get(name) is not None)
            for name, _ in _IDS
        }
        fast: dict[str, dict[str, int]] = {}
        over: dict[str, dict[str, int]] = {}
        for name, plural in _IDS:
            fast[plural] = self._too_fast(name, counts[name], now_ms)
            over[plural] = self._over_quota(name, counts[name], now_ms)
        if any(fast.values()) or any(over.values()):
            listed = [
                index
                for index, event in enumerate(events)
                if any(
                    event.get(name) in fast[plural] or event.get(name) in over[plural]
                    for name, plural in _IDS
                )
            ]
            return throttled(
                self._threshold, batch=self._batch, fast=fast, over=over, events=listed
            )
        for name, _ in _IDS:
            for identifier, count in counts[name].items():
                self._rates[name].add(identifier, count, now_ms)
                if not self._batch or (name, identifier) in self._spammy:
                    self._days[name].add(identifier, count, now_ms)
        return None

    def _too_fast(self, name: str, counts: Counter[str], now_ms: int) -> dict[str, int]:
        rate, window_s = self._limits.user_events_per_s, self._limits.window_s
        if rate is None:
            return {}
        recent = self._rates[name]
        recent.advance(now_ms)
        found = {}
        for identifier, count in counts.items():
            total = recent.of(identifier) + count
            if total > rate * window_s:
                found[identifier] = -(-total // window_s)
                # [D] Batch API: the day's events are counted once an id was judged spammy
                self._spammy.add((name, identifier))
        return found

    def _over_quota(self, name: str, counts: Counter[str], now_ms: int) -> dict[str, int]:
        quota = self._limits.user_events_per_day
        if quota is None:
            return {}
        day = self._days[name]
        day.advance(now_ms)
        return {
            identifier: day.of(identifier) + count
            for identifier, count in counts.items()
            if (not self._batch or (name, identifier) in self._spammy)
            and day.of(identifier) + count > quota
        }


class PropertyUpdates:
    """Loses the user properties of those who send too many; the events stay [D] HTTP V2 API.

    The documents say that they may be lost; here they are, so that what depends on them shows.
    """

    def __init__(self, per_hour: int) -> None:
        self._most = per_hour
        self._recent = RollingCounts(_MINUTE_MS, 60)

    def lose(self, events: list[dict[str, Any]], now_ms: int) -> None:
        """Take the user properties that come too often out of events that passed all checks."""
        self._recent.advance(now_ms)
        for event in events:
            if event.get("user_properties"):
                user = event.get("user_id") or event["device_id"]
                if self._recent.of(user) >= self._most:
                    del event["user_properties"]
                else:
                    self._recent.add(user, 1, now_ms)


def _exceeds(count: int, limit: int | None) -> bool:
    return limit is not None and count > limit
