"""One load from its first connection to its last response, watched while it goes on."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator

import anyio
import anyio.abc

from loadcheck.load.monitor import Monitor
from loadcheck.load.pacer import Warmup
from loadcheck.load.runner import Begin, Runner
from loadcheck.load.spec import LoadSpec
from loadcheck.load.transport import LoadTransport
from loadcheck.measure.record import Record

_GC_THRESHOLD = 50_000


class LoadEngine:
    """Runs one load through one transport and records it.

    Args:
        spec: What to send, and when.
        transport: Carries the requests.
        record: Receives everything measured; None: a new one.

    Attributes:
        record: What has been measured so far.
        monitor: What the generator has measured of itself.
    """

    def __init__(
        self, spec: LoadSpec, transport: LoadTransport, record: Record | None = None
    ) -> None:
        self._spec = spec
        self._origin = spec.plan.steps[spec.ingest].origin
        self._transport = transport
        self.record = spec.new_record() if record is None else record
        self.monitor = Monitor(self.record.stages, self.record.stalls)
        self._runner = Runner(spec, transport, self.record)

    @property
    def begin_ns(self) -> int:
        """When the first copy could fall due, on the monotonic clock; 0 before."""
        return self._runner.begin_ns

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began; 0 before."""
        return (time.monotonic_ns() - self.begin_ns) / 1e9 if self.begin_ns else 0.0

    def stop(self) -> None:
        """Start no further copies; those in flight are followed to their end."""
        self._runner.stop()

    @property
    def is_expired(self) -> bool:
        """Whether the load ended because nobody renewed the lease."""
        return self._runner.is_expired

    def lend(self, until_ns: int) -> None:
        """Start no further copy from an instant on, unless it is moved before it comes."""
        self._runner.lease_ns = until_ns

    async def warm(self) -> None:
        """Open the connections that the load is to find open."""
        for warmup in self._spec.warmups:
            if not warmup.at_s:
                await self._transport.warm(self._origin, warmup.connections)

    async def run(
        self,
        beside: Callable[[anyio.abc.TaskGroup], None] = lambda _: None,
        begin: Begin | None = None,
    ) -> None:
        """Send the load; return when every copy has ended or been given up.

        Args:
            beside: Called when the load begins, with a task group that ends with it.
            begin: When it begins, its connections open; None: as soon as they are.
        """
        if begin is None:
            await self.warm()

        async def warm_later(warmup: Warmup) -> None:
            await anyio.sleep(max(0.0, (began_ns - time.monotonic_ns()) / 1e9) + warmup.at_s)
            await self._transport.warm(self._origin, warmup.connections)

        began_ns = 0
        # a pass of the collector takes long: seconds are counted from after it
        with _calm_collector():
            async with anyio.create_task_group() as tasks:
                began_ns = time.monotonic_ns() if begin is None else begin.at_ns
                beside(tasks)
                tasks.start_soon(self.monitor.watch_loop)
                for warmup in self._spec.warmups:
                    if warmup.at_s:
                        tasks.start_soon(warm_later, warmup)
                with self.monitor.watching():
                    await self._runner.run(begin)
                tasks.cancel_scope.cancel()
        self.record.stale_retries = self._transport.stale_retries
        elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
        if elapsed_s > len(self.record.timeline):
            self.record.close_second(int(elapsed_s))

    def end_early(self) -> None:
        """Note that the load ended by a fault, if it had begun and its end was not noted."""
        if self.begin_ns and not self.record.load_ns:
            self.record.end(time.monotonic_ns())


@contextlib.contextmanager
def _calm_collector() -> Iterator[None]:
    """Keep the garbage collector's long passes out of the load: a pause would look like latency."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
