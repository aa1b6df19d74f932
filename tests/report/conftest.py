"""Chromium without a window, driven over a pipe, where it is installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from loadcheck.measure.histogram import layout
from loadcheck.measure.intervals import DIGITS, encode
from loadcheck.result.schema_others import CAPACITY

EARLY = Path(__file__).with_name("early.json")
"""The file of a run that passed, as the first version wrote it: 21,600 users in 16 seconds."""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# the browser wants its end of the pipe at 3 and 4, which may be taken in this process
_LAUNCH = """
import os, sys
to, back = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2]))
spare = os.dup(to), os.dup(back)
os.dup2(spare[0], 3), os.dup2(spare[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A browser that speaks the DevTools protocol (chromedevtools.github.io/devtools-protocol)."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCH, str(theirs_in), str(theirs_out)),
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
            ],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        """Of the browser's main process."""
        return self._process.pid

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method and return what it answers."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        while True:
            for place, event in enumerate(self.events):
                if event.get("method") == method and event.get("sessionId") == session:
                    return self.events.pop(place)
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has gone"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def close(self) -> None:
        """End the browser."""
        try:
            self.call("Browser.close")
        finally:
            self.leave()

    def leave(self) -> None:
        """Let go of a browser that has ended, or that ends when nobody speaks to it any more."""
        os.close(self._to)
        os.close(self._from)
        self._process.wait(20)


class Tab:
    """A page in a browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def shape(self, width: int, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Set the window's size, and what the page's media queries are told."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        # a page that is still scrolling when it is clicked moves away from under the pointer
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, page: Path | str) -> None:
        self._browser.events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self._browser.wait_for("Page.loadEventFired", self._session)
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def key(self, key: str, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **extra)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def screenshot(self) -> bytes:
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        return base64.b64decode(data)

    def pdf(self) -> bytes:
        data = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"]
        return base64.b64decode(data)

    def complaints(self) -> list[str]:
        """Return what the browser wrote to its console, and what it was asked to fetch."""
        self.run("1")
        said = []
        for event in self._browser.events:
            method, values = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                said.append(str(values["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled":
                said.append(str(values["args"]))
            elif method == "Log.entryAdded":
                said.append(str(values["entry"]))
            elif method == "Network.requestWillBeSent":
                url = values["request"]["url"]
                if not url.startswith(("file:", "data:")):
                    said.append(f"fetches {url}")
        return said

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)


AXE = """
axe.run({resultTypes: ["violations"]}).then((found) => found.violations
  .filter(({impact}) => impact === "serious" || impact === "critical")
  .map(({id, nodes}) => [id, nodes[0].html.slice(0, 200), nodes[0].failureSummary]))
"""
"""What axe-core finds that keeps somebody from reading a page."""


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the script of axe-core, which looks for what keeps people from reading a page."""
    return files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def document() -> dict[str, Any]:
    """Return the document of a run that passed, for a test to change."""
    loaded: dict[str, Any] = orjson.loads(EARLY.read_bytes())
    return loaded


@pytest.fixture
def intervals() -> dict[str, Any]:
    """Return the intervals of a run of three stretches: 1, 2, 3 ms; 10 ms; and nothing."""
    rows = np.zeros((2, layout(DIGITS).size), dtype=np.uint32)
    places = layout(DIGITS).places(np.array([1000, 2000, 3000, 10_000], dtype=np.int64))
    rows[0, places[:3]] = 1
    rows[1, places[3]] = 1
    texts = [encode(rows[0]), encode(rows[1]), None]
    columns = ("due", "started", "skipped", "acknowledged", "rejected", "indeterminate")
    return {
        "from_s": [0.0, 5.0, 10.0],
        "to_s": [5.0, 10.0, 16.0],
        **{name: [3, 1, 0] for name in columns},
        "lateness": texts,
        "steps": {
            "uploadEvents": {
                "succeeded": [3, 1, 0],
                "failed": [0, 0, 0],
                "response_time": texts,
                "service_time": [None, *texts[1:]],
            },
            "segmentEvent": {
                "succeeded": [0, 0, 0],
                "failed": [0, 0, 0],
                "response_time": None,
                "service_time": [None, None, None],
            },
        },
    }


@pytest.fixture
def failed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document of a run in which everything went wrong that can."""
    copies = document["copies"]
    copies["rejected"] = copies["indeterminate"] = copies["skipped"] = 40
    for place in range(2, 10):
        for name in ("rejected", "indeterminate", "skipped", "retries"):
            document["timeline"][name][place] = 5
    copy = {"user_id": "lc-<b>-0000417", "copy": 417, "second": 2, "sent_at": None}
    window = {
        "first_copy": 400,
        "last_copy": 600,
        "from_s": 2,
        "to_s": 3,
        "from": None,
        "to": None,
        "lost": 190,
        "sent": 201,
    }
    seen = document["consistency"]
    seen |= {"uniques": 21_400, "lost_at_least": 200, "duplicated": 3}
    seen["localized"] = {
        "lost": [copy],
        "unexpected": [],
        "duplicated": [{**copy, "events": 2}],
        "windows": [window],
        "ambiguous": {
            "lost": 9,
            "lost_suspects": 30,
            "duplicated": 0,
            "duplicated_suspects": 0,
        },
        "recovered": 0,
        "exact": False,
        "partitions": 3,
        "queries": 3,
        "cost": 30,
        "trouble": "the third query was refused",
    }
    seen["visibility"] = {
        "p50_s": 0.6,
        "p95_s": 1.5,
        "p99_s": None,
        "max_s": None,
        "lower": {"p50_s": 0.1, "p95_s": 1.0, "p99_s": None, "max_s": None},
        "resolution_s": 0.5,
        "never": 200,
        "samples": 21_600,
    }
    seen["observations"][5] |= {"uniques": None, "totals": None, "error": "429 <too> much"}
    document["verdict"] = "fail"
    document["findings"][0] |= {"verdict": "fail", "summary": "200 users <i>are</i> missing."}
    document["findings"][1] |= {"verdict": "unknown", "summary": "Nobody | knows."}
    document["thresholds"][0] |= {"verdict": "fail", "measured": 300.0}
    document["thresholds"][1] |= {"verdict": "unknown", "measured": None}
    document["warnings"] = ["look <at> this\x00"]
    step = document["steps"]["uploadEvents"]
    step["reasons"] = {"503 Service Unavailable: no <b>": 12}
    step["examples"] = {"503": "<script>alert(1)</script>"}
    step["failed"] = step["service_time"]
    return document


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    started = Browser(program, tmp_path_factory.mktemp("chromium"))
    try:
        started.call("Browser.getVersion")
    except (AssertionError, BrokenPipeError):
        started.leave()
        pytest.skip("Chromium is installed and does not start")
    yield started
    started.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    opened = Tab(browser)
    opened.shape(1280)
    yield opened
    opened.close()


def _probe(number: int, rate: float, verdict: str, p99_ms: float, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "run": f"run{number}",
        "started_at": "2026-11-23T10:00:00.000Z",
        "rate": rate,
        "reached_rate": min(rate, 1000.0),
        "again": False,
        "verdict": verdict,
        "because": "",
        "measured": None,
        "unit": "",
        "close": False,
        "stopped_at_s": None,
        "load_s": 10.0,
        "took_s": 12.0,
        "copies": dict.fromkeys(
            ("started", "skipped", "acknowledged", "rejected", "indeterminate"), 7
        ),
        "latency": {
            "count": 900,
            "p50_ms": p99_ms / 9,
            "p90_ms": 2.0,
            "p95_ms": 2.0,
            "p99_ms": p99_ms,
            "p999_ms": 9.0,
            "max_ms": 99.0,
            "above_range": 0,
            "hdr": "",
        },
        "error_rate": 0.01,
        "carried_rate": None,
        "growth": None,
        "visibility": {"p95_s": 0.5 if verdict == "held" else None},
        "uniques": 7,
        "lost_at_least": 0,
        "duplicated": 0,
        "generator": {"dispatch_lag_p99_ms": 1, "loop_lag_p99_ms": 1, "cpu_share": 0.3},
        "thresholds": [
            {
                "expression": "uploadEvents.p99 < 50ms",
                "measured": p99_ms,
                "unit": "ms",
                "verdict": "pass",
                "own_delay_ms": None,
            }
        ],
        "findings": [
            {"check": "lost", "verdict": "pass", "summary": "None is missing.", "evidence": {}}
        ],
        **more,
    }


@pytest.fixture
def search() -> dict[str, Any]:
    """Return the document of a capacity search that found its answer."""
    broke = {"because": "uploadEvents.p99 < 50ms", "measured": 900.0, "unit": "ms"}
    return {
        "schema": CAPACITY,
        "verdict": "pass",
        "run": {
            "id": "abc",
            "phase": "complete",
            "seed": 7,
            "interrupted": False,
            "error": None,
            "started_at": "2026-11-23T10:00:00.000Z",
            "ended_at": "2026-11-23T10:05:00.000Z",
            "scenario_file": "cap.toml",
        },
        "search": {"took_s": 300.0, "events": 12_000},
        "curve": {
            "rate": [100.0, 950.0, 980.0, 3000.0],
            "p50_ms": [0.3, 2.2, 6.7, 100.0],
            "p99_ms": [3.0, 20.0, 60.0, 900.0],
            "error_rate": [0.01] * 4,
            "visible_p95_s": [0.5, 0.5, None, None],
            "carried_rate": [None, None, None, 970.0],
        },
        "answer": {
            "rate": 950.0,
            "interval": [950.0, 980.0],
            "precise": True,
            "limited_by": "target",
            **broke,
            "ending": "precise",
        },
        "checks": ["uploadEvents.p99 < 50ms"],
        "probes": [
            _probe(1, 100, "held", 3.0),
            _probe(2, 3000, "broke", 900.0, carried_rate=970.0, **broke),
            _probe(3, 950, "held", 20.0),
            _probe(4, 980, "unproven", 60.0, because="generator"),
            _probe(5, 980, "cut", 60.0),
        ],
        "scenario": {"name": "launch", "load": {"model": "open"}},
        "workflow": {"name": "amplitude", "id": "w", "ingest": "uploadEvents"},
        "environment": {"loadcheck": "0.1.0"},
        "warnings": [],
    }
