"""One load from several processes, on one machine or many, measured as if it came from one.

How many workers share it, where they run, and what each is sent. On an existing Dask cluster only
actors are used, never submitted functions: Dask reruns those when a worker is lost, and load that
is sent twice is wrong. The actor only starts a child process and passes messages on, so that the
Dask worker's threads, memory limit and garbage collector do not affect the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import ssl
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import anyio

from loadcheck.errors import InputError, Problem, printable
from loadcheck.load.slices import Slice
from loadcheck.load.transport.routes import is_loopback
from loadcheck.pipeline.shards.coordinator import ShardedEngine
from loadcheck.pipeline.shards.machine import cores
from loadcheck.pipeline.shards.members import READY_S
from loadcheck.pipeline.shards.remote import (
    Child,
    Engine,
    Gone,
    Local,
    Message,
    Remote,
    Unframer,
    frame,
)
from loadcheck.pipeline.shards.spec import (
    Bundle,
    ShardSpec,
    bundle,
    fingerprint,
    inline_secrets,
    mark,
    refuse_too_few,
    refuse_too_many,
    variables,
)
from loadcheck.pipeline.target import Address
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import cover, without_userinfo
from loadcheck.verify.compiled import CompiledScenario

_Started = TypeVar("_Started")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Where workers run, and what happens when one is lost.

    Attributes:
        scheduler: Address of a Dask scheduler on whose workers they run; None: they are processes
            that we start.
        keep_going: Continue with the others when one is lost.
        environment: Environment variables that the scenario may read.
        connections: Connections that the workers of all flows need, by the machine's boot id.
    """

    scheduler: str | None = None
    keep_going: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    connections: Counter[str] = field(default_factory=Counter, repr=False, compare=False)

    def wanted(self, scenario: Scenario) -> bool:
        """Return whether the load is shared at all."""
        load = scenario.load
        return load.workers is not None or bool(load.prefixes) or self.scheduler is not None

    def check_use(self, flows: Sequence[Scenario]) -> None:
        """Check what concerns the workers of all flows together, before anything starts.

        Raises:
            InputError: An option that only workers need is given, and no flow has any; or this
                machine does not have the memory for those of all.
        """
        here = [flow for flow in flows if self.wanted(flow) and not flow.load.prefixes]
        if len(here) > 1 and self.scheduler is None:
            refuse_too_many(here[0], sum(map(count, here)))
        if self.keep_going and not any(map(self.wanted, flows)):
            message = "there are no workers to go on with"
            remedy = "add --workers, --prefix or --scheduler, or leave it out"
            raise InputError(Problem(key="--keep-going", message=message, remedy=remedy))

    def check(self, scenario: Scenario) -> None:
        """Check that the load can be shared, as far as that is known before anything starts.

        Raises:
            InputError: Options contradict each other, or the number of workers does not fit.
        """
        load = scenario.load
        if self.scheduler is not None and load.prefixes:
            message = "contradicts --scheduler: its workers are the cluster's"
            remedy = "leave one of them out"
            raise InputError(scenario.problem("load.prefixes", message, remedy))
        if self.scheduler is not None and (wrong := _misspelt(self.scheduler)):
            message = f"{without_userinfo(self.scheduler, bare=True)!r} {wrong}"
            remedy = "give it as tcp://HOST:PORT or tls://HOST:PORT"
            raise InputError(Problem(key="--scheduler", message=message, remedy=remedy))
        if self.scheduler is None and self.wanted(scenario):
            refuse_too_few(scenario, count(scenario))
            if not load.prefixes:
                refuse_too_many(scenario, count(scenario))


_SCHEMES: Final = ("tcp", "tls", "ucx", "ws", "wss")
"""URL schemes at which a Dask scheduler listens for other processes."""


def _misspelt(address: str) -> str:
    """Return why an address cannot be a scheduler's; "" if it can."""
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return "has no port from 1 to 65535, or its host is misspelt"
    if "@" in parts.netloc:
        return "holds a user name or a password, of which Dask takes none"
    if parts.scheme not in _SCHEMES:
        return f"begins with {parts.scheme}://, at which no Dask scheduler listens"
    if not host:
        return "has no host"
    return "" if port else "has no port"


def count(scenario: Scenario) -> int:
    """Return the number of workers that share a load without a scheduler."""
    load = scenario.load
    if load.workers is None:
        return max(1, len(load.prefixes))
    if load.workers:
        return load.workers
    return max(1, cores() - (scenario.target.kind == "emulator"))


def check_shares(scenario: Scenario) -> None:
    """Check that a load can be shared by the number of workers that its scenario names, if any.

    Raises:
        ScenarioError: It cannot, wherever it is run.
    """
    if scenario.load.workers != 0:  # "auto" depends on the machine
        refuse_too_few(scenario, count(scenario))


