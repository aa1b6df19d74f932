"""The state of a run in the page's process, assembled from the messages sent each second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadcheck.errors import many, printable_document
from loadcheck.report import headline, words
from loadcheck.report.html import content, render, update
from loadcheck.report.metrics import exposition
from loadcheck.report.pages import Page
from loadcheck.report.pages.live import Event, Live, live_page, live_pages
from loadcheck.report.pages.run import several_page
from loadcheck.report.pages.timeline import ROWS

_MOST_EVENTS = 200
_HEAT_ROWS = 512
_SETTLED = "waiting for the count"
_STAGES = {"load": "the load began", "stopping": "the load is being stopped", "settle": _SETTLED}
_CONTROLS = {
    "acknowledged": "fresh control users acknowledged",
    "visible": "fresh control users are counted",
    "paired": "paired control events sent: second ones of users who are missing, and of others",
    "paired_visible": "users of paired control events are counted",
}


class RunState:
    """What is known of one run, one flow of a mix, or one probe of a search.

    Args:
        events: Events from before it.
    """

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._fixed: dict[str, Any] = {}
        self._said: dict[str, Any] = {}
        self._columns: dict[str, list[Any]] = {}
        self._heat = np.zeros((_HEAT_ROWS, ROWS), dtype=np.int64)
        self._heat_ends: list[float] = []
        self._observations: list[Any] = []
        self._lost: int | None = None
        self.events: list[Event] = list(events)
        self._before: dict[Any, Any] = {}

    @property
    def resource(self) -> dict[str, str]:
        """Attributes of the resource that its metrics are about, by OpenTelemetry's conventions."""
        run, scenario = self._said.get("run") or {}, self._fixed.get("scenario") or {}
        labels, mix = self._fixed.get("labels") or {}, self._fixed.get("mix") or {}
        return {
            **{f"loadcheck.label.{name}": str(value) for name, value in labels.items()},
            "service.name": "loadcheck",
            "service.instance.id": str(run.get("id", "")),
            "loadcheck.scenario": str(mix.get("name") or scenario.get("name", "")),
            "loadcheck.run.id": str(run.get("id", "")),
        }

    def begin(self, update: Mapping[str, Any]) -> None:
        """Take the first message, with the sections that are sent once."""
        self._fixed = dict(update)
        if update["title"]:
            self._note(f"{update['title']} begins", "", 0.0)

    def enter(self, update: Mapping[str, Any]) -> None:
        """Take the changes since the last message."""
        self._said = dict(update)
        for name, values in update["rows"].items():
            self._columns.setdefault(name, []).extend(values)
        now, asked = update["now"], update["asked"]
        self._observations += asked.get("observations", ())
        self._lost = (asked.get("lost") or {}).get("at_least")
        self._warm(now["elapsed_s"], update["heat"])
        self._look(update, now, asked)

    def _warm(self, elapsed_s: float, samples: Sequence[int]) -> None:
        """Add a column of latencies to the heat map; when it is full, pairs of columns merge."""
        if not any(samples):
            return
        if len(self._heat_ends) == _HEAT_ROWS:
            self._heat[: _HEAT_ROWS // 2] = self._heat[::2] + self._heat[1::2]
            self._heat[_HEAT_ROWS // 2 :] = 0
            self._heat_ends = self._heat_ends[1::2]
        last = self._heat_ends[-1] if self._heat_ends else 0.0
        if elapsed_s <= last:
            self._heat[max(len(self._heat_ends) - 1, 0)] += np.array(samples, dtype=np.int64)
            return
        self._heat[len(self._heat_ends)] = samples
        self._heat_ends.append(elapsed_s)

    # what happened

    def _note(self, text: str, role: str, at_s: float | None = None) -> None:
        at_s = self._said["now"]["elapsed_s"] if at_s is None else at_s
        self.events.append(Event(at_s=at_s, text=text, role=role))
        del self.events[:-_MOST_EVENTS]

    def _look(self, update: Mapping[str, Any], now: Mapping[str, Any], asked: Any) -> None:
        """Note the events since the last message."""
        if self._changes("stage", now["stage"]) and now["stage"] in _STAGES:
            self._note(_STAGES[now["stage"]], "")
        if self._changes("part", now["part"]) and now["part"]:
            self._note(f"stage {now['part']}", "")
        self._look_at_interruptions(update["run"] or {}, now["signals"])
        if self._changes("trouble", now["trouble"]):
            trouble = f"query failed: {now['trouble']}" if now["trouble"] else ""
            self._note(trouble or "queries are answered again", "unknown" if trouble else "pass")
        for warning in update["warnings"]:
            if self._changes(("warning", warning), True):
                self._note(warning, "unknown")
        skipped = update["copies"]["skipped"]
        if self._changes("skips", bool(skipped)) and skipped:
            self._note("copies are skipped: too many are in flight, or we are late", "unknown")
        self._look_at_thresholds([*now["thresholds"], *headline.named_together(now["together"])])
        self._look_at_workers((now["workers"] or {}).get("shards", ()))
        self._look_at_answers(asked)

    def _look_at_interruptions(self, run: Mapping[str, Any], signals: int) -> None:
        if self._changes("aborted", run.get("aborted")) and run.get("aborted"):
            self._note(f"stopped by a threshold: {run['aborted']['threshold']}", "fail")
        if self._changes("signals", signals) and signals:
            self._note("interrupted" if signals == 1 else "interrupted again", "unknown")

    def _look_at_thresholds(self, thresholds: Sequence[Mapping[str, Any]]) -> None:
        for each in thresholds:
            what = "threshold", each["expression"]
            before = self._before.get(what)
            if not self._changes(what, each["verdict"]):
                continue
            if each["verdict"] == "fail":
                self._note(f"broken: {each['expression']}", "fail")
            elif before == "fail":
                self._note(f"no longer broken: {each['expression']}", "pass")

    def _look_at_workers(self, shards: Sequence[Mapping[str, Any]]) -> None:
        for shard in shards:
            if self._changes(("shard", shard["index"]), shard["end"]) and shard["end"]:
                lost = shard["end"] == "lost"
                text = f"worker {shard['index'] + 1} {'was lost' if lost else 'has ended'}"
                self._note(text, "fail" if lost else "")

    def _look_at_answers(self, asked: Mapping[str, Any]) -> None:
        controls = asked.get("controls") or {}
        for name, what in _CONTROLS.items():
            if self._changes(("control", name), controls.get(name)) and controls.get(name):
                self._note(f"{words.count(controls[name])} {what}", "")
        lost = asked.get("lost")
        if lost is not None and self._changes("lost", lost["at_least"]):
            number = words.count(lost["at_least"])
            named = f": {', '.join(lost['names'])}" if lost["names"] else ""
            more = " …" if lost["at_least"] > len(lost["names"]) > 0 else ""
            if lost["at_least"]:
                self._note(f"{number} users are lost{named}{more}", "fail")
            else:
                self._note("no user is lost", "pass")
        if lost is not None and self._changes("duplicated", lost["duplicated"]):
            self._note(f"{many(lost['duplicated'], 'events')} counted twice", "fail")

    def _changes(self, what: Any, value: Any) -> bool:
        """Return whether a value differs from the last one given, or is new and not empty."""
        first = what not in self._before
        before = self._before.get(what)
        self._before[what] = value
        return before != value and not (first and not value)

    # how it is shown

    def document(self) -> dict[str, Any]:
        """Return the results document so far."""
        said, fixed = self._said, self._fixed
        copies = said["copies"]
        document = {
            **{name: fixed[name] for name in ("schema", "scenario", "workflow", "environment")},
            "labels": fixed.get("labels") or {},
            "mix": fixed.get("mix") or {},
            "verdict": "unknown",
            "run": {**(said["run"] or {}), "in_progress": True},
            "copies": {"planned": fixed["planned"], **copies},
            "warnings": said["warnings"],
            "timeline": self._columns,
        }
        document["consistency"] = {
            "checked": fixed["checked"],
            "baseline": (said["run"] or {}).get("baseline"),
            "observations": self._observations,
            "localized": None,
        }
        return document

    def shown(self, probes: Sequence[Sequence[str]]) -> tuple[dict[str, Any], Live]:
        """Return what its page is made of now: the document, and the live part.

        Args:
            probes: Results of the probes before it.
        """
        number = len(self._heat_ends)
        live = Live(
            now=self._said["now"],
            title=self._fixed["title"],
            events=self.events,
            heat_edges=[0.0, *self._heat_ends],
            heat=self._heat[:number],
            probes=probes,
            lost=self._lost,
        )
        return self.document(), live


class State:
    """What is known of all current runs, and their page.

    Attributes:
        number: Number of the state, which grows with each message.
        report: The finished report; None while the run goes on.
    """

    def __init__(self) -> None:
        self.number = 0
        self.report: bytes | None = None
        self._runs: dict[str, RunState] = {}
        self._metrics: dict[str, Mapping[str, Any]] = {}
        self._probes: list[Sequence[str]] = []
        self._drawn: tuple[int, Page] | None = None
        self._update: tuple[int, bytes] | None = None

    @property
    def begun(self) -> bool:
        """Whether anything has been received."""
        return bool(self._runs)

    @property
    def runs(self) -> Sequence[RunState]:
        """The current runs: one, or the flows of a mix."""
        return list(self._runs.values())

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message from the run."""
        self.number += 1
        match message["is"]:
            case "probed":
                self._probes.append(message["row"])
            case "done":
                documents = message["documents"]
                pages = [content(document) for document in documents]
                several = len(pages) > 1
                self.report = render(several_page(pages, documents) if several else pages[0])
            case kind:
                update = printable_document(message)
                if kind == "run":
                    self._begin(update)
                self._runs[update["key"]].enter(update)
                if "metrics" in update:
                    self._metrics[update["key"]] = update["metrics"]

    def _begin(self, update: Mapping[str, Any]) -> None:
        before: Sequence[Event] = ()
        if update["title"]:
            # probes of a search follow one another; flows of a mix go on side by side
            before = [event for run in self.runs for event in run.events]
            self._runs, self._metrics = {}, {}
        made = self._runs[update["key"]] = RunState(before)
        made.begin(update)

    def page(self) -> Page:
        """Return the page as it is now."""
        if not self.begun:
            return Page(
                verdict="unknown",
                badge="starting",
                title="loadcheck",
                because="Nothing is sent yet.",
            )
        if self._drawn is None or self._drawn[0] != self.number:
            shown = [run.shown(self._probes) for run in self.runs]
            one = len(shown) == 1
            self._drawn = self.number, live_page(*shown[0]) if one else live_pages(shown)
        return self._drawn[1]

    def whole(self, token: str) -> bytes:
        """Return the whole page for a browser: the live one, or the finished report."""
        if self.report is not None:
            return self.report
        return render(self.page(), token=token, number=self.number)

    def changed(self) -> bytes:
        """Return the update for an open page: everything that can have changed."""
        if self._update is None or self._update[0] != self.number:
            self._update = self.number, update(self.page(), number=self.number)
        return self._update[1]

    def scraped(self) -> bytes:
        """Return the metrics in the format of Prometheus."""
        metrics: dict[str, list[Any]] = {}
        for each in self._metrics.values():
            for kind, series in each.items():
                metrics.setdefault(kind, []).extend(series)
        return exposition(metrics, _resource(self.runs)).encode()


def _resource(runs: Sequence[RunState]) -> dict[str, str]:
    """Return the attributes of the metrics' resource: those of a run, or common to all flows."""
    if not runs:
        return {"service.name": "loadcheck"}
    resources = [run.resource for run in runs]
    ids = ",".join(each["loadcheck.run.id"] for each in resources)
    return {
        name: value
        for name, value in resources[0].items()
        if all(each.get(name) == value for each in resources)
    } | {"service.instance.id": ids, "loadcheck.run.id": ids}
