"""Requests that met idle connections being closed: sent again with leave, and never unsaid."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Loadcheck

BODY = b'{"code": 200, "events_ingested": 1}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
SCENARIO = """
workflow = "amplitude"
[target]
kind = "live"
transport = "{transport}"
servers = {{ httpV2Api = "http://127.0.0.1:{port}", dashboardRestApi = "http://127.0.0.1:{port}" }}
[inputs]
apiKey = "k"
basicAuth = "eDp5"
eventType = "p"
eventProperties = {{ a = 1 }}
[load]
model = "open"
rate = 0.8
duration = "3s"
preconnect = 0
[retry]
attempts = 1
{retry}
[verify]
enabled = false
"""


@pytest.fixture
def tiring() -> Iterator[int]:
    """A server that answers one request of a connection and closes it at the next."""

    def serve() -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(accepted,), daemon=True).start()

    def answer(accepted: socket.socket) -> None:
        with accepted:
            for number in range(2):
                data = b""
                while not data.endswith(b"}"):
                    more = accepted.recv(65_536)
                    if not more:
                        return
                    data += more
                if number == 0:
                    accepted.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("transport", "retry", "again"),
    [("wire", "", 2), ("httpx", "stale = false", 0)],
)
def test_it_is_counted_and_shown(
    loadcheck: Loadcheck, tiring: int, transport: str, retry: str, again: int
) -> None:
    text = SCENARIO.format(transport=transport, port=tiring, retry=retry)
    (loadcheck.folder / "s.toml").write_text(text)
    ended = loadcheck("run", "s.toml")
    load, copies = ended.result["load"], ended.result["copies"]
    # the second meets the first's connection; the third, where that was sent again, its successor
    assert load["stale_retries"] == again
    assert load["retries"] == 0
    assert copies["acknowledged"] == (3 if again else 2)
    assert copies["indeterminate"] == (0 if again else 1)
    shown = " ".join(ended.stdout.split())  # it may be broken into lines
    assert ("2 sent again: an idle connection was closing" in shown) is bool(again)
