"""The summary of a run in Markdown: for a pull request, or the page of a CI job.

A comparison in Markdown: for a pull request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from loadcheck.escaping import printable_document
from loadcheck.report import comparison, headline, words

MARKS: Mapping[str, str] = {"pass": "✅", "fail": "❌", "unknown": "❔"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!@&$])")

Document = Mapping[str, Any]


def text(document: Document) -> str:
    """Return the summary of a results document as GitHub and GitLab render it."""
    document = printable_document(document)
    run, badge = document["run"], headline.badge(document)
    name = plain(str(document["scenario"].get("name", "")))
    lines = [f"## {MARKS.get(badge, MARKS['unknown'])} {badge.upper()}: {name}", ""]
    lines += [f"**{plain(headline.cause(document))}**", ""]
    if words.ending(run):
        lines += [f"The run: {words.ending(run)}.", ""]
    lines += _figures(document)
    lines += _checks(document)
    lines += _latencies(document)
    lines += [f"> ⚠️ {plain(warning)}\n>" for warning in document["warnings"]]
    version = plain(str(document["environment"].get("loadcheck", "")))
    when = plain(words.instant(run["started_at"]))
    lines += ["", f"<sub>{when} · run {plain(run['id'])} · loadcheck {version}</sub>"]
    return "\n".join(lines) + "\n"


def _figures(document: Document) -> list[str]:
    copies, load = document["copies"], document.get("load")
    rows = [
        [
            "acknowledged",
            f"{words.count(copies['acknowledged'])} of {words.count(copies['started'])}",
        ]
    ]
    rows += [
        [name, words.count(copies[name])]
        for name in ("rejected", "indeterminate", "skipped")
        if copies[name]
    ]
    if load:
        target = load["asked_rate"]
        of = "" if target is None else f", target {words.rate(target)}"
        rows.append(["achieved rate", words.rate(load["reached_rate"]) + of])
    seen = document.get("consistency") if headline.is_checked(document) else None
    if seen:
        low, high = words.count(seen["lower"]), words.count(seen["upper"])
        expected = low if low == high else f"{low} to {high}"
        rows.append(["counted", f"{words.count(seen['uniques'])}, expected {expected}"])
        rows += [
            [title, words.count(seen[key])]
            for title, key in (
                ("lost", "lost_at_least"),
                ("duplicated", "duplicated"),
                ("unexpected", "unexpected"),
            )
            if seen.get(key) is not None
        ]
    return table(["", ""], rows)


def _checks(document: Document) -> list[str]:
    rows = [
        [MARKS[finding["verdict"]], finding["summary"], finding["check"]]
        for finding in headline.findings(document)
    ]
    rows += [
        [
            MARKS[threshold["verdict"]],
            f"{threshold['expression']}: {headline.measured(threshold)}",
            "threshold",
        ]
        for threshold in document.get("thresholds", ())
    ]
    return table(["", "", "check"], rows)


def _latencies(document: Document) -> list[str]:
    rows = [
        [
            f"{name} {kind.replace('_', ' ')}",
            *(words.duration(step[kind][f"{p}_ms"]) for p in ("p50", "p90", "p99", "p999", "max")),
            words.count(step[kind]["count"]),
        ]
        for name, step in document.get("steps", {}).items()
        for kind in ("response_time", "service_time", "failed", "throttled")
        if step[kind] is not None and step[kind]["count"]
    ]
    return table(["", "p50", "p90", "p99", "p99.9", "max", "samples"], rows, numbers=True)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
) -> list[str]:
    """Return the lines of a table and an empty one; none without rows."""
    if not rows:
        return []
    rest = "--:" if numbers else "---"
    return [
        f"| {' | '.join(columns)} |",
        f"| --- | {' | '.join(rest for _ in columns[1:])} |",
        *(f"| {' | '.join(map(plain, row))} |" for row in rows),
        "",
    ]


def plain(value: str) -> str:
    """Return a text that Markdown leaves as it is: no link, mention, image, HTML or new line."""
    return _SPECIAL.sub(r"\\\1", " ".join(value.split()))


_MARKS = {"better": "✅", "same": "✅", "worse": "❌", "unsure": "❔"}
_WORDS = {
    "better": "✅ better",
    "same": "same",
    "worse": "❌ **worse**",
    "unsure": "❔ unsure",
}


def markdown(document: Document) -> str:
    """Return a comparison as GitHub and GitLab render it."""
    document = printable_document(document)
    verdict = document["verdict"]
    name = plain(document["scenario"]["name"])
    lines = [
        f"## {_MARKS[verdict]} {comparison.badge(document).upper()}: {name}",
        "",
        f"**{plain(comparison.cause(document))}**",
        "",
    ]
    lines += [f"> ⚠️ {plain(line)}\n>" for line in document["forced"]]
    if document["figures"]:
        lines += _table(document)
    remarks = [*comparison.also_different(document), *document["notes"]]
    lines += [f"> ⚠️ {plain(remark)}\n>" for remark in remarks]
    lines.append("")
    for side in ("base", "candidate"):
        lines += [
            f"<sub>{side}: `{run['file']}` · {plain(words.instant(run['started_at']))} · run "
            f"{plain(run['id'])}</sub><br>"
            for run in document[side]
        ]
    lines.append(f"<sub>loadcheck {plain(document['loadcheck'])}</sub>")
    return "\n".join(lines) + "\n"


def _table(document: Document) -> list[str]:
    interval = f"{comparison.percent(document['confidence'])} interval"
    lines = [
        f"| | base | candidate | difference | {interval} | |",
        "|:--|--:|--:|--:|--:|:--|",
    ]
    figures = comparison.shown(document)
    for group, members in groupby(figures, key=lambda figure: figure["group"]):
        lines.append(f"| **{plain(group)}** | | | | | |")
        for figure in members:
            cells = [plain(figure["name"]), *(plain(cell) for cell in comparison.row(figure))]
            lines.append(f"| {' | '.join(cells)} | {_WORDS[figure['word']]} |")
    return [*lines, ""]