@asynccontextmanager
async def open_workers(
    compiled: CompiledScenario,
    workers: Workers,
    address: Address,
    signals: AsyncIterator[signal.Signals],
) -> AsyncIterator[ShardedEngine]:
    """Start the workers of a load, and end them when the block ends.

    Args:
        compiled: The scenario to run.
        workers: Where they run.
        address: Where requests go.
        signals: The first of them ends the wait for workers.

    Raises:
        InputError: A worker cannot do its part; nothing was sent.
        KeyboardInterrupt: A signal came first; nothing was sent.
    """
    scenario = compiled.scenario
    engine: Engine
    if workers.scheduler is None:
        number = count(scenario)
        engine = Local([shlex.split(prefix) for prefix in scenario.load.prefixes])
    else:
        engine = DaskEngine(workers.scheduler)
        number = await _unless(signals, engine.connect(scenario))
    sharded = ShardedEngine(compiled.load, compiled.plan, engine, keep_going=workers.keep_going)
    try:
        refuse_too_few(scenario, number)
        specs = _specs(compiled, engine, address, number, workers)
        await _unless(
            signals, sharded.open(specs, fingerprint(compiled), _tell, workers.connections)
        )
        yield sharded
    finally:
        with anyio.CancelScope(shield=True):  # another flow of a mix may have failed
            await sharded.shut()


def _tell(news: str) -> None:
    """Print a message to stderr, before the live view exists."""
    print(printable(cover(news)), file=sys.stderr)  # noqa: T201


async def _unless(
    signals: AsyncIterator[signal.Signals], starting: Coroutine[Any, Any, _Started]
) -> _Started:
    """Return the result of ``starting``.

    Raises:
        KeyboardInterrupt: A signal came first.
    """
    start, heard = asyncio.ensure_future(starting), asyncio.ensure_future(_next(signals))
    try:
        await asyncio.wait({start, heard}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            raise KeyboardInterrupt
        return start.result()
    finally:
        for task in (start, heard):
            task.cancel()
        await asyncio.wait({start, heard})


async def _next(signals: AsyncIterator[signal.Signals]) -> signal.Signals:
    return await anext(signals)


def _specs(
    compiled: CompiledScenario, engine: Engine, address: Address, number: int, workers: Workers
) -> list[Message]:
    """Return the message ``spec`` for each worker.

    Raises:
        InputError: Secrets would travel where others can read them, or a file cannot be read.
    """
    known = variables(compiled.scenario, workers.environment)
    if compiled.run.target and not engine.private:
        message = "the credentials of the embedded emulator would travel in the clear"
        remedy = 'take a scheduler on tls://, or target.kind = "live"'
        raise InputError(Problem(key="--scheduler", message=message, remedy=remedy))
    if compiled.setup is not None and not engine.private:
        message = "what the set-up gives would travel in the clear"
        remedy = "take a scheduler on tls://, or leave [setup] out"
        raise InputError(Problem(key="--scheduler", message=message, remedy=remedy))
    found = [] if engine.private else [*inline_secrets(compiled.scenario)]
    if found:
        message = "is written in the scenario, which would travel in the clear"
        remedy = 'take a scheduler on tls://, or { env = "NAME" }, set on its workers'
        raise InputError([compiled.scenario.problem(key, message, remedy) for key in found])
    together = compiled.load.load.copies_per_request
    specs = [
        ShardSpec(
            document=compiled.scenario.document,
            file=str(Path(compiled.scenario.file).absolute()),
            run=compiled.run,
            servers=address.servers,
            seed=compiled.seed,
            consent=compiled.load.transport.consent,
            part=Slice(index=index, of=number, together=together),
            # sent only where nobody else can read them; else each worker needs its own
            environment=known if engine.private else None,
            marks={name: mark(compiled.run.id, value) for name, value in known.items()},
        )
        for index in range(number)
    ]
    files = Bundle()
    if engine.foreign:
        files = bundle(replace(specs[0], environment=known), private=engine.private)
    return [{**spec.message(), "files": files.message()} for spec in specs]


_CONNECT_S: Final = 10.0
_PULL_S: Final = 5.0
_KILL_S: Final = 5.0
_SEND_S: Final = 5.0
_SLOWEST: Final = 1_000_000
"""Bytes per second that any network carries: a long message is given more time by it."""
_LEAVE_S: Final = 2.0
_LOOK_S: Final = 0.2
"""Interval at which we check whether Dask has lost a worker."""


class Host:
    """Starts one shard where it runs, and passes messages on: all that a cluster engine needs.

    Messages are bytes here, opaque to the cluster that carries them as arguments.
    """

    def __init__(self) -> None:
        self._child: Child | None = None
        self._came: deque[bytes] = deque()
        self._more: asyncio.Event | None = None
        self._hearing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the shard; may be called only once."""
        if self._child is not None:
            raise RuntimeError("a shard is started once")
        self._more = asyncio.Event()
        self._child = child = await Local().launch(0)
        self._hearing = asyncio.ensure_future(self._hear(child))

    async def _hear(self, child: Child) -> None:
        assert self._more is not None
        while True:
            _, said = await child.receive()
            gone = isinstance(said, Gone)
            message = {"is": "gone", "why": said.why} if isinstance(said, Gone) else said
            self._came.append(frame(message))
            self._more.set()
            if gone:
                return

    async def push(self, message: bytes) -> None:
        """Send a message to the shard."""
        assert self._child is not None
        for each in Unframer().feed(message):
            await self._child.send(each)

    async def pull(self, wait_s: float) -> bytes:
        """Return the shard's messages since the last call; wait at most ``wait_s`` for one."""
        assert self._more is not None
        if not self._came:
            self._more.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), wait_s)
        came = b"".join(self._came)
        self._came.clear()
        return came

    async def close(self) -> bool:
        """End the shard; return whether it has certainly ended."""
        return self._child is None or await self._child.kill()


