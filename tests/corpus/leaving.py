"""Forty ways to leave this machine without being asked; run in a network namespace of its own.

``python -m tests.corpus.leaving FOLDER``, in new network and mount namespaces: 192.0.2.1
(RFC 5737) stands for another machine, and writes down whoever comes. Prints a JSON object: way →
what came, and the exit code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.corpus.commands import Commands
from tests.corpus.service import API, serving, write

AWAY = "192.0.2.1"
NAMES = ("away.example", "proxy.example", "127.0.0.1.example", "localhost.example", "127.1.example")

CONTROL = "asked: with --live"
"""What does leave, so that the corpus could see it."""

Way = dict[str, Any]


def ways(here: str) -> Mapping[str, Way]:
    """Return each way: env, target, more (of the scenario), arguments, server."""
    away, proxy = f"http://{AWAY}", f"http://{AWAY}:3128"
    found: dict[str, Way] = {}
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        found[f"{name}, wire"] = {"env": {name: proxy}}
        found[f"{name}, httpx"] = {"env": {name: proxy}, "target": 'transport = "httpx"'}
    found["HTTP_PROXY by name"] = {"env": {"HTTP_PROXY": "http://proxy.example:3128"}}
    found["HTTP_PROXY without scheme"] = {"env": {"http_proxy": f"{AWAY}:3128"}}
    found["NO_PROXY for others"] = {"env": {"ALL_PROXY": proxy, "NO_PROXY": "example.com"}}
    found["NO_PROXY unreadable"] = {"env": {"ALL_PROXY": proxy, "NO_PROXY": "[::1,10/99"}}
    found["target.proxy"] = {"target": f'transport = "httpx"\nproxy = "{proxy}"'}
    by_name = 'transport = "httpx"\nproxy = "http://proxy.example:3128"'
    found["target.proxy by name"] = {"target": by_name}
    for status in (301, 302, 303, 307, 308):
        found[f"redirect {status}"] = {
            "server": f"{here}/{status}",
            "target": 'transport = "httpx"\nredirects = true',
        }
    found["redirect, scheme-relative"] = {
        "server": f"{here}/relative",
        "target": 'transport = "httpx"\nredirects = true',
    }
    found["redirect by user-info"] = {
        "server": f"{here}/userinfo",
        "target": 'transport = "httpx"\nredirects = true',
    }
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        found[name] = {"env": {name: f"{away}:4318"}}
    found["OTLP redirect"] = {"env": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{here}/307"}}
    found["OTLP through a proxy"] = {
        "env": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{here}/otlp", "HTTP_PROXY": proxy}
    }
    found["description"] = {"arguments": ["run", "s.toml", "--source", f"api={away}/api.yml"]}
    found["description, check"] = {
        "arguments": ["check", "s.toml", "--source", f"api={away}/api.yml"]
    }
    found["description, lint"] = {"arguments": ["check", "w.yml", "--source", f"api={away}/a.yml"]}
    found["description redirect"] = {
        "arguments": ["check", "s.toml", "--source", f"api={here}/307/api.yml"]
    }
    found["description by proxy"] = {
        "env": {"HTTP_PROXY": proxy},
        "arguments": ["check", "s.toml", "--source", f"api={here}/api.yml"],
    }
    found["$ref"] = {"api": API.replace("{{type: object}}", f"{{{{$ref: '{away}/x.yml#/a'}}}}")}
    found["server"] = {"server": away}
    for host in ("away.example", "127.0.0.1.example", "localhost.example", f"[::ffff:{AWAY}]"):
        found[f"server {host}"] = {"server": f"http://{host}"}
    found["server by user-info"] = {"server": f"http://127.0.0.1@{AWAY}"}
    found["server by backslash"] = {"server": rf"http://127.0.0.1\\@{AWAY}"}
    found["--server"] = {"arguments": ["run", "s.toml", "--server", away]}
    found["--server by name"] = {
        "arguments": ["run", "s.toml", "--server", "api=http://away.example"]
    }
    found["capacity"] = {
        "arguments": ["capacity", "s.toml", "--budget", "30s", "--server", away],
    }
    found["plan"] = {"arguments": ["plan", "s.toml", "--server", away, "--live"]}
    for command in ("run", "capacity"):
        found[f"{command} --live, unapproved"] = {
            "arguments": [command, "s.toml", "--server", away, "--live"]
        }
    found["another plan"] = {
        "arguments": ["run", "s.toml", "--server", away, "--live", "--plan", "0" * 32]
    }
    found["reconcile --server"] = {
        "arguments": ["reconcile", "kept.json", "--server", f"http://key-1:pass-1@{AWAY}"]
    }
    return found


def play(folder: Path) -> dict[str, Any]:
    """Try every way; return what came of each."""
    came: list[str] = []

    def away(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        came.append(f"{handler.command} {handler.path} {len(body)} bytes")
        return 200, {}, b'{"users": 0}'

    def here(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        del body
        first, _slash, rest = handler.path.lstrip("/").partition("/")
        to = {
            "relative": f"//{AWAY}/{rest}",
            "userinfo": f"http://127.0.0.1@{AWAY}/{rest}",
        }.get(first, f"http://{AWAY}/{rest}" if first.isdecimal() else "")
        if to:
            return int(first) if first.isdecimal() else 307, {"Location": to}, b""
        if handler.path.endswith("api.yml"):
            return 200, {}, (folder / "api.yml").read_bytes()
        return 200, {}, b'{"users": 4}'

    with ExitStack() as stack:
        for port in (80, 3128, 4318):
            stack.enter_context(serving(away, AWAY, port))
        base = stack.enter_context(serving(here))
        run = stack.enter_context(Commands(folder))
        write(folder, base)
        kept = run("run", "s.toml", "--output", "kept.json", env={"THE_KEY": "key-of-a-test"})
        results: dict[str, Any] = {"": {"code": kept.code, "came": [*came], "said": ""}}
        for name, way in ways(base).items():
            came.clear()
            write(folder, way.get("server", base), way.get("target", ""))
            if "api" in way:
                (folder / "api.yml").write_text(way["api"].format(server=base))
            done = run(
                *way.get("arguments", ["run", "s.toml"]),
                env={"THE_KEY": "key-of-a-test", **way.get("env", {})},
            )
            said = done.written.decode("utf-8", "replace")
            results[name] = {"code": done.code, "came": [*came], "said": said[-2000:]}
        came.clear()
        write(folder, f"http://{AWAY}")
        done = run("run", "s.toml", "--live", "--yes", env={"THE_KEY": "key-of-a-test"})
        results[CONTROL] = {"code": done.code, "came": [*came], "said": ""}
    return results


def prepare(folder: Path) -> None:
    """Let an address of another machine lead to us, and give it names."""
    hosts = folder / "hosts"
    names = " ".join(NAMES)
    hosts.write_text(f"127.0.0.1 localhost\n::1 localhost\n{AWAY} {names}\n")
    for command in (
        "ip link set lo up",
        f"ip addr add {AWAY}/32 dev lo",
        f"mount --bind {hosts} /etc/hosts",
    ):
        subprocess.run(command.split(), check=True)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    prepare(where)
    sys.stdout.write(json.dumps(play(where)))
