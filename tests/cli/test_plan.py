"""``loadcheck plan``, and the approval before a run that leaves this machine."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import orjson
import pytest
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from anyio.from_thread import start_blocking_portal

from tests.cli.conftest import KEYS as KEYS_OF_TESTS
from tests.cli.conftest import SCENARIOS, Loadcheck
from tests.cli.conftest import serving as emulator
from tests.pipeline import services

KEYS = {"AMPLITUDE_API_KEY": "k" * 32, "AMPLITUDE_SECRET_KEY": "s" * 32}
LIVE = SCENARIOS / "live.toml"
NOBODY = 'target.servers={"*"="http://192.0.2.1:9"}'
"""RFC 5737 keeps the address for documentation."""

SHORT: dict[str, list[str]] = {
    "burst": [
        *(f"load.stages.{number}.duration=1s" for number in range(3)),
        "load.stages.1.rate=600",
    ],
    "ramp": [
        *(f"load.stages.{number}.duration=1s" for number in range(3)),
        *("load.stages.0.ramp_to=300", "load.stages.1.rate=300"),
    ],
    "soak": ["load.duration=4s", "load.rate=200", "verify.every=1s", "verify.quiet=3s"],
    "closed": ["load.copies=2000"],
    "faulty": ["load.rate=500", "load.duration=4s", "target.faults.drop.among=2000"],
    "capacity": ["load.duration=3s"],
    "smoke": [],
}


def test_a_plan_that_breaks_a_limit_is_refused(loadcheck: Loadcheck) -> None:
    ended = loadcheck("plan", LIVE, "--set", "load.rate=300", env=KEYS)
    assert ended.code == 2
    assert "load.rate = 100" in ended.stderr
    assert "users         6,000" in ended.stdout
    forced = loadcheck("plan", LIVE, "--set", "load.rate=300", "--force-limits", env=KEYS)
    assert forced.code == 0, forced.stderr
    run = loadcheck("run", LIVE, "--live", "--yes", "--set", "load.rate=300", env=KEYS)
    assert run.code == 2
    assert "--force-limits insists" in run.stderr
    assert run.results == []


def test_a_digest_is_what_runs(loadcheck: Loadcheck, smoke: Path) -> None:
    planned = loadcheck("plan", smoke, "--json")
    document = orjson.loads(planned.stdout)
    assert (planned.code, document["schema"]) == (0, "loadcheck.plan/1")
    other = loadcheck("run", smoke, "--plan", document["digest"], "--set", "load.rate=99")
    assert other.code == 2
    assert "not the one that was approved" in other.stderr
    assert other.results == []
    done = loadcheck("run", smoke, "--plan", document["digest"], "--label", "env=test")
    assert done.code == 0, done.stderr
    assert done.result["run"]["seed"] == document["seed"]
    holds(document, done.result)


@pytest.mark.parametrize("options", [[], ["--plan", "0" * 32]])
def test_without_a_terminal_somebody_must_have_said_yes(
    loadcheck: Loadcheck, options: list[str]
) -> None:
    ended = loadcheck("run", LIVE, "--live", "--set", NOBODY, *options, env=KEYS)
    assert ended.code == 2
    assert ("approved" if options else "--yes") in ended.stderr
    assert ended.results == []


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("", 2), ("y", 2)])
def test_a_terminal_is_asked(loadcheck: Loadcheck, answer: str, code: int) -> None:
    ours, theirs = pty.openpty()
    process = loadcheck.start(
        *("run", LIVE, "--live", "--set", 'target.servers={"*"="http://127.1:9"}', "--quiet"),
        env={**KEYS, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        assert select.select([ours], [], [], 60)[0], said
        said += os.read(ours, 4096)
    os.write(ours, f"{answer}\n".encode())
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait(60) == code, said
    assert (b"preflight: upload: http://127.1:9 cannot be reached" in said) is (answer == "y")
    assert loadcheck.results() == []


def holds(planned: dict[str, Any], result: dict[str, Any]) -> None:
    """Hold a run against its plan."""
    spent, queries = result["spent"], planned["queries"]
    for name in ("users", "events"):
        bounds = planned[name]
        assert bounds["least"] <= spent[name] + result["copies"]["skipped"] <= bounds["most"]
        if planned["copies"]["least"]:
            assert bounds["least"] == bounds["most"]
    for name, key in (("asked", "queries"), ("cost", "query_cost")):
        assert queries[name]["least"] <= spent[key], (name, spent, queries)
        assert queries[name]["most"] is None or spent[key] <= queries[name]["most"]
    # every question has one of the two prices
    split = spent["query_cost"] - queries["plain_cost"] * spent["queries"]
    dearer = queries["split_cost"] - queries["plain_cost"]
    assert split == 0 or dearer
    if dearer:
        assert split % dearer == 0
        assert split // dearer >= queries["split"]
    observer = result["steps"][result["workflow"]["observer"]]
    # those that were cut short, when the load ended and when the count had settled, have no time
    assert 0 <= spent["queries"] - observer["attempts"] <= 2
    assert spent["controls"] <= queries["controls"]


@pytest.mark.long
def test_what_the_look_before_a_run_has_sent_is_told(loadcheck: Loadcheck, smoke: Path) -> None:
    with emulator() as service:
        # another spelling of this machine's address may be anybody's
        away = replace(service, url=service.url.replace("127.0.0.1", "127.1"))
        options = away.options(**{"load.rate": 50, "load.duration": "1s"})
        ended = loadcheck("run", smoke, "--live", "--yes", *options, env=KEYS_OF_TESTS)
        assert ended.code == 0, ended.stderr
        kept = service.call("GET", "state")["events"]
    spent = ended.result["spent"]
    flown = spent["preflight"]
    # the same event twice: it is kept once
    assert (flown["users"], flown["events"]) == (1, 2)
    assert kept == spent["events"] + 1
    assert f"before it 1 user and {flown['queries']} queries" in ended.stdout


@pytest.mark.long
def test_a_mix_tells_what_the_look_before_it_has_sent_once(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    both = tmp_path / "both.toml"
    both.write_text(
        'workflow = "amplitude"\n[inputs]\neventType = "probe"\n[load]\nmodel = "open"\n'
        'rate = 40\nduration = "1s"\n'
        '[[mix]]\nname = "a"\nweight = 1\n[[mix]]\nname = "b"\nweight = 1\n'
    )
    with emulator() as service:
        away = replace(service, url=service.url.replace("127.0.0.1", "127.1"))
        ended = loadcheck("run", both, "--live", "--yes", *away.options(), env=KEYS_OF_TESTS)
    assert ended.code == 0, ended.stderr
    spent = [orjson.loads(path.read_bytes())["spent"] for path in ended.results]
    assert [each["preflight"]["users"] for each in spent if "preflight" in each] == [1]


# every shipped scenario, shortened, behind a relay that counts


SERVED: dict[str, services.Service] = {
    "clickhouse": services.clickhouse,
    "elasticsearch": services.elasticsearch,
    "influxdb": services.influxdb,
    "influxdb2": services.influxdb,
    "mixpanel": services.mixpanel,
    "postgrest": services.postgrest,
    "posthog": services.posthog,
    "segment": services.segment,
}
"""The others are Amplitude's, whose emulator answers."""
QUICK = ["verify.every=500ms", "verify.quiet=1s", "verify.deadline=20s"]
FAULTS: dict[str, dict[str, Any]] = {
    "faulty": {"faults": {"drop": {"count": 37, "among": 2000}}},
}


