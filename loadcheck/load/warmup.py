"""How many connections a load should find open, and when: pure arithmetic.

Opening a connection takes round trips and, with TLS, milliseconds of both sides' processors. Copies
that fall due in a burst would wait for that, and the burst would measure handshakes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadcheck.load.pacer import StageLike

_ANSWER_S = 0.05
"""How long an answer is taken to need: N = rate x time (Little's law) are then in flight."""
_LEAD_S = 0.5
_PER_S = 1000.0
"""Time allowed for opening, as connections per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """Connections that are to be open by an instant.

    Attributes:
        at_s: When to begin with it, since the load began; 0: before the load begins.
        connections: How many are to be open.
    """

    at_s: float
    connections: int


def warmups(stages: Sequence[StageLike], *, together: int, limit: int) -> list[Warmup]:
    """Return what to open ahead of an open load, and ahead of its stages where the rate rises.

    Args:
        stages: The load's.
        together: Copies that share a request.
        limit: The most connections.
    """
    found: list[Warmup] = []
    begin_s = most = 0.0
    for stage in stages:
        rate = max(stage.rate, stage.end_rate)
        if rate > most:
            connections = min(limit, math.ceil(rate * _ANSWER_S / together))
            lead_s = _LEAD_S + connections / _PER_S
            found.append(Warmup(at_s=max(0.0, begin_s - lead_s), connections=connections))
            most = rate
        begin_s += stage.duration_s
    return found
