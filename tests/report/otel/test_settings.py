from __future__ import annotations

import pytest

from loadcheck.errors import InputError
from loadcheck.report.otel import ExportSettings, settings

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
    found = settings({name: "http://127.0.0.1:4318"})
    path = "" if "METRICS" in name else "/v1/metrics"
    assert found == ExportSettings(
        endpoint=f"http://127.0.0.1:4318{path}", variable=name, interval_s=60
    )


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
    assert found is not None
    assert (found.interval_s, found.delta, found.exponential) == (1.5, True, True)


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://h:99999/"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "nan"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "inf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "a\0b"),
    ],
)
def test_what_the_exporter_cannot_use_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(InputError) as raised:
        settings({**ENDPOINT, name: value})
    [problem] = raised.value.problems
    assert problem.key == name
    assert problem.remedy


@pytest.mark.parametrize("value", ["9" * 5000, "inf", "1e3", "-5"])
def test_an_interval_that_is_none_is_told(value: str) -> None:
    found = settings({**ENDPOINT, "OTEL_METRIC_EXPORT_INTERVAL": value})
    assert found is not None
    assert found.interval_s == 60
    assert len(found.problems) == 1
