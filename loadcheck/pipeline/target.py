"""The other end of a run: the embedded emulator, if it is asked for, and the ways to reach it.

Nothing leaves this machine unless the user has said so.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx

from loadcheck.emulator.process import EmulatorStartError, Running, embedded
from loadcheck.errors import InputError, ScenarioError, TargetError
from loadcheck.load.pacer import Warmup, warmups
from loadcheck.load.transport import LoadTransport
from loadcheck.load.transport.dial import Dialer
from loadcheck.load.transport.failures import reason
from loadcheck.load.transport.httpx_ import HttpxTransport, httpx_transport
from loadcheck.load.transport.routes import Proxies, RoutedTransport, Routes
from loadcheck.load.transport.settings import Deadlines, Tls
from loadcheck.load.transport.tls import client_context
from loadcheck.load.transport.wire import wire_transport
from loadcheck.pipeline.prepare import max_concurrent_requests, repeatable_steps
from loadcheck.scenario.model import ClosedLoad, Scenario
from loadcheck.workflow.runtime.plan import Plan, Role, StepPlan

PREFLIGHT_S = 1.0
"""So long connections are tried before the load, if the target refuses them."""
_BETWEEN_S = 0.1


@asynccontextmanager
async def serving(scenario: Scenario, seed: int) -> AsyncIterator[Running | None]:
    """Run the embedded emulator for the length of a block, if the scenario asks for it."""
    if scenario.target.kind != "emulator":
        yield None
        return
    try:
        async with embedded({"seed": seed, **scenario.target.emulator}) as running:
            yield running
    except EmulatorStartError as error:
        raise TargetError(f"the embedded emulator did not start: {error}") from error


def supplied(emulator: Running | None) -> dict[str, str]:
    """Return what the target supplies to the workflow's inputs."""
    if emulator is None:
        return {}
    pair = f"{emulator.api_key}:{emulator.secret_key}"
    return {
        "apiKey": emulator.api_key,
        "secretKey": emulator.secret_key,
        "basicAuth": base64.b64encode(pair.encode()).decode("ascii"),
    }


@asynccontextmanager
async def transports(
    scenario: Scenario, plan: Plan, *, consent: bool
) -> AsyncIterator[tuple[LoadTransport, HttpxTransport]]:
    """Open the transport of the copies and that of the queries."""
    async with AsyncExitStack() as stack:
        asking = await stack.enter_async_context(
            queries(scenario, plan.steps, max_connections=4, consent=consent)
        )
        target, connections = scenario.target, max_concurrent_requests(scenario)
        transport: LoadTransport
        if target.transport == "httpx":
            transport = await stack.enter_async_context(
                httpx_transport(
                    max_connections=connections,
                    deadlines=deadlines(scenario, plan.steps),
                    compress=target.compress == "gzip",
                    repeatable=repeatable_steps(scenario, plan),
                    **_ways(scenario, consent=consent),
                )
            )
        else:
            transport = await stack.enter_async_context(
                wire_transport(
                    max_connections=connections,
                    deadlines=deadlines(scenario, plan.steps),
                    tls=tls_of(scenario),
                    compress=target.compress == "gzip",
                    repeatable=repeatable_steps(scenario, plan),
                )
            )
        yield transport, asking


async def refusal(scenario: Scenario, plan: Plan) -> str | None:
    """Return why no connection to the target can be opened; None if one can.

    Connections are tried for up to a second. One that is neither taken nor refused in that time is
    no refusal: it may be slow. The embedded emulator is known to listen; a proxy is no target.
    """
    if scenario.target.kind == "emulator" or scenario.target.transport == "httpx":
        return None
    origins = dict.fromkeys(step.origin for step in plan.steps if step.role is Role.COPY)
    for origin in origins:
        dialer, tries, why = Dialer(origin.host, origin.port), 0, ""
        with anyio.move_on_after(PREFLIGHT_S):
            while True:
                try:
                    (await dialer.open()).close()
                except OSError as error:
                    tries, why = tries + 1, reason(error)
                    await anyio.sleep(_BETWEEN_S)
                else:
                    why = ""
                    break
        if why:
            return (
                f"no request reached {origin}: {why} ({tries} attempts in {PREFLIGHT_S:g} s; "
                "nothing was sent)"
            )
    return None


