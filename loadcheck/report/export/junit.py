"""The checks of a run as JUnit XML, which every CI service shows: a test case for each of them.

A capacity search in the formats of other tools, as far as it has what they are about.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from loadcheck.escaping import cell, printable_document
from loadcheck.report import capacity, headline, words
from loadcheck.report.markdown import MARKS, plain, table

# what XML 1.0 does not allow, not even escaped (section 2.2)
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Document = Mapping[str, Any]


def text(document: Document) -> str:
    """Return the checks of a results document.

    What failed is a failure; what is unknown is an error, since no evidence is not a pass either.
    """
    document = printable_document(document)
    scenario, run = str(document["scenario"].get("name", "")), document["run"]
    target = target_of(document)
    suite = ET.Element("testsuite", name=clean(f"loadcheck {scenario} {target}"))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(document).items():
        ET.SubElement(properties, "property", name=name, value=clean(str(value)))
    cases = [
        *((f["check"], f["verdict"], f["summary"]) for f in headline.findings(document)),
        *(
            (t["expression"], t["verdict"], headline.measured(t))
            for t in document.get("thresholds", ())
        ),
    ]
    unjudged = not cases and headline.is_checked(document)
    if run["phase"] != "complete" or run["interrupted"] or unjudged:
        cases.insert(0, ("run", "unknown", run["error"] or _ending(run)))
    seen: Counter[str] = Counter()
    for name, verdict, summary in cases:
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name} ({seen[name]})"
        _case(suite, class_name(scenario, target), unique, verdict, summary)
    skipped = 0 if headline.is_checked(document) else 1
    if skipped:
        case = _case(suite, class_name(scenario, target), "consistency", "pass", "")
        ET.SubElement(case, "skipped", message="not checked: verify.enabled = false")
    duration_s = document["load"]["duration_s"] if "load" in document else 0.0
    totals = {
        "tests": str(len(cases) + skipped),
        "failures": str(sum(verdict == "fail" for _, verdict, _ in cases)),
        "errors": str(sum(verdict == "unknown" for _, verdict, _ in cases)),
        "skipped": str(skipped),
        "time": f"{duration_s:.3f}",
    }
    suite.attrib |= {**totals, "timestamp": run["started_at"][:19], "hostname": "localhost"}
    suites = ET.Element("testsuites", {"name": "loadcheck", **totals})
    suites.append(suite)
    ET.SubElement(suite, "system-out").text = clean(headline.line(document))
    ET.SubElement(suite, "system-err").text = clean("\n".join(document["warnings"]))
    ET.indent(suites)
    body = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _ending(run: Mapping[str, Any]) -> str:
    ending = words.ending(run)
    return f"The run: {ending}." if ending else "Nothing was checked."


def target_of(document: Document) -> str:
    """Return what a run was sent to: the embedded emulator, or hosts by name."""
    target = document["scenario"].get("target") or {}
    servers = target.get("servers") or {}
    hosts = {urlsplit(str(url)).netloc.rpartition("@")[2] for url in servers.values()}
    return "+".join(sorted(hosts - {""})) or str(target.get("kind", ""))


def class_name(scenario: str, target: str) -> str:
    """Return the class that a CI service groups cases by; one of each scenario and target."""
    parts = ("loadcheck", scenario, target.replace(".", "_"))
    return clean(".".join(part for part in parts if part))


def _case(suite: ET.Element, classname: str, name: str, verdict: str, summary: str) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=classname, name=clean(name), time="0")
    if verdict == "pass":
        return case
    kind, what = ("failure", "fail") if verdict == "fail" else ("error", "unknown")
    told = ET.SubElement(case, kind, message=clean(summary), type=what)
    told.text = clean(f"{name}: {summary}")
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
    }


def clean(value: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", value)


_COLUMNS = ("rate", "p50_ms", "p99_ms", "error_rate", "visible_p95_s", "carried_rate")


def rows(document: Document) -> str:
    """Return the curve as comma-separated values: a row a rate, with a header."""
    document = printable_document(document)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in zip(*(document["curve"][name] for name in _COLUMNS), strict=True):
        writer.writerow(["" if value is None else cell(value) for value in row])
    return buffer.getvalue()


def junit(document: Document) -> str:
    """Return the search as one test case, which fails if not even the lowest rate held."""
    document = printable_document(document)
    name, verdict = str(document["scenario"].get("name", "")), document["verdict"]
    sentence = clean(capacity.cause(document))
    totals = {
        "tests": "1",
        "failures": str(int(verdict == "fail")),
        "errors": str(int(verdict == "unknown")),
        "skipped": "0",
        "time": f"{document['search']['took_s']:.3f}",
    }
    suites = ET.Element("testsuites", {"name": "loadcheck", **totals})
    started_at = document["run"]["started_at"][:19]
    suite = ET.SubElement(
        suites,
        "testsuite",
        {"name": clean(f"loadcheck {name} {target_of(document)}"), **totals}
        | {"timestamp": started_at, "hostname": "localhost"},
    )
    classname = class_name(name, target_of(document))
    case = ET.SubElement(suite, "testcase", classname=classname, name="capacity", time="0")
    if verdict != "pass":
        kind = "failure" if verdict == "fail" else "error"
        ET.SubElement(case, kind, message=sentence, type=verdict).text = sentence
    ET.SubElement(suite, "system-out").text = sentence
    ET.SubElement(suite, "system-err").text = clean("\n".join(document["warnings"]))
    ET.indent(suites)
    body = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def markdown(document: Document) -> str:
    """Return the answer and the probes for a pull request."""
    document = printable_document(document)
    name, verdict = plain(str(document["scenario"].get("name", ""))), document["verdict"]
    probes = [
        [
            words.rate(probe["rate"]),
            probe["verdict"],
            words.duration(probe["latency"]["p50_ms"]),
            words.duration(probe["latency"]["p99_ms"]),
            words.share(probe["error_rate"]),
            capacity.reason_of(probe),
        ]
        for probe in sorted(document["probes"], key=lambda one: (one["rate"], one["number"]))
    ]
    when = plain(words.instant(document["run"]["started_at"]))
    lines = [
        f"## {MARKS[verdict]} CAPACITY: {name}",
        "",
        f"**{plain(capacity.cause(document))}**",
        "",
        f"Must hold: {plain(', '.join(document['checks']))}, consistency.",
        "",
        *table(["rate", "", "p50", "p99", "errors", "why"], probes),
        *(f"> ⚠️ {plain(warning)}\n>" for warning in document["warnings"]),
        f"<sub>{when} · search {plain(document['run']['id'])}</sub>",
    ]
    return "\n".join(lines) + "\n"
