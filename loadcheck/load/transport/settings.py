"""How a transport behaves, as a scenario says: deadlines, TLS, what goes over the wire and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
class Tls:
    """TLS verification settings and client certificate.

    Attributes:
        ca: PEM file of the authorities that are trusted instead of the system's.
        cert: PEM file of the client certificate, its chain after it.
        key: PEM file of its private key; None: it is in ``cert``.
        server_name: The name that the server's certificate must bear, also sent as SNI; None: the
            host of the URL.
        verify: Whether the certificate is checked at all.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    verify: bool = True


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
