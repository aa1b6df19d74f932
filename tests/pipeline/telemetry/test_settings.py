from __future__ import annotations

import pytest

from loadcheck.report.otel import Settings, settings

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_METRIC_EXPORT_INTERVAL": "1000", "OTEL_SERVICE_NAME": "x"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "True"},
        {**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"},
    ],
)
def test_nothing_is_sent_unless_an_endpoint_is_named(environment: dict[str, str]) -> None:
    assert settings(environment) is None


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]
)
def test_an_endpoint_is_enough(name: str) -> None:
    assert settings({name: "http://127.0.0.1:4318"}) == Settings(interval_s=60)


def test_the_other_variables_are_heeded() -> None:
    found = settings(
        {
            **ENDPOINT,
            "OTEL_METRIC_EXPORT_INTERVAL": "1500",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta",
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
                "base2_exponential_bucket_histogram"
            ),
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
    )
    assert found == Settings(interval_s=1.5, delta=True, exponential=True)


def test_what_is_asked_for_and_does_not_exist_is_said() -> None:
    found = settings(
        {
            **ENDPOINT,
            "OTEL_METRIC_EXPORT_INTERVAL": "1s",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
        }
    )
    assert found is not None
    assert found.interval_s == 60
    assert len(found.problems) == 2
    assert '"grpc"' in found.problems[0]
    assert '"1s"' in found.problems[1]
