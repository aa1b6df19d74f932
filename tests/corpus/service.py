"""A small workflow, its descriptions, and a service for it that says whatever it was sent."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

API = """openapi: 3.1.0
info: {{title: t, version: "1"}}
servers: [{{url: "{server}"}}]
paths:
  /in/{{path}}:
    post:
      operationId: put
      parameters: [{{name: path, in: path, required: true, schema: {{type: string}}}}]
      requestBody: {{content: {{application/json: {{schema: {{type: object}}}}}}}}
      responses: {{"200": {{description: ok}}}}
  /count:
    get:
      operationId: count
      responses: {{"200": {{description: ok}}}}
"""
WORKFLOW = """arazzo: 1.0.1
info: {title: t, version: "1"}
sourceDescriptions: [{name: api, url: api.yml, type: openapi}]
workflows:
  - workflowId: w
    inputs:
      type: object
      properties: {key: {type: string}, basic: {type: string}, userId: {type: string}}
    steps:
      - stepId: put
        operationId: put
        parameters:
          - {name: path, in: path, value: $inputs.key}
          - {name: q, in: query, value: $inputs.key}
          - {name: Authorization, in: header, value: "Basic {$inputs.basic}"}
        requestBody:
          contentType: application/json
          payload: {user: $inputs.userId, key: $inputs.key}
        successCriteria: [{condition: $statusCode == 200}]
      - stepId: count
        operationId: count
        parameters:
          - {name: Authorization, in: header, value: "Basic {$inputs.basic}"}
        successCriteria: [{condition: $statusCode == 200}]
"""
SCENARIO = """name = "probe"
[workflow]
document = "w.yml"
[target]
kind = "live"
{target}
[inputs]
key = {{ env = "THE_KEY" }}
basic = {{ basic = {{ username = "someone", password = {{ env = "THE_KEY" }} }} }}
userId = "$copy.userId"
[load]
model = "open"
stages = [{{ duration = "200ms", rate = 20 }}]
[timeouts]
request = "2s"
drain = "2s"
[retry]
attempts = 1
[verify]
uniques = "$response.body#/users"
deadline = "500ms"
quiet = "200ms"
every = "100ms"
{more}
"""


def write(folder: Path, server: str, target: str = "", more: str = "") -> Path:
    """Write the scenario and what it refers to; return the scenario."""
    (folder / "api.yml").write_text(API.format(server=server))
    (folder / "w.yml").write_text(WORKFLOW)
    path = folder / "s.toml"
    path.write_text(SCENARIO.format(target=target, more=more))
    return path


Answer = Callable[[BaseHTTPRequestHandler, bytes], tuple[int, dict[str, str], bytes]]


def echoed(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Answer an error that repeats the request in every spelling; a count that is no number."""
    text = body.decode("utf-8", "replace")
    given = json.loads(body).get("key", "") if body else handler.headers.get("Authorization", "")
    said: dict[str, Any] = {
        "error": f"not {given}",
        "path": handler.path,
        "body": text,
        "authorization": handler.headers.get("Authorization", ""),
        "percent": quote(given, safe=""),
        "base64": base64.b64encode(f"x:{given}".encode()).decode(),
        "html": "".join(f"&#{ord(each)};" for each in given),
        "repr": repr(given),
        "users": given,
    }
    status = 200 if handler.path.startswith("/count") else 503
    return status, {"X-Echo": quote(given)}, json.dumps(said).encode()


@contextmanager
def serving(answer: Answer, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve answers for the length of a block; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, headers, content = answer(self, self.rfile.read(length))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_CONNECT = do_PUT = do_GET  # noqa: N815  # the names of the base class

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that goes away is nobody's trouble."""

    with Server((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
