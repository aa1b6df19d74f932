"""A capacity search in the formats of other tools, as far as it has what they are about."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from loadcheck.report import capacity, words
from loadcheck.report.export.junit import clean
from loadcheck.report.export.markdown import MARKS, plain, table

_COLUMNS = ("rate", "p50_ms", "p99_ms", "error_rate", "visible_p95_s", "carried_rate")

Document = Mapping[str, Any]


def rows(document: Document) -> str:
    """Return the curve as comma-separated values: a row a rate, with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in zip(*(document["curve"][name] for name in _COLUMNS), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    return buffer.getvalue()


def junit(document: Document) -> str:
    """Return the search as one test case, which fails if not even the lowest rate held."""
    name, verdict = str(document["scenario"].get("name", "")), document["verdict"]
    sentence = clean(capacity.sentence(document))
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
        {"name": clean(f"loadcheck {name}"), **totals}
        | {"timestamp": started_at, "hostname": "localhost"},
    )
    case = ET.SubElement(
        suite, "testcase", classname=clean(f"loadcheck.{name}"), name="capacity", time="0"
    )
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
        f"**{plain(capacity.sentence(document))}**",
        "",
        f"Must hold: {plain(', '.join(document['checks']))}, consistency.",
        "",
        *table(["rate", "", "p50", "p99", "errors", "why"], probes),
        *(f"> ⚠️ {plain(warning)}\n>" for warning in document["warnings"]),
        f"<sub>{when} · search {plain(document['run']['id'])}</sub>",
    ]
    return "\n".join(lines) + "\n"
