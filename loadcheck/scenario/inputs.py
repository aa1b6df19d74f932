"""Workflow inputs: values of the scenario, and credentials from the environment."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadcheck.documents.document import Node
from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.documents.toml import nearest_file
from loadcheck.errors import Problem, ScenarioError
from loadcheck.scenario import grammar
from loadcheck.scenario.data import check_drawn
from loadcheck.scenario.model import Input, Once
from loadcheck.scenario.reader import Report, Table, given, json, text
from loadcheck.secrets import SHORTEST, keep, too_short

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONVENTIONAL = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{1,12}[0-9]{0,2}")
"""Names that are certainly names: what does not look so may be the secret itself."""


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
    """Return the environment, over the variables of a file of NAME=VALUE lines (``.env``).

    Blank lines and comments are skipped, as is ``export`` before a name. A value may stand in
    quotes; in double ones a backslash escapes. Nothing is expanded.

    Args:
        path: The file; None: the environment alone.

    Raises:
        ScenarioError: It cannot be read, or a line is not of that form; nothing in it is repeated.
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
                Problem(message="is no variable", file=file, line=number, remedy=remedy)
            )
            continue
        value = match["single"] or match["bare"] or ""
        if match["double"]:
            value = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), match["double"])
        values[match["name"]] = value
    if problems:
        raise ScenarioError(problems)
    return {**values, **os.environ}


def read_inputs(top: Table, environment: Mapping[str, str]) -> dict[str, Input]:
    """Read ``[inputs]``.

    A table with the key ``env`` is the value of that environment variable, or its ``default``; the
    variable's value is a secret unless ``secret = false`` says otherwise. A table with the key
    ``basic`` is ``base64(username:password)``, the credentials of HTTP Basic authentication
    (RFC 7617 section 2). Any other value is taken as it stands.
    """
    table = top.table("inputs", None)
    if table is None:
        return {}
    return {name: _input(node, environment, top.report) for name, node in table.entries.items()}


def read_once(top: Table, name: str, environment: Mapping[str, str]) -> Once | None:
    """Read ``[setup]`` or ``[teardown]``; None where there is none, or it was reported."""
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
    told = given(timeout_s=table.duration("timeout"), every_s=every_s)
    if "renew" in table:
        told |= given(renew=table.text("renew"))
        if "every" not in table:
            table.report.add(table["renew"], "is never run", 'say how often: every = "50m"')
    return (
        None if workflow is None else Once(workflow=workflow, inputs=inputs, public=public, **told)
    )


def _input(node: Node, environment: Mapping[str, str], report: Report) -> Input:
    entries = node.value if isinstance(node.value, dict) else {}
    if "env" in entries:
        return _variable(node, environment, report)
    if "basic" in entries:
        return _basic(node, environment, report)
    check_drawn(node, report)
    return Input(value=json(node, report))


def _variable(node: Node, environment: Mapping[str, str], report: Report) -> Input:
    table = Table(node, report, known=grammar.FROM_ENVIRONMENT)
    default: Any = json(table["default"], report) if "default" in table else None
    name = table.text("env")
    if name is None:
        return Input(value=None)
    if not _VARIABLE.fullmatch(name):  # not shown: it may be the secret itself
        expected = "expected the name of an environment variable: letters, digits and _"
        report.add(table["env"], "not a name", expected)
        return Input(value=None)
    value = environment.get(name, "")
    secret = table.flag("secret") is not False
    if value and secret:
        keep({value})
        if too_short({value}):
            message = f"a secret of fewer than {SHORTEST} characters cannot be kept out of texts"
            remedy = "use a longer one, or say that it is none: secret = false"
            report.add(node, message, remedy)
        return Input(value=value, secret=True, env=name, hidden=frozenset({value}))
    if value:
        return Input(value=value, env=name)
    hidden: frozenset[str] = frozenset()
    shown = name
    if name not in environment and not _CONVENTIONAL.fullmatch(name):
        # somebody may have written the secret where its variable's name belongs
        hidden, shown = frozenset({name}), "named here"
        keep(hidden)
    if "default" not in table:
        state = "is empty" if name in environment else "is not set"
        remedy = f"export {'NAME' if hidden else name}=…"
        report.add(table["env"], f"the environment variable {shown} {state}", remedy)
    return Input(value=default, env=name, hidden=hidden)


def _basic(node: Node, environment: Mapping[str, str], report: Report) -> Input:
    outer = Table(node, report, known={"basic": {}})
    table = Table(outer["basic"], report, known=grammar.BASIC)
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
