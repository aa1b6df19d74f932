"""The same scenario gives the same outcomes on both transports, whatever the emulator does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from loadcheck.emulator.config.faults import KINDS
from loadcheck.emulator.process import Running, embedded
from loadcheck.load.retry import attempt_outcome
from loadcheck.load.transport import LoadTransport
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.scenario.model import Edit
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.exchange import Exchange, Request, Wait
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime.plan import Plan
from tests.load.transport.peer import settings

pytestmark = pytest.mark.anyio
LIBRARY = Path(__file__).resolve().parents[3] / "loadcheck" / "library" / "amplitude"
COPIES, QUERIES = 30, 6

FAULTS: dict[str, dict[str, Any]] = {
    "drop": {"rate": 0.3},
    "duplicate": {"rate": 0.3},
    "miscount": {"rate": 0.3},
    "late_ack": {"rate": 0.2, "delay": "600ms"},
    "late_visibility": {"rate": 0.3, "delay": "10s"},
    "error_before_commit": {"rate": 0.3, "on": "all"},
    "error_after_commit": {"rate": 0.3},
    "reset_before_commit": {"rate": 0.3, "on": "all"},
    "reset_during_answer": {"rate": 0.3, "on": "all"},
    "reset_after_commit": {"rate": 0.3},
    "throttle": {"rate": 0.3, "on": "all"},
    "refuse": {"rate": 0.3, "on": "all"},
    "slow": {"rate": 0.2, "on": "all", "delay": "600ms"},
    "stall": {"lasting": "1500ms", "on": "all"},
    "truncated_json": {"rate": 0.3, "on": "all"},
    "malformed_json": {"rate": 0.3, "on": "all"},
    "frozen_counts": {"lasting": "1m"},
    "stale_cache": {"lasting": "1m"},
}


class Came(NamedTuple):
    """What came of one request, without what differs from run to run."""

    step: int
    status: int
    failure: str | None
    outcome: str
    success: bool
    answered: bool


def plan_for(emulator: Running) -> Plan:
    return compile_plan(
        CompileSettings(
            document=LIBRARY / "workflow.yml",
            name="amplitude",
            run=Run(id="run0run0run0", start_day="20260101", end_day="20260103"),
            servers={"*": emulator.url},
            inputs={
                "userId": "$copy.userId",
                "start": "20260101",
                "end": "20260103",
                "apiKey": emulator.api_key,
                "basicAuth": "Og==",
                "eventType": "probe",
                "eventProperties": {"plan": "free"},
            },
            overlay=[Edit("uploadEvents", "body#/events/0/insert_id", "$copy.insertId")],
            criteria={"uploadEvents": ["$response.body#/events_ingested == 1"]},
        )
    )


@asynccontextmanager
async def transport(kind: str, *, compress: bool = False) -> AsyncIterator[LoadTransport]:
    limits = settings(
        1,
        connect_s=2,
        request_s=0.4,
        compress="gzip" if compress else "none",
        repeatable=frozenset({0}),
    )
    if kind == "wire":
        async with wire_transport(limits) as wire:
            yield wire
    else:
        async with httpx_transport(replace(limits, repeatable=frozenset())) as through:
            yield through


async def exchange(through: LoadTransport, request: Request) -> Exchange:
    got: list[Exchange] = []
    done = anyio.Event()

    def sink(exchange: Exchange) -> None:
        got.append(exchange)
        done.set()

    through.submit(request, sink)
    await done.wait()
    return got[0]


async def converse(kind: str, config: dict[str, Any], *, compress: bool = False) -> list[Came]:
    """Send copies one after the other, each tried twice, then queries; return what came of it."""
    came = []
    async with embedded({"seed": 7, **config}) as emulator:
        plan = plan_for(emulator)
        async with transport(kind, compress=compress) as through:
            query = plan.query("segmentEvent", values={"n": "$response.body#/data"})
            flows: list[Any] = [
                *(plan.copy(n, 1_700_000_000_000, twice) for n in range(COPIES)),
                *(query.run(n) for n in range(QUERIES)),
            ]
            for flow in flows:
                came += [judged(answer) for answer in await answers(through, flow)]
    return came


async def answers(through: LoadTransport, flow: Any) -> list[Exchange]:
    """Run a flow to its end and return what came of its requests."""
    got: list[Exchange] = []
    effect = next(flow)
    while True:
        try:
            if isinstance(effect, Wait):
                effect = flow.send(None)
                continue
            got.append(await exchange(through, effect))
            effect = flow.send(got[-1])
        except StopIteration:
            return got


def twice(_: Exchange, attempt: int) -> float | None:
    return 0.0 if attempt < 2 else None


def judged(answer: Exchange) -> Came:
    return Came(
        answer.request.step,
        answer.status,
        answer.failure.value if answer.failure else None,
        attempt_outcome(answer).value,
        answer.success,
        bool(answer.body),
    )


def test_every_fault_is_here() -> None:
    assert FAULTS.keys() == KINDS.keys()


@pytest.mark.parametrize(
    "fault",
    ["none", *(pytest.param(name, marks=pytest.mark.long) for name in FAULTS)],
)
async def test_both_transports_come_to_the_same_outcomes(fault: str) -> None:
    config = {"faults": {fault: FAULTS[fault]}} if fault in FAULTS else {}
    wire = await converse("wire", config)
    httpx = await converse("httpx", config)
    if fault == "stall":  # ends at an instant: how many attempts fit in before is chance
        assert {each[1:5] for each in wire} == {each[1:5] for each in httpx}
        return
    assert wire == httpx
    assert len(wire) >= COPIES + QUERIES
    if "rate" in FAULTS.get(fault, {}) and "late_v" not in fault:
        plain = [Came(0, 200, None, "acknowledged", success=True, answered=True)] * COPIES
        assert (wire[:COPIES] != plain) == (fault not in ("drop", "duplicate"))


async def test_gzipped_uploads_are_taken_by_both() -> None:
    for kind in ("wire", "httpx"):
        came = await converse(kind, {}, compress=True)
        assert [each.success for each in came[:COPIES]] == [True] * COPIES
