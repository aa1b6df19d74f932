"""nginx between generator and service: what is told of each copy is what the service did.

It reloads while the load goes on, has enough of a connection after a hundred requests, speaks TLS
and HTTP/2, and gives up on answers that come too late, when the event is stored already.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from loadcheck.measure import Ledger

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]
ENV = {"KEY": "nginx-key", "SECRET": "nginx-secret"}
NGINX_CONF = """
daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log notice; {user}
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100; keepalive_timeout 5s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream service {{ server 127.0.0.1:{service}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location / {{
      proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_read_timeout 600ms; proxy_next_upstream off;
    }}
  }}
}}
"""
EMULATOR = """
limits = "off"
visibility_delay = "50ms"
seed = 5
[faults]
late_ack = { rate = 0.02, delay = "3s" }
reset_after_commit = { rate = 0.01 }
error_before_commit = { rate = 0.02 }
throttle = { rate = 0.02 }
"""
SCENARIO = """
workflow = "amplitude"
[target]
kind = "live"
transport = "{transport}"
servers = {{ httpV2Api = "{url}", dashboardRestApi = "http://127.0.0.1:{service}" }}
{more}
[inputs]
apiKey = {{ env = "KEY" }}
basicAuth = {{ basic = {{ username = {{ env = "KEY" }}, password = {{ env = "SECRET" }} }} }}
eventType = "probe"
eventProperties = {{ by = "nginx" }}
[load]
model = "open"
rate = {rate}
duration = "6s"
[retry]
attempts = {attempts}
[verify]
localize = true
deadline = "30s"
quiet = "2s"
"""


@dataclass
class Proxied:
    """A service behind nginx."""

    folder: Path
    service: int
    plain: int
    tls: int
    master: int
    emulator: subprocess.Popen[bytes]

    def stored(self) -> list[int]:
        """End the service; return the numbers of the copies whose events it has stored."""
        self.emulator.terminate()
        self.emulator.wait(20)
        with contextlib.closing(sqlite3.connect(self.folder / "events.db")) as file:
            rows = file.execute("select content from event").fetchall()
        users = [orjson.loads(row[0])["user_id"] for row in rows]
        # controls have letters of their own
        found = [re.fullmatch(r"lc-[^-]+-([0-9]{7})", user) for user in users]
        return sorted(int(match[1]) for match in found if match)


def free_port() -> int:
    """Return a port below those that the system gives to clients, who may take one meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_for(port: int) -> None:
    until_s = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until_s, f"nobody listens on {port}"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Proxied]:
    service, plain, tls = free_port(), free_port(), free_port()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = ca.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "emulator.toml").write_text(EMULATOR)
    user = "user root;" if os.geteuid() == 0 else ""
    conf = NGINX_CONF.format(folder=tmp_path, service=service, plain=plain, tls=tls, user=user)
    (tmp_path / "nginx.conf").write_text(conf)
    emulate = [sys.executable, "-m", "loadcheck", "emulate", "--port", str(service),
               "--api-key", ENV["KEY"], "--secret-key", ENV["SECRET"],
               "--config", "emulator.toml", "--data", "events.db"]  # fmt: skip
    with contextlib.ExitStack() as stack:

        def start(command: list[str], name: str) -> subprocess.Popen[bytes]:
            output = stack.enter_context((tmp_path / name).open("wb"))
            process = subprocess.Popen(
                command, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT
            )
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            return process

        emulator = start(emulate, "emulator.log")
        wait_for(service)
        assert NGINX is not None
        nginx = start([NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], "nginx.log")
        wait_for(plain)
        wait_for(tls)
        yield Proxied(tmp_path, service, plain, tls, nginx.pid, emulator)


def run(proxied: Proxied, scenario: str) -> tuple[int, dict[str, Any]]:
    """Run a scenario while nginx reloads twice."""
    folder = proxied.folder
    (folder / "s.toml").write_text(scenario)
    reloads = [
        threading.Timer(at_s, os.kill, (proxied.master, signal.SIGHUP)) for at_s in (4.0, 6.0)
    ]
    for reload in reloads:
        reload.start()
    done = subprocess.run(
        [sys.executable, "-m", "loadcheck", "run", "s.toml", "--output", "r.json"],
        cwd=folder,
        env={**os.environ, **ENV, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    for reload in reloads:
        reload.join()
    assert (folder / "r.json").exists(), done.stderr
    return done.returncode, orjson.loads((folder / "r.json").read_bytes())


@pytest.mark.parametrize("attempts", [1, 4])
@pytest.mark.parametrize(
    ("transport", "scheme", "http2", "rate"),
    [
        ("wire", "http", False, 300),
        ("wire", "https", False, 300),
        ("httpx", "http", False, 60),
        ("httpx", "https", True, 60),
    ],
)
def test_outcomes_are_exact(
    proxied: Proxied, transport: str, scheme: str, http2: bool, rate: int, attempts: int
) -> None:
    port = proxied.plain if scheme == "http" else proxied.tls
    more = f"http2 = {str(http2).lower()}\n" if transport == "httpx" else ""
    more += f'tls = {{ ca = "{proxied.folder / "ca.pem"}" }}\n' if scheme == "https" else ""
    code, document = run(
        proxied,
        SCENARIO.format(
            transport=transport,
            url=f"{scheme}://127.0.0.1:{port}",
            service=proxied.service,
            more=more,
            rate=rate,
            attempts=attempts,
        ),
    )
    ledger, stored = Ledger.from_json(document["ledger"]), proxied.stored()
    unique = set(stored)
    told = (document["copies"], document["steps"]["uploadEvents"]["answers"], document["findings"])
    assert len(stored) == len(unique), told  # nothing was stored twice, whatever was sent again
    assert set(ledger.acknowledged) <= unique, told
    assert not set(ledger.rejected) & unique, told
    assert unique <= set(ledger.acknowledged) | set(ledger.indeterminate), told
    assert len(ledger.acknowledged) > 0.8 * document["copies"]["started"], told
    seen = document["consistency"]
    assert seen["uniques"] == len(unique), told
    # 3 where this machine was too busy for the schedule, or the band could not be told apart
    assert code in (0, 3), told
    if attempts == 1:
        assert document["copies"]["indeterminate"] > 0, told
    reloaded = (proxied.folder / "error.log").read_text().count("reconfiguring")
    assert reloaded >= 2
