"""Which workflow is run, with which inputs, against what, and what a run may not do there.

A service is known for things beyond its API: its regions, its limits, what it charges for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What the service documents that it takes; None where it documents nothing.

    Attributes:
        events_per_s: Events per second, of all users together.
        requests_per_s: Requests with events per second.
        bytes_per_s: Bytes of their bodies per second, before these are compressed.
        user_events_per_s: Events per second of one user.
        user_events_per_day: Events of one user in 24 hours.
        events_per_request: Events in one request.
        request_bytes: Length of a request's body, before it is compressed.
        event_bytes: Length of one event, with its share of the request around it.
        query_cost_per_hour: Cost of all queries in an hour.
        export_bytes: Size of what can be exported at once.
    """

    events_per_s: int | None = None
    requests_per_s: int | None = None
    bytes_per_s: int | None = None
    user_events_per_s: int | None = None
    user_events_per_day: int | None = None
    events_per_request: int | None = None
    request_bytes: int | None = None
    event_bytes: int | None = None
    query_cost_per_hour: int | None = None
    export_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as its profile knows it.

    Attributes:
        name: What people call it; "" if the profile does not say.
        billed: What each new user counts as; "" if users cost nothing.
        stays: What a run leaves behind.
        regions: Host → the region whose data centre it is.
        limits: What it takes.
        advice: What it asks not to exceed, without refusing it.
    """

    name: str = ""
    billed: str = ""
    stays: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    advice: ServiceLimits = field(default_factory=ServiceLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What a run may not do, whatever else is set.

    Attributes:
        max_users: Users of the load at the most; None: any number.
        max_events: Events of the load at the most.
        max_rate: Copies per second at the most.
        hosts: Patterns of hosts that may be reached; empty: any.
        window: Minutes of the local day from which to which it may send; None: always.
        stop_file: Ends the load when it appears, relative to the scenario; "": none does.
        max_error_rate: Share of failed attempts of the ingest step, as of 1; None: any.
        max_throttled: Share of its attempts that are answered with 429.
        over_s: The time over which both are taken.
        stop_on_throttled: End the load when an answer names whom the service throttles.
    """

    max_users: int | None = None
    max_events: int | None = None
    max_rate: float | None = None
    hosts: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    stop_file: str = ""
    max_error_rate: float | None = None
    max_throttled: float | None = None
    over_s: float = 10.0
    stop_on_throttled: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """One addition to, or replacement in, a step's request: an entry of the overlay.

    Attributes:
        step: The step it changes; "" in :class:`Verify` for the observer step, where the scenario
            does not name it.
        at: The place: ``body#/json/pointer``, ``query.NAME``, ``query.NAME#/json/pointer`` (a
            parameter that holds JSON text), ``header.NAME``, ``path.NAME`` or ``cookie.NAME``.
            A pointer that ends in ``/-`` appends (RFC 6901 section 4); missing objects and arrays
            on the way are made.
        value: What to put there; strings may hold expressions, also deep inside.
    """

    step: str
    at: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Which workflow, and how its document is to be read.

    Attributes:
        document: Path of the Arazzo document.
        name: What the user called it: the name of a shipped one, or the path as written.
        id: The ``workflowId``; None if the document has only one.
        sources: Source description name → file or URL that stands in for its ``url``.
        strict: Refuse what is accepted with a warning otherwise.
    """

    document: Path
    name: str
    id: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS verification settings and client certificate.

    Attributes:
        ca: PEM file of the authorities that are trusted instead of the system's.
        cert: PEM file of the client certificate.
        key: PEM file of its private key; None: it is in ``cert``.
        server_name: The name that the server's certificate must bear; None: the URL's host.
        verify: Whether the certificate is checked at all.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who receives the load.

    Attributes:
        kind: "emulator": the embedded one, started and stopped by the run. "live": the servers of
            the OpenAPI descriptions, or those in ``servers``.
        servers: Source description name → base URL that stands in for the described servers.
        emulator: Configuration of the embedded emulator, as the emulator itself defines it:
            every key of ``[target]`` other than ``kind``, ``servers`` and ``transport``.
        transport: "wire" is the fast path, "httpx" knows proxies, redirects and HTTP/2.
        tls: How https servers are verified.
        compress: Coding of request bodies.
        proxy: URL of the proxy through which everything goes.
        http2: Whether HTTP/2 is spoken where the server does.
        redirects: Whether they are followed.
        cookies: Whether each copy keeps the cookies that it is given, and sends them.
    """

    kind: Literal["emulator", "live"]
    servers: Mapping[str, str] = field(default_factory=dict)
    emulator: Mapping[str, Any] = field(default_factory=dict)
    transport: Literal["wire", "httpx"] = "wire"
    tls: Tls = field(default_factory=Tls)
    compress: Literal["none", "gzip"] = "none"
    proxy: str | None = None
    http2: bool = False
    redirects: bool = False
    cookies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One workflow input.

    Attributes:
        value: Any JSON value; strings may be or hold expressions (``$copy.userId``).
        secret: Whether it came from the environment, and so must appear nowhere.
        env: Name of the environment variable it came from, or None.
        hidden: What must appear nowhere: the values read from the environment, and those made of
            them.
    """

    value: Any
    secret: bool = False
    env: str | None = None
    hidden: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        value = "<secret>" if self.secret else repr(self.value)
        return f"Input(value={value}, secret={self.secret}, env={self.env!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A workflow that is run once for all copies, before the load or behind it.

    Attributes:
        workflow: Its ``workflowId``, in the scenario's document.
        inputs: Its inputs, beside those of ``[inputs]`` that it declares.
        timeout_s: How long it may take in all.
        every_s: How often its outputs are renewed while the run goes on; None: never.
        renew: The workflow that renews them, or some of them; "": the same.
        public: Outputs that are no secrets, and may be shown.
    """

    workflow: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    timeout_s: float = 30.0
    every_s: float | None = None
    renew: str = ""
    public: frozenset[str] = frozenset()
