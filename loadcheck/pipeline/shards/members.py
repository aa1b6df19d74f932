"""Shards as the coordinator sees them: their state, their clocks, their common start.

The reading of another machine's monotonic clock is known only within an error. Before a load, all
shards must have made the same plan, and agree on the instant at which they begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from loadcheck import __version__
from loadcheck.errors import InputError, Problem, many
from loadcheck.load.engine import LoadSpec
from loadcheck.load.slices import Slice, share_of
from loadcheck.pipeline.shards.merged import Loss, ShardRecord
from loadcheck.pipeline.shards.remote import HERE, PROTOCOL, Engine, Gone, Message, Remote
from loadcheck.scenario.model import ClosedLoad, OpenLoad
from loadcheck.verify.judge import LostShard


class Offset:
    """The difference between a shard's monotonic clock and ours.

    Each round trip bounds it: the other clock was read after we sent and before we received. The
    shortest one bounds it best, however its time divides between the two directions. Clocks drift,
    so each bound widens with its age.

    Attributes:
        measured: Whether there was a round trip.
        count: Round trips so far.
        drift_ppm: How far the offset has moved since the first measurement, in parts per million
            of the time that has passed; 0 while that is within the error.
    """

    _DRIFT_PPM = 100
    """More than any quartz clock drifts."""

    def __init__(self) -> None:
        self.count = 0
        self._best: tuple[int, int, int] | None = None  # when, offset, half the round trip
        self._first: tuple[int, int, int] | None = None

    @property
    def measured(self) -> bool:
        """Whether there was a round trip."""
        return self._best is not None

    def add(self, sent_ns: int, theirs_ns: int, heard_ns: int) -> None:
        """Add a round trip: when it began, what the shard's clock read, and when it ended."""
        self.count += 1
        half = (heard_ns - sent_ns + 1) // 2
        found = (heard_ns, theirs_ns - (sent_ns + heard_ns) // 2, half)
        if self._best is None or half <= self.error_ns(heard_ns):
            self._best = found
        self._first = self._first or found

    def settle(self) -> None:
        """Measure drift from the best measurement so far."""
        self._first = self._best

    def error_ns(self, now_ns: int) -> int:
        """Return the largest possible error of the offset."""
        assert self._best is not None
        when, _, half = self._best
        return half + abs(now_ns - when) * self._DRIFT_PPM // 1_000_000

    def strayed_ns(self, now_ns: int) -> int:
        """Return the largest possible error, by now, of an instant agreed on at ``settle()``."""
        assert self._best is not None
        assert self._first is not None
        return self._first[2] + abs(self._best[1] - self._first[1]) + self.error_ns(now_ns)

    def theirs(self, ours_ns: int) -> int:
        """Return the reading of the shard's clock at an instant of ours."""
        assert self._best is not None
        return ours_ns + self._best[1]

    @property
    def drift_ppm(self) -> float:
        """How fast the shard's clock drifts from ours; 0 while that is within the error."""
        assert self._best is not None
        assert self._first is not None
        passed = self._best[0] - self._first[0]
        moved = self._best[1] - self._first[1]
        if not passed or abs(moved) <= self._best[2] + self._first[2]:
            return 0.0
        return 1e6 * moved / passed


LEASE_S: Final = 10.0
"""A shard that has heard nothing for this long starts no further copy."""
_LATE_S: Final = 1.0
"""How long after its lease a shard may still send its last copy."""
_S: Final = 1_000_000_000
_LATE_MS: Final = 10.0
"""A worker is named if its 99th percentile of lateness is above this, unless all are late."""


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """A shard as the coordinator sees it."""

    record: ShardRecord
    remote: Remote
    offset: Offset = field(init=False, default_factory=Offset)
    hello: Mapping[str, Any] = field(init=False, default_factory=dict)
    ready: Mapping[str, Any] | None = field(init=False, default=None)
    problems: list[Problem] | None = field(init=False, default=None)
    warmed: bool = field(init=False, default=False)
    begin_ns: int = field(init=False, default=0)
    armed: bool = field(init=False, default=False)
    late: bool = field(init=False, default=False)
    cancelled: bool = field(init=False, default=False)
    heard_ns: int = field(init=False, default=0)
    silent: bool = field(init=False, default=False)
    end: str = field(init=False, default="")
    beat: asyncio.Task[Any] | None = field(init=False, default=None)
    gone: Gone | None = field(init=False, default=None)
    lost: LostShard | None = field(init=False, default=None)

    @property
    def name(self) -> str:
        """Its name in messages: the worker's number, and the host if known."""
        host = self.hello.get("host")
        return f"worker {self.record.part.index + 1}" + (f" ({host})" if host else "")

    @property
    def over(self) -> bool:
        """Whether it has finished or is lost."""
        return self.record.complete or self.lost is not None

    def lose(self, spec: LoadSpec, begin_ns: int, at_ns: int | None) -> None:
        """Mark it as lost; copies that it may have sent without reporting them are indeterminate.

        Args:
            spec: The whole load.
            begin_ns: When that began; 0 if it has not.
            at_ns: When the shard was found to be gone; None if it was only silent.
        """
        assert self.gone is not None
        index, why = self.record.part.index, self.gone.why
        if not begin_ns:
            self.lost = LostShard(index=index, name=self.name, why=why)
            return
        if self.gone.certain and at_ns is not None:
            end_ns = at_ns
        else:
            end_ns = self.heard_ns + int((LEASE_S + _LATE_S) * _S)
        end_ns += self.offset.error_ns(end_ns)
        since_ns = max(0, end_ns - begin_ns)
        heard_ns = max(0, min(end_ns, max(self.heard_ns, at_ns or 0)) - begin_ns)
        if spec.pacer is not None:
            # no copy falls due later
            heard_ns = min(heard_ns, int(spec.pacer.duration_s * _S))
        due = self.record.started_by(since_ns, spec.load, spec.pacer)
        self.record.lost = Loss(heard_ns=heard_ns, ended_ns=since_ns, due=due, whole=spec.pacer)
        self.lost = LostShard(
            index=index,
            name=self.name,
            why=why,
            heard_s=heard_ns / _S,
            at_s=since_ns / _S,
            indeterminate=self.record.unaccounted(due),
        )

    def ended_early(self) -> LostShard:
        """Return the entry of a shard that ended its part because its lease ran out."""
        why = f"it heard nothing from the run for {LEASE_S:g} s, and ended its part"
        at_s = self.record.held("load_ns") / _S
        index = self.record.part.index
        return LostShard(index=index, name=self.name, why=why, heard_s=at_s, at_s=at_s)

    def to_json(self) -> dict[str, Any]:
        """Return its entry in the results file."""
        hello, record, known = self.hello, self.record, self.offset.measured
        now_ns = time.monotonic_ns()
        monitor = record.measures()[0]
        return {
            "index": record.part.index,
            "host": hello.get("host"),
            "pid": hello.get("pid"),
            "python": hello.get("python"),
            "nice": hello.get("nice"),
            "clock_error_ms": self.offset.error_ns(now_ns) / 1e6 if known else None,
            "drift_ppm": self.offset.drift_ppm if known else None,
            "end": "lost" if self.lost else self.end or None,
            "started": record.held("started") or 0,
            "acknowledged": record.held("acknowledged") or 0,
            "lateness_p99_ms": record.lateness_p99_ms,
            "loop_lag_p99_ms": monitor.loop_lag.percentile_ms(99),
            "cpu_s": monitor.cpu_s,
            "watched_s": monitor.watched_s,
        }


class Crew:
    """All shards of a load, and the wait for their messages.

    Attributes:
        error: What was raised while a message was processed; it ends every wait.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._members: list[Member] = []
        self._changed = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def add(self, member: Member) -> None:
        """Add a member."""
        self._members.append(member)

    def change(self) -> None:
        """Have every wait check its condition again."""
        self._changed.set()

    async def until(self, met: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until a condition that messages may change is met; return whether it is.

        Args:
            met: The condition.
            seconds: How long to wait at most; None: without end.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not met() and self.error is None:
                    self._changed.clear()
                    await self._changed.wait()
        return met()

    async def send(self, message: Callable[[Member], Message], *, within_s: float) -> None:
        """Send a message to each shard, all at once: a slow connection delays no other shard.

        What has not been sent within ``within_s`` goes on being sent in the background.
        """
        sending = {asyncio.ensure_future(m.remote.send(message(m))) for m in self._members}
        for task in sending:
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if sending:
            await asyncio.wait(sending, timeout=max(0.0, within_s))


def version_problems(members: Iterable[Member]) -> Iterator[Problem]:
    """Yield a problem for each shard that runs another version or protocol."""
    for member in members:
        theirs = member.hello.get("version")
        if member.hello.get("protocol") != PROTOCOL or theirs != __version__:
            message = f"{member.name} runs loadcheck {theirs}, this is {__version__}"
            yield Problem(message=message, remedy="install the same version there")


def odd(members: Sequence[Member]) -> Iterator[str]:
    """Yield how shards differ where that does not keep them from working together."""
    pythons = {str(member.hello.get("python")) for member in members}
    if len(pythons) > 1:
        yield f"workers run different versions of Python: {', '.join(sorted(pythons))}"
    slow = [member.name for member in members if (member.hello.get("nice") or 0) > os.nice(0)]
    if slow:
        yield f"{', '.join(slow)}: runs at a lower priority (nice), may be late"


def connections_of(members: Iterable[Member]) -> Counter[str]:
    """Return how many connections shards need on each machine, by its boot id."""
    needed: Counter[str] = Counter()
    for member in members:
        needed[str(member.hello.get("boot"))] += int((member.ready or {}).get("connections", 0))
    return needed


def ready_problems(
    members: Iterable[Member], fingerprint: str, others: Counter[str]
) -> Iterator[Problem]:
    """Yield why shards cannot send their parts.

    Args:
        members: All shards, each ready or not.
        fingerprint: The fingerprint that each must have found.
        others: What the other flows of a mix need, as :func:`connections_of` returns it.
    """
    hosts: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        hosts[str(member.hello.get("boot"))].append(member)
        for problem in member.problems or ():
            yield replace(problem, message=f"{member.name}: {problem.message}")
        if member.ready is not None and member.ready["fingerprint"] != fingerprint:
            message = f"{member.name} has made another load of the same scenario"
            remedy = (
                "are the workflow's files, the variables, and the versions of numpy and faker the "
                "same there?"
            )
            yield Problem(message=message, remedy=remedy)
    for boot, together in hosts.items():
        yield from host_problems(together, others[boot])


def host_problems(members: Sequence[Member], others: int = 0) -> Iterator[Problem]:
    """Yield which limits of a machine its shards exceed together.

    Args:
        members: All shards of one machine.
        others: Connections that the other flows of a mix need there.
    """
    needed = others + connections_of(members).total()
    also = ", with the mix's other flows," if others else ""
    for name, what, remedy in (
        ("ports", "ephemeral ports", "widen net.ipv4.ip_local_port_range"),
        ("files", "open files", "raise fs.file-max"),
    ):
        free = members[0].hello.get(name)
        if free is not None and needed > free:
            host = members[0].hello.get("host")
            message = (
                f"{len(members)} workers on {host}{also} need {many(needed, 'connections')}; "
                f"it has {free:,} {what}"
            )
            every = f"lower load.max_in_flight (or load.concurrency), {remedy}, or add a machine"
            yield Problem(key="load", message=message, remedy=every)


def late_workers(p99_ms: Mapping[str, float | None]) -> str:
    """Return a note on workers that sent late while others did not; "" if none or all did.

    Args:
        p99_ms: Worker → 99th percentile of its lateness.
    """
    worst = [f"{name}: {ms:.1f} ms" for name, ms in p99_ms.items() if ms and ms > _LATE_MS]
    if not 0 < len(worst) < len(p99_ms):
        return ""
    return (
        f"of {len(p99_ms)} workers {len(worst)} sent late, at the 99th percentile: "
        f"{', '.join(worst)}; the target is not the reason"
    )


def paused_workers(skipped: Mapping[str, int]) -> str:
    """Return a note on workers that stood still while others did not; "" if none or all did.

    Args:
        skipped: Worker → copies that were skipped because it stood still.
    """
    paused = [f"{name}: {many(number, 'copies')}" for name, number in skipped.items() if number]
    if not 0 < len(paused) < len(skipped):
        return ""
    return (
        f"of {len(skipped)} workers {len(paused)} paused and skipped what fell due meanwhile: "
        f"{', '.join(paused)}; give it a less busy machine"
    )


def crowded_workers(records: Sequence[ShardRecord], load: OpenLoad | ClosedLoad) -> str:
    """Return a note on copies skipped by some workers while others had room; "" if none were."""
    if not isinstance(load, OpenLoad):
        return ""
    skipped, room = 0, False
    for each in records:
        share = share_of(load, each.part)
        most = each.held("max_in_flight") or 0
        room |= (
            isinstance(share, OpenLoad) and most + load.copies_per_request <= share.max_in_flight
        )
        skipped += (each.held("skipped") or 0) - len(each.held("paused") or ())
    if not skipped or not room:
        return ""
    return (
        f"{many(skipped, 'copies were')} skipped by workers whose share of load.max_in_flight was "
        "in flight, while others had room: a share of "
        f"{load.max_in_flight // len(records):,} is small; raise load.max_in_flight, or take "
        "fewer workers"
    )


READY_S: Final = 60.0
"""Time limit for all shards to be ready, with room for a busy machine."""
_PINGS: Final = 20
_MEASURE_S: Final = 5.0
"""After this long the round trips so far must do: a slow connection does not extend the wait."""
_AHEAD_NS: Final = 1_000_000_000
_ROUND_TRIPS: Final = 10
_SLOW_S: Final = 5.0
"""A wait for a worker, or for a slow connection, is reported after this long."""
_ASKS_NOTHING: Final = (
    "that the command asks for nothing (for ssh: a key, a known host, -o BatchMode=yes)"
)


async def launch(engine: Engine, parts: Sequence[Slice], welcome: Callable[[Member], None]) -> None:
    """Start a shard for each part of the load, all at once.

    Args:
        engine: Where they run.
        parts: The parts.
        welcome: Called with each shard that has started; it will receive messages and end it.

    Raises:
        InputError: Some do not start; ``welcome`` was still called with the others.
    """
    async with asyncio.TaskGroup() as launching:
        launched = [launching.create_task(_caught(engine.launch(part.index))) for part in parts]
    problems: list[Problem] = []
    for part, task in zip(parts, launched, strict=True):
        found = task.result()
        if isinstance(found, InputError):
            problems += found.problems
        else:
            welcome(Member(record=ShardRecord(part), remote=found))
    _refuse(problems)


async def _caught(launching: Coroutine[Any, Any, Remote]) -> Remote | InputError:
    try:
        return await launching
    except InputError as error:
        return error


Announce = Callable[[str], None]
"""Shows a message to the user at once."""


async def greet(crew: Crew, announce: Announce) -> list[str]:
    """Wait for the ``hello`` of all shards; return notes on differences that do no harm.

    Args:
        crew: All shards.
        announce: Called with a message about each shard that is slow.

    Raises:
        InputError: A shard did not come up, or runs another version.
    """
    await _await_all(crew, lambda shard: bool(shard.hello), "did not come up", announce)
    _refuse(version_problems(crew))
    return [*odd([*crew])]


async def prepare(
    crew: Crew,
    specs: Sequence[Message],
    fingerprint: str,
    announce: Announce,
    others: Counter[str],
) -> None:
    """Send each shard its ``spec``, and check that all have made the same plan.

    Args:
        crew: All shards.
        specs: The message ``spec`` for each.
        fingerprint: The fingerprint that each must find.
        announce: Called with a message about each shard that is slow.
        others: What the other flows of a mix need, as :func:`connections_of` returns it.

    Raises:
        InputError: A shard cannot do its part.
    """
    await crew.send(lambda shard: specs[shard.record.part.index], within_s=READY_S)
    await _await_all(
        crew,
        lambda shard: shard.ready is not None or shard.problems is not None,
        "was not ready",
        announce,
    )
    _refuse(ready_problems(crew, fingerprint, others))


async def _await_all(
    crew: Crew, met: Callable[[Member], bool], what: str, announce: Announce
) -> None:
    """Wait until a condition is met by all shards.

    Raises:
        InputError: A shard is gone, or did not meet it in time.
    """

    def done() -> bool:
        return all(met(shard) or shard.gone is not None for shard in crew)

    told_s = min(_SLOW_S, READY_S)
    if not await crew.until(done, told_s):
        for shard in crew:
            if shard.gone is None and not met(shard) and shard.remote.where != HERE:
                said = f", which says: {shard.remote.said}" if shard.remote.said else ""
                announce(f"waiting for {shard.name} on {shard.remote.where}{said}")
        await crew.until(done, READY_S - told_s)
    _refuse(_not_there(shard, what) for shard in crew if not met(shard))


def _not_there(shard: Member, what: str) -> Problem:
    """Return the problem of a shard that is gone or too slow."""
    place, behind = f"{shard.name} on {shard.remote.where}", shard.remote.where != HERE
    if shard.gone is not None:
        message = f"{place} {what}: {shard.gone.why}"
        remedy = "see that loadcheck runs there"
        if behind:
            remedy += f", and {_ASKS_NOTHING}"
    else:
        message = f"{place} {what} within {READY_S:g} s"
        if shard.remote.said:
            message += f"; it said last: {shard.remote.said}"
        remedy = "take fewer workers"
        if behind:
            remedy += f", or see {_ASKS_NOTHING} and passes on at once what it is given"
    return Problem(message=message, remedy=remedy)


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
    until_ns = time.monotonic_ns() + int(_MEASURE_S * _S)
    for _ in range(_PINGS):
        before = shard.offset.count
        await shard.remote.send({"is": "ping", "sent_ns": time.monotonic_ns()})
        await crew.until(lambda: shard.offset.count > before or bool(shard.gone), LEASE_S)  # noqa: B023
        answered = shard.offset.count > before
        if shard.gone or not answered or time.monotonic_ns() >= until_ns:
            break
    if not shard.offset.measured and shard.gone is None:
        shard.gone = Gone(why="it does not answer", certain=False)


def slow_line(crew: Crew) -> str:
    """Return a note on the slow connection for which the load waits; "" if the wait is short."""
    now_ns = time.monotonic_ns()
    error_ns, name = max((shard.offset.error_ns(now_ns), shard.name) for shard in crew)
    wait_s = _ahead_ns(error_ns) / _S
    if wait_s < _SLOW_S:
        return ""
    return (
        f"the load begins in {wait_s:.0f} s: a message to {name} and back takes "
        f"{2 * error_ns / _S:.1f} s"
    )


def _ahead_ns(error_ns: int) -> int:
    """Return how long before the load shards are sent its beginning, given the clocks' error."""
    return max(_AHEAD_NS, 2 * _ROUND_TRIPS * error_ns)


async def arm(crew: Crew) -> int:
    """Send all shards the instant at which the load begins, let them arm; return the instant."""
    now_ns = time.monotonic_ns()
    error_ns = max(shard.offset.error_ns(now_ns) for shard in crew)
    begin_ns = now_ns + _ahead_ns(error_ns)
    unix_ms = (time.time_ns() + begin_ns - time.monotonic_ns()) // 1_000_000
    for shard in crew:
        shard.armed = shard.late = shard.cancelled = False
        shard.begin_ns = shard.offset.theirs(begin_ns)
    # armed shards must learn in time if others are not armed
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
    """Cancel the agreed beginning; return whether all have confirmed that, or are gone."""
    for shard in crew:
        shard.cancelled = not shard.armed and shard.late
    await crew.send(lambda _: {"is": "cancel"}, within_s=LEASE_S)
    return await crew.until(lambda: all(shard.cancelled or shard.gone for shard in crew), LEASE_S)
