"""Plays a whole run of the product against the service in memory, in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast
from unittest import mock

import anyio
import orjson

import loadcheck
from loadcheck import scenario as scenarios
from loadcheck.cli.terminal import exit_of
from loadcheck.load import engine
from loadcheck.load.transport import LoadTransport, Sink
from loadcheck.load.transport.httpx_ import HttpxTransport
from loadcheck.measure import Ledger
from loadcheck.pipeline import execute, labels
from loadcheck.pipeline.reconcile import ReconcileOptions, reconcile_run
from loadcheck.pipeline.session import RunContext, RunSession
from loadcheck.result.document import ResultSink
from loadcheck.result.store import ResultFile
from loadcheck.scenario.model import Scenario
from loadcheck.verify import Verdict
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request
from tests.compiled import compiled
from tests.pipeline.in_process_run import Nowhere
from tests.property.verdict_fuzz.service import Behaviour, Reply, Service
from tests.property.verdict_fuzz.virtual_time import VirtualClock, run_virtual

_FAILURES = {"timeout": Failure.TIMEOUT, "lost": Failure.LOST}
_BARE = Path(loadcheck.__file__).parent / "library" / "amplitude" / "workflow.yml"
"""The workflow without a profile: nothing marks the events of a run."""
_INPUTS = {"apiKey": "the-key", "basicAuth": "dGhlOnNlY3JldA==", "eventType": "probe"}
_IDS = {"userId": "$copy.userId", "start": "$run.startDay", "end": "$run.endDay"}
_COUNTED = "$response.body#/data/seriesCollapsed/0/0/value"
_COUNTS = {
    "ingest": "uploadEvents",
    "step": "segmentEvent",
    "uniques": {"value": _COUNTED},
    "totals": {"value": _COUNTED, "overlay": [{"at": "query.m", "value": "totals"}]},
}


@dataclass(frozen=True, kw_only=True)
class Mix:
    """One run: what is sent, how it is verified, and what is wrong with the service.

    Attributes:
        name: What it is about.
        behaviour: What is wrong with the service.
        load: The scenario's ``[load]``.
        verify: The scenario's ``[verify]``.
        retry: The scenario's ``[retry]``.
        inputs: The scenario's ``[inputs]``, beside those that every mix has.
        sessions: The scenario's ``[sessions]``; empty: it has none.
        thresholds: The scenario's.
        filtered: Whether the query has a filter for the run; false: baseline mode.
        interrupts: When signals come, in seconds since the run began.
        later_s: After how long the service is asked again, from the results file; None: never.
        undecidable: Why no evidence could decide it; "" if evidence can.
        seed: Of everything random.
    """

    name: str = ""
    behaviour: Behaviour = field(default_factory=Behaviour)
    load: Mapping[str, Any] = field(
        default_factory=lambda: {"model": "closed", "concurrency": 8, "copies": 100}
    )
    verify: Mapping[str, Any] = field(default_factory=dict)
    retry: Mapping[str, Any] = field(default_factory=lambda: {"attempts": 1})
    inputs: Mapping[str, Any] = field(default_factory=dict)
    sessions: Mapping[str, Any] = field(default_factory=dict)
    thresholds: tuple[str, ...] = ()
    filtered: bool = True
    interrupts: tuple[float, ...] = ()
    later_s: float | None = None
    undecidable: str = ""
    seed: int = 1

    @property
    def asking(self) -> dict[str, Any]:
        """The whole ``[verify]`` table."""
        localize = self.filtered and "approximate" not in self.verify
        usual = ({"localize": True} if localize else {}) | {
            "every": "1s",
            "quiet": "10s",
            "deadline": "60s",
        }
        return {**usual, "timeout": "5s", **self.verify}

    def scenario(self) -> str:
        """Return the scenario as a user would write it."""
        tables: dict[str, Mapping[str, Any]] = {
            "target": {"kind": "live", "servers": {"*": "http://127.0.0.1:9"}},
            "inputs": {**_INPUTS, **({} if self.filtered else _IDS), **self.inputs},
            "load": self.load,
            "retry": self.retry,
            "timeouts": {"request": "2s", "drain": "5s"},
            "verify": self.asking if self.filtered else {**_COUNTS, **self.asking},
        }
        if self.sessions:
            tables["sessions"] = self.sessions
        workflow = 'workflow = "amplitude"' if self.filtered else f'workflow.document = "{_BARE}"'
        lines = [
            'name = "fuzz"',
            workflow,
            f"seed = {self.seed}",
            f"thresholds = {json.dumps(list(self.thresholds))}",
        ]
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        if not self.filtered:
            # nothing else: no filter, and no bucket
            lines += ["[[overlay]]", 'step = "uploadEvents"', 'at = "body#/events/0/insert_id"']
            lines += ['value = "$copy.insertId"']
        return "\n".join(lines) + "\n"

    def told(self) -> str:
        """Return what makes this mix, for a person who wants to see it again."""
        usual = asdict(Behaviour())
        wrong = {
            entry.name: value
            for entry in fields(self.behaviour)
            if (value := getattr(self.behaviour, entry.name)) != usual[entry.name]
        }
        parts = {"load": self.load, "verify": self.verify, "retry": self.retry}
        lines = [f"{self.name or 'mix'} (seed {self.seed})", f"  service {wrong}"]
        lines += [f"  {name} {dict(value)}" for name, value in parts.items()]
        if not self.filtered:
            lines.append("  baseline mode")
        if self.interrupts:
            lines.append(f"  interrupted after {self.interrupts} s")
        if self.later_s is not None:
            lines.append(f"  asked again after {self.later_s:g} s")
        return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {_toml(inner)}' for key, inner in value.items()) + "}"
    return orjson.dumps(value).decode()


@dataclass
class Trial:
    """A run that is over, beside the service with its record.

    Attributes:
        mix: What was played.
        service: The service, as it is afterwards.
        document: The results document; empty after a crash.
        consistent: What the run says of consistency.
        code: Its exit code.
        crash: The traceback of an exception; "" if there was none.
        load_over_s: When the last copy was over; of a run that is asked about again: when it is.
        over_s: When the run had its verdict.
        acked_s: Copy → when its acknowledgement came.
        acked: Insert ids of events that were acknowledged.
    """

    mix: Mix
    service: Service
    document: Mapping[str, Any] = field(default_factory=dict)
    consistent: Verdict = Verdict.UNKNOWN
    code: int = 70
    crash: str = ""
    load_over_s: float = 0.0
    over_s: float = 0.0
    acked_s: dict[int, float] = field(default_factory=dict)
    acked: set[str] = field(default_factory=set)

    @property
    def seen(self) -> Mapping[str, Any]:
        """What the run says of the counts."""
        seen: Mapping[str, Any] = self.document["consistency"]
        return seen

    @property
    def ledger(self) -> Ledger:
        """Which copies have which outcome."""
        return Ledger.from_json(self.document["ledger"])

    def finding(self, check: str) -> Mapping[str, Any]:
        """Return a finding."""
        found: Mapping[str, Any] = next(
            entry for entry in self.document["findings"] if entry["check"] == check
        )
        return found

    def findings(self) -> str:
        """Return all findings as text."""
        return "\n".join(
            f"    {entry['verdict']:8} {entry['check']}: {entry['summary']}"
            for entry in self.document.get("findings", ())
        )


def copy_of(key: str) -> int:
    """Return whose event an insert id belongs to: run, copy and, of several, which."""
    return int(key.split("-")[1])


class _Wire:
    """Carries requests to the service and answers back, for copies and for queries."""

    stale_retries = 0

    def __init__(self, service: Service, clock: VirtualClock, timeout_s: float) -> None:
        self._service = service
        self._clock = clock
        self._timeout_s = timeout_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[Exchange, Sink] = {}
        self.last_s = clock.now_s
        self.acked_s: dict[int, float] = {}
        self.acked: set[str] = set()

    def submit(self, request: Request, sink: Sink) -> None:
        """Send a request."""
        exchange = Exchange(request)
        self._open[exchange] = sink
        task = asyncio.get_running_loop().create_task(self._carry(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, exchange: Exchange) -> None:
        await self._through(exchange)
        sink = self._open.pop(exchange, None)
        if sink is not None:
            sink(exchange)
            self.done(exchange)

    def done(self, exchange: Exchange) -> None:
        """Note an attempt of a copy that was judged."""
        self.last_s = exchange.done_ns / 1e9
        if exchange.success:
            for event in orjson.loads(exchange.request.body)["events"]:
                self.acked_s[copy_of(event["insert_id"])] = self.last_s
                self.acked.add(event["insert_id"])

    async def warm(self, origin: Origin, connections: int) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Give up whatever is under way."""
        for exchange, sink in list(self._open.items()):
            exchange.failure, exchange.done_ns = Failure.LOST, self._clock.now_ns
            asyncio.get_running_loop().call_soon(sink, exchange)
        self._open.clear()

    async def send(self, request: Request) -> Exchange:
        """Send a request and return what came of it."""
        exchange = Exchange(request)
        await self._through(exchange)
        return exchange

    async def _through(self, exchange: Exchange) -> None:
        request = exchange.request
        exchange.sent_ns = self._clock.now_ns
        reply: Reply = self._service.handle(request.method, request.target, request.body)
        late = reply.delay_s > self._timeout_s or reply.failure == "timeout"
        if late:
            await asyncio.sleep(self._timeout_s)
        else:
            await asyncio.sleep(reply.delay_s * reply.when)
            status, body = reply.status, reply.body
            if callable(body):
                status, body = body()
            await asyncio.sleep(reply.delay_s * (1 - reply.when))
            if not reply.failure:
                exchange.status, exchange.body = status, body
                exchange.headers = [(b"content-type", b"application/json")]
        if late or reply.failure:
            exchange.failure = _FAILURES["timeout" if late else reply.failure]
            exchange.detail = "no answer"
        exchange.done_ns = self._clock.now_ns


