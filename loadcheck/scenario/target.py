"""``[target]``, which receives the load; ``[inputs]``; and ``[setup]`` and ``[teardown]``.

Inputs are values from the scenario, and credentials from the environment.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from loadcheck.documents import split_http_url, with_scheme
from loadcheck.documents.document import Node
from loadcheck.documents.files import UnreadableError, is_file, read_file
from loadcheck.documents.toml import nearest_file
from loadcheck.errors import Problem, ScenarioError, did_you_mean, nearest
from loadcheck.scenario import grammar
from loadcheck.scenario.data import check_drawn
from loadcheck.scenario.model import Input, Once, Target, Tls
from loadcheck.scenario.reader import ProblemReport, TableReader, describe, drop_none, json, text
from loadcheck.secrets import HIDDEN, SHORTEST, keep, too_short

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONVENTIONAL = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{1,12}[0-9]{0,2}")
"""Conventional variable names; anything else may be the secret itself, written by mistake."""


_MAX_ENV_BYTES = 1_000_000
_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'#](?:[^#]|(?<=\S)\#)*?)?)
    \s*(?:(?<=\s)\#.*)?""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def environment(path: str | os.PathLike[str] | None) -> Mapping[str, str]:
    """Return the process environment merged over a file of NAME=VALUE lines (``.env``).

    Blank lines and comments are skipped, as is ``export`` before a name. A value may be quoted; in
    double quotes a backslash escapes. Nothing is expanded.

    Args:
        path: The file; None: the environment alone.

    Raises:
        ScenarioError: It cannot be read, or a line has another form; the message quotes no line.
    """
    if path is None:
        return os.environ
    file = os.fspath(path)
    try:
        text = read_file(Path(file), _MAX_ENV_BYTES).decode("utf-8-sig")
    except UnreadableError as error:
        remedy = error.remedy or nearest_file(Path(file)) or "name a file that is there"
        raise ScenarioError(Problem(message=error.message, file=file, remedy=remedy)) from None
    except UnicodeDecodeError:
        problem = Problem(message="is not UTF-8", file=file, remedy="save the file as UTF-8")
        raise ScenarioError(problem) from None
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:  # not shown: it may hold a secret
            remedy = "expected NAME=VALUE; quotes are closed in the line they open in"
            problems.append(
                Problem(message="is not a variable", file=file, line=number, remedy=remedy)
            )
            continue
        value = match["single"] or match["bare"] or ""
        if match["double"]:
            value = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), match["double"])
        values[match["name"]] = value
    if problems:
        raise ScenarioError(problems)
    return {**values, **os.environ}


def read_inputs(top: TableReader, environment: Mapping[str, str]) -> dict[str, Input]:
    """Read ``[inputs]``.

    A table with the key ``env`` is the value of that environment variable, or its ``default``; the
    variable's value is a secret unless ``secret = false`` says otherwise. A table with the key
    ``basic`` is ``base64(username:password)``, the credentials of HTTP Basic authentication
    (RFC 7617 section 2). Any other value is used as written.
    """
    entries = top.section("inputs", None).entries
    return {name: _input(node, environment, top.report) for name, node in entries.items()}


def read_once(top: TableReader, name: str, environment: Mapping[str, str]) -> Once | None:
    """Read ``[setup]`` or ``[teardown]``; None if it names no workflow."""
    table = top.table(name, grammar.SETUP if name == "setup" else grammar.TEARDOWN)
    if table is None:
        return None
    deletes = table.flag("delete") if name == "teardown" else None
    if deletes is None or set(table.entries) > {"delete"}:
        table.require("workflow", 'expected the workflowId of a workflow: workflow = "login"')
    nodes = table.array("public", "names of outputs") or () if name == "setup" else ()
    public = frozenset(word for node in nodes if (word := text(node, top.report)) is not None)
    every_s = table.duration("every") if name == "setup" else None
    inputs, workflow = read_inputs(table, environment), table.text("workflow")
    options = drop_none(timeout_s=table.duration("timeout"), every_s=every_s)
    if "renew" in table:
        options |= drop_none(renew=table.text("renew"))
        if "every" not in table:
            table.report.add(table["renew"], "is never run", 'say how often: every = "50m"')
    return (
        None
        if workflow is None
        else Once(workflow=workflow, inputs=inputs, public=public, **options)
    )


def _input(node: Node, environment: Mapping[str, str], report: ProblemReport) -> Input:
    entries = node.value if isinstance(node.value, dict) else {}
    if "env" in entries:
        return _variable(node, environment, report)
    if "basic" in entries:
        return _basic(node, environment, report)
    check_drawn(node, report)
    return Input(value=json(node, report))


def _variable(node: Node, environment: Mapping[str, str], report: ProblemReport) -> Input:
    table = TableReader(node, report, known=grammar.FROM_ENVIRONMENT)
    default: Any = json(table["default"], report) if "default" in table else HIDDEN
    unknown = default == HIDDEN  # a results file has this in place of the default, too
    name = table.text("env")
    if name is None:
        return Input(value=None)
    if not _VARIABLE.fullmatch(name):  # not shown: it may be the secret itself
        expected = "expected the name of an environment variable: letters, digits and _"
        report.add(table["env"], "not a name", expected)
        return Input(value=None)
    value = environment.get(name, "")
    said = table.flag("secret")
    # a default is readable in the file, so it is a secret only with an explicit secret = true
    secret = value if said is not False else ""
    if said and not value and isinstance(default, str) and not unknown:
        secret = default
    if secret:
        keep({secret})
        if too_short({secret}):
            message = f"a secret of fewer than {SHORTEST} characters cannot be kept out of texts"
            remedy = "use a longer one, or declare that it is not a secret: secret = false"
            report.add(node, message, remedy)
        return Input(value=secret, secret=True, hidden=frozenset({secret}))
    if value:
        return Input(value=value)
    hidden: frozenset[str] = frozenset()
    shown = name
    if name not in environment and not _CONVENTIONAL.fullmatch(name):
        # the user may have written the secret itself instead of its variable's name
        hidden, shown = frozenset({name}), "named here"
        keep(hidden)
    if unknown:
        state = "is empty" if name in environment else "is not set"
        remedy = f"export {'NAME' if hidden else name}=…"
        report.add(table["env"], f"the environment variable {shown} {state}", remedy)
    return Input(value=default, hidden=hidden)


def _basic(node: Node, environment: Mapping[str, str], report: ProblemReport) -> Input:
    outer = TableReader(node, report, known={"basic": {}})
    table = TableReader(outer["basic"], report, known=grammar.BASIC)
    parts: list[Input] = []
    for name in ("username", "password"):
        if not table.require(name, 'expected a string or { env = "NAME" }'):
            continue
        part = table[name]
        if isinstance(part.value, dict):
            parts.append(_variable(part, environment, report))
        else:
            parts.append(Input(value=text(part, report)))
    credentials = ":".join(str(part.value) for part in parts)
    value = base64.b64encode(credentials.encode()).decode("ascii")
    hidden = frozenset().union(*(part.hidden for part in parts))
    secret = any(part.secret for part in parts)
    return Input(value=value, secret=secret, hidden=hidden | {value} if secret else hidden)


_HTTPX_ONLY = ("proxy", "http2", "redirects")
_SECRETS = "credentials belong to [inputs], from the environment"
_PROXY_SECRETS = "a proxy that asks who you are belongs in the environment: HTTPS_PROXY"
_EMBEDDED = "the target is the emulator"
_EXPECTED_URL = "expected an http:// or https:// URL with a host, and no more than a path"


def read_target(top: TableReader, folder: Path) -> Target:
    """Read ``[target]``; without it the embedded emulator is the target.

    Keys of the emulator are passed on unread: the emulator checks them itself.

    Args:
        top: The scenario.
        folder: The scenario's folder, which paths are relative to.
    """
    if "target" not in top:
        return Target(kind="emulator")
    table = TableReader(top["target"], top.report, known=grammar.TARGET, free=True)
    kind = table.choice("kind")
    rest = {name: node for name, node in table.entries.items() if name not in grammar.TARGET}
    for name in sorted(rest.keys() - grammar.EMULATOR):
        near = nearest(name, grammar.TARGET)
        if kind == "live":
            near = near or nearest(name, grammar.EMULATOR)
            remedy = near or f"expected one of {', '.join(sorted(grammar.TARGET))}"
            table.report.add(rest.pop(name), "unknown key", remedy)
        elif near and not nearest(name, grammar.EMULATOR):
            table.report.add(rest.pop(name), "unknown key", near)
    if kind == "live":
        for node in rest.values():
            remedy = "it configures the embedded emulator"
            table.report.contradiction(node, table["kind"], remedy)
    elif "servers" in table and (kind == "emulator" or "kind" not in table):
        remedy = 'the embedded emulator has its own address; servers belong to kind = "live"'
        table.refuse_beside("servers", "kind", remedy, _EMBEDDED)
    _refuse_misplaced(table, kind)
    regional = _of_region(table, kind)
    if "region" in table:
        rest["region"] = table["region"]  # the emulator has regions of its own
    return Target(
        kind=kind or "emulator",
        servers={**regional, **_servers(table.section("servers", None), table.report)},
        emulator={name: json(node, table.report) for name, node in rest.items()},
        **drop_none(
            tls=_tls(table, folder),
            proxy=_url(table["proxy"], table.report, _PROXY_SECRETS) if "proxy" in table else None,
        ),
        **table.fields("transport", "compress", "http2", "redirects", "cookies"),
    )


def _of_region(target: TableReader, kind: str | None) -> dict[str, str]:
    """Return the servers of the chosen region."""
    known = {
        name: _servers(TableReader(node, target.report, known=None), target.report)
        for name, node in target.section("regions", None).entries.items()
    }
    region = target.text("region")
    if region is None or kind != "live":
        return {}
    if region not in known:
        expected = did_you_mean(region, known) or "the service's profile knows no regions"
        target.report.add(target["region"], f"no region {describe(target['region'])}", expected)
    return known.get(region, {})


def _refuse_misplaced(table: TableReader, kind: str | None) -> None:
    """Report keys that have no effect with the emulator, or that the wire transport lacks."""
    if kind != "live":
        for name in sorted({"tls", *_HTTPX_ONLY} & table.entries.keys()):
            remedy = 'it belongs to kind = "live": the embedded emulator is plain HTTP/1.1'
            table.refuse_beside(name, "kind", remedy, _EMBEDDED)
        return
    transport = table.get("transport")
    for name in _HTTPX_ONLY:
        if name not in table or table[name].value is False:
            continue
        if transport is None:
            message = "the wire transport cannot do that"
            table.report.add(table[name], message, f'set target.transport = "httpx" for {name}')
        elif transport.value == "wire":
            remedy = f'{name} needs transport = "httpx"'
            table.report.contradiction(table[name], transport, remedy)


def _tls(target: TableReader, folder: Path) -> Tls | None:
    table = target.table("tls", grammar.TLS)
    if table is None:
        return None
    files = {name: _file(table, name, folder) for name in ("ca", "cert", "key")}
    if "key" in table:
        table.require("cert", "expected the certificate that the key belongs to")
    read = table.fields("server_name", "verify")
    if read.get("verify") is False:
        table.exclude("verify", ("ca", "server_name"), "nothing is checked with verify = false")
    return Tls(**drop_none(**files), **read)


def _file(table: TableReader, name: str, folder: Path) -> Path | None:
    written = table.text(name)
    if written is None:
        return None
    path = folder / written
    if is_file(path):
        return path
    remedy = nearest_file(path) or "paths are relative to the scenario file"
    table.report.add(table[name], f"no file at {path}", remedy)
    return None


def _servers(table: TableReader, report: ProblemReport) -> dict[str, str]:
    servers = {name: _url(node, report) for name, node in table.entries.items()}
    return {name: url for name, url in servers.items() if url}


def _url(node: Node, report: ProblemReport, secrets: str = _SECRETS) -> str | None:
    written = text(node, report)
    if written is None:
        return None
    try:
        url: SplitResult | None = split_http_url(written)
    except ValueError:
        url = None
    credentials = "@" in written if url is None else "@" in url.netloc
    if credentials:  # not shown: it holds a secret
        report.add(node, "a URL with credentials in it", secrets)
        return None
    if url is None or url.query or url.fragment:
        remedy = with_scheme(written)
        report.found(node, remedy or _EXPECTED_URL)
        return None
    return written
