"""A run or a capacity search as JUnit XML, which every CI service shows: a case for each check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from loadcheck.escaping import printable_document
from loadcheck.report import capacity, headline, words
from loadcheck.report.view import run_view

# what XML 1.0 does not allow, not even escaped (section 2.2)
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Document = Mapping[str, Any]


def run_junit(document: Document) -> str:
    """Return the checks of a results document.

    What failed is a failure; what is unknown is an error, since no evidence is not a pass either.
    """
    view = run_view(document)
    document, run = view.document, view.document["run"]
    cases = [(each.name, each.verdict, each.text) for each in (*view.findings, *view.thresholds)]
    checked = headline.is_checked(document)
    if run["phase"] != "complete" or run["interrupted"] or (checked and not cases):
        cases.insert(0, ("run", "unknown", run["error"] or _ending(run)))
    return _suites(
        document,
        cases,
        headline.line(document),
        skipped={} if checked else {"consistency": "not checked: verify.enabled = false"},
        properties=_properties(document),
    )


def capacity_junit(document: Document) -> str:
    """Return a capacity search as one test case, which fails if not even the lowest rate held."""
    document = printable_document(document)
    sentence = capacity.cause(document)
    return _suites(
        document,
        [("capacity", document["verdict"], sentence)],
        sentence,
        properties=_labels(document),
    )


def _suites(
    document: Document,
    cases: Sequence[tuple[str, str, str]],
    said: str,
    *,
    skipped: Mapping[str, str] = MappingProxyType({}),
    properties: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return a document of one suite.

    Args:
        document: What it is about: a run, or a capacity search.
        cases: Name, verdict and summary of each.
        said: What it comes to.
        skipped: Names of cases that were not run, with the reason.
        properties: Of the suite.
    """
    name, target = str(document["scenario"].get("name", "")), _target_of(document)
    took_s = document["search"]["took_s"] if "search" in document else None
    if took_s is None:
        took_s = document["load"]["duration_s"] if "load" in document else 0.0
    totals = {
        "tests": str(len(cases) + len(skipped)),
        "failures": str(sum(verdict == "fail" for _, verdict, _ in cases)),
        "errors": str(sum(verdict == "unknown" for _, verdict, _ in cases)),
        "skipped": str(len(skipped)),
        "time": f"{took_s:.3f}",
    }
    suites = ET.Element("testsuites", {"name": "loadcheck", **totals})
    suite = ET.SubElement(
        suites,
        "testsuite",
        {"name": _clean(f"loadcheck {name} {target}"), **totals},
        timestamp=document["run"]["started_at"][:19],
        hostname="localhost",
    )
    if properties:
        listed = ET.SubElement(suite, "properties")
        for key, value in properties.items():
            ET.SubElement(listed, "property", name=key, value=_clean(str(value)))
    classname = _class_name(name, target)
    seen: Counter[str] = Counter()
    for check, verdict, summary in cases:
        seen[check] += 1
        unique = check if seen[check] == 1 else f"{check} ({seen[check]})"
        _case(suite, classname, unique, verdict, summary)
    for check, why in skipped.items():
        ET.SubElement(_case(suite, classname, check, "pass", ""), "skipped", message=why)
    ET.SubElement(suite, "system-out").text = _clean(said)
    ET.SubElement(suite, "system-err").text = _clean("\n".join(document["warnings"]))
    ET.indent(suites)
    body = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _ending(run: Mapping[str, Any]) -> str:
    ending = words.ending(run)
    return f"The run: {ending}." if ending else "Nothing was checked."


def _target_of(document: Document) -> str:
    """Return what a run was sent to: the embedded emulator, or hosts by name."""
    target = document["scenario"].get("target") or {}
    servers = target.get("servers") or {}
    hosts = {urlsplit(str(url)).netloc.rpartition("@")[2] for url in servers.values()}
    return "+".join(sorted(hosts - {""})) or str(target.get("kind", ""))


def _class_name(scenario: str, target: str) -> str:
    """Return the class that a CI service groups cases by; one of each scenario and target."""
    parts = ("loadcheck", scenario, target.replace(".", "_"))
    return _clean(".".join(part for part in parts if part))


def _case(suite: ET.Element, classname: str, name: str, verdict: str, summary: str) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=classname, name=_clean(name), time="0")
    if verdict == "pass":
        return case
    kind, what = ("failure", "fail") if verdict == "fail" else ("error", "unknown")
    problem = ET.SubElement(case, kind, message=_clean(summary), type=what)
    problem.text = _clean(f"{name}: {summary}")
    return case


def _properties(document: Document) -> dict[str, Any]:
    copies, seen = document["copies"], document.get("consistency") or {}
    return {
        "run": document["run"]["id"],
        "seed": document["run"]["seed"],
        "verdict": document["verdict"],
        "started": copies["started"],
        "acknowledged": copies["acknowledged"],
        **{
            name: seen[name]
            for name in ("uniques", "lost_at_least", "duplicated", "unexpected")
            if seen.get(name) is not None
        },
        "loadcheck": document["environment"].get("loadcheck", ""),
        **_labels(document),
    }


def _labels(document: Document) -> dict[str, str]:
    return {f"label.{name}": value for name, value in document.get("labels", {}).items()}


def _clean(value: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", value)
