"""How requests travel, as a scenario says: time-outs, TLS, what goes over the wire and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from loadcheck.scenario.model import Timeouts, Tls

MAX_HEAD_BYTES = 64 * 1024
"""The longest head of an answer that is read, interim answers included."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""The longest body of an answer that is read, also when its content coding is removed."""
RESTED_NS = 1_000_000_000
"""A connection that has been idle for so long may have been closed by the time it is used."""
CLOSED_IDLE = "the server closed the connection, which had been idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """How requests travel; pure data, so that another process can open the same transport.

    Attributes:
        max_connections: The most connections to one origin; further requests wait for one.
        timeouts: How long an attempt may take.
        steps_s: Index of a step → what the workflow document allows an attempt of it, where that is
            less than ``timeouts.request_s``.
        tls: How https servers are verified.
        repeatable: Indexes of the steps whose requests may be sent a second time when the
            connection of the first had been idle and was being closed: they carry a key by which
            the service tells duplicates.
        transport: "wire" is the fast path; "httpx" alone knows what stands below.
        compress: Coding of request bodies.
        proxy: URL of the proxy through which everything goes.
        proxies: Whether the proxies that the environment names are used, for what is not loopback.
        http2: Whether HTTP/2 is spoken where the server does, over TLS.
        redirects: Whether they are followed.
        consent: Whether requests, redirected ones among them, may leave this machine.
    """

    max_connections: int
    timeouts: Timeouts = field(default_factory=Timeouts)
    steps_s: Mapping[int, float] = field(default_factory=dict)
    tls: Tls = field(default_factory=Tls)
    repeatable: frozenset[int] = frozenset()
    transport: Literal["wire", "httpx"] = "wire"
    compress: Literal["none", "gzip"] = "none"
    proxy: str | None = None
    proxies: bool = False
    http2: bool = False
    redirects: bool = False
    consent: bool = False

    def request_s(self, step: int) -> float:
        """Return how long an attempt of a step may take, from its first byte to its last."""
        return self.steps_s.get(step, self.timeouts.request_s)

    @property
    def waiting_s(self) -> float:
        """How long a request waits for a connection before it counts as never sent."""
        return self.timeouts.connect_s + self.timeouts.request_s


def kept_s(keep_alive: str) -> float | None:
    """Return how long a connection may be idle and still be used, by its ``Keep-Alive`` field.

    A second less than the server keeps it, so that no request meets it being closed; half of it
    where that is all. None: it does not say.
    """
    for parameter in keep_alive.split(","):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdecimal():
            timeout_s = min(float(value), 1e6)
            return max(timeout_s - 1.0, timeout_s / 2)
    return None
