"""Secret probes over all commands and outputs: no spelling of a secret in any byte written."""

from __future__ import annotations

import base64
import html
import json
import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from loadcheck.report import export
from tests.corpus.commands import Commands, Ended
from tests.corpus.service import WORKFLOW, echoed, serving, write

SEED = 12
ALPHABETS = (
    "0123456789abcdef",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=",
    "abcXYZ019-_.~",
    "ab&<>\"'`%+ =;#\\/?@:",
    "abcäöüéßñÿ",
    "ключ漢字👍é1",
)


def secrets() -> Iterator[str]:
    """Yield secrets of many kinds, the same ones each time."""
    drawn = random.Random(SEED)
    for alphabet in ALPHABETS:
        for length in (9, 24, 70):
            text = "".join(drawn.choice(alphabet) for _ in range(length))
            yield f"q{text}z"


def spellings(secret: str) -> set[bytes]:
    """Return a secret as others would spell it: by their own means, not by the redactor's."""
    raw = secret.encode()
    texts = {
        secret,
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        html.escape(secret),
        "".join(f"&#{ord(each)};" for each in secret),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret).replace("%C3", "%c3"),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(b"someone:" + raw).decode(),
        raw.decode("latin-1"),
        raw.hex(),
    }
    # what a longer text would hold of it: a cut at the end leaves most of it
    texts |= {text[: len(text) * 3 // 4] for text in texts if len(text) > 20}
    return {text.encode("utf-8", "surrogatepass") for text in texts}


def leaks(folder: Path, given: set[Path], done: Ended, secret: str) -> list[str]:
    """Return where a spelling of a secret stands in what a command has written."""
    written = {"printed": done.written}
    for path in folder.rglob("*"):
        if path.is_file() and path not in given and not path.name.startswith("."):
            written[path.name] = path.read_bytes() + path.name.encode("utf-8", "replace")
    return [
        f"{name}: {spelling!r}"
        for name, content in written.items()
        for spelling in spellings(secret)
        if spelling in content
    ]


def wrong(secret: str, url: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield commands that cannot be carried out, with a secret where it does not belong."""
    part = quote(secret, safe="")
    toml = json.dumps(secret, ensure_ascii=False)
    for key in (
        "load.model", "load.stages.0.rate", "timeouts.request", "retry.on", "verify.uniques",
        "verify.deadline", "target.kind", "target.servers", "target.tls.ca", "target.proxy",
        "workflow.id", "workflow.document", "seed", "thresholds", "name", "limits.put.rate",
    ):  # fmt: skip
        yield ["check", "s.toml", "--set", f"{key}={toml}"], {}
    yield ["check", "s.toml", "--set", f"inputs.key={toml}"], {}
    yield ["check", "s.toml", "--set", f"inputs.key={{env={toml}}}"], {}
    yield ["check", "s.toml", "--set", f"inputs.{quote_key(secret)}=1"], {}
    yield ["check", "s.toml", "--set", f"{quote_key(secret)}=1"], {}
    for address in (
        f"http://me:{part}@127.0.0.1:9", f"http://{part}@127.0.0.1:9", f"me:{part}@127.0.0.1",
        f"http://me:{part}@[::1", f"http:/me:{part}@127.0.0.1", f"http://me:{part}@h:99999/",
        f"ftp://me:{part}@127.0.0.1/",
    ):  # fmt: skip
        yield ["run", "s.toml", "--server", address], {}
        yield ["check", "s.toml", "--source", f"api={address}"], {}
        yield ["run", "s.toml", "--set", f"target.proxy={json.dumps(address)}"], {}
        yield ["reconcile", "kept.json", "--server", address], {}
        yield ["run", "s.toml", address], {}
        yield ["check", "s.toml"], {"HTTP_PROXY": address, "ALL_PROXY": address}
        yield ["check", "s.toml"], {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
    yield (
        ["check", "s.toml"],
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": url},
    )
    yield ["check", "s.toml", "--server", f"{url}/{part}"], {}
    yield ["check", "s.toml", "--server", f"http://{part[:40]}.example"], {}
    yield ["run", "s.toml", "--output", f"gone/{part}/x.json"], {}


def quote_key(secret: str) -> str:
    """Return a secret as a TOML key."""
    return json.dumps(secret, ensure_ascii=False)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("half", range(2))
def test_no_secret_is_written_anywhere(half: int, tmp_path: Path) -> None:
    found: dict[str, list[str]] = {}
    heard: set[str] = set()
    probes = crashes = 0
    drawn = list(enumerate(secrets()))
    drawn = drawn[half * len(drawn) // 2 :][: len(drawn) // 2]

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if body:
            heard.add(json.loads(body)["key"])
        return echoed(handler, body)

    with serving(answer) as url, Commands(tmp_path) as run:
        write(tmp_path, url)
        run("run", "s.toml", "--output", "kept.json", env={"THE_KEY": "another-key-altogether"})
        given = {path for path in tmp_path.rglob("*") if path.is_file()}
        for number, secret in drawn:
            env = {"THE_KEY": secret}
            result = f"r{number}.json"
            (tmp_path / "bad.yml").write_text(WORKFLOW.replace("$statusCode == 200", secret))
            given.add(tmp_path / "bad.yml")
            commands: list[tuple[list[str], dict[str, str]]] = [
                (["check", "s.toml"], {}),
                (["check", "s.toml", "--json"], {}),
                (["run", "s.toml", "--output", result], {}),
                (["run", "s.toml", "--json", "--quiet", "--output", f"j{result}"], {}),
                (["show", result], {}),
                (["show", result, "--json"], {}),
                (["report", result], {}),
                *((["export", result, "--format", form], {}) for form in FORMATS),
                (["compare", result, f"j{result}", "--force"], {}),
                (["list", "."], {}),
                (["reconcile", result], {}),
                (["check", "s.toml", "--set", "workflow.document=bad.yml"], {}),
            ]
            # the slow ones, that send, for some; the wrong ones for all
            chosen = commands if number % 6 == 1 else commands[:2] + commands[-1:]
            for arguments, more in [*chosen, *list(wrong(secret, url))[number % 3 :: 2]]:
                done = run(*arguments, env={**env, **more})
                probes += 1
                crashes += done.code in (None, 70)
                left = leaks(tmp_path, given, done, secret)
                if left or done.code in (None, 70):
                    name = f"{' '.join(arguments)} {more}"
                    found[name] = left or [done.stderr.decode("utf-8", "replace")[-800:]]
    assert probes >= 250
    # the service was told the secrets, and said them in its answers
    assert heard >= {secret for number, secret in drawn if number % 6 == 1}
    assert found == {}, f"{len(found)} of {probes} probes"
    assert crashes == 0


FORMATS = tuple(export.FORMATS["result"])
