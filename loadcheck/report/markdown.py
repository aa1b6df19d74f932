"""The summary of a run in Markdown: for a pull request, or the page of a CI job.

A comparison in Markdown: for a pull request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from loadcheck.escaping import printable_document
from loadcheck.report import comparison, words
from loadcheck.report.view import RunView, run_view

MARKS: Mapping[str, str] = {"pass": "✅", "fail": "❌", "unknown": "❔"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!@&$])")

Document = Mapping[str, Any]


def text(document: Document) -> str:
    """Return the summary of a results document as GitHub and GitLab render it."""
    view = run_view(document)
    document, run = view.document, view.document["run"]
    lines = [
        f"## {MARKS.get(view.badge, MARKS['unknown'])} {view.badge.upper()}: {plain(view.name)}"
    ]
    lines += ["", f"**{plain(view.cause)}**", ""]
    if words.ending(run):
        lines += [f"The run: {words.ending(run)}.", ""]
    lines += table(["", ""], _figures(view))
    checks = [[MARKS[each.verdict], each.text, each.name] for each in view.findings]
    checks += [
        [MARKS[each.verdict], f"{each.name}: {each.text}", "threshold"] for each in view.thresholds
    ]
    lines += table(["", "", "check"], checks)
    titles = ("p50", "p90", "p99", "p99.9", "max")
    times = [
        [f"{each.step} {each.kind}", *(each.figures[title] for title in titles), each.samples]
        for each in view.times
    ]
    lines += table(["", *titles, "samples"], times, numbers=True)
    lines += [f"> ⚠️ {plain(warning)}\n>" for warning in document["warnings"]]
    version = plain(str(document["environment"].get("loadcheck", "")))
    when = plain(words.instant(run["started_at"]))
    lines += ["", f"<sub>{when} · run {plain(run['id'])} · loadcheck {version}</sub>"]
    return "\n".join(lines) + "\n"


def _figures(view: RunView) -> list[list[str]]:
    copies, rates, counted = view.document["copies"], view.rates, view.counted
    acknowledged = f"{words.count(copies['acknowledged'])} of {words.count(copies['started'])}"
    rows = [["acknowledged", acknowledged]]
    rows += [
        [name, words.count(copies[name])]
        for name in ("rejected", "indeterminate", "skipped")
        if copies[name]
    ]
    if rates is not None:
        target = f", target {rates.target}" if rates.target else ""
        rows.append(["achieved rate", rates.achieved + target])
    if counted is not None:
        rows.append(["counted", f"{counted.users}, expected {counted.expected}"])
        rows += [[name, words.count(number)] for name, number in counted.amounts.items()]
    return rows


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
