"""What a run tells its page, once a second: only what has changed, piece by piece."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loadcheck.measure.histogram import Counts
from loadcheck.report.metrics import snapshot
from loadcheck.report.pages.heat import rows_of_times
from loadcheck.secrets import cover
from loadcheck.verify.progress import Progress

_FIXED = ("schema", "scenario", "mix", "workflow", "environment", "labels")
"""Sections of the document that are told once."""


class Feed:
    """Makes the messages of one run.

    Args:
        progress: The run.
        metrics: Whether the figures that are scraped belong to them.
        title: What a probe of a capacity search is called; "" for a run.
    """

    def __init__(self, progress: Progress, *, metrics: bool, title: str = "") -> None:
        self._progress = progress
        self._metrics = metrics
        self._title = title
        self._told = False
        self._rows = 0
        self._asked = 0
        self._times: Counts | None = None

    def message(self) -> dict[str, Any]:
        """Return what has changed since the last message, all of which have to arrive."""
        held: dict[str, Any] = {}
        for piece in self.pieces():
            held |= piece
        return held

    def pieces(self) -> Iterator[dict[str, Any]]:
        """Yield a message in pieces, none of which takes so long that a copy would be late.

        One that was begun has to be gone through and sent: no later one has what is in it.
        """
        progress = self._progress
        record = progress.record
        held: dict[str, Any] = {"is": "state", "key": progress.outline.run_id}
        if not self._told:
            self._told = True
            held |= {"is": "run", "title": self._title}
            held |= {name: progress.document.get(name) for name in _FIXED}
            held["deadline_s"] = progress.outline.deadline_s
            held["checked"] = progress.outline.checked
            held["planned"] = progress.outline.planned
        yield held
        yield {"now": self._now()}
        yield {"asked": self._new_answers(), "rows": self._new_rows()}
        yield {"heat": self._new_times()}
        if self._metrics:
            taken = snapshot(record, time.time_ns(), progress.outline.flow)
            yield {}
            yield {"metrics": taken.to_json()}
        yield {
            "run": progress.document.get("run"),
            "warnings": [
                cover(note) for note in (*progress.document.get("warnings", ()), *progress.notes)
            ],
            "copies": {
                name: getattr(record, name)
                for name in (
                    *("started", "skipped", "acknowledged", "rejected", "indeterminate"),
                    *("in_flight", "retries", "uniques"),
                )
            }
            | {"users": progress.acknowledged_users},
        }

    def _now(self) -> Mapping[str, Any]:
        progress = self._progress
        return {
            "stage": progress.stage,
            "part": progress.part,
            "elapsed_s": progress.elapsed_s,
            "left_s": progress.left_s,
            "asked_rate": progress.asked_rate,
            "trouble": cover(progress.trouble),
            "signals": progress.signals,
            "cpu_share": progress.cpu_share(),
            "p99_ms": progress.times.percentile_ms(99),
            "thresholds": [judged.to_json() for judged in progress.thresholds()],
            "workers": progress.workers(),
        }

    def _new_answers(self) -> Mapping[str, Any]:
        """Return what asking has come to; of the service's answers those that were not told."""
        asked = self._progress.asked(self._asked)
        answers = asked.get("observations", ())
        self._asked += len(answers)
        # what a service writes into an error may repeat what it was sent
        covered = [answer | {"error": cover(answer["error"])} for answer in answers]
        return {**asked, "observations": covered}

    def _new_rows(self) -> Mapping[str, Sequence[Any]]:
        """Return the seconds of the timeline that are complete and were not told."""
        timeline = self._progress.record.timeline
        first, self._rows = self._rows, len(timeline)
        return timeline.since(first)

    def _new_times(self) -> Sequence[int]:
        """Return where the latencies since the last message lie."""
        counts = self._progress.times.counts()
        before, self._times = self._times, counts
        return rows_of_times(counts if before is None else counts - before)
