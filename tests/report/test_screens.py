"""What a terminal shows, at four widths: each screen as a small text file.

UPDATE_SCREENS=1 pytest tests/report/test_screens.py writes them anew; look at what changed.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadcheck.compare.figures import RATE, counted, time_of_step
from loadcheck.compare.history import Past, Range
from loadcheck.compare.trend import trend as build_trend
from loadcheck.errors import Problem
from loadcheck.report import capacity, comparison, listing, preview, terminal, trend
from loadcheck.report.markdown import trend_markdown
from loadcheck.result.catalogue import CatalogueEntry
from tests.report.test_capacity import PROBES
from tests.report.test_capacity import document as searched
from tests.report.test_live import BAD, Run, live
from tests.report.test_preview import document as previewed
from tests.report.test_terminal import EXAMPLE

SCREENS = Path(__file__).with_name("screens")
WIDTHS = (60, 80, 120, 200)
Document = dict[str, Any]


def passed() -> Document:
    read: Document = orjson.loads(EXAMPLE.read_bytes())
    return read


def lost() -> Document:
    document = passed()
    document["verdict"] = "fail"
    document["consistency"] |= {"uniques": 21_582, "lost_at_least": 18, "lost_at_most": 18}
    document["consistency"]["visibility"] |= {"max_s": None, "never": 18}
    document["findings"][0] |= {
        "verdict": "fail",
        "summary": "18 of 21,600 acknowledged users are missing 10.5 s after the last "
        "acknowledgement; 18 are named, the first lc-q3r9r3t90v81-0001372, sent from 11:51:48 to "
        "11:51:55 UTC. Run loadcheck reconcile later: users counted by then were merely delayed.",
    }
    document["thresholds"][-1] |= {"verdict": "fail", "measured": 18}
    return document


def rejected() -> Document:
    document = passed()
    document |= {"verdict": "unknown", "consistency": {**document["consistency"], "uniques": None}}
    document["consistency"] |= {"lost_at_least": None, "visibility": None}
    document["copies"] |= {"acknowledged": 0, "rejected": 21_600}
    step = document["steps"]["uploadEvents"]
    step |= {
        "reasons": {"400 Bad Request: $statusCode == 200 does not hold": 21_600},
        "examples": {"400": '{"code":400,"error":"missing \'run\'"}'},
        "failed": step["response_time"],
        "response_time": {**step["response_time"], "count": 0},
        "service_time": {**step["service_time"], "count": 0},
    }
    unverified = {
        "check": "unverified",
        "verdict": "unknown",
        "summary": "No copy was acknowledged, and whether any arrived is unknown: the service was "
        "not asked after the load.",
    }
    document["findings"] = [unverified]
    for threshold in document["thresholds"]:
        threshold |= {"verdict": "unknown", "measured": None}
    return document


def unreached() -> Document:
    document = rejected()
    why = "no request reached http://127.0.0.1:9: connection refused (10 attempts in 1 s; nothing "
    document["run"]["error"] = f"{why}was sent)"
    document["copies"] |= dict.fromkeys(("started", "rejected"), 0)
    for step in document["steps"].values():
        step |= {"reasons": {}, "examples": {}}
        for kind in ("response_time", "service_time", "failed", "throttled"):
            if step[kind] is not None:
                step[kind] = {**step[kind], "count": 0}
    document["generator"]["lateness"]["count"] = 0
    summary = f"N{why[1:]}was sent)."
    document["findings"] = [{"check": "target", "verdict": "unknown", "summary": summary}]
    return document


def busy() -> Document:
    document = passed()
    document["verdict"] = "unknown"
    document["copies"] |= {"acknowledged": 21_000, "rejected": 540, "skipped": 60}
    document["steps"]["uploadEvents"] |= {
        "reasons": {
            "503 Service Unavailable: $statusCode == 200 does not hold": 500,
            "connection refused": 40,
        },
        "examples": {"503": "<html><title>503 Service Temporarily Unavailable</title></html>"},
    }
    document["findings"].append(
        {
            "check": "generator",
            "verdict": "unknown",
            "summary": "The load generator added up to 310.4 ms to response times itself, so 1 "
            "latency threshold cannot be judged. It used 97 % of a core: use a less busy machine "
            "or a lower rate.",
        }
    )
    document["thresholds"][0] |= {
        "verdict": "unknown",
        "measured": 412.0,
        "own_delay_ms": 310.4,
        "low": 101.6,
        "high": 412.0,
    }
    warning = "scheduling delay in the load generator: copies were started up to 310.4 ms late "
    document["warnings"] = [f"{warning}(p99); response times include it"]
    return document


def killed() -> Document:
    document = passed()
    for section in ("load", "steps", "consistency", "findings", "thresholds"):
        document.pop(section, None)
    document["run"]["phase"], document["verdict"] = "running", "unknown"
    return document


def interrupted() -> Document:
    document = passed()
    document["run"]["interrupted"] = True
    return document


def unchecked() -> Document:
    document = passed()
    document["consistency"] |= {"checked": False, "uniques": None}
    document["findings"] = []
    document["thresholds"] = document["thresholds"][:3]
    return document


def trended() -> Document:
    """Return a trend of one history that became slower, and of one that is too short."""
    levels = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.5, 1.01, 0.99, 1.0, 1.2, 1.21, 1.19, 1.2]
    response, rate = time_of_step("uploadEvents", "response_time", "p99"), RATE

    def past(day: int, level: float, name: str) -> Past:
        return Past(
            file=f"results/{name}-{day:02}.json",
            kind="result",
            id=f"{name}{day}",
            started_at=f"2026-11-{day + 1:02}T03:00:00.000Z",
            scenario=name,
            verdict="unknown" if day == 3 else "pass",
            labels={"commit": f"{day:02}b7c9d2e4f6a8"},
            identity=(name,),
            facts={"environment.cpus": 4 if day < 10 else 2},
            unused="its verdict is unknown" if day == 3 else "",
            figures={
                response: Range(value=40 * level, low=39 * level, high=41 * level),
                rate: Range(value=500.0),
                counted("lost"): Range(value=0),
            },
        )

    runs = [past(day, level, "nightly") for day, level in enumerate(levels)]
    runs += [past(day, 1.0, "smoke") for day in range(3)]
    broken = Problem(file="results/cut.json", message="is not JSON: unexpected end of data")
    return build_trend(runs, [broken])


def figure(key: str, *cells: Any, **more: Any) -> Document:
    base, candidate, low, high, word = cells
    group, _, name = key.rpartition(" ")
    return {
        "key": key,
        "group": group,
        "name": name,
        "unit": "ms",
        "about": "target",
        "core": name == "p50",
        "base": base,
        "candidate": candidate,
        "difference": candidate - base,
        "low": low,
        "high": high,
        "word": word,
        "why": "",
        "relative": {
            "difference": candidate / base - 1 if base else None,
            "low": None if low is None or not base else low / base,
            "high": None if high is None or not base else high / base,
        },
        **more,
    }


def compared() -> Document:
    def run(file: str) -> Document:
        started_at, load = "2026-11-23T09:16:25.000Z", {"reached_rate": 1000.0}
        return {"file": file, "started_at": started_at, "load": load, "copies": {"started": 12_000}}

    response = "uploadEvents response time"
    return {
        "verdict": "worse",
        "scenario": {"name": "nightly"},
        "tolerance": 0.05,
        "confidence": 0.95,
        "forced": [],
        "differences": [],
        "notes": ["One run per side: use at least three runs per side to include their variance."],
        "base": [run("results/base.json")],
        "candidate": [run("results/new.json")],
        "figures": [
            figure(f"{response} p50", 20.4, 29.8, 8.1, 10.2, "worse"),
            figure(f"{response} p99", 95.1, 101.0, -3.0, 15.0, "unsure"),
            figure("the count lost", 0, 0, 0, 0, "same", unit="count"),
            figure(
                *("segmentEvent service time p50", 4.1, 6.0, None, None, "unsure"),
                why="needs about 8 runs",
            ),
        ],
    }


def listed(width: int) -> str:
    def entry(name: str, document: Document) -> CatalogueEntry:
        when = document["run"]["started_at"]
        return CatalogueEntry(
            path=Path(f"results/{name}-20261123T115143Z-q3r9r3t90v81.json"),
            kind="result",
            started_at=when,
            scenario=name,
            verdict=document["verdict"],
            rate=1350.0,
            p99_ms=1.8,
            lost=0,
            duplicated=0,
            phase="complete",
            cause=listing.cause(document),
        )

    found = [entry("burst", passed()), entry("faulty", lost()), entry("launch", rejected())]
    broken = CatalogueEntry(
        path=Path("cut.json"), trouble="is not JSON: truncated, or edited by hand?"
    )
    return listing.text([*found, broken], color=False, width=width)


def summary(document: Document) -> Callable[[int], str]:
    return lambda width: terminal.summary(
        copy.deepcopy(document), color=False, width=width, paths=["results/x.json"]
    )


def drawn(run: Run) -> Callable[[int], str]:
    def text(width: int) -> str:
        rows: list[str] = live.LiveView(run, color=False).rows(width, 24)
        return "".join(f"{row.rstrip()}\n" for row in rows)

    return text


def logged(width: int) -> str:
    """Return lines for logs, which are as wide everywhere."""
    assert width
    runs = (Run(), Run(record=BAD), Run(stage="settle", trouble="429: too many requests"))
    return "".join(f"{live.line(run)}\n" for run in runs)


DRAWN: Mapping[str, Callable[[int], str]] = {
    "passed": summary(passed()),
    "lost": summary(lost()),
    "rejected": summary(rejected()),
    "unreached": summary(unreached()),
    "busy": summary(busy()),
    "killed": summary(killed()),
    "interrupted": summary(interrupted()),
    "unchecked": summary(unchecked()),
    "capacity": lambda width: capacity.summary(
        searched(1400, 1500) | {"probes": PROBES}, color=False, width=width
    ),
    "capacity-bound": lambda width: capacity.summary(
        searched(900, None, ending="budget"), color=False, width=width
    ),
    "trend": lambda width: trend.text(trended(), color=False, width=width),
    "compared": lambda width: comparison.text(compared(), color=False, width=width),
    "no-baseline": lambda width: comparison.text(
        compared() | {"base": [], "figures": [], "verdict": "unsure"}, color=False, width=width
    ),
    "checked": lambda width: preview.text(
        previewed(
            overlay=[{"step": "send", "at": "query.e#/filters/-", "value": ["$run.id"] * 9}],
            observer="ask",
            thresholds=["send.p99 < 250ms", "lost == 0"],
            stops_after_s=[None, 5.0],
            warnings=["one"],
        ),
        width=width,
    ),
    "listed": listed,
    "live": drawn(Run()),
    "live-trouble": drawn(Run(record=BAD, trouble="429: too many requests " * 3, signals=1)),
    "live-settling": drawn(Run(stage="settle", elapsed_s=17.2, left_s=8.8)),
    "logged": logged,
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_screen_is_as_it_was(name: str) -> None:
    text = "".join(f"── {width} columns\n{DRAWN[name](width)}" for width in WIDTHS)
    path = SCREENS / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        SCREENS.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"UPDATE_SCREENS=1 writes {path.name} anew"


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_of_a_screen_is_wider_than_the_terminal(name: str, width: int) -> None:
    for line in DRAWN[name](width).splitlines():
        assert len(line) <= max(width, live.PLAIN_WIDTH if name == "logged" else 0), line


def test_there_is_no_screen_that_nothing_shows() -> None:
    assert {path.stem for path in SCREENS.glob("*.txt")} == set(DRAWN)


def test_a_trend_in_markdown_mentions_nobody() -> None:
    document = trended()
    first, *rest = document["histories"]
    text = trend_markdown({**document, "histories": [{**first, "name": "@team ~x~ $y$"}, *rest]})
    assert "\\@team \\~x\\~ \\$y\\$" in text
