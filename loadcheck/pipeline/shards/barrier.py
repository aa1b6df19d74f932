"""How shards come to begin at one instant: their clocks, and a word that can be taken back."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from loadcheck.pipeline.shards.members import LEASE_S, Crew, Member
from loadcheck.pipeline.shards.remote import Gone

_PINGS: Final = 20
_AHEAD_NS: Final = 1_000_000_000
_ROUND_TRIPS: Final = 10
_S: Final = 1_000_000_000


async def measure(crew: Crew) -> None:
    """Measure how each shard's clock differs from ours; one that does not answer is gone."""
    async with asyncio.TaskGroup() as measuring:
        for shard in crew:
            measuring.create_task(_measure(crew, shard))


async def _measure(crew: Crew, shard: Member) -> None:
    for _ in range(_PINGS):
        before = shard.offset.count
        await shard.remote.send({"is": "ping", "sent_ns": time.monotonic_ns()})
        await crew.until(lambda: shard.offset.count > before or bool(shard.gone), LEASE_S)  # noqa: B023
        if shard.gone or shard.offset.count == before:
            break
    if not shard.offset.measured and shard.gone is None:
        shard.gone = Gone(why="it does not answer", certain=False)


async def arm(crew: Crew) -> int:
    """Tell all shards when the load is to begin, and wait for them to be armed; return when."""
    now_ns = time.monotonic_ns()
    error_ns = max(shard.offset.error_ns(now_ns) for shard in crew)
    begin_ns = now_ns + max(_AHEAD_NS, 2 * _ROUND_TRIPS * error_ns)
    unix_ms = (time.time_ns() + begin_ns - time.monotonic_ns()) // 1_000_000
    for shard in crew:
        shard.armed = shard.late = shard.cancelled = False
        shard.begin_ns = shard.offset.theirs(begin_ns)
    # those who are armed must hear in time that the others are not
    until_ns = begin_ns - max(_AHEAD_NS // 4, 4 * error_ns)
    await crew.send(
        lambda shard: {
            "is": "begin",
            "at_ns": shard.begin_ns,
            "unix_ms": unix_ms,
            "until_ns": shard.begin_ns + int(LEASE_S * _S),
        },
        within_s=(until_ns - time.monotonic_ns()) / _S,
    )
    left_s = max(0, until_ns - time.monotonic_ns()) / _S
    await crew.until(lambda: all(s.armed or s.late or s.gone for s in crew), left_s)
    return begin_ns


async def disarm(crew: Crew) -> bool:
    """Take back what was agreed; return whether all have heard of it before they began."""
    for shard in crew:
        shard.cancelled = not shard.armed and shard.late
    await crew.send(lambda _: {"is": "cancel"}, within_s=LEASE_S)
    return await crew.until(lambda: all(shard.cancelled or shard.gone for shard in crew), LEASE_S)
