"""Derives what is shown of a run; terminal, Markdown, HTML and JUnit only lay it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadcheck.errors import many, printable_document
from loadcheck.report import headline, words
from loadcheck.report.pages import CheckRow
from loadcheck.result import Document
from loadcheck.verify import meaning

FIGURES: Mapping[str, str] = {
    "p50": "p50_ms",
    "p90": "p90_ms",
    "p95": "p95_ms",
    "p99": "p99_ms",
    "p99.9": "p999_ms",
    "max": "max_ms",
}
"""Titles of the figures of a distribution of times, and their keys in a results file."""

_KINDS = ("response_time", "service_time", "failed", "throttled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """One distribution of times.

    Attributes:
        step: Its step; "generator" for the generator's own.
        kind: What was timed, in words.
        figures: Values with units, by the titles of :data:`FIGURES`.
        samples: Number of samples.
    """

    step: str
    kind: str
    figures: Mapping[str, str]
    samples: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTexts:
    """Rates of copies, with units.

    Attributes:
        achieved: Started per second; "≥" where a lost worker may have started more.
        target: Due per second; "" for a closed load.
        share: Achieved as a share of target.
        peak: The highest target rate.
        most_in_flight: Maximum number of copies in flight.
        duration: How long the load took.
        by: By how many workers, after the duration; "" for this process.
    """

    achieved: str
    target: str
    share: str
    peak: str
    most_in_flight: str
    duration: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the service counted.

    Attributes:
        users: Unique users; "–" if unknown.
        events: Number of events; "" if not queried, or unknown.
        expected: A number, or the two bounds.
        amounts: Lost at least, duplicated and unexpected, as far as known.
        lag: From acknowledgement until counted, by title: p50, p95, p99 and max; "never" if some
            were never counted. Empty if not measured.
        any_never: Whether some were never counted.
    """

    users: str
    events: str
    expected: str
    amounts: Mapping[str, int]
    lag: Mapping[str, str]
    any_never: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReason:
    """A reason for failed attempts of a step, and their number."""

    step: str
    text: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as displayed.

    Attributes:
        document: Its document, safe to print.
        name: The name of the scenario.
        verdict: "pass", "fail" or "unknown".
        badge: The verdict in a word; see :func:`~loadcheck.report.headline.badge`.
        cause: Why the verdict is what it is, as a sentence without its full stop.
        ended: How the run ended; "" if by itself, or if the badge says so.
        findings: What the checks say, failures first.
        thresholds: Named by their expressions, and those of all flows of a mix together; the text
            is what was measured.
        rates: None before the load has ended.
        counted: None if nothing was to be counted, or has been counted.
        times: Distributions of the steps that have samples.
        own_times: Those of the generator itself: lateness and event loop lag.
        reasons: Reasons for failed attempts by step, the most frequent first.
        examples: Step, status and body of the first response of each error.
    """

    document: Document
    name: str
    verdict: str
    badge: str
    cause: str
    ended: str
    findings: Sequence[CheckRow]
    thresholds: Sequence[CheckRow]
    rates: RateTexts | None
    counted: Counted | None
    times: Sequence[Times]
    own_times: Sequence[Times]
    reasons: Sequence[FailureReason]
    examples: Sequence[tuple[str, str, str]]

    def times_of(self, step: str | None) -> Times | None:
        """Return the response time of a step, or its service time if it has no due time."""
        own = {each.kind: each for each in self.times if each.step == step}
        return own.get("response time") or own.get("service time")


def run_view(document: Document) -> RunView:
    """Return what is shown of a results document of any phase."""
    document = printable_document(document)
    steps = document.get("steps") or {}
    return RunView(
        document=document,
        name=str(document["scenario"].get("name", "")),
        verdict=document["verdict"],
        badge=headline.badge(document),
        cause=headline.cause(document),
        ended=headline.ended(document),
        findings=[finding_check(finding) for finding in headline.findings(document)],
        thresholds=[
            CheckRow(verdict=each["verdict"], name=each["expression"], text=headline.measured(each))
            for each in headline.thresholds(document)
        ],
        rates=_rates(document),
        counted=_counted(document),
        times=list(_times(_step_times(steps))),
        own_times=list(_times(_own_times(document.get("generator") or {}))),
        reasons=[
            FailureReason(step=name, text=reason, number=number)
            for name, step in steps.items()
            for reason, number in sorted(step["reasons"].items(), key=lambda item: -item[1])
        ],
        examples=[
            (name, status, body)
            for name, step in steps.items()
            for status, body in step["examples"].items()
        ],
    )


def finding_check(finding: Mapping[str, Any]) -> CheckRow:
    """Return a finding as an entry of a list of checks."""
    return CheckRow(
        verdict=finding["verdict"],
        name=finding["check"],
        text=finding["summary"],
        meaning=meaning(finding["check"]),
    )


def lag(low_s: float | None, high_s: float | None) -> str:
    """Return an interval of seconds as text; without an upper end: "≥" the lower, or "never"."""
    if high_s is None:
        return "never" if low_s is None else f"≥ {words.clock(low_s)}"
    least, most = words.clock(low_s or 0.0), words.clock(high_s)
    if least == most:
        return most
    if least == words.clock(0.0):
        return f"≤ {most}"
    return f"{least.removesuffix(' s')}–{most}" if most.endswith(" s") else f"{least}–{most}"


def _rates(document: Document) -> RateTexts | None:
    load = document.get("load")
    if not load:
        return None
    opened = load["asked_rate"] is not None
    copies = document["copies"]
    least = "≥ " if headline.started_at_most(copies) > copies["started"] else ""
    workers = len(document["run"].get("workers", {}).get("shards", ()))
    return RateTexts(
        achieved=least + words.rate(load["reached_rate"]),
        target=words.rate(load["asked_rate"]) if opened else "",
        share=words.share(load["reached_ratio"]) if opened else "",
        peak=words.rate(load["peak_rate"]),
        most_in_flight=f"{load['max_in_flight']:,} in flight at most",
        duration=words.clock(load["duration_s"]),
        by=f" by {many(workers, 'workers')}" if workers else "",
    )


def _counted(document: Document) -> Counted | None:
    seen = document.get("consistency")
    if not seen or not headline.is_checked(document):
        return None
    low, high = words.count(seen["lower"]), words.count(seen["upper"])
    amounts = {"lost": "lost_at_least", "duplicated": "duplicated", "unexpected": "unexpected"}
    visible = seen.get("visibility") or {"samples": 0}
    lower = visible.get("lower", {})
    return Counted(
        users=words.count(seen["uniques"]),
        events="" if seen.get("totals") is None else words.count(seen["totals"]),
        expected=low if low == high else f"{low} to {high}",
        amounts={name: seen[key] for name, key in amounts.items() if seen.get(key) is not None},
        lag={
            name: lag(lower.get(f"{name}_s"), visible[f"{name}_s"])
            for name in ("p50", "p95", "p99", "max")
            if visible["samples"]
        },
        any_never=bool(visible.get("never")),
    )


def _step_times(steps: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, step in steps.items():
        # for copies as a whole, only the response time is meaningful
        for kind in ("response_time",) if step["role"] == "workflow" else _KINDS:
            yield name, kind.replace("_", " "), step[kind]


def _own_times(generator: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for key, kind in (("lateness", "lateness"), ("loop_lag", "event loop lag")):
        yield "generator", kind, generator.get(key)


def _times(found: Iterable[tuple[str, str, Any]]) -> Iterator[Times]:
    for step, kind, histogram in found:
        if histogram and histogram["count"]:
            figures = {title: words.duration(histogram[key]) for title, key in FIGURES.items()}
            samples = words.count(histogram["count"])
            yield Times(step=step, kind=kind, figures=figures, samples=samples)