async def _interrupts(after_s: tuple[float, ...]) -> AsyncIterator[signal.Signals]:
    began_s = anyio.current_time()
    for each in after_s:
        await anyio.sleep(began_s + each - anyio.current_time())
        yield signal.SIGINT
    await anyio.sleep_forever()


async def _nobody_watches(_: Any) -> None:
    pass


def play(mix: Mix) -> Trial:
    """Play a mix to its verdict; what goes wrong on the way is part of the trial."""
    clock = VirtualClock()
    service = Service(mix.behaviour, mix.seed, lambda: clock.now_s)
    trial = Trial(mix=mix, service=service)
    try:
        scenario = _loaded(mix.scenario())
        copies = _Wire(service, clock, scenario.timeouts.request_s)
        queries = _Wire(service, clock, scenario.verify.timeout_s)
        with tempfile.TemporaryDirectory() if mix.later_s else nullcontext() as folder:
            file = None if folder is None else Path(folder, "result.json")
            with _in_place(copies, queries, mix.seed):
                run_virtual(lambda: _run(trial, scenario, clock, file), clock)
                trial.load_over_s, trial.acked_s = copies.last_s, copies.acked_s
                trial.acked = copies.acked
                if file is not None and mix.later_s is not None:
                    clock.now_ns += int(mix.later_s * 1e9)
                    trial.load_over_s = clock.now_s
                    run_virtual(lambda: _again(trial, clock, file), clock)
    except Exception:  # noqa: BLE001  # a crash is a result
        trial.crash = traceback.format_exc()
    return trial


