"""Sends a run's metrics beside whatever else watches it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from loadcheck.pipeline.telemetry.settings import Settings
from loadcheck.pipeline.telemetry.snapshot import Snapshot, snapshot

if TYPE_CHECKING:
    from loadcheck.pipeline.progress import Progress

_LAST_WORD_S = 5.0
_EXTRA = (
    "metrics are not sent: pip install 'loadcheck[otel]' for what OTEL_EXPORTER_OTLP_* asks for"
)

Watch = Callable[["Progress"], Coroutine[Any, Any, None]]


def beside(view: Watch, wanted: Settings) -> Watch:
    """Return a view of a run that also sends its metrics.

    Whatever goes wrong with them is noted among the run's warnings and harms nothing else.
    """
    # imported before the load begins: it takes long
    sender = _sender(wanted)

    async def watch(progress: Progress) -> None:
        progress.notes.extend(wanted.problems)
        if sender is None:
            progress.notes.append(_EXTRA)
            await view(progress)
            return
        async with anyio.create_task_group() as both:
            both.start_soon(view, progress)
            both.start_soon(sender.watch, progress)

    return watch


def _sender(wanted: Settings) -> _Sender | None:
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
            OTLPMetricExporter,
        )

        from loadcheck.pipeline.telemetry import points  # noqa: PLC0415
    except ImportError:
        return None
    # it complains by itself, on stderr, unless somebody listens: its failures are ours to tell
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    return _Sender(OTLPMetricExporter(), points.metrics, wanted)


class _Sender:
    """Exports at intervals, in a thread, one export at a time."""

    def __init__(self, exporter: Any, metrics: Callable[..., Any], wanted: Settings) -> None:
        self._exporter = exporter
        self._metrics = metrics
        self._wanted = wanted
        self._began_ns = time.time_ns()
        self._last: Snapshot | None = None
        self._sent = self._failed = 0
        self._trouble = ""

    async def watch(self, progress: Progress) -> None:
        """Export until cancelled, and then once more."""
        resource = await anyio.to_thread.run_sync(_resource, progress.name, progress.run_id)
        due_s = anyio.current_time()
        try:
            while True:
                due_s = max(due_s + self._wanted.interval_s, anyio.current_time())
                await anyio.sleep_until(due_s)
                await self._export(progress, resource)
        finally:
            with anyio.move_on_after(_LAST_WORD_S, shield=True) as scope:
                await self._export(progress, resource)
            if scope.cancelled_caught:
                self._failed += 1
                self._trouble = f"no answer within {_LAST_WORD_S:g} s of the end"
            self._exporter.shutdown()
            self._note(progress)

    async def _export(self, progress: Progress, resource: Any) -> None:
        now = snapshot(progress.record, time.time_ns())
        since = self._last if self._wanted.delta else None
        if self._wanted.delta and since is None:
            since = Snapshot(time_ns=self._began_ns, totals={}, levels={}, times={})

        def export() -> str:
            data = self._metrics(
                now,
                since,
                began_ns=self._began_ns,
                resource=resource,
                exponential=self._wanted.exponential,
            )
            result = self._exporter.export(data)
            return "" if result.name == "SUCCESS" else "the collector refused or did not answer"

        try:
            trouble = await anyio.to_thread.run_sync(export, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001  # whatever it is, the run goes on
            trouble = str(error) or type(error).__name__
        if trouble:
            self._failed += 1
            self._trouble = trouble
        else:
            self._sent += 1
            self._last = now

    def _note(self, progress: Progress) -> None:
        if self._failed:
            exports = self._sent + self._failed
            progress.notes.append(
                f"{self._failed} of {exports} exports of metrics failed: {self._trouble}"
            )


def _resource(scenario: str, run_id: str) -> Any:
    """Return who sends the metrics; what the environment says of that goes first."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # an extra

    own = {"service.name": "loadcheck", "service.instance.id": run_id}
    own |= {"loadcheck.scenario": scenario, "loadcheck.run.id": run_id}
    said = Resource.create()
    named = bool(os.environ.get("OTEL_SERVICE_NAME")) or not str(
        said.attributes.get("service.name", "")
    ).startswith("unknown_service")
    if named:
        del own["service.name"]
    return said.merge(Resource(own))
