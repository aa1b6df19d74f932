"""The target of a run, the ways to reach it, and whether the user has consented to them.

Consent is about every machine that would see a byte: the servers of copies, queries and the export,
the proxies on the way there, the collector of metrics, and where descriptions are read from. A
redirect is only known when it comes: :class:`~loadcheck.load.transport.routes.Routes` refuses it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import anyio
import httpx

from loadcheck.documents import split_http_url
from loadcheck.emulator.process import (
    EmulatorStartError,
    Reservation,
    Running,
    embedded,
    project_credentials,
    reserve,
)
from loadcheck.errors import ConsentError, InputError, Problem, TargetError
from loadcheck.load.transport import TransportSettings, client_context
from loadcheck.load.transport.dial import Dialer
from loadcheck.load.transport.failures import reason
from loadcheck.load.transport.routes import Proxies, RoutedTransport, Routes, is_loopback
from loadcheck.report import otel as telemetry
from loadcheck.scenario.model import Scenario, Tls
from loadcheck.secrets import without_userinfo
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.workflow.exchange import DEFAULT_PORTS, Origin
from loadcheck.workflow.runtime.plan import Role, StepPlan


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Destination:
    """One machine that bytes go to.

    Attributes:
        origin: Scheme, host and port, as a URL.
        what: What goes there, in words.
        away: Whether it is another machine, or may be.
        load: Whether it is a server that copies go to.
    """

    origin: str
    what: str
    away: bool
    load: bool = False


def destinations(
    scenario: Scenario, steps: Iterable[StepPlan], *, metrics: bool
) -> tuple[Destination, ...]:
    """Return every machine that bytes of a scenario go to, redirects aside.

    Args:
        scenario: The scenario.
        steps: The steps that are sent, of its plan: the export goes where the queries go.
        metrics: Include the collector of metrics, if the environment names one.

    Raises:
        InputError: A proxy or an exporter's variable in the environment cannot be used.
    """
    found = dict.fromkeys(_descriptions(scenario))
    if scenario.target.kind == "live":
        found |= dict.fromkeys(_servers(scenario, steps))
    if metrics:
        found |= dict.fromkeys(_collector(os.environ))
    return tuple(found)


def require_consent(
    scenario: Scenario, found: Iterable[Destination], *, consent: bool, copies: int | None
) -> None:
    """Refuse to leave this machine without the user's consent.

    Args:
        scenario: The scenario.
        found: Where its bytes go.
        consent: Whether the user has consented.
        copies: How many copies may be sent; None: any number.

    Raises:
        ConsentError: A byte would go elsewhere and ``consent`` is false.
    """
    away = [each for each in found if each.away]
    if not away or consent:
        return
    servers = sorted({each.origin for each in away if each.load})
    others = [f"{each.origin} ({each.what})" for each in away if not each.load]
    number = "an unlimited number of" if copies is None else f"{copies:,}"
    action = f"send {number} events of as many new users to {', '.join(servers)}" if servers else ""
    action += " and " if servers and others else ""
    action += f"leave this machine for {', '.join(others)}" if others else ""
    remedy = "add --live to allow it"
    if servers:
        remedy = f"events cannot be taken back and users count against the plan; {remedy}"
    raise ConsentError(scenario.problem("target", f"this run would {action}", remedy))


def _servers(scenario: Scenario, steps: Iterable[StepPlan]) -> Iterator[Destination]:
    target, proxies = scenario.target, Proxies(os.environ)
    through = _of_url(target.proxy, "the proxy that target.proxy names") if target.proxy else None
    for step in steps:
        origin = step.origin
        yield Destination(
            origin=str(origin),
            what="copies and queries",
            away=not is_loopback(origin.host),
            load=True,
        )
        if through is not None:
            yield through
        elif target.transport == "httpx":
            yield from _proxy(proxies, origin)


def _proxy(proxies: Proxies, origin: Origin) -> Iterator[Destination]:
    proxy = proxies.of(*origin)
    if proxy is not None:
        yield _of_url(proxy.url, f"the proxy that {proxy.variable} names")


def _descriptions(scenario: Scenario) -> Iterator[Destination]:
    for name, url in scenario.workflow.sources.items():
        if url.startswith(("http://", "https://")):
            yield from _with_proxy(url, f'the source description "{name}"')


def metrics_settings(environment: Mapping[str, str]) -> telemetry.ExportSettings | None:
    """Return how metrics are sent, proxy included; None if the environment does not ask for it.

    Raises:
        InputError: One of the variables cannot be used.
    """
    wanted = telemetry.settings(environment)
    if wanted is None:
        return None
    proxy = Proxies(environment).of(*_origin(wanted.endpoint))
    return wanted if proxy is None else dataclasses.replace(wanted, proxy=proxy.url)


def _collector(environment: Mapping[str, str]) -> Iterator[Destination]:
    wanted = metrics_settings(environment)
    if wanted is not None and importlib.util.find_spec("opentelemetry") is not None:
        yield from _with_proxy(wanted.endpoint, f"metrics, as {wanted.variable} asks")


def _with_proxy(url: str, what: str) -> Iterator[Destination]:
    yield _of_url(url, what)
    yield from _proxy(Proxies(os.environ), _origin(url))


def _origin(url: str) -> Origin:
    parts = split_http_url(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return Origin(parts.scheme, str(parts.hostname), port)


def _of_url(url: str, what: str) -> Destination:
    parts = urlsplit(url)
    bare = without_userinfo(f"{parts.scheme}://{parts.netloc}")
    return Destination(origin=bare, what=what, away=not is_loopback(parts.hostname or ""))


PREFLIGHT_S = 1.0
"""How long connections are tried before the load, if the target refuses them."""
_BETWEEN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a scenario's requests go, known before anything is started.

    Attributes:
        servers: Source description name → base URL that replaces the described servers; "*" for
            all.
        supplied: What the target supplies to the workflow's inputs.
        reserved: The port and keys of the embedded emulator; None for a live target.
    """

    servers: Mapping[str, str] = field(default_factory=dict)
    supplied: Mapping[str, str] = field(default_factory=dict)
    reserved: Reservation | None = None


UNSTARTED = Address(
    servers={"*": "http://emulator"},
    supplied=dict.fromkeys(project_credentials("", ""), "***"),
)
"""The address to show for an embedded emulator that is not started."""


@contextmanager
def addressed(scenario: Scenario) -> Iterator[Address]:
    """Reserve the embedded emulator's address for the length of a block, if it is the target."""
    if scenario.target.kind != "emulator":
        yield Address()
        return
    with reserve(scenario.target.emulator) as reserved:
        yield Address(
            servers={"*": reserved.url},
            supplied=project_credentials(reserved.api_key, reserved.secret_key),
            reserved=reserved,
        )


@asynccontextmanager
async def emulator_for(
    scenario: Scenario, address: Address, seed: int
) -> AsyncIterator[Running | None]:
    """Run the embedded emulator for the length of a block, if it is the target.

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

    Connections are tried for up to a second. One that is neither accepted nor refused in that time
    may just be slow. The embedded emulator is known to listen; a proxy is not the target.
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
    tls = scenario.target.tls
    if tls == Tls(verify=tls.verify):  # it names none
        return []
    try:
        client_context(tls)
    except InputError as error:
        return [scenario.problem(each.key, each.message, each.remedy) for each in error.problems]
    return []
