from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from loadcheck.documents.document import MAX_BYTES
from loadcheck.pipeline.prepare import _download, fetch

DONE = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/there")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()
        if self.path == "/drips":
            while not DONE.wait(0.1):
                self.wfile.write(b"a")
                self.wfile.flush()
        body = b"a" * (2 * MAX_BYTES) if self.path == "/large" else b"openapi: 3.1.0"
        try:
            self.wfile.write(body)
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@pytest.fixture
def base() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_description_is_read_also_from_where_it_has_moved(base: str) -> None:
    assert fetch(f"{base}/there") == fetch(f"{base}/moved") == b"openapi: 3.1.0"


def test_a_page_that_is_not_there_is_no_description(base: str) -> None:
    with pytest.raises(OSError, match="answered 404"):
        fetch(f"{base}/missing")


def test_no_more_is_read_than_a_document_may_be_long(base: str) -> None:
    assert MAX_BYTES < len(fetch(f"{base}/large")) < 2 * MAX_BYTES


def test_what_drips_is_given_up(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fetch.__globals__, "_TIMEOUT_S", 0.5)
    with pytest.raises(OSError, match="did not arrive within"):
        fetch(f"{base}/drips")
    DONE.set()


def test_what_came_before_the_time_was_up_is_not_taken_for_all_of_it(base: str) -> None:
    # the thread may see that the time is up before the one that waits for it does
    with pytest.raises(OSError, match="did not arrive within"):
        _download(f"{base}/there", time.monotonic() - 1, consent=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://127.0.0.1:99999/", "http://"])
def test_what_cannot_be_reached_is_an_oserror(url: str) -> None:
    with pytest.raises(OSError, match="."):
        fetch(url)
