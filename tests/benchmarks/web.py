"""What does the page of a run cost, the browser and the load? ``python -m tests.benchmarks.web``.

An hour of history and ten shards, told each second for twenty seconds to a page that a headless
Chromium shows, scrolled to where most charts are in view; and what one message costs the process
that sends the load. What must hold: first paint within 1 s, at most 30 % of a core and 60 MB of
JavaScript's heap in the browser, 2 % of a core and no millisecond in a row in the generator.

With ``--rounds 8`` a short burst is run instead, in turn without a page, with one, and with one
that a viewer follows: the medians of the lateness must agree. Where others use the processor as
well, the time that the generator was ready and had no core says what they account for.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import anyio
import httpx
import orjson
import psutil

from loadcheck import pipeline
from loadcheck import scenario as scenarios
from loadcheck.verify.progress import Progress
from loadcheck.web import Feed
from tests.benchmarks.harness import ROOT, arguments, report
from tests.report.conftest import Browser, Tab
from tests.web.conftest import second, serving

_HOUR_S = 3600
_EVERY_S = 6
"""Of the history, which comes faster than the rest."""
_WATCHED_S = 20
_SHARDS = 10
_SCENARIO = ROOT / "scenarios" / "smoke.toml"
_BURST = (
    *("run", str(ROOT / "scenarios" / "burst.toml"), "--quiet", "--force"),
    *("--set", "load.stages.0.duration=1", "--set", "load.stages.1.duration=5"),
    *("--set", "load.stages.2.duration=1"),
)
_WAYS = ("none", "page", "viewer")


def browser_cost() -> dict[str, float]:
    """Return what the page costs who looks at it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("no chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, serving() as page:
        page.post(second(_EVERY_S, shards=_SHARDS))
        for number in range(2 * _EVERY_S, _HOUR_S + 1, _EVERY_S):
            page.post(second(number, first=number - _EVERY_S, shards=_SHARDS))
        started = Browser(program, Path(profile))
        tab = Tab(started)
        tab.shape(1280, 1400)
        tab.call("Performance.enable", timeDomain="timeTicks")
        tab.open(page.url)
        tab.run("document.querySelector('#chart-heat').scrollIntoView({block: 'center'})")
        time.sleep(2)
        paint_ms = tab.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        server, browser = psutil.Process(page.pid), psutil.Process(started.pid)
        began_s, serving_s, browser_s = time.perf_counter(), _cpu_s(server), _cpu_s(browser)
        for number in range(_HOUR_S + 1, _HOUR_S + 1 + _WATCHED_S):
            page.post(second(number, first=number - 1, shards=_SHARDS))
            time.sleep(1)
        took_s = time.perf_counter() - began_s
        serving_s, browser_s = _cpu_s(server) - serving_s, _cpu_s(browser) - browser_s
        shown = tab.run("document.querySelector('.because').textContent")
        assert ": 1:00:" in shown, shown  # it has followed, or the figures are of a page at rest
        heap_bytes = _figures(tab)["JSHeapUsedSize"]
        tab.call("HeapProfiler.collectGarbage")
        kept_bytes = _figures(tab)["JSHeapUsedSize"]
        started.close()
    return {
        "first_paint_ms": paint_ms,
        "browser_share": browser_s / took_s,
        "heap_bytes": heap_bytes,
        "heap_kept_bytes": kept_bytes,
        "page_process_share": serving_s / took_s,
    }


def _cpu_s(process: psutil.Process) -> float:
    """Return the processor's time of a process and of those that it has started."""
    everyone = [process, *process.children(recursive=True)]
    return float(sum(sum(each.cpu_times()[:2]) for each in everyone))


def _figures(tab: Tab) -> dict[str, float]:
    return {each["name"]: each["value"] for each in tab.call("Performance.getMetrics")["metrics"]}


def feed_cost() -> dict[str, float]:
    """Return what one message costs the generator, in a run of some seconds."""
    took_s: list[float] = []

    async def watch(progress: Progress) -> None:
        feed = Feed(progress, metrics=True)
        while True:
            began_s = time.perf_counter()
            feed.message()
            took_s.append(time.perf_counter() - began_s)
            await anyio.sleep(0.2)

    loaded = scenarios.load(_SCENARIO, overrides=["load.rate=500", "load.duration=6"])
    with tempfile.TemporaryDirectory() as folder:
        options = pipeline.Options(results=Path(folder))
        anyio.run(pipeline.run, loaded, options, watch, backend_options={"use_uvloop": True})
    took_s.sort()
    middle = took_s[len(took_s) // 2]
    return {"message_s": middle, "longest_message_s": took_s[-1], "generator_share": middle}


def burst(way: str) -> dict[str, float]:
    """Return how late a short burst was, and what it used of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "result.json")
        page = () if way == "none" else ("--web", "--web-linger", "0", "--metrics-port", "9464")
        command = [sys.executable, "-m", "loadcheck", *_BURST, "-o", str(saved), *page]
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            if page:
                url = process.stderr.readline().split()[1]
                if way == "viewer":
                    threading.Thread(target=_follow, args=(url,), daemon=True).start()
            threading.Thread(target=process.stderr.read, daemon=True).start()
            stood_s = 0.0
            while process.poll() is None:
                # the file goes with the process
                with contextlib.suppress(OSError, IndexError, ValueError):
                    waits = Path(f"/proc/{process.pid}/schedstat").read_text().split()
                    stood_s = int(waits[1]) / 1e9
                time.sleep(0.2)
        generator = orjson.loads(saved.read_bytes())["generator"]
    return {
        **{name: generator["lateness"][name] for name in ("p50_ms", "p99_ms", "p999_ms")},
        "cpu_share": generator["cpu_s"] / generator["watched_s"],
        "stood_s": stood_s,
    }


def _follow(url: str) -> None:
    """Read what a page is told, as its script does, and fetch it once."""
    with contextlib.suppress(httpx.HTTPError), httpx.Client(trust_env=False, timeout=60) as client:
        client.get(url)
        with client.stream("GET", url.replace("/?", "/events?")) as told:
            for _ in told.iter_raw():
                pass


def in_turn(rounds: int, *, as_json: bool) -> None:
    """Run bursts in turn, each round in another order, and print the medians of each way."""
    taken: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
    for number in range(rounds):
        for place in range(len(_WAYS)):
            way = _WAYS[(number + place) % len(_WAYS)]
            taken[way].append(burst(way))
    found = {
        way: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for way, runs in taken.items()
    }
    rows: list[tuple[str, ...]] = [
        ("page", "lateness p50", "p99", "p99.9", "CPU", "ready, but no core")
    ]
    for way, told in found.items():
        late = (f"{told[name]:.3f} ms" for name in ("p50_ms", "p99_ms", "p999_ms"))
        rows.append((way, *late, f"{100 * told['cpu_share']:.1f} %", f"{told['stood_s']:.2f} s"))
    report({"medians": found, "runs": taken}, rows, as_json=as_json)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", rounds=0)
    if options.rounds:
        in_turn(options.rounds, as_json=options.json)
        return
    found = {**feed_cost(), **browser_cost()}
    rows = [
        ("what", "figure"),
        ("first paint", f"{found['first_paint_ms']:.0f} ms"),
        ("browser", f"{100 * found['browser_share']:.1f} % of a core"),
        (
            "its heap; after a collection",
            f"{found['heap_bytes'] / 1e6:.1f} MB; {found['heap_kept_bytes'] / 1e6:.1f} MB",
        ),
        ("the page's process", f"{100 * found['page_process_share']:.1f} % of a core"),
        (
            "a message, in the generator",
            f"{1e3 * found['message_s']:.2f} ms, {100 * found['generator_share']:.2f} % of a core",
        ),
        ("the longest", f"{1e3 * found['longest_message_s']:.2f} ms"),
    ]
    report(found, rows, as_json=options.json)


if __name__ == "__main__":
    main()
