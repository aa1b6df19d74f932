"""The other end of a run: the embedded emulator, if it is asked for, and the ways to reach it.

Nothing leaves this machine unless the user has said so.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import httpx

from loadcheck.emulator.process import (
    EmulatorStartError,
    Reservation,
    Running,
    embedded,
    reserve,
)
from loadcheck.errors import InputError, Problem, TargetError
from loadcheck.load.spec import LoadSpec
from loadcheck.load.transport import LoadTransport
from loadcheck.load.transport.dial import Dialer
from loadcheck.load.transport.failures import reason
from loadcheck.load.transport.httpx_ import HttpxTransport, httpx_transport
from loadcheck.load.transport.routes import Proxies, RoutedTransport, Routes
from loadcheck.load.transport.settings import Deadlines, TransportSettings
from loadcheck.load.transport.tls import client_context
from loadcheck.load.transport.wire import wire_transport
from loadcheck.scenario.model import Scenario, Target
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.workflow.runtime.plan import Role, StepPlan

_ASKING = 4
"""Connections of the queries."""
PREFLIGHT_S = 1.0
"""So long connections are tried before the load, if the target refuses them."""
_BETWEEN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a scenario's requests go, known before anything is started.

    Attributes:
        servers: Source description name → base URL that stands in for the described servers; "*"
            for all.
        supplied: What the target supplies to the workflow's inputs.
        reserved: The port and keys of the embedded emulator; None for a live target.
    """

    servers: Mapping[str, str] = field(default_factory=dict)
    supplied: Mapping[str, str] = field(default_factory=dict)
    reserved: Reservation | None = None


UNSTARTED = Address(
    servers={"*": "http://emulator"},
    supplied={"apiKey": "***", "secretKey": "***", "basicAuth": "***"},
)
"""What is shown of the embedded emulator where it is not to be started."""


@contextmanager
def addressed(scenario: Scenario) -> Iterator[Address]:
    """Reserve the embedded emulator's address for the length of a block, if it is asked for."""
    if scenario.target.kind != "emulator":
        yield Address()
        return
    with reserve(scenario.target.emulator) as reserved:
        pair = f"{reserved.api_key}:{reserved.secret_key}"
        yield Address(
            servers={"*": reserved.url},
            supplied={
                "apiKey": reserved.api_key,
                "secretKey": reserved.secret_key,
                "basicAuth": base64.b64encode(pair.encode()).decode("ascii"),
            },
            reserved=reserved,
        )


@asynccontextmanager
async def serving(scenario: Scenario, address: Address, seed: int) -> AsyncIterator[Running | None]:
    """Run the embedded emulator for the length of a block, if the scenario asks for it.

    Raises:
        TargetError: It did not start.
    """
    if address.reserved is None:
        yield None
        return
    try:
        config = {"seed": seed, **scenario.target.emulator}
        async with embedded(config, address.reserved) as running:
            yield running
    except EmulatorStartError as error:
        raise TargetError(f"the embedded emulator did not start: {error}") from error


@asynccontextmanager
async def transports(
    compiled: CompiledScenario,
) -> AsyncIterator[tuple[LoadTransport, HttpxTransport]]:
    """Open the transport of the copies and that of the queries."""
    wire = compiled.scenario.target.transport == "wire"
    opened: AbstractAsyncContextManager[LoadTransport]
    opened = (wire_transport if wire else httpx_transport)(compiled.transport)
    async with httpx_transport(compiled.asking) as asking, opened as transport:
        yield transport, asking


async def refusal(compiled: CompiledScenario) -> str | None:
    """Return why no connection to the target can be opened; None if one can.

    Connections are tried for up to a second. One that is neither taken nor refused in that time is
    no refusal: it may be slow. The embedded emulator is known to listen; a proxy is no target.
    """
    target = compiled.scenario.target
    if target.kind == "emulator" or target.transport == "httpx":
        return None
    origins = dict.fromkeys(step.origin for step in compiled.plan.steps if step.role is Role.COPY)
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


def client_of(settings: TransportSettings, *, timeout_s: float) -> httpx.AsyncClient:
    """Return a client for what is too large for a transport: the export."""
    connect = partial(httpx.AsyncHTTPTransport, client_context(settings.tls), trust_env=False)
    routes = Routes(proxy=settings.proxy, proxies=settings.proxies, consent=settings.consent)
    return httpx.AsyncClient(
        transport=RoutedTransport(routes, lambda through: connect(proxy=through)),
        timeout=timeout_s,
        follow_redirects=settings.redirects,
        trust_env=False,
    )


def transport_settings(
    scenario: Scenario, load: LoadSpec, repeatable: Collection[int], *, consent: bool
) -> tuple[TransportSettings, TransportSettings]:
    """Return how requests of copies go out, and how queries do: always over httpx."""
    target, given, steps = scenario.target, scenario.timeouts, load.plan.steps
    shared = TransportSettings(
        max_connections=load.max_requests,
        deadlines=Deadlines(
            connect_s=given.connect_s,
            request_s=given.request_s,
            write_s=given.write_s,
            read_s=given.read_s,
            max_idle_s=given.max_idle_s,
            steps_s=_timeouts_of(steps, given.request_s),
        ),
        tls=target.tls,
        proxy=target.proxy,
        proxies=_proxies(target),
        http2=target.http2,
        redirects=target.redirects,
        consent=consent,
    )
    asking = replace(
        shared,
        max_connections=_ASKING,
        deadlines=Deadlines(
            connect_s=given.connect_s,
            request_s=scenario.verify.timeout_s,
            max_idle_s=given.max_idle_s,
            steps_s=_timeouts_of(steps, scenario.verify.timeout_s),
        ),
    )
    compress = target.compress == "gzip"
    return replace(shared, compress=compress, repeatable=repeatable), asking


def _timeouts_of(steps: Sequence[StepPlan], most_s: float) -> dict[int, float]:
    return {
        step.index: step.timeout_s
        for step in steps
        if step.timeout_s is not None and step.timeout_s < most_s
    }


def tls_problems(scenario: Scenario) -> list[Problem]:
    """Return why the TLS files cannot be used."""
    try:
        client_context(scenario.target.tls)
    except InputError as error:
        return [scenario.problem(each.key, each.message, each.remedy) for each in error.problems]
    return []


def _proxies(target: Target) -> Proxies | None:
    """Return the environment's proxies, if they are used: the wire transport knows none."""
    if target.kind != "live" or target.transport != "httpx":
        return None
    return Proxies(os.environ)