class Relay:
    """Passes on what it is sent, and counts the bytes of each kind of request."""

    def __init__(self, url: str) -> None:
        self._behind = urlsplit(url)
        self.bytes: Counter[tuple[str, str]] = Counter()

    async def serve(self, connection: SocketStream) -> None:
        host, port = self._behind.hostname, self._behind.port
        assert host
        assert port
        async with (
            connection,
            await anyio.connect_tcp(host, port) as behind,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._back, behind, connection, tasks.cancel_scope)
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._forth(connection, behind)
            tasks.cancel_scope.cancel()

    async def _forth(self, connection: SocketStream, behind: SocketStream) -> None:
        kept = b""
        while True:
            piece = await connection.receive()
            await behind.send(piece)
            kept += piece
            while b"\r\n\r\n" in kept:
                head = kept.partition(b"\r\n\r\n")[0]
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                size = len(head) + 4 + (int(length[1]) if length else 0)
                if len(kept) < size:
                    break
                method, target = head.decode("latin-1").split(" ")[:2]
                self.bytes[method, urlsplit(target).path] += size
                kept = kept[size:]

    async def _back(
        self, behind: SocketStream, connection: SocketStream, scope: anyio.CancelScope
    ) -> None:
        with contextlib.suppress(
            anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError
        ):
            while True:
                await connection.send(await behind.receive())
        scope.cancel()


