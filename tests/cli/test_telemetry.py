"""A run tells a collector on this machine what it measures, if the environment names one."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tests.cli.conftest import SCENARIOS, Loadcheck
from tests.cli.test_mixes import MIX

SMOKE = SCENARIOS / "smoke.toml"
SHORT = (
    *("run", SMOKE, "--quiet"),
    *("--set", "load.duration=500ms", "--set", "target.visibility_delay=50ms"),
)


@dataclass
class Collector:
    """An OTLP/HTTP receiver."""

    url: str = ""
    status: int = 200
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def last(self) -> dict[str, Any]:
        """Return the metrics of the last export by name."""
        resource = self.requests[-1].resource_metrics[0]
        return {metric.name: metric for metric in resource.scope_metrics[0].metrics}

    def resource(self) -> dict[str, str]:
        attributes = self.requests[-1].resource_metrics[0].resource.attributes
        return {one.key: one.value.string_value for one in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.paths.append(self.path)
            found.requests.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def sums(metric: Any, *labels: str) -> dict[tuple[str, ...], int]:
    found = {}
    for point in metric.sum.data_points:
        values = {one.key: one.value for one in point.attributes}
        key = tuple(
            values[label].string_value or str(values[label].int_value)
            for label in labels
            if label in values
        )
        found[key] = point.as_int
    return found


def test_the_last_export_agrees_with_the_results_file(
    loadcheck: Loadcheck, collector: Collector
) -> None:
    done = loadcheck(
        *("run", SMOKE, "--quiet"),
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_METRIC_EXPORT_INTERVAL": "500"},
    )
    assert (done.code, done.stderr) == (0, "")
    result, last = done.result, collector.last()
    assert set(collector.paths) == {"/v1/metrics"}
    assert len(collector.requests) >= 3
    assert not any("metrics" in warning for warning in result["warnings"])
    copies = result["copies"]
    assert sums(last["loadcheck.copies"], "loadcheck.outcome") == {
        (outcome,): copies[outcome]
        for outcome in ("acknowledged", "rejected", "indeterminate", "skipped")
    }
    assert sums(last["loadcheck.copies.started"]) == {(): copies["started"]}
    requests = sums(last["loadcheck.requests"], "loadcheck.step", "http.response.status_code")
    assert requests == {
        (name, answer): number
        for name, step in result["steps"].items()
        for answer, number in step["answers"].items()
    }
    assert last["loadcheck.copies.in_flight"].gauge.data_points[0].as_int == 0
    counted = last["loadcheck.users.counted"].gauge.data_points[0]
    assert counted.as_int == result["consistency"]["uniques"]
    times = result["steps"]["uploadEvents"]["response_time"]
    point = last["loadcheck.response_time"].histogram.data_points[0]
    assert point.count == sum(point.bucket_counts) == times["count"]
    assert point.max == pytest.approx(times["max_ms"] / 1000, rel=1e-3)
    assert last["loadcheck.response_time"].unit == "s"
    late = last["loadcheck.lateness"].histogram.data_points[0]
    assert late.count == result["generator"]["lateness"]["count"]


@pytest.mark.long
def test_each_flow_of_a_mix_is_told_by_its_name(loadcheck: Loadcheck, collector: Collector) -> None:
    (loadcheck.folder / "mix.toml").write_text(MIX)
    done = loadcheck("run", "mix.toml", env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert done.code == 0, done.stderr
    due: dict[str, int] = {}
    for request in collector.requests:
        (resource,) = request.resource_metrics
        metrics = {each.name: each for each in resource.scope_metrics[0].metrics}
        (point,) = metrics["loadcheck.copies.due"].sum.data_points
        (flow,) = [one.value.string_value for one in point.attributes]
        due[flow] = max(due.get(flow, 0), point.as_int)
    assert due == {"buy": 75, "look": 25}


def test_the_resource_is_named_by_the_environment(
    loadcheck: Loadcheck, collector: Collector
) -> None:
    done = loadcheck(
        *SHORT,
        "--label",
        "team=search",
        env={
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{collector.url}/elsewhere",
            "OTEL_SERVICE_NAME": "launch-rehearsal",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
                "base2_exponential_bucket_histogram"
            ),
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        },
    )
    assert done.code == 0
    # the usual interval is longer than this run: it has the last word alone
    assert collector.paths == ["/elsewhere"]
    resource = collector.resource()
    assert resource["service.name"] == "launch-rehearsal"
    assert resource["deployment.environment.name"] == "staging"
    assert resource["loadcheck.scenario"] == "smoke"
    assert resource["loadcheck.label.team"] == "search"
    assert resource["loadcheck.run.id"] == done.result["run"]["id"]
    times = collector.last()["loadcheck.response_time"].exponential_histogram
    assert times.aggregation_temporality == 1
    point = times.data_points[0]
    assert point.zero_count + sum(point.positive.bucket_counts) == point.count == 50


def test_an_attribute_of_the_environment_is_kept(
    loadcheck: Loadcheck, collector: Collector
) -> None:
    given = {"service.instance.id": "node-7", "loadcheck.scenario": "nightly"}
    done = loadcheck(
        *SHORT,
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{name}={text}" for name, text in given.items()),
        },
    )
    assert done.code == 0
    resource = collector.resource()
    assert given.items() <= resource.items()
    assert resource["service.name"] == "loadcheck"
    assert resource["loadcheck.run.id"] == done.result["run"]["id"]


def test_without_a_name_the_service_is_loadcheck(
    loadcheck: Loadcheck, collector: Collector
) -> None:
    loadcheck(*SHORT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert collector.resource()["service.name"] == "loadcheck"


def test_a_collector_that_refuses_harms_nothing_and_is_told_of(
    loadcheck: Loadcheck, collector: Collector
) -> None:
    collector.status = 400
    done = loadcheck(*SHORT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert (done.code, done.stderr) == (0, "")
    assert any("1 of 1 exports of metrics failed" in text for text in done.result["warnings"])


@pytest.mark.long
def test_a_collector_that_is_not_there_harms_nothing_and_is_told_of(loadcheck: Loadcheck) -> None:
    done = loadcheck(
        *SHORT,
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        },
    )
    assert (done.code, done.stderr) == (0, "")
    assert any("exports of metrics failed" in text for text in done.result["warnings"])


@pytest.mark.long
def test_a_collector_that_never_answers_keeps_nobody_waiting(loadcheck: Loadcheck) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = loadcheck(
            *SHORT,
            env={
                "OTEL_EXPORTER_OTLP_ENDPOINT": url,
                "OTEL_METRIC_EXPORT_INTERVAL": "500",
                # longer than this test may take
                "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
            },
        )
    assert (done.code, done.stderr) == (0, "")
    assert any("no answer within 3 s of the end" in text for text in done.result["warnings"])


def test_switched_off_it_is_off(loadcheck: Loadcheck, collector: Collector) -> None:
    done = loadcheck(
        *SHORT,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SDK_DISABLED": "true"},
    )
    assert (done.code, collector.requests) == (0, [])


def test_without_the_extra_it_says_what_to_install(
    loadcheck: Loadcheck, collector: Collector
) -> None:
    # a package of that name in the working folder hides the real one
    (loadcheck.folder / "opentelemetry").mkdir()
    (loadcheck.folder / "opentelemetry" / "__init__.py").write_text("raise ImportError\n")
    assert sys.flags.safe_path is False
    done = loadcheck(*SHORT, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert done.code == 0
    assert any("pip install 'loadcheck[otel]'" in text for text in done.result["warnings"])
    assert collector.requests == []
