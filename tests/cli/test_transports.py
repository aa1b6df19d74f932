"""The real command over TLS, gzipped, on closing connections: what is said is what happens."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
import trustme

from tests.cli.conftest import Loadcheck

SCENARIO = """
workflow = "amplitude"
[target]
kind = "live"
servers = {{ httpV2Api = "{url}", dashboardRestApi = "{url}" }}
{target}
[inputs]
apiKey = "key"
basicAuth = "Og=="
eventType = "probe"
eventProperties = {{ scenario = "ways" }}
[load]
model = "open"
rate = 100
duration = 1
{load}
[verify]
enabled = false
"""


class Server:
    """Acknowledges uploads; closes every connection after so many.

    Attributes:
        uploads: What was posted, as it came.
        fields: The header fields of the last request.
    """

    def __init__(self, *, closes_after: int | None = None) -> None:
        self._closes_after = closes_after
        self.uploads: list[bytes] = []
        self.fields: dict[str, str] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = 0
        try:
            while answered != self._closes_after:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
                self.fields = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in head)}
                body = await reader.readexactly(int(self.fields["content-length"]))
                self.uploads.append(body)
                if self.fields.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = b'{"code":200,"events_ingested":%d}' % len(orjson.loads(body)["events"])
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
                )
                await writer.drain()
                answered += 1
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


@contextmanager
def serving(server: Server, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve in a thread for the length of a block; yields the URL."""
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(server, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:

        async def end() -> None:
            listening.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def scenario(folder: Path, url: str, target: str = "", load: str = "") -> Path:
    path = folder / "ways.toml"
    path.write_text(SCENARIO.format(url=url, target=target, load=load))
    return path


@pytest.mark.parametrize("transport", ["wire", "httpx"])
def test_tls_with_an_own_authority_and_a_client_certificate(
    loadcheck: Loadcheck, tmp_path: Path, transport: str
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("me@example.org").private_key_and_cert_chain_pem
    client.write_to_path(tmp_path / "client.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("api.example.org").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server = Server()
    target = f'transport = "{transport}"\ncompress = "gzip"\n'
    target += 'tls = { ca = "ca.pem", cert = "client.pem", server_name = "api.example.org" }'
    with serving(server, context) as url:
        ended = loadcheck("run", scenario(tmp_path, url, target))
    assert ended.code == 0, ended.stderr
    assert "verification: disabled" in ended.stdout
    assert ended.result["copies"]["acknowledged"] == 100
    assert len(server.uploads) == 100
    assert orjson.loads(gzip.decompress(server.uploads[0]))["api_key"] == "key"


def test_requests_lost_on_closing_connections_are_sent_again_and_counted(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    server = Server(closes_after=3)
    with serving(server) as url:
        ended = loadcheck("run", scenario(tmp_path, url, load="max_in_flight = 50"))
    result = ended.result
    assert result["copies"]["acknowledged"] == 100
    assert result["load"]["stale_retries"] >= 0
    assert len(server.uploads) == 100


def test_a_file_that_cannot_be_used_is_told_before_anything_is_sent(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    path = scenario(tmp_path, "https://127.0.0.1:1", 'tls = { ca = "ca.pem" }')
    for command in ("run", "check"):
        ended = loadcheck(command, path)
        assert ended.code == 2
        assert "ways.toml:6: target.tls.ca: cannot be used" in ended.stderr


def test_check_tells_how_it_connects(loadcheck: Loadcheck, tmp_path: Path) -> None:
    target = 'compress = "gzip"\ntls = { verify = false }'
    path = scenario(tmp_path, "https://127.0.0.1:1", target, "preconnect = 7")
    text = loadcheck("check", path).stdout
    assert "7 connections opened ahead" in text
    assert "bodies gzipped, certificates NOT verified" in text
    shown = orjson.loads(loadcheck("check", path, "--json").stdout)["connection"]
    assert shown["opened_ahead"] == [{"at_s": 0.0, "connections": 7}]
    assert shown["tls"]["verify"] is False


def test_a_proxy_in_the_environment_that_copies_do_not_take_is_told(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    path = scenario(tmp_path, "https://api.example.org")
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:3128", "https_proxy": "http://127.0.0.1:3128"}
    assert "names a proxy for https://api.example.org" in loadcheck("check", path, env=proxy).stdout
    path = scenario(tmp_path, "https://api.example.org", 'transport = "httpx"')
    assert "names a proxy" not in loadcheck("check", path, env=proxy).stdout
