"""What OpenTelemetry's environment variables ask for.

Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry
Protocol Exporter". Endpoint, headers, timeout, compression and certificates are read by the
exporter itself, service name and resource attributes by the SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadcheck.documents.urls import split_http_url
from loadcheck.errors import InputError, Problem

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_INTERVAL_MS = 60_000
_LEAST_MS = 100
_INTERVAL_DIGITS = 9
_LONGEST_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How metrics are sent.

    Attributes:
        endpoint: URL that they are sent to.
        variable: The variable that names it.
        proxy: URL of the proxy on the way there; "" for none.
        interval_s: Seconds from one export to the next.
        delta: Counts and histograms hold what came since the last export, not since the beginning.
        exponential: Histograms have exponential buckets instead of fixed ones.
        problems: What the variables ask for and does not exist, in words.
    """

    endpoint: str = ""
    variable: str = ""
    proxy: str = ""
    interval_s: float = _INTERVAL_MS / 1000
    delta: bool = False
    exponential: bool = False
    problems: tuple[str, ...] = ()


def settings(environment: Mapping[str, str]) -> Settings | None:
    """Return the settings; None if no endpoint is named, or metrics are switched off.

    Raises:
        InputError: What the exporter would read cannot be used.
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
    return Settings(
        endpoint=endpoint,
        variable=variable,
        interval_s=interval_ms / 1000,
        # "lowmemory" asks for deltas of synchronous instruments: ours count as such
        delta=value(prefers).lower() in {"delta", "lowmemory"},
        exponential=value(aggregates).lower() == "base2_exponential_bucket_histogram",
        problems=tuple(problems),
    )


def _unusable(variable: str, value: Callable[[str], str]) -> list[Problem]:
    """Return what the exporter would read and cannot use."""
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
"""What the exporter reads by the ends of the variables' names → what is expected, "" if it is."""
