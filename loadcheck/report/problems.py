"""Problems of documents as other tools read them: JSON, SARIF, and annotations of GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from loadcheck import __version__
from loadcheck.errors import Problem
from loadcheck.escaping import printable
from loadcheck.secrets import cover

_SARIF: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_OWN_RULE: Final = "loadcheck"
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = {**_DATA, ":": "%3A", ",": "%2C"}


def as_text(problems: Sequence[Problem]) -> str:
    """Return a line for each problem."""
    return "".join(
        printable(cover(f"{problem.severity}: {problem}")) + "\n" for problem in problems
    )


def as_json(problems: Sequence[Problem]) -> str:
    """Return the problems as JSON, with the number of errors."""
    document = {"errors": _errors(problems), "problems": [asdict(problem) for problem in problems]}
    return cover(json.dumps(document, ensure_ascii=False, indent=2)) + "\n"


def as_sarif(problems: Sequence[Problem]) -> str:
    """Return the problems as SARIF 2.1.0, which code scanning and editors read.

    A rule is a section of the specification.
    """
    rules = list(dict.fromkeys(_rule(problem) for problem in problems))
    driver = {
        "name": "loadcheck",
        "version": __version__,
        "informationUri": "https://spec.openapis.org/arazzo/latest.html",
        "rules": [{"id": rule, "shortDescription": {"text": rule}} for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, rules) for problem in problems],
    }
    document = {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}
    return cover(json.dumps(document, ensure_ascii=False, indent=2)) + "\n"


def as_github(problems: Sequence[Problem]) -> str:
    """Return the problems as workflow commands of GitHub Actions, which annotate the lines."""
    return "".join(cover(_command(problem)) + "\n" for problem in problems)


FORMATS: Final[dict[str, Callable[[Sequence[Problem]], str]]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}


def _errors(problems: Sequence[Problem]) -> int:
    return sum(problem.severity == "error" for problem in problems)


def _rule(problem: Problem) -> str:
    return problem.section or _OWN_RULE


def _said(problem: Problem) -> str:
    key = f"{problem.key}: " if problem.key else ""
    remedy = f"; {problem.remedy}" if problem.remedy else ""
    return printable(f"{key}{problem.message}{remedy}")


def _result(problem: Problem, rules: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": _rule(problem),
        "ruleIndex": rules.index(_rule(problem)),
        "level": problem.severity,
        "message": {"text": _said(problem)},
    }
    if problem.file:
        place: dict[str, Any] = {
            "artifactLocation": {"uri": quote(PurePath(problem.file).as_posix())}
        }
        if problem.line:
            place["region"] = {"startLine": problem.line}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _command(problem: Problem) -> str:
    fields = {"file": problem.file, "line": str(problem.line or ""), "title": _rule(problem)}
    given = ",".join(
        f"{name}={_escaped(printable(value), _PROPERTY)}" for name, value in fields.items() if value
    )
    return f"::{problem.severity} {given}::{_escaped(_said(problem), _DATA)}"


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(character, character) for character in text)
