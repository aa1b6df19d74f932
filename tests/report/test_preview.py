"""What would be sent, for a person."""

from __future__ import annotations

from typing import Any

import pytest

from loadcheck.report import preview as report

STEP = {"step": "send", "role": "per-copy", "request": "POST http://a:80/", "depends_on": []}
TLS = {"ca": None, "cert": None, "server_name": None, "verify": True}
CONNECTION = {
    "opened_ahead": [{"at_s": 0.0, "connections": 5}],
    "at_most": 2000,
    "compress": "none",
    "proxy": None,
    "http2": False,
    "redirects": False,
    "cookies": False,
    "tls": TLS,
}
LOAD = {
    "model": "open",
    "arrivals": "poisson",
    "duration_s": 90.0,
    "peak_rate": 2500.0,
    "max_in_flight": 2000,
    "stages": [
        {"name": "calm", "duration_s": 30.0, "rate": 10.0, "end_rate": 10.0},
        {"name": "rise", "duration_s": 60.0, "rate": 10.0, "end_rate": 2500.0},
    ],
    "copies": 21600,
    "users": 21600,
    "events": 21600,
    "events_per_copy": 1,
    "copies_per_request": 1,
    "trace": None,
    "shape": None,
    "think_time": None,
    "sessions": None,
}
REQUEST = {"method": "POST", "url": "http://a:80/?q=a%20b&r=%26", "headers": [["X", "y"]]}
CLOSED = {"model": "closed", "concurrency": 1200, "duration_s": None, "peak_rate": None}


def text(**more: Any) -> str:
    return report.text(document(**more), width=1_000)


def document(**more: Any) -> dict[str, Any]:
    return {
        "scenario": "burst",
        "profile": None,
        "description": "",
        "target": "emulator",
        "transport": "wire",
        "connection": CONNECTION,
        "workflow": "w",
        "steps": [STEP],
        "overlay": [],
        "ingest": "send",
        "observer": None,
        "isolation": "filter",
        "load": LOAD,
        "buckets": None,
        "thresholds": [],
        "stops_after_s": [],
        "settles": {"quiet_s": 1.0, "deadline_s": 600.0},
        "leaves_this_machine": False,
        "destinations": [
            {"origin": "http://127.0.0.1:1", "what": "metrics", "away": False},
            {"origin": "http://away.example", "what": "copies and queries", "away": True},
        ],
        "first_request": REQUEST | {"body": ""},
        "first_query": None,
        "samples": [{"copy": 0, "url": "http://127.0.0.1:1/", "body": ""}],
        "sizes": {
            "requests": 1,
            "p50_bytes": 500,
            "p99_bytes": 700,
            "peak_bytes_per_s": 1_250_000,
        },
        "warnings": [],
    } | more


def test_what_differs_between_copies_stands_side_by_side() -> None:
    bodies = ['{"u":"a-0","p":{"c":"DE","x":1}}', '{"u":"a-1","p":{"c":"FR","x":1}}']
    samples = [
        {"copy": number, "url": "http://127.0.0.1:1/", "body": body}
        for number, body in enumerate(bodies)
    ]
    shown = text(samples=samples)
    assert '  /u    "a-0"  "a-1"\n  /p/c  "DE"   "FR"\n' in shown
    assert "/p/x" not in shown
    assert "requests of 500 bytes (p50), 700 (p99), 1,250,000 bytes/s at the peak" in shown


def test_a_scenario_without_description_has_no_colon() -> None:
    assert text().startswith("burst\n")
    assert text(description="ten times").startswith("burst: ten times\n")


def test_no_line_ends_in_a_space() -> None:
    assert not [line for line in text().splitlines() if line != line.rstrip()]


def test_a_query_is_shown_parameter_by_parameter_as_it_is_meant() -> None:
    assert "  POST http://a:80/\n    ? q=a b\n    & r=&\n  X: y\n" in text()


def test_a_json_body_is_laid_out_and_any_other_is_left() -> None:
    assert '  {\n    "k": "é"\n  }' in text(first_request=REQUEST | {"body": '{"k":"é"}'})
    assert "  line one\n  line two\n" in text(
        first_request=REQUEST | {"body": "line one\nline two"}
    )


def test_the_outcome_of_a_copy_is_that_of_its_ingest() -> None:
    assert "(runs in every copy; decides its outcome)" in text()
    assert "(runs in every copy)" in text(ingest="another")


def test_stages_say_their_rates() -> None:
    found = text()
    assert "calm: 30.0 s at 10/s" in found
    assert "rise: 1:00 at 10/s → 2,500/s" in found


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (LOAD, "21,600 copies (21,600 users and events) in 1:30, peak 2,500/s, poisson arrivals"),
        (LOAD | {"copies_per_request": 50}, "users and events) in requests of 50 in 1:30"),
        (LOAD | CLOSED, "21,600 copies (21,600 users and events), 1,200 in flight"),
        (LOAD | CLOSED | {"copies": None, "duration_s": 60.0}, "copies in 1:00, 1,200 in flight"),
    ],
)
def test_what_is_sent(load: dict[str, Any], words: str) -> None:
    assert words in text(load=load)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "5 connections opened ahead, at most 2,000\n"),
        ({"http2": True, "redirects": True}, "at most 2,000, HTTP/2, redirects followed\n"),
        ({"compress": "gzip"}, "bodies gzipped"),
        ({"proxy": "http://p:1"}, "by the proxy http://p:1"),
        ({"tls": TLS | {"ca": "a.pem"}}, "trusting a.pem"),
        ({"tls": TLS | {"verify": False}}, "certificates NOT verified"),
        (
            {"opened_ahead": [{"connections": 2}, {"connections": 9}]},
            "2, then 9 connections opened ahead",
        ),
    ],
)
def test_how_it_travels(changes: dict[str, Any], words: str) -> None:
    assert words in text(connection=CONNECTION | changes)


def test_through_httpx_nothing_is_opened_ahead() -> None:
    assert "through httpx, at most 2,000" in text(transport="httpx")


@pytest.mark.parametrize(
    ("target", "leaves", "words"),
    [
        ("emulator", False, "the embedded emulator"),
        ("live", True, "leaves this machine: run it with --live"),
        ("live", False, "servers on this machine"),
    ],
)
def test_where_it_goes(target: str, leaves: bool, words: str) -> None:
    assert words in text(target=target, leaves_this_machine=leaves)


def test_what_proves_the_count() -> None:
    assert "verification: disabled" in text()
    assert "ask counts this run's users only; settled when stable for 1.0 s, at most 10:00" in text(
        observer="ask"
    )
    assert "is compared against a baseline taken before the run" in text(
        observer="ask", isolation="baseline"
    )


def test_a_threshold_that_stops_the_load_says_so() -> None:
    found = text(thresholds=["a < 1", "b < 2"], stops_after_s=[None, 5.0])
    assert "a < 1\n" in found
    assert "b < 2   aborts the load, after 5.0 s at the earliest" in found


def test_warnings_come_last() -> None:
    assert text(warnings=["one", "two"]).endswith("\n\nwarning: one\nwarning: two\n")