@contextlib.contextmanager
def relayed(url: str) -> Iterator[tuple[str, Relay]]:
    """Serve a relay from a thread; yield its URL and the relay."""
    relay = Relay(url)

    async def serve(*, task_status: TaskStatus[int]) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(SocketAttribute.local_port))
            await listener.serve(relay.serve)

    with start_blocking_portal() as portal:
        served, port = portal.start_task(serve)
        yield f"http://127.0.0.1:{port}", relay
        served.cancel()


@contextlib.contextmanager
def stand_in(name: str) -> Iterator[tuple[str, list[str]]]:
    """Serve what a scenario is of; yield the URL, and what it must be told."""
    if name in SERVED:
        with services.serving(SERVED[name], services.Store()) as url:
            yield url, []
    else:
        with emulator(**FAULTS.get(name, {})) as service:
            keys = service.options()
            yield service.url, [each for each in keys if each.startswith("inputs.")]


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [path.stem for path in sorted(SCENARIOS.glob("*.toml"))])
def test_a_run_does_what_its_plan_says(loadcheck: Loadcheck, name: str) -> None:
    with stand_in(name) as (behind, told), relayed(behind) as (url, relay):
        # what matters here is that all is sent, not how soon it is answered
        changes = ["thresholds=[]", *QUICK, *told, *SHORT.get(name, ["load.duration=2s"])]
        changes.append(f'target={{kind="live", servers={{"*"="{url}"}}}}')
        sets = [part for change in changes for part in ("--set", change)]
        keys = {**KEYS_OF_TESTS, **services.KEYS}
        plan = loadcheck("plan", SCENARIOS / f"{name}.toml", *sets, "--json", env=keys)
        assert plan.code == 0, plan.stderr
        planned = orjson.loads(plan.stdout)
        ended = loadcheck(
            *("run", SCENARIOS / f"{name}.toml", *sets, "--plan", planned["digest"]), env=keys
        )
    result = ended.result
    assert ended.code == (1 if name == "faulty" else 0), ended.stderr
    holds(planned, result)
    spent, copies = result["spent"], result["copies"]
    if name != "faulty":
        assert spent["controls"] == 0
        assert spent["users"] == planned["users"]["most"] - copies["skipped"]
    # bytes of all that copies sent, those included whom a busy machine skipped
    step = result["workflow"]["ingest"]
    method, _, where = result["steps"][step]["request"].partition(" ")
    got = relay.bytes[method, _path(where, relay)]
    each = planned["bytes"]["usual"] / planned["requests"]["most"]
    sent = result["steps"][step]["attempts"] + spent["controls"]
    assert got == pytest.approx(each * sent, rel=0.01), (got, each, relay.bytes)
    if not copies["skipped"] and name != "faulty":
        assert got == pytest.approx(planned["bytes"]["usual"], rel=0.01)


def _path(template: str, relay: Relay) -> str:
    """Return the path of a step whose template is told: what is in braces may be anything."""
    pattern = re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(urlsplit(template).path or "/"))
    return next(path for _, path in relay.bytes if re.fullmatch(pattern, path))
