"""How fast is the emulator? ``python -m tests.benchmarks.emulator [--json] [--seconds N]``.

What must hold: 20,000 single-event uploads a second on one core with validation, deduplication
and counting on; a group-by of 1,000,000 users into 1,000 buckets in under a second; less than 400
bytes for a user.

``wrk`` sends unique bodies from one core, the emulator is pinned to another. Where the machine has
less than two whole cores to spare, the uploads per second of emulator CPU time are what one whole
core would take; both are printed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.harness import ROOT, arguments, report

KEY, SECRET = "k" * 32, "s" * 32
USERS = 1_000_000
BATCH = 1000
SCRIPT = """
local n = 0
function request()
  n = n + 1
  local body = '{"api_key":"%s","events":[{"user_id":"lc-abcdefghijkl-' .. n
    .. '","event_type":"probe","time":%d,"insert_id":"abcdefghijkl-' .. n
    .. '","event_properties":{"plan":"free","loadcheck_run":"abcdefghijkl","h1":'
    .. n * 7919 %% 990 .. ',"h2":' .. n * 104729 %% 990 .. ',"slot":'
    .. math.floor(n / 1000) %% 990 .. '}}]}'
  return wrk.format("POST", "/2/httpapi", {["Content-Type"]="application/json"}, body)
end
"""


@contextmanager
def keeping(data: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run an emulator that keeps its events, pinned likewise, for the length of a block."""
    command = [sys.executable, "-m", "loadcheck", "emulate", "--port", "0", "--data", str(data)]
    command += ["--api-key", KEY, "--secret-key", SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        child = psutil.Process(process.pid)
        if (os.cpu_count() or 1) > 1:
            child.cpu_affinity([0])
        yield url, child
        process.terminate()
        process.wait(60)


@contextmanager
def emulator() -> Iterator[tuple[str, psutil.Process]]:
    """Run an emulator, pinned to the first core, for the length of a block."""
    command = [sys.executable, "-m", "loadcheck.emulator", "--embedded"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"api_key": KEY, "secret_key": SECRET}).encode() + b"\n")
        process.stdin.flush()
        url = json.loads(process.stdout.readline())["url"]
        child = psutil.Process(process.pid)
        if (os.cpu_count() or 1) > 1:
            child.cpu_affinity([0])
        yield url, child
        process.stdin.close()
        process.wait(10)


def uploads(
    seconds: float, serving: Callable[[], AbstractContextManager[tuple[str, psutil.Process]]]
) -> dict[str, Any]:
    """Let wrk upload single events, every one of another user."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script, serving() as (url, child):
        script.write(SCRIPT % (KEY, time.time_ns() // 1_000_000))
        script.flush()
        command = ["wrk", "-t1", "-c32", f"-d{seconds:g}s", "--latency", "-s", script.name, url]
        if (os.cpu_count() or 1) > 1:
            command = ["taskset", "-c", "1", *command]
        before = child.cpu_times()
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        after = child.cpu_times()
        found = re.search(r"(\d+) requests in ([\d.]+)s", said)
        assert found, said
        assert "Non-2xx" not in said, said
        count = int(found[1])
        spent_s = after.user + after.system - before.user - before.system
        stored = ask(url, {"event_type": "probe"})["data"]["seriesCollapsed"][0][0]["value"]
        assert stored >= count, (stored, count)
        return {
            "uploads_per_s": count / float(found[2]),
            "uploads_per_cpu_s": count / spent_s,
            "share_of_core": spent_s / float(found[2]),
        }


def million() -> dict[str, Any]:
    """Store a million users, and group them by a bucket of 1,000."""
    with emulator() as (url, child):
        before = child.memory_info().rss
        now_ms = time.time_ns() // 1_000_000
        for first in range(0, USERS, BATCH):
            events = [event(number, now_ms) for number in range(first, first + BATCH)]
            payload = json.dumps({"api_key": KEY, "events": events}).encode()
            headers = {"content-type": "application/json"}
            request = urllib.request.Request(f"{url}/batch", payload, headers)
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
        bytes_per_user = (child.memory_info().rss - before) / USERS
        by_bucket = {"event_type": "probe", "group_by": [{"type": "event", "value": "bucket"}]}
        times = []
        for _ in range(5):
            began = time.perf_counter()
            data = ask(url, by_bucket, limit=1000)["data"]
            times.append(time.perf_counter() - began)
            assert sum(line[0]["value"] for line in data["seriesCollapsed"]) == USERS
            assert len(data["series"]) == 1000
        return {"group_by_s": sorted(times)[2], "bytes_per_user": bytes_per_user}


def event(number: int, now_ms: int) -> dict[str, Any]:
    """Return an event as loadcheck sends it."""
    return {
        "user_id": f"lc-abcdefghijkl-{number:07}",
        "event_type": "probe",
        "time": now_ms,
        "insert_id": f"abcdefghijkl-{number}",
        "event_properties": {
            "plan": "free",
            "loadcheck_run": "abcdefghijkl",
            "bucket": number * 7919 % 1000,
            "h1": number * 104_729 % 990,
            "h2": number * 1_299_709 % 990,
            "slot": number // 1200 % 990,
        },
    }


def ask(url: str, asked: dict[str, Any], **more: Any) -> Any:
    """Ask for the uniques of yesterday to tomorrow."""
    today = dt.datetime.now(dt.UTC).date()
    parameters = {
        "e": json.dumps(asked),
        "start": f"{today - dt.timedelta(days=1):%Y%m%d}",
        "end": f"{today + dt.timedelta(days=1):%Y%m%d}",
        **more,
    }
    query = urllib.parse.urlencode(parameters)
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, url, KEY, SECRET, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    with opener.open(f"{url}/api/2/events/segmentation?{query}") as answer:
        return json.loads(answer.read())


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=8.0)
    figures: dict[str, Any] = million()
    if shutil.which("wrk"):
        figures |= uploads(options.seconds, emulator)
        with tempfile.TemporaryDirectory() as folder:
            kept = uploads(options.seconds, lambda: keeping(Path(folder, "data")))
        figures |= {f"kept_{name}": value for name, value in kept.items()}
    rows = [
        ("figure", "measured", "must reach"),
        ("group-by of 1,000,000 users into 1,000", f"{figures['group_by_s']:.2f} s", "< 1 s"),
        ("memory of a user", f"{figures['bytes_per_user']:.0f} bytes", "< 400 bytes"),
    ]
    if "uploads_per_s" in figures:
        share = f"{figures['share_of_core']:.0%} of its core"
        rows += [
            ("uploads", f"{figures['uploads_per_s']:,.0f}/s with {share}", ">= 20,000/s"),
            ("uploads per CPU second", f"{figures['uploads_per_cpu_s']:,.0f}", ">= 20,000"),
            ("the same with --data", f"{figures['kept_uploads_per_cpu_s']:,.0f}", ""),
        ]
    else:
        rows.append(("uploads", "not measured: wrk is not installed", ">= 20,000/s"))
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
