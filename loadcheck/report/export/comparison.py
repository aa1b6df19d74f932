"""A comparison in Markdown: for a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from loadcheck.report import comparison, words
from loadcheck.report.export.markdown import plain

_MARKS = {"better": "✅", "same": "✅", "worse": "❌", "unsure": "❔"}
_WORDS = {"better": "✅ better", "same": "same", "worse": "❌ **worse**", "unsure": "❔ unsure"}

Document = Mapping[str, Any]


def markdown(document: Document) -> str:
    """Return a comparison as GitHub and GitLab render it."""
    verdict = document["verdict"]
    name = plain(document["scenario"]["name"])
    lines = [
        f"## {_MARKS[verdict]} {verdict.upper()}: {name}",
        "",
        f"**{plain(comparison.because(document))}**",
        "",
    ]
    lines += [f"> ⚠️ {plain(line)}\n>" for line in document["forced"]]
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
