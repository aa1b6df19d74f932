"""Sends the figures of a run in progress to an OpenTelemetry collector, if the user names one.

Only the standard environment variables configure it, and it speaks only OTLP/HTTP with protobuf.
Nothing is recorded for it: once per export interval, values are read from the histograms and
counters that a run keeps anyway, and converted to OTLP's data model in a thread. So it costs the
load nothing, unlike the SDK's instruments, which would be fed sample by sample.

Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry
Protocol Exporter". Endpoint, headers, timeout, compression and certificates are read by the
exporter itself, service name and resource attributes by the SDK.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from loadcheck.documents import split_http_url
from loadcheck.errors import InputError, Problem
from loadcheck.report.metrics import Snapshot, snapshot
from loadcheck.verify.progress import Outline, Progress, ProgressView

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_INTERVAL_MS = 60_000
_LEAST_MS = 100
_INTERVAL_DIGITS = 9
_LONGEST_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """How metrics are sent.

    Attributes:
        endpoint: URL that they are sent to.
        variable: The variable that names it.
        proxy: URL of the proxy on the way there; "" for none.
        interval_s: Seconds from one export to the next.
        delta: Counts and histograms cover the time since the last export, not since the beginning.
        exponential: Histograms have exponential buckets instead of fixed ones.
        problems: Values of the variables that are not supported, in words.
    """

    endpoint: str = ""
    variable: str = ""
    proxy: str = ""
    interval_s: float = _INTERVAL_MS / 1000
    delta: bool = False
    exponential: bool = False
    problems: tuple[str, ...] = ()


def settings(environment: Mapping[str, str]) -> ExportSettings | None:
    """Return the settings; None if no endpoint is named, or metrics are switched off.

    Raises:
        InputError: A variable that the exporter would read cannot be used.
    """

    def value(name: str) -> str:
        return environment.get(name, "").strip()

    variable = next(filter(value, _ENDPOINTS), "")
    if not variable:
        return None
    if value("OTEL_SDK_DISABLED").lower() == "true" or value("OTEL_METRICS_EXPORTER") == "none":
        return None
    unusable = _unusable(variable, value)
    if unusable:
        raise InputError(unusable)
    problems = []
    protocol = next(filter(None, map(value, _PROTOCOLS)), _PROTOCOL)
    if protocol != _PROTOCOL:
        problems.append(f'metrics are sent as {_PROTOCOL}, not as the environment\'s "{protocol}"')
    interval = value("OTEL_METRIC_EXPORT_INTERVAL")
    interval_ms = float(_INTERVAL_MS)
    if interval.isdecimal() and len(interval) <= _INTERVAL_DIGITS:
        interval_ms = max(_LEAST_MS, int(interval))
    elif interval:
        problems.append(
            f'OTEL_METRIC_EXPORT_INTERVAL is "{interval}", not a number of milliseconds: '
            f"{_INTERVAL_MS} is used"
        )
    prefers = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    aggregates = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    endpoint = value(variable)
    if variable == _ENDPOINTS[1]:
        endpoint = f"{endpoint.rstrip('/')}/v1/metrics"
    return ExportSettings(
        endpoint=endpoint,
        variable=variable,
        interval_s=interval_ms / 1000,
        # "lowmemory" asks for deltas of synchronous instruments: ours count as such
        delta=value(prefers).lower() in {"delta", "lowmemory"},
        exponential=value(aggregates).lower() == "base2_exponential_bucket_histogram",
        problems=tuple(problems),
    )


def _unusable(variable: str, value: Callable[[str], str]) -> list[Problem]:
    """Return a problem for each variable that the exporter would read and cannot use."""
    found = []
    try:
        split_http_url(value(variable))
    except ValueError as error:
        remedy = "expected a URL such as http://127.0.0.1:4318"
        found.append(Problem(key=variable, message=str(error), remedy=remedy))
    for name, check in _CHECKS.items():
        for spelling in (f"OTEL_EXPORTER_OTLP_METRICS_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            expected = check(value(spelling)) if value(spelling) else ""
            if expected:
                found.append(Problem(key=spelling, message="cannot be used", remedy=expected))
    return found


def _seconds(text: str) -> str:
    try:
        usable = 0 <= float(text) <= _LONGEST_TIMEOUT_S
    except ValueError:
        usable = False
    return "" if usable else f"expected seconds, from 0 to {_LONGEST_TIMEOUT_S:.0f}"


def _compression(text: str) -> str:
    return "" if text.lower() in ("none", "gzip", "deflate") else "expected none, gzip or deflate"


def _file(text: str) -> str:
    try:
        usable = Path(text).is_file()
    except (OSError, ValueError):
        usable = False
    return "" if usable else "expected the path of a PEM file"


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "TIMEOUT": _seconds,
    "COMPRESSION": _compression,
    "CERTIFICATE": _file,
    "CLIENT_CERTIFICATE": _file,
    "CLIENT_KEY": _file,
}
"""Checks by the end of a variable's name; each returns what is expected, or "" if it is met."""


_LAST_WORD_S = 3.0
_LOOK_S = 0.02
_EXTRA = (
    "metrics are not sent: pip install 'loadcheck[otel]' for what OTEL_EXPORTER_OTLP_* asks for"
)


