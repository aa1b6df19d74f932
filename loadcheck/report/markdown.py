"""Results of every kind in Markdown: for a pull request, or a CI job's page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from loadcheck.errors import printable_document
from loadcheck.report import capacity, comparison, trend, words
from loadcheck.report.view import RunView, run_view
from loadcheck.report.words import CHANGE_MARKS
from loadcheck.result import Document

_MARKS: Mapping[str, str] = {"pass": "✅", "fail": "❌", "unknown": "❔"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!@&$])")


def run_markdown(document: Document) -> str:
    """Return the summary of a results document as GitHub and GitLab render it."""
    view = run_view(document)
    document, run = view.document, view.document["run"]
    lines = [
        f"## {_MARKS.get(view.badge, _MARKS['unknown'])} {view.badge.upper()}: {_plain(view.name)}"
    ]
    lines += ["", f"**{_plain(view.cause)}**", ""]
    if words.ending(run):
        lines += [f"The run: {words.ending(run)}.", ""]
    lines += _table(["", ""], _figures(view))
    checks = [[_MARKS[each.verdict], each.text, each.name] for each in view.findings]
    checks += [
        [_MARKS[each.verdict], f"{each.name}: {each.text}", "threshold"] for each in view.thresholds
    ]
    lines += _table(["", "", "check"], checks)
    titles = ("p50", "p90", "p99", "p99.9", "max")
    times = [
        [f"{each.step} {each.kind}", *(each.figures[title] for title in titles), each.samples]
        for each in view.times
    ]
    lines += _table(["", *titles, "samples"], times, numbers=True)
    lines += [f"> ⚠️ {_plain(warning)}\n>" for warning in document["warnings"]]
    version = _plain(str(document["environment"].get("loadcheck", "")))
    when = _plain(words.instant(run["started_at"]))
    lines += [
        "",
        f"<sub>{when} · run {_plain(run['id'])}{_labels(document)} · loadcheck {version}</sub>",
    ]
    return "\n".join(lines) + "\n"


def _labels(document: Document) -> str:
    """Return the labels of a run to follow its id; "" if it has none."""
    shown = words.labels(document.get("labels", {}))
    return f" · {_plain(shown)}" if shown else ""


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
        rows.append(["achieved rate", rates.achieved + rates.by + target])
    if counted is not None:
        rows.append(["counted", f"{counted.users}, expected {counted.expected}"])
        rows += [[name, words.count(number)] for name, number in counted.amounts.items()]
    return rows


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
) -> list[str]:
    """Return the lines of a table and an empty one; none without rows."""
    if not rows:
        return []
    rest = "--:" if numbers else "---"
    return [
        f"| {' | '.join(columns)} |",
        f"| --- | {' | '.join(rest for _ in columns[1:])} |",
        *(f"| {' | '.join(map(_plain, row))} |" for row in rows),
        "",
    ]


def _plain(value: str) -> str:
    """Return a text escaped for Markdown: without link, mention, image, HTML or new line."""
    return _SPECIAL.sub(r"\\\1", " ".join(value.split()))


_CHANGE_MARKS = {"better": "✅", "same": "✅", "worse": "❌", "unsure": "❔"}
_WORDS = {
    "better": "✅ better",
    "same": "same",
    "worse": "❌ **worse**",
    "unsure": "❔ unsure",
}


def comparison_markdown(document: Document) -> str:
    """Return a comparison as GitHub and GitLab render it."""
    document = printable_document(document)
    verdict = document["verdict"]
    name = _plain(str(document["scenario"].get("name", "")))
    lines = [
        f"## {_CHANGE_MARKS[verdict]} {comparison.badge(document).upper()}: {name}",
        "",
        f"**{_plain(comparison.cause(document))}**",
        "",
    ]
    lines += [f"> ⚠️ {_plain(line)}\n>" for line in document["forced"]]
    if document["figures"]:
        lines += _comparison_table(document)
    remarks = [*comparison.also_different(document), *document["notes"]]
    lines += [f"> ⚠️ {_plain(remark)}\n>" for remark in remarks]
    lines.append("")
    for side in ("base", "candidate"):
        lines += [
            f"<sub>{side}: `{run['file']}` · {_plain(words.instant(run['started_at']))} · run "
            f"{_plain(run['id'])}{_labels(run)}</sub><br>"
            for run in document[side]
        ]
    lines.append(f"<sub>loadcheck {_plain(document['loadcheck'])}</sub>")
    return "\n".join(lines) + "\n"


def _comparison_table(document: Document) -> list[str]:
    interval = f"{comparison.percent(document['confidence'])} interval"
    lines = [
        f"| | base | candidate | difference | {interval} | |",
        "|:--|--:|--:|--:|--:|:--|",
    ]
    figures = comparison.shown(document)
    for group, members in groupby(figures, key=lambda figure: figure["group"]):
        lines.append(f"| **{_plain(group)}** | | | | | |")
        for figure in members:
            cells = [_plain(figure["name"]), *(_plain(cell) for cell in comparison.row(figure))]
            lines.append(f"| {' | '.join(cells)} | {_WORDS[figure['word']]} |")
    return [*lines, ""]


def capacity_markdown(document: Document) -> str:
    """Return the answer of a capacity search and its probes, for a pull request."""
    document = printable_document(document)
    name, verdict = _plain(str(document["scenario"].get("name", ""))), document["verdict"]
    probes = [
        [
            words.rate(row.rate),
            row.verdict,
            row.figures["p50"],
            row.figures["p99"],
            row.errors,
            row.reason,
        ]
        for row in capacity.probe_rows(document)
    ]
    when = _plain(words.instant(document["run"]["started_at"]))
    lines = [
        f"## {_MARKS[verdict]} CAPACITY: {name}",
        "",
        f"**{_plain(capacity.cause(document))}**",
        "",
        f"Must hold: {_plain(', '.join(document['checks']))}, consistency.",
        "",
        *_table(["rate", "", "p50", "p99", "errors", "why"], probes),
        *(f"> ⚠️ {_plain(warning)}\n>" for warning in document["warnings"]),
        f"<sub>{when} · search {_plain(document['run']['id'])}</sub>",
    ]
    return "\n".join(lines) + "\n"


def trend_markdown(document: Document) -> str:
    """Return a trend in Markdown."""
    document = printable_document(document)
    lines: list[str] = []
    for history in document["histories"]:
        word = history["verdict"]
        lines += [f"## {CHANGE_MARKS[word]} {_plain(history['name'])}: {word}", ""]
        lines += [f"{_plain(trend.reason(history))}.", ""]
        lines += [f"{_plain(line)}  " for line in trend.about(history, document)]
        lines.append("")
        for event in history["changes"]:
            run = _plain(trend.run_name(history, event["run"]))
            lines.append(f"- {CHANGE_MARKS[event['word']]} **{run}**")
            lines += [f"  - {_plain(line)}" for line in trend.event_lines(history, event)]
        lines += ["", "| | figure | trend | level | 95 % | change |", "|---|---|---|--:|--:|---|"]
        for figure in trend.shown(history):
            cells = [
                CHANGE_MARKS[figure["word"]],
                _plain(trend.name(figure)),
                trend.sparkline(history, figure, 30),
            ]
            cells += [trend.level(figure), trend.interval(figure), _plain(trend.change(figure))]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += [f"> ⚠️ {_plain(line)}\n>" for line in trend.skipped_lines(document)]
    lines.append(f"<sub>loadcheck {_plain(document['loadcheck'])}</sub>")
    return "\n".join(lines) + "\n"
