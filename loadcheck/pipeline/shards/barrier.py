"""How shards come up, are found to be of one mind, and begin at one instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from loadcheck.errors import InputError, Problem
from loadcheck.load.slices import Slice
from loadcheck.pipeline.shards.members import (
    LEASE_S,
    Crew,
    Member,
    odd,
    ready_problems,
    version_problems,
)
from loadcheck.pipeline.shards.merged import ShardRecord
from loadcheck.pipeline.shards.remote import Engine, Gone, Message, Remote

READY_S: Final = 60.0
"""For all shards to be ready, on a busy machine."""
_PINGS: Final = 20
_AHEAD_NS: Final = 1_000_000_000
_ROUND_TRIPS: Final = 10
_S: Final = 1_000_000_000


async def launch(engine: Engine, parts: Sequence[Slice], welcome: Callable[[Member], None]) -> None:
    """Start a shard for each part of the load, all at once.

    Args:
        engine: Where they run.
        parts: What each is to send.
        welcome: Takes in each that has started: it is heard, and let go of in the end.

    Raises:
        InputError: Some do not start; the others are welcome all the same.
    """
    async with asyncio.TaskGroup() as launching:
        launched = [launching.create_task(_caught(engine.launch(part.index))) for part in parts]
    problems: list[Problem] = []
    for part, task in zip(parts, launched, strict=True):
        found = task.result()
        if isinstance(found, InputError):
            problems += found.problems
        else:
            welcome(Member(told=ShardRecord(part), remote=found))
    _refuse(problems)


async def _caught(launching: Coroutine[Any, Any, Remote]) -> Remote | InputError:
    try:
        return await launching
    except InputError as error:
        return error


async def greet(crew: Crew) -> list[str]:
    """Wait until all have said who they are; return how they differ that may work together.

    Raises:
        InputError: One has not, or is of another version.
    """
    await _await_all(crew, lambda shard: bool(shard.hello), "did not come up")
    _refuse(version_problems(crew))
    return [*odd([*crew])]


async def prepare(crew: Crew, specs: Sequence[Message], fingerprint: str) -> None:
    """Tell all what to send, and see that they have made of it what we have.

    Raises:
        InputError: One cannot do its part.
    """
    await crew.send(lambda shard: specs[shard.told.part.index], within_s=READY_S)
    await _await_all(
        crew, lambda shard: shard.ready is not None or shard.problems is not None, "was not ready"
    )
    _refuse(ready_problems(crew, fingerprint))


async def _await_all(crew: Crew, met: Callable[[Member], bool], what: str) -> None:
    """Wait until all shards have come to something.

    Raises:
        InputError: One has gone, or has not come to it in time.
    """
    await crew.until(lambda: all(met(shard) or shard.gone is not None for shard in crew), READY_S)
    problems = []
    for shard in crew:
        if shard.gone is not None and not met(shard):
            message = f"{shard.name} on {shard.remote.where} {what}: {shard.gone.why}"
            problems.append(Problem(message=message, remedy="see that loadcheck runs there"))
        elif not met(shard):
            message = f"{shard.name} on {shard.remote.where} {what} within {READY_S:g} s"
            problems.append(Problem(message=message, remedy="take fewer workers"))
    _refuse(problems)


def _refuse(problems: Iterable[Problem]) -> None:
    found = [*problems]
    if found:
        raise InputError(found)


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
