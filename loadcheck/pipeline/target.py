"""The other end of a run: the embedded emulator, if it is asked for, and the ways to reach it.

Nothing leaves this machine unless the user has said so.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
import httpx

from loadcheck.emulator.process import (
    EmulatorStartError,
    Reservation,
    Running,
    embedded,
    reserve,
    supplied,
)
from loadcheck.errors import InputError, Problem, TargetError
from loadcheck.load.transport.dial import Dialer
from loadcheck.load.transport.failures import reason
from loadcheck.load.transport.routes import Proxies, RoutedTransport, Routes
from loadcheck.load.transport.settings import TransportSettings, client_context
from loadcheck.scenario.model import Scenario
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.workflow.runtime.plan import Role

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
    supplied=dict.fromkeys(supplied("", ""), "***"),
)
"""What is shown of the embedded emulator where it is not to be started."""


@contextmanager
def addressed(scenario: Scenario) -> Iterator[Address]:
    """Reserve the embedded emulator's address for the length of a block, if it is asked for."""
    if scenario.target.kind != "emulator":
        yield Address()
        return
    with reserve(scenario.target.emulator) as reserved:
        yield Address(
            servers={"*": reserved.url},
            supplied=supplied(reserved.api_key, reserved.secret_key),
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


async def refusal(compiled: CompiledScenario) -> str | None:
    """Return why no connection to the target can be opened; None if one can.

    Connections are tried for up to a second. One that is neither taken nor refused in that time is
    no refusal: it may be slow. The embedded emulator is known to listen; a proxy is no target.
    """
    target, steps = compiled.scenario.target, compiled.plan.steps
    if target.kind == "emulator" or target.transport == "httpx":
        return None
    origins = dict.fromkeys(step.origin for step in steps if step.role is Role.COPY)
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
    proxies = Proxies(os.environ) if settings.proxies else None
    routes = Routes(proxy=settings.proxy, proxies=proxies, consent=settings.consent)
    return httpx.AsyncClient(
        transport=RoutedTransport(routes, lambda through: connect(proxy=through)),
        timeout=timeout_s,
        follow_redirects=settings.redirects,
        trust_env=False,
    )


def tls_problems(scenario: Scenario) -> list[Problem]:
    """Return why the TLS files cannot be used."""
    try:
        client_context(scenario.target.tls)
    except InputError as error:
        return [scenario.problem(each.key, each.message, each.remedy) for each in error.problems]
    return []
