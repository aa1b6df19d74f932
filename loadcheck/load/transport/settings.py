"""How a transport behaves, as a scenario says: deadlines, TLS, what goes over the wire and how."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from loadcheck.load.transport.routes import Proxies
from loadcheck.scenario.model import Tls

MAX_HEAD_BYTES = 64 * 1024
"""The longest head of an answer that is read, interim answers included."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""The longest body of an answer that is read, also when its content coding is removed."""
RESTED_NS = 1_000_000_000
"""A connection that has been idle for so long may have been closed by the time it is used."""
MAX_IDLE_S = 10.0
"""A connection that has been idle for longer is not used, unless a scenario says otherwise."""
CLOSED_IDLE = "the server closed the connection, which had been idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long one attempt may take.

    Attributes:
        connect_s: To open a connection: name, address and TLS together.
        request_s: From the first byte written to the last byte read.
        write_s: Until the system has taken all of the request; None: as long as ``request_s``.
        read_s: Between two pieces of the answer, and before the first; None: likewise.
        max_idle_s: How long a connection may have been idle to be used once more; less, where the
            server's ``Keep-Alive`` says so.
        steps_s: Index of a step → what the workflow document allows an attempt of it, where that is
            less than ``request_s``.
    """

    connect_s: float = 5.0
    request_s: float = 10.0
    write_s: float | None = None
    read_s: float | None = None
    max_idle_s: float = MAX_IDLE_S
    steps_s: Mapping[int, float] = field(default_factory=dict)

    def of_step(self, step: int) -> float:
        """Return how long an attempt of a step may take, from its first byte to its last."""
        return self.steps_s.get(step, self.request_s)

    @property
    def waiting_s(self) -> float:
        """How long a request waits for a connection before it counts as never sent."""
        return self.connect_s + self.request_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """How requests go out.

    Attributes:
        max_connections: The most connections, per origin for the wire transport; further requests
            wait for one.
        deadlines: How long an attempt may take.
        tls: How https servers are verified.
        compress: Whether request bodies are gzipped.
        repeatable: Steps whose requests may be sent a second time when the connection of the first
            had been idle and was being closed: they carry a key by which the service tells
            duplicates.
        proxy: URL of the proxy through which everything goes; httpx only, as all that follows.
        proxies: Those that the environment names, for what is not loopback; None: not used.
        http2: Speak HTTP/2 where the server does, over TLS.
        redirects: Follow them.
        consent: Whether requests, redirected ones among them, may leave this machine.
    """

    max_connections: int
    deadlines: Deadlines
    tls: Tls = field(default_factory=Tls)
    compress: bool = False
    repeatable: Collection[int] = ()
    proxy: str | None = None
    proxies: Proxies | None = None
    http2: bool = False
    redirects: bool = False
    consent: bool = False


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