def queries(
    scenario: Scenario, steps: Sequence[StepPlan], *, max_connections: int, consent: bool
) -> AbstractAsyncContextManager[HttpxTransport]:
    """Open the transport of the queries: always httpx, with the target's proxy and TLS."""
    limits = Deadlines(
        connect_s=scenario.timeouts.connect_s,
        request_s=scenario.verify.timeout_s,
        max_idle_s=scenario.timeouts.max_idle_s,
        steps_s=_timeouts_of(steps, scenario.verify.timeout_s),
    )
    ways = _ways(scenario, consent=consent)
    return httpx_transport(max_connections=max_connections, deadlines=limits, **ways)


def client_of(scenario: Scenario, *, timeout_s: float, consent: bool) -> httpx.AsyncClient:
    """Return a client for what is too large for a transport: the export."""
    connect = partial(httpx.AsyncHTTPTransport, client_context(tls_of(scenario)), trust_env=False)
    routes = Routes(proxy=scenario.target.proxy, proxies=_proxies(scenario), consent=consent)
    return httpx.AsyncClient(
        transport=RoutedTransport(routes, lambda through: connect(proxy=through)),
        timeout=timeout_s,
        follow_redirects=scenario.target.redirects,
        trust_env=False,
    )


def deadlines(scenario: Scenario, steps: Sequence[StepPlan] = ()) -> Deadlines:
    """Return the deadlines of a copy's attempts; the document may set shorter ones by step."""
    given = scenario.timeouts
    return Deadlines(
        connect_s=given.connect_s,
        request_s=given.request_s,
        write_s=given.write_s,
        read_s=given.read_s,
        max_idle_s=given.max_idle_s,
        steps_s=_timeouts_of(steps, given.request_s),
    )


def _timeouts_of(steps: Sequence[StepPlan], most_s: float) -> dict[int, float]:
    return {
        step.index: step.timeout_s
        for step in steps
        if step.timeout_s is not None and step.timeout_s < most_s
    }


def tls_of(scenario: Scenario) -> Tls:
    """Return how https servers are verified."""
    given = scenario.target.tls
    return Tls(
        ca=given.ca,
        cert=given.cert,
        key=given.key,
        server_name=given.server_name,
        verify=given.verify,
    )


def check_tls(scenario: Scenario) -> None:
    """See that the TLS files can be used.

    Raises:
        ScenarioError: One cannot.
    """
    try:
        client_context(tls_of(scenario))
    except InputError as error:
        problems = [
            scenario.problem(each.key, each.message, each.remedy) for each in error.problems
        ]
        raise ScenarioError(problems) from None


def warmups_of(scenario: Scenario) -> list[Warmup]:
    """Return how many connections to open ahead, and when."""
    load, limit = scenario.load, max_concurrent_requests(scenario)
    if load.preconnect is not None:
        return [Warmup(at_s=0.0, connections=min(load.preconnect, limit))]
    if isinstance(load, ClosedLoad):
        return [Warmup(at_s=0.0, connections=limit)]
    return warmups(load.stages, together=load.copies_per_request, limit=limit)


def _ways(scenario: Scenario, *, consent: bool) -> dict[str, Any]:
    """Return what is the same for everything that goes through httpx."""
    target = scenario.target
    return {
        "tls": tls_of(scenario),
        "proxy": target.proxy,
        "http2": target.http2,
        "redirects": target.redirects,
        "proxies": _proxies(scenario),
        "consent": consent,
    }


def _proxies(scenario: Scenario) -> Proxies | None:
    """Return the environment's proxies, if they are used: the wire transport knows none."""
    target = scenario.target
    if target.kind != "live" or target.transport != "httpx":
        return None
    return Proxies(os.environ)
