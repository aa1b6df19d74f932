"""The other end of a run: the embedded emulator, if it is asked for, and the ways to reach it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from loadcheck.emulator.process import EmulatorStartError, Running, embedded
from loadcheck.errors import TargetError
from loadcheck.load.transport import Transport
from loadcheck.load.transport.httpx_ import HttpxTransport, httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.pipeline.prepare import max_in_flight
from loadcheck.scenario.model import Scenario


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
async def transports(scenario: Scenario) -> AsyncIterator[tuple[Transport, HttpxTransport]]:
    """Open the transport of the copies and that of the queries."""
    timeouts, connections = scenario.timeouts, max_in_flight(scenario)
    live = scenario.target.kind == "live"
    async with AsyncExitStack() as stack:
        asking = await stack.enter_async_context(
            httpx_transport(
                max_connections=4,
                connect_s=timeouts.connect_s,
                request_s=scenario.verify.timeout_s,
                use_proxies=live,
            )
        )
        transport: Transport
        if scenario.target.transport == "httpx":
            transport = await stack.enter_async_context(
                httpx_transport(
                    max_connections=connections,
                    connect_s=timeouts.connect_s,
                    request_s=timeouts.request_s,
                    use_proxies=live,
                )
            )
        else:
            transport = await stack.enter_async_context(
                wire_transport(
                    max_connections=connections,
                    connect_s=timeouts.connect_s,
                    request_s=timeouts.request_s,
                )
            )
        yield transport, asking