async def _run(trial: Trial, scenario: Scenario, clock: VirtualClock, file: Path | None) -> None:
    mix = trial.mix
    signals = _interrupts(mix.interrupts)
    context = RunContext(emulator=None, signals=signals)
    sink: ResultSink = Nowhere() if file is None else ResultFile(file)
    finished = await execute(compiled(scenario, seed=mix.seed), sink, _nobody_watches, context)
    trial.over_s = clock.now_s
    trial.document = finished.document
    assert finished.judgement.consistent is not None
    trial.consistent = finished.judgement.consistent
    broken = [f for f in finished.judgement.findings if "trace" in f.evidence]
    if broken:
        # a fault that was caught is a fault
        trial.crash = "\n".join(line for f in broken for line in f.evidence["trace"])
    trial.code = exit_of(
        consistent=finished.judgement.consistent,
        verdict=finished.judgement.verdict,
        interrupted=finished.interrupted,
    )


async def _again(trial: Trial, clock: VirtualClock, file: Path) -> None:
    asked = await reconcile_run(file, ReconcileOptions())
    trial.over_s = clock.now_s
    trial.document = asked.document
    trial.consistent = asked.consistent
    trial.code = exit_of(consistent=asked.consistent, verdict=asked.verdict, interrupted=False)


@contextmanager
def _in_place(copies: _Wire, queries: _Wire, seed: int) -> Iterator[None]:
    """Put the service in the network's place."""

    @asynccontextmanager
    async def in_memory(*_: Any) -> AsyncIterator[LoadTransport]:
        yield copies

    async def reachable(*_: Any) -> None:
        """Find the target there."""

    @asynccontextmanager
    async def asking(*_: Any) -> AsyncIterator[HttpxTransport]:
        yield cast(HttpxTransport, queries)

    name = "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=12))
    with (
        mock.patch.object(engine, "open_transport", in_memory),
        mock.patch.object(sys.modules[execute.__module__], "httpx_transport", asking),
        mock.patch.object(sys.modules[RunSession.__module__], "refusal", reachable),
        mock.patch.object(sys.modules[reconcile_run.__module__], "httpx_transport", asking),
        mock.patch.object(labels, "new_id", return_value=name),
    ):
        yield


def _loaded(text: str) -> Scenario:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        return scenarios.load(Path(file.name))
