"""Bad inputs, made from good ones by a seed: scenarios, workflow documents, results files, options.

Each is a command line and the files that it names, in a folder of its own.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ("burst", "closed", "faulty", "ramp", "influxdb", "capacity", "live")
LIBRARY = ROOT / "loadcheck" / "library"
DIGITS = "9" * 5000

TEXTS = (
    "", " ", "\0", "x", "x" * 10_000,
    DIGITS, "-1", "100ms", "inf", "nan", "-inf", "1e400", "5s",
    "http://[::1", "http://", "https://user:pass@host:99999/", "../../..", "a\nb", "\x1b[31m",
    "\u202e", "\ud83d\ude00", "{$inputs.x}", "{$", "$response.body#/a/0", "$steps.x.outputs.y",
    "((((((((((a*)*)*)*)*)*)*)*)*)*", "$[?@.a==1]", "$[", "true",
    "null", "%", "5xx", "*", ".", "..",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1.5, -0.0, 1e308, [], {}, [[]],
    [None], {"": None}, {"a": {"b": []}}, ["a"] * 1000, [[[[[[[[[[]]]]]]]]]], *TEXTS,
)  # fmt: skip
TOML_VALUES = (
    "", "true", "-1", "0", "1e400", "inf", "nan", "-inf", DIGITS, "0x" + "f" * 5000, "[]", "{}",
    "[" * 200, "[" * 200 + "]" * 200, "{a={a={a={}}}}", '""', '"\\u0000"', "'x", '"""',
    "1979-05-27",
    "07:32:00", '"5s"', '"100ms"', '"inf"', '"http://[::1"', '"((a*)*)*"', "[1, 'a', []]",
    '{ env = "LOADCHECK_NOT_SET" }', "{ env = 5 }", '{ file = "/" }', "'" + "x" * 10_000 + "'",
)  # fmt: skip
RAW = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"[" * 3000, b"{" * 3000, b'"', b"\\", b"]",
    b"- " * 2000, b"&a [*a, *a]", b"!!python/object:os.system", b"\x1b]0;x\x07", b"9" * 5000,
)  # fmt: skip


@dataclass(frozen=True)
class BadInput:
    """One command line, and the files that it names."""

    kind: str
    arguments: list[str]
    files: dict[str, bytes] = field(default_factory=dict)


def bad_inputs(seed: int, number: int) -> Iterator[BadInput]:
    """Yield so many bad inputs, always the same ones of a seed."""
    chance = random.Random(seed)
    makers = (scenario, scenario, arazzo, openapi, result, result, options, options)
    for index in range(number):
        yield makers[index % len(makers)](chance)


def scenario(chance: random.Random) -> BadInput:
    """Return a scenario with something wrong, to be checked."""
    name = chance.choice(SCENARIOS)
    text = (ROOT / "scenarios" / f"{name}.toml").read_text()
    lines = text.split("\n")
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(lines))
        match chance.randrange(6):
            case 0:
                del lines[at]
                lines = lines or [""]
            case 1:
                lines.insert(at, chance.choice(lines))
            case 2 | 3:
                key, equals, _ = lines[at].partition("=")
                if equals:
                    lines[at] = f"{key}= {chance.choice(TOML_VALUES)}"
            case 4:
                lines[at] = scratched(lines[at], chance)
            case _:
                lines.insert(at, f"{chance.choice(WORDS)} = {chance.choice(TOML_VALUES)}")
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        data = broken(data, chance)
    return BadInput("scenario", ["check", "s.toml"], {"s.toml": data})


WORDS = (
    "name", "rate", "load.rate", "[load]", "[[load.stages]]", "thresholds", "[target]", "kind",
    "[verify]", "[overlay]", "[[overlay]]", '"a.b"', "''", "inputs.x", "[target.faults]", "drop",
    "deadline", "[retry]", "attempts", "copies", "concurrency", "[limits.x]", "workflow", "seed",
)  # fmt: skip


def arazzo(chance: random.Random) -> BadInput:
    """Return an Arazzo document with something wrong, to be linted beside its sources."""
    return _documents(chance, "workflow.yml", "arazzo")


def openapi(chance: random.Random) -> BadInput:
    """Return an OpenAPI document with something wrong, beside the workflow that needs it."""
    return _documents(chance, None, "openapi")


def _documents(chance: random.Random, wanted: str | None, kind: str) -> BadInput:
    folder = chance.choice(sorted(path.parent for path in LIBRARY.glob("*/workflow.yml")))
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("*.y*ml"))}
    arazzos = [name for name, data in found.items() if data.lstrip().startswith(b"arazzo")]
    others = [name for name in found if name not in arazzos] or arazzos
    name = chance.choice(arazzos if wanted else others)
    lines = found[name].decode().split("\n")
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines))
        match chance.randrange(5):
            case 0:
                del lines[at]
                lines = lines or [""]
            case 1:
                lines.insert(at, chance.choice(lines))
            case 2 | 3:
                key, colon, _ = lines[at].partition(":")
                if colon:
                    value = json.dumps(chance.choice(VALUES), allow_nan=False)
                    lines[at] = f"{key}: {value}"
            case _:
                lines[at] = scratched(lines[at], chance)
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        data = broken(data, chance)
    return BadInput(kind, ["check", arazzos[0], "--json"], {**found, name: data})


