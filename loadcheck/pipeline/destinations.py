"""Where the bytes of a run go, and whether the user has said that they may.

What decides is every machine that would see a byte: the servers of copies, queries and the export,
the proxies on the way there, the collector of metrics, and where descriptions are read from. A
redirect is only known when it comes: :class:`~loadcheck.load.transport.routes.Routes` refuses it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from loadcheck.documents.notation import split_http_url
from loadcheck.errors import ConsentError
from loadcheck.load.transport.routes import Proxies, is_loopback
from loadcheck.report import otel as telemetry
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import without_userinfo
from loadcheck.workflow.exchange import DEFAULT_PORTS, Origin
from loadcheck.workflow.runtime.plan import StepPlan


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
        scenario: What to do.
        steps: The steps that are sent, of its plan: the export goes where the queries go.
        metrics: Whether metrics are sent, if the environment asks for it.

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
    """Refuse to leave this machine unless the user has said so.

    Args:
        scenario: What to do.
        found: Where its bytes go.
        consent: Whether the user has said so.
        copies: How many may be sent; None: there is no bound.

    Raises:
        ConsentError: A byte would go elsewhere and ``consent`` is false.
    """
    away = [each for each in found if each.away]
    if not away or consent:
        return
    servers = sorted({each.origin for each in away if each.load})
    others = [f"{each.origin} ({each.what})" for each in away if not each.load]
    number = "an unlimited number of" if copies is None else f"{copies:,}"
    told = f"send {number} events of as many new users to {', '.join(servers)}" if servers else ""
    told += " and " if servers and others else ""
    told += f"leave this machine for {', '.join(others)}" if others else ""
    remedy = "add --live to say that it may"
    if servers:
        remedy = f"events cannot be taken back and users count against the plan; {remedy}"
    raise ConsentError(scenario.problem("target", f"this run would {told}", remedy))


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


def metrics_settings(environment: Mapping[str, str]) -> telemetry.Settings | None:
    """Return how metrics are sent, if the environment asks for it, and the way to the collector.

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
