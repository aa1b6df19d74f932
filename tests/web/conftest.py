"""What a run tells its page, made up, and pages that are fed with it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from loadcheck.report.pages.timeline import ROWS
from loadcheck.result.schema import SCHEMA
from loadcheck.web import ListenAddress, LivePage

_COLUMNS = {
    **dict.fromkeys(("due", "started", "acknowledged"), 100),
    **dict.fromkeys(("skipped", "rejected", "indeterminate", "retries"), 0),
    "in_flight": 7,
}


def second(number: int, *, first: int | None = None, shards: int = 0, **now: Any) -> dict[str, Any]:
    """Return what is told after a number of seconds, with the rows from the one of ``first`` on."""
    began = first is None
    rows = range(0 if began else first or 0, number)
    state: dict[str, Any] = {
        "is": "run" if began else "state",
        "key": "r1",
        "run": {"id": "r1", "started_at": "2026-11-26T08:00:00.000Z", "baseline": 0},
        "warnings": [],
        "now": {
            "stage": "load",
            "part": "",
            "elapsed_s": float(number),
            "left_s": 5.0,
            "asked_rate": 100.0,
            "trouble": "",
            "signals": 0,
            "cpu_share": 0.5,
            "p99_ms": 3.0,
            "thresholds": [],
            "together": [],
            "workers": {"shards": [_shard(index, number) for index in range(shards)]},
            **now,
        },
        "copies": {
            "started": 100 * number,
            "acknowledged": 100 * number,
            **dict.fromkeys(("skipped", "rejected", "indeterminate", "retries"), 0),
            "in_flight": 7,
            "uniques": 90 * number,
            "users": 100 * number,
        },
        "rows": {
            "second": list(rows),
            **{name: [value] * len(rows) for name, value in _COLUMNS.items()},
            "uniques": [90 * row for row in rows],
            **{
                name: [factor * (2 + math.sin(row / 20)) for row in rows]
                for name, factor in (("p50_ms", 1.0), ("p99_ms", 3.0), ("max_ms", 5.0))
            },
            "lateness_p99_ms": [0.1] * len(rows),
        },
        "heat": [3 if 15 < row < 40 else 0 for row in range(ROWS)],
        "asked": {
            "observations": [
                {
                    "asked_s": float(number),
                    "answered_s": number + 0.1,
                    "as_of_s": float(number),
                    "uniques": 90 * number,
                    "totals": 90 * number,
                    "error": "",
                    "acknowledged": 100 * number,
                }
            ],
            "controls": {},
            "lost": None,
        },
    }
    if began:
        state |= {
            "title": "",
            "schema": SCHEMA,
            "scenario": {"name": "launch", "load": {"model": "open"}},
            "workflow": {"name": "w", "id": "w", "ingest": "uploadEvents"},
            "environment": {},
            "labels": {"env": "staging"},
            "checked": True,
            "deadline_s": 60.0,
            "planned": 100_000,
        }
    return state


def _shard(index: int, number: int) -> dict[str, Any]:
    return {
        "index": index,
        "host": "here",
        "end": None,
        "started": 10 * number,
        "acknowledged": 10 * number,
        "lateness_p99_ms": 0.2,
        "loop_lag_p99_ms": 0.1,
        "cpu_s": 0.4 * number,
        "watched_s": float(max(number, 1)),
    }


@contextlib.contextmanager
def serving(*, metrics: bool = False) -> Iterator[LivePage]:
    """Serve a page on any port."""
    scraped = ListenAddress(option="--metrics-port") if metrics else None
    with LivePage(ListenAddress(option="--web"), scraped) as served:
        yield served


@pytest.fixture(scope="module")
def served() -> Iterator[LivePage]:
    """Return a page of a run that has gone on for three seconds."""
    with serving(metrics=True) as page:
        page.post(second(3))
        yield page


def at(page: LivePage, path: str, *, token: bool = True) -> str:
    """Return the URL of a path of a page."""
    parts = urlsplit(page.url)
    return f"http://{parts.netloc}{path}" + (f"?{parts.query}" if token else "")


def get(url: str, **headers: str) -> httpx.Response:
    """Fetch, through no proxy."""
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.get(url, headers=headers)