def result(chance: random.Random) -> BadInput:
    """Return a results file with something wrong, to be read by one of the commands."""
    document = json.loads(RESULT)
    for _ in range(chance.choice((1, 1, 1, 3))):
        _change(document, chance)
    data = json.dumps(document, allow_nan=False).encode("utf-8", "surrogatepass")
    if chance.random() < 0.2:
        data = broken(data, chance)
    if chance.random() < 0.1:
        data = re.sub(rb":\s*\d+", b": " + DIGITS.encode(), data, count=1)
    commands = (
        ["show", "r.json"],
        ["show", "r.json", "--json"],
        ["report", "r.json", "-o", "page.html"],
        *(["export", "r.json", "-f", f] for f in ("hgrm", "hlog", "csv", "junit", "markdown")),
        ["compare", "r.json", "good.json", "--force"],
        ["compare", "good.json", "r.json", "--force", "--json"],
        ["reconcile", "r.json"],
        ["list", "."],
    )
    return BadInput("result", chance.choice(commands), {"r.json": data, "good.json": RESULT})


def options(chance: random.Random) -> BadInput:
    """Return a command line with odd values; what is right about it needs consent to be sent."""
    away = (ROOT / "scenarios" / "burst.toml").read_text()
    away = re.sub(r"(?ms)^\[target\].*?(?=^\[)", AWAY, away)
    value = chance.choice(TEXTS).replace("\0", "").encode("utf-8", "replace").decode()
    keys = (
        "load.rate", "load.duration", "load", "target", "target.kind", "thresholds", "thresholds.0",
        "verify.deadline", "overlay", "name", "seed", "a..b", "", ".", "inputs.eventType", "load.0",
        "target.proxy", "target.tls.ca", "workflow", "workflow.sources.x", "timeouts.request",
    )  # fmt: skip
    odd: list[list[str]] = [
        ["--set", f"{chance.choice(keys)}={value}"],
        ["--set", f"{chance.choice(keys)}={chance.choice(TOML_VALUES)}"],
        ["--set", value],
        ["--source", f"{chance.choice(('httpV2Api', 'x', ''))}={value}"],
        ["--server", chance.choice((value, f"httpV2Api={value}", f"http://{value}"))],
    ]
    match chance.randrange(7):
        case 0 | 1:
            arguments = ["check", "s.toml", *chance.choice(odd)]
        case 2:
            more = [["--seed", value], ["--output", value or "x"], ["--bogus", value], *odd]
            arguments = ["run", "s.toml", *chance.choice(more)]
        case 3:
            search = ("--from", "--to", "--precision", "--budget", "--seed", "--keep")
            arguments = ["capacity", "s.toml", chance.choice(search), value]
        case 4:
            judging = ("--tolerance", "--format", "--to", "--output")
            arguments = ["compare", "good.json", "good.json", chance.choice(judging), value]
        case 5:
            arguments = [chance.choice(("show", "report", "list", "check", "export", value)), value]
        case _:
            names = ("--port", "--config", "--bogus")
            arguments = ["emulate", "--host", "203.0.113.1", chance.choice(names), value]
    return BadInput("options", arguments, {"s.toml": away.encode(), "good.json": RESULT})


AWAY = """[target]
kind = "live"
servers = { httpV2Api = "http://192.0.2.1:9", dashboardRestApi = "http://192.0.2.1:9" }

"""


def scratched(text: str, chance: random.Random) -> str:
    """Return a line with a character taken out, put in or changed."""
    at = chance.randrange(len(text) + 1)
    put = chance.choice(
        ("", "", "\0", "\t", "'", '"', "[", "]", "{", "}", ":", "=", "\u2028", "\x7f")
    )
    return text[:at] + put + text[at + chance.randrange(3) :]


def broken(data: bytes, chance: random.Random) -> bytes:
    """Return bytes that are cut off, or have something odd in them."""
    at = chance.randrange(len(data) + 1)
    if chance.random() < 0.5:
        return data[:at]
    return data[:at] + chance.choice(RAW) + data[at:]


def _change(node: Any, chance: random.Random) -> None:
    """Replace, remove or add something somewhere in a JSON document."""
    while True:
        inner = [key for key in _keys(node) if isinstance(node[key], dict | list) and node[key]]
        if not inner or chance.random() < 0.3:
            break
        node = node[chance.choice(inner)]
    keys = _keys(node)
    match chance.randrange(4):
        case 0 if keys:
            del node[chance.choice(keys)]
        case 1 if isinstance(node, dict):
            node[chance.choice(("", "x", "schema", "\0"))] = chance.choice(VALUES)
        case _ if keys:
            node[chance.choice(keys)] = chance.choice(VALUES)


def _keys(node: Any) -> list[Any]:
    return list(node) if isinstance(node, dict) else list(range(len(node)))


RESULT = (ROOT / "results" / "example-burst.json").read_bytes()
