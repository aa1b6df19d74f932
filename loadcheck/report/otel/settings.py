"""What OpenTelemetry's environment variables ask for.

Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry
Protocol Exporter". Endpoint, headers, timeout, compression and certificates are read by the
exporter itself, service name and resource attributes by the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_INTERVAL_MS = 60_000
_LEAST_MS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How metrics are sent.

    Attributes:
        interval_s: Seconds from one export to the next.
        delta: Counts and histograms hold what came since the last export, not since the beginning.
        exponential: Histograms have exponential buckets instead of fixed ones.
        problems: What the variables ask for and does not exist, in words.
    """

    interval_s: float = _INTERVAL_MS / 1000
    delta: bool = False
    exponential: bool = False
    problems: tuple[str, ...] = ()


def settings(environment: Mapping[str, str]) -> Settings | None:
    """Return the settings; None if no endpoint is named, or metrics are switched off."""

    def value(name: str) -> str:
        return environment.get(name, "").strip()

    if not any(map(value, _ENDPOINTS)):
        return None
    if value("OTEL_SDK_DISABLED").lower() == "true" or value("OTEL_METRICS_EXPORTER") == "none":
        return None
    problems = []
    protocol = next(filter(None, map(value, _PROTOCOLS)), _PROTOCOL)
    if protocol != _PROTOCOL:
        problems.append(f'metrics are sent as {_PROTOCOL}, not as the environment\'s "{protocol}"')
    interval = value("OTEL_METRIC_EXPORT_INTERVAL")
    interval_ms = float(_INTERVAL_MS)
    if interval.isdecimal():
        interval_ms = max(_LEAST_MS, int(interval))
    elif interval:
        problems.append(
            f'OTEL_METRIC_EXPORT_INTERVAL is "{interval}", not a number of milliseconds: '
            f"{_INTERVAL_MS} is used"
        )
    prefers = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    aggregates = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    return Settings(
        interval_s=interval_ms / 1000,
        # "lowmemory" asks for deltas of synchronous instruments: ours count as such
        delta=value(prefers).lower() in {"delta", "lowmemory"},
        exponential=value(aggregates).lower() == "base2_exponential_bucket_histogram",
        problems=tuple(problems),
    )