def with_metrics(view: ProgressView, wanted: ExportSettings) -> ProgressView:
    """Return a view of a run, or of each flow of a mix, that also sends its metrics.

    Problems with metrics become warnings of the run and affect nothing else.
    """
    # imported, or found to be missing, before the load begins: this takes long
    ready = [_sender(wanted)]

    async def watch(progress: Progress) -> None:
        progress.notes.extend(wanted.problems)
        sender = ready.pop() if ready else _sender(wanted)
        if sender is None:
            progress.notes.append(_EXTRA)
            await view(progress)
            return
        async with anyio.create_task_group() as both:
            both.start_soon(view, progress)
            both.start_soon(sender.watch, progress)

    return watch


def _sender(wanted: ExportSettings) -> _Sender | None:
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
            OTLPMetricExporter,
        )

        from loadcheck.report.otel import points  # noqa: PLC0415
    except ImportError:
        return None
    # without a handler it would log to stderr; its failures are reported here
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    try:
        exporter = OTLPMetricExporter(session=_session(wanted.proxy))
    except Exception as error:  # noqa: BLE001  # whatever else the environment makes of it
        remedy = "see OpenTelemetry's environment variables for OTLP exporters"
        message = f"cannot be used: {str(error) or type(error).__name__}"
        raise InputError(
            Problem(key="OTEL_EXPORTER_OTLP_*", message=message, remedy=remedy)
        ) from None
    return _Sender(exporter, points.metrics, wanted)


def _session(proxy: str) -> Any:
    """Return the session that sends metrics: to the endpoint, and nowhere else."""
    import requests  # noqa: PLC0415  # comes with the extra

    class Session(requests.Session):
        def get_redirect_target(self, resp: Any) -> None:
            """Follow no redirect: the user consented to the endpoint alone."""

    session = Session()
    session.trust_env = False  # loopback goes through no proxy, and .netrc is not read
    if proxy:
        session.proxies = {"http": proxy, "https": proxy}
    return session


class _Sender:
    """Exports at intervals, one at a time, in threads that are not joined at the end."""

    def __init__(self, exporter: Any, metrics: Callable[..., Any], wanted: ExportSettings) -> None:
        self._exporter = exporter
        self._metrics = metrics
        self._wanted = wanted
        self._identity = _Identity()
        self._began_ns = time.time_ns()
        self._last: Snapshot | None = None
        self._under_way: _Export | None = None
        self._sent = self._failed = 0
        self._trouble = ""

    async def watch(self, progress: Progress) -> None:
        """Export until cancelled, and then once more."""
        resource = self._identity.of(progress.outline)
        due_s = anyio.current_time()
        try:
            while True:
                due_s = max(due_s + self._wanted.interval_s, anyio.current_time())
                await anyio.sleep_until(due_s)
                await self._export(progress, resource)
        finally:
            with anyio.move_on_after(_LAST_WORD_S, shield=True) as scope:
                await self._finished()
                await self._export(progress, resource)
            if scope.cancelled_caught:
                self._fail(f"no answer within {_LAST_WORD_S:g} s of the end")
            self._note(progress)

    async def _export(self, progress: Progress, resource: Any) -> None:
        now = snapshot(progress.record, time.time_ns(), progress.outline.flow)
        since = self._last if self._wanted.delta else None
        if self._wanted.delta and since is None:
            since = Snapshot(time_ns=self._began_ns, totals={}, levels={}, times={})

        def export() -> Any:
            data = self._metrics(
                now,
                since,
                began_ns=self._began_ns,
                resource=resource,
                exponential=self._wanted.exponential,
            )
            return self._exporter.export(data)

        self._under_way = _Export(now, export)
        await self._finished()

    async def _finished(self) -> None:
        """Wait for the export in progress, and record its outcome."""
        export = self._under_way
        if export is None:
            return
        while export.is_running:  # noqa: ASYNC110  # a thread that may be left behind sets no event
            await anyio.sleep(_LOOK_S)
        self._under_way = None
        if export.trouble:
            self._fail(export.trouble)
        else:
            self._sent += 1
            self._last = export.snapshot

    def _fail(self, trouble: str) -> None:
        self._failed += 1
        self._trouble = trouble

    def _note(self, progress: Progress) -> None:
        if self._failed:
            exports = self._sent + self._failed
            progress.notes.append(
                f"{self._failed} of {exports} exports of metrics failed: {self._trouble}"
            )


class _Export:
    """One export in a thread that does not keep the process from ending.

    Attributes:
        snapshot: The exported snapshot.
        trouble: Why it failed; "" if it has not.
    """

    def __init__(self, exported: Snapshot, export: Callable[[], Any]) -> None:
        self.snapshot = exported
        self.trouble = ""
        self._export = export
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is still running."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            if self._export().name != "SUCCESS":
                self.trouble = "the collector refused or did not answer"
        except Exception as error:  # noqa: BLE001  # whatever it is, the run goes on
            self.trouble = str(error) or type(error).__name__


class _Identity:
    """The resource that metrics are from: the run's own attributes, and the environment's first."""

    def __init__(self) -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # an extra

        self._resource = Resource
        self._given = Resource.create()

    def of(self, outline: Outline) -> Any:
        """Return the resource of a run."""
        own = {f"loadcheck.label.{name}": value for name, value in outline.labels.items()}
        own |= {"service.instance.id": outline.run_id}
        own |= {"loadcheck.scenario": outline.name, "loadcheck.run.id": outline.run_id}
        resource = self._resource(own).merge(self._given)
        named = str(self._given.attributes.get("service.name", ""))
        # what the SDK calls a service without a name
        if named.startswith("unknown_service"):
            resource = resource.merge(self._resource({"service.name": "loadcheck"}))
        return resource