def _other_versions(found: Mapping[str, Any], seats: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem for each process of a cluster with another version of loadcheck or Dask.

    The scheduler unpacks what is submitted, too, so it needs the same versions as its workers.
    """
    ours = {name: found["client"]["packages"].get(name) for name in ("loadcheck", "distributed")}
    theirs = {f"worker {at + 1} on {seat}": found["workers"][seat] for at, seat in enumerate(seats)}
    for who, told in {"the scheduler": found["scheduler"], **theirs}.items():
        for package, expected in ours.items():
            has = told["packages"].get(package)
            # our own version is unknown here in a bare checkout; each shard reports its own later
            if expected is not None and has != expected:
                found_there = f"runs {package} {has}" if has else f"has no {package}"
                message = f"{who} {found_there}, this is {package} {expected}"
                yield Problem(message=message, remedy="install the same version there")


class DaskEngine:
    """Runs shards on a Dask cluster, at most one on each of its workers.

    Args:
        address: Address of the scheduler.
    """

    name = "dask"
    foreign = True

    def __init__(self, address: str) -> None:
        self._address = address
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        self.private = parts.scheme == "tls" or is_loopback(parts.hostname or "")
        self._client: Any = None
        self._seats: list[str] = []

    async def connect(self, scenario: Scenario) -> int:
        """Find the cluster's workers; return how many shards there will be.

        Args:
            scenario: The scenario, which says how many are wanted; by default one on each worker.

        Raises:
            InputError: The cluster cannot be reached, has fewer workers, or another version.
        """
        try:
            from distributed import Client  # noqa: PLC0415  # an extra
            from distributed.versions import VersionMismatchWarning  # noqa: PLC0415
        except ImportError:
            message = "a scheduler needs the package distributed"
            remedy = "pip install 'loadcheck[dask]'"
            raise InputError(Problem(key="--scheduler", message=message, remedy=remedy)) from None
        try:
            # assigned before it connects: a client that is never closed complains when collected
            self._client = Client(  # type: ignore[no-untyped-call]
                self._address, asynchronous=True, timeout=_CONNECT_S
            )
            # we report the state of the cluster ourselves, without Dask's tracebacks
            logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
            # something that is not a scheduler may never answer, and Dask would wait for ever
            async with asyncio.timeout(_CONNECT_S + _PULL_S):
                with warnings.catch_warnings(action="ignore", category=VersionMismatchWarning):
                    await self._client
                threads = await self._client.nthreads()
                versions = await self._client.get_versions(packages=["loadcheck"])
        except asyncio.CancelledError:
            await self.close()
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody answers
            await self.close()
            raise InputError(self._unreached(error)) from None
        self._seats = sorted(threads)
        wanted = scenario.load.workers or len(self._seats)
        if not self._seats:
            message = f"the cluster at {self._address} has no workers"
            remedy = "start some, or scale it up, and wait until they are there"
            problems = [Problem(key="--scheduler", message=message, remedy=remedy)]
        elif wanted > len(self._seats):
            message = f"{wanted:,} workers are asked for; the cluster has {len(self._seats):,}"
            remedy = "ask for fewer, or scale it up"
            problems = [scenario.problem("load.workers", message, remedy)]
        else:
            problems = [*_other_versions(versions, self._seats[:wanted])]
        if problems:
            await self.close()
            raise InputError(problems)
        return wanted

    def _unreached(self, error: Exception) -> Problem:
        why = (
            str(error) or f"nothing of Dask's is heard within {_CONNECT_S + _PULL_S:g} s"
        ).splitlines()[0]
        message = f"no Dask scheduler answers at {self._address}: {why}"
        remedy = "is it running, is it tcp:// or tls://, and is that its own port?"
        files = "distributed.comm.tls (ca-file, client.cert, client.key)"
        if self._address.startswith("tls://"):
            remedy = f"is it running, and are the files of {files} those of this cluster?"
        if isinstance(error, TypeError) and self._address.startswith("tls://"):
            message = f"Dask has no TLS files for {self._address}"
            remedy = f"set {files} for Dask"
        elif isinstance(error, FileNotFoundError | PermissionError | ssl.SSLError):
            message = f"Dask cannot read its TLS files for {self._address}: {why}"
            remedy = f"see which {files} name"
        elif isinstance(error, MemoryError):
            message = f"what answers at {self._address} is not a Dask scheduler"
            remedy = "give the scheduler's own port, not its dashboard's"
        return Problem(key="--scheduler", message=message, remedy=remedy)

    async def launch(self, index: int) -> Remote:
        """Start a shard on the cluster's worker with this index.

        Raises:
            InputError: It cannot be started.
        """
        seat = self._seats[index]
        try:
            placed = self._client.submit(
                Host, actor=True, pure=False, workers=[seat], allow_other_workers=False
            )
            # Dask waits for ever for a worker that has just gone away
            async with asyncio.timeout(READY_S):
                actor = await placed
                await _unless_lost(actor.start(), placed)
        except Exception as error:  # noqa: BLE001  # told with its remedy
            message = f"worker {index + 1} cannot be started on {seat}: {_why(error)}"
            remedy = "is the same version of loadcheck installed on the cluster's workers?"
            raise InputError(Problem(message=message, remedy=remedy)) from None
        return _Seat(actor, seat, placed)

    async def close(self) -> None:
        """Disconnect from the cluster."""
        if self._client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_LEAVE_S):
                    await self._client.close()
            self._client = None


async def _unless_lost(call: Awaitable[_Started], placed: Any) -> _Started:
    """Return the result of a call to an actor.

    The call alone would wait for ever if Dask learned of the worker's end before the call did.

    Args:
        call: The call to the actor.
        placed: Dask's future of the actor, whose status is "finished" while its worker is there.

    Raises:
        ConnectionError: Dask has lost the worker.
    """
    answer = asyncio.ensure_future(call)
    try:
        while not (await asyncio.wait({answer}, timeout=_LOOK_S))[0]:
            if placed.status != "finished":
                raise ConnectionError("it was lost")
        return answer.result()
    finally:
        answer.cancel()


def _why(error: Exception) -> str:
    """Return the reason for an error from Dask, in one line."""
    if isinstance(error, TimeoutError):
        return f"nothing came of it within {READY_S:g} s"
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Seat:
    """A shard that is reached through an actor.

    Args:
        actor: The actor, a :class:`Host`.
        where: Address of its Dask worker.
        placed: Dask's future of the actor.
    """

    said = ""

    def __init__(self, actor: Any, where: str, placed: Any) -> None:
        self.where = where
        self._actor = actor
        self._placed = placed
        self._unframer = Unframer()
        self._came: deque[dict[str, Any]] = deque()
        self._sending = asyncio.Lock()
        self._unsent = bytearray()

    async def send(self, message: Message) -> None:
        """Send a message; it is lost if the shard is gone.

        A message that does not get through is kept and sent with the next, and may arrive twice.
        """
        self._unsent += frame(message)
        async with self._sending:
            if not (sent := bytes(self._unsent)):
                return
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_SEND_S + len(sent) / _SLOWEST):
                    await self._actor.push(sent)
                    del self._unsent[: len(sent)]

    async def receive(self) -> tuple[int, dict[str, Any] | Gone]:
        """Return when the next message came, and the message; ``Gone`` if there is no more."""
        while not self._came:
            try:
                data = await _unless_lost(self._actor.pull(_PULL_S), self._placed)
            except Exception as error:  # noqa: BLE001  # whatever it is, nobody can reach it
                why = f"its Dask worker: {_why(error)}"
                return time.monotonic_ns(), Gone(why=why, certain=False)
            self._came += self._unframer.feed(data)
        message = self._came.popleft()
        if message["is"] == "gone":
            return time.monotonic_ns(), Gone(why=message["why"], certain=True)
        return time.monotonic_ns(), message

    async def kill(self) -> bool:
        """Kill the shard; return whether its process has certainly ended."""
        try:
            async with asyncio.timeout(_KILL_S):
                return bool(await self._actor.close())
        except Exception:  # noqa: BLE001  # nobody can reach it
            return False

    async def end(self) -> None:
        """Kill the shard: no more messages will follow."""
        await self.kill()
