"""Who sees the page of a run, who does not, and whom that may hold up: over real sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from loadcheck.errors import InputError
from loadcheck.web import ListenAddress, LivePage
from tests.web.conftest import at, get, second, serving

EARLY = Path(__file__).resolve().parents[1] / "report" / "early.json"


def states(url: str, number: int) -> list[dict[str, object]]:
    """Return so many states as a viewer is told of them."""
    found = []
    with (
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("GET", url) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("data: {"):
                found.append(orjson.loads(line.removeprefix("data: ")))
            if len(found) == number:
                break
    return found


def test_the_page_shows_the_run_to_who_has_the_token(served: LivePage) -> None:
    answer = get(served.url)
    assert answer.status_code == 200
    assert ">running</span> launch" in answer.text
    assert "script-src 'sha256-" in answer.text.replace("&#39;", "'")
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_other_methods_and_places_are_refused(served: LivePage) -> None:
    with httpx.Client(trust_env=False, timeout=20) as client:
        assert client.head(served.url).status_code == 200
        for method, path in (("HEAD", "/events"), ("POST", "/"), ("PUT", "/stop")):
            answer = client.request(method, at(served, path))
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"]
        assert client.get(at(served, "/../etc/passwd")).status_code == 404
        assert client.get(at(served, "/metrics")).status_code == 404


@pytest.mark.parametrize("path", ["/", "/events", "/stop"])
def test_without_the_token_nothing_is_told(served: LivePage, path: str) -> None:
    for url in (at(served, path, token=False), at(served, path, token=False) + "?token=x%C3%A9"):
        answer = get(url)
        assert answer.status_code == 403
        assert "launch" not in answer.text


def test_a_name_that_was_made_to_point_here_is_turned_away(served: LivePage) -> None:
    port = urlsplit(served.url).port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.:{port}", ""):
        assert get(served.url, Host=host).status_code == 421, host
    for host in (f"localhost:{port}", f"[::1]:{port}"):
        assert get(served.url, Host=host).status_code == 200, host


def test_another_site_is_turned_away(served: LivePage) -> None:
    port = urlsplit(served.url).port
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1"):
        assert get(served.url, Origin=origin).status_code == 403, origin
    assert get(served.url, Origin=f"http://127.0.0.1:{port}").status_code == 200


def test_stop_needs_the_token_and_a_post_from_here(served: LivePage) -> None:
    heard = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: heard.set())
    try:
        with httpx.Client(trust_env=False, timeout=20) as client:
            stop = at(served, "/stop")
            assert client.get(stop).status_code == 405
            assert client.post(at(served, "/stop", token=False)).status_code == 403
            evil = {"Origin": "http://evil.example"}
            assert client.post(stop, headers=evil).status_code == 403
            # what would have been heard of those would have been by the time this is answered
            assert not heard.is_set()
            assert client.post(stop).status_code == 202
            assert heard.wait(20)
            heard.clear()
            form = client.post(stop, headers={"Accept": "text/html"})
            assert heard.wait(20)  # before others get what was meant for us
            assert form.status_code == 303
            assert form.headers["location"].startswith("./?token=")
    finally:
        signal.signal(signal.SIGINT, before)


def test_viewers_get_all_of_the_state_at_once_and_none_waits_for_another() -> None:
    with serving() as page:
        page.post(second(600))
        url = at(page, "/events")
        first, again = states(url, 1)[0], states(url, 1)[0]
        assert first == again
        assert {chart["name"] for chart in first["charts"]} >= {"rate", "latency", "heat"}  # type: ignore[attr-defined]
        # one that never reads: what is kept for it does not grow, and the others do not wait
        parts = urlsplit(page.url)
        with socket.create_connection((parts.hostname, parts.port), 20) as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            path = f"/events?{parts.query}"
            lazy.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            for number in range(601, 650):
                page.post(second(number, first=number - 1, left_s=9.0))
            url = at(page, "/events")
            assert any(", 9.0 s left" in str(states(url, 1)[0]["html"]) for _ in range(50))
            assert get(page.url).status_code == 200


def test_after_the_end_the_report_is_at_the_same_address() -> None:
    with serving() as page:
        page.post(second(3))
        page.finish(EARLY.read_bytes())
        with (
            httpx.Client(trust_env=False, timeout=20) as client,
            client.stream("GET", at(page, "/events")) as response,
        ):
            told = "".join(response.iter_text())
        assert "event: done" in told
        report = get(page.url).text
    assert "This page is complete" in report
    assert 'id="stop"' not in report


def test_a_process_that_dies_is_no_matter_of_the_run() -> None:
    with serving() as page:
        os.kill(page.pid, signal.SIGKILL)
        page.stay(20)
        for number in range(1, 4):
            page.post(second(number, first=None if number == 1 else number - 1))
        page.finish(EARLY.read_bytes())


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--web: port {port} is taken.*name another port"):
            LivePage(ListenAddress(option="--web", port=port), None)


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadcheck.web.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"--web: needs starlette and uvicorn.*loadcheck\[web\]"):
        LivePage(ListenAddress(option="--web"), None)


def test_metrics_are_scraped_on_loopback_without_a_token(served: LivePage) -> None:
    answer = get(served.metrics_url)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert re.search(
        r'^target_info\{.*service_name="loadcheck".*loadcheck_run_id="r1"\} 1$',
        answer.text,
        re.MULTILINE,
    )
    assert get(served.metrics_url, Host="evil.example").status_code == 421
    assert get(served.metrics_url.removesuffix("metrics")).status_code == 404


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has it")
def test_the_page_gives_way_to_the_load(served: LivePage) -> None:
    assert os.sched_getscheduler(served.pid) == os.SCHED_IDLE
    assert os.getpriority(os.PRIO_PROCESS, served.pid) > os.getpriority(os.PRIO_PROCESS, 0)


def test_a_page_whose_program_cannot_be_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", __file__)  # no program
    with pytest.raises(InputError) as caught, serving():
        pass
    told = caught.value.problems[0]
    assert told.key == "--web"
    assert told.message.endswith("test_server.py: Permission denied")
