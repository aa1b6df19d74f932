"""Who is missing or was counted twice, and when they were sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadcheck.report import words
from loadcheck.report.html.model import Block, Cell, Code, Section, Table, Text

_MAX_NAMES = 200

Document = Mapping[str, Any]


def affected_section(document: Document) -> Section | None:
    """Return the section of the affected users; None if nobody is."""
    localized = (document.get("consistency") or {}).get("localized")
    if not localized:
        return None
    blocks: list[Block] = []
    if localized["windows"]:
        blocks.append(
            Table(
                columns=["sent from", "to", "copies", "acknowledged", "lost"],
                rows=[
                    [
                        _instant(window["from"], window["from_s"]),
                        _instant(window["to"], window["to_s"]),
                        f"{window['first_copy']:,} to {window['last_copy']:,}",
                        words.count(window["sent"]),
                        Cell(text=words.count(window["lost"]), role="fail", strong=True),
                    ]
                    for window in localized["windows"]
                ],
                note="Stretches of send order from which users are missing.",
            )
        )
    blocks += [
        _names(kind, localized[kind])
        for kind in ("lost", "duplicated", "unexpected")
        if localized[kind]
    ]
    ambiguous = localized["ambiguous"]
    if ambiguous["lost"]:
        blocks.append(
            Text(
                text=f"{words.count(ambiguous['lost'])} more are missing among "
                f"{words.count(ambiguous['lost_suspects'])} users; who they are cannot be told."
            )
        )
    if localized["trouble"]:
        blocks.append(Text(text=localized["trouble"]))
    if not blocks:
        return None
    lead = (
        f"Found by {words.count(localized['queries'])} group-by queries that cost "
        f"{words.count(localized['cost'])}. Nobody is named who could be innocent."
    )
    return Section(name="names", title="Who is affected", blocks=blocks, lead=lead)


def _names(kind: str, copies: list[Mapping[str, Any]]) -> Block:
    titles = {"lost": "lost", "duplicated": "counted twice", "unexpected": "unexpected"}
    rest = len(copies) - _MAX_NAMES
    lines = [
        f"{copy['user_id']}  sent {_instant(copy['sent_at'], copy['second'])}"
        + (f"  {copy['events']} events too many" if "events" in copy else "")
        for copy in copies[:_MAX_NAMES]
    ]
    if rest > 0:
        lines.append(f"and {rest:,} more: see consistency.localized.{kind} in the results file")
    return Code(title=f"{words.count(len(copies))} users {titles[kind]}", text="\n".join(lines))


def _instant(utc: str | None, second: float) -> str:
    return words.clock(second) if utc is None else f"{utc[11:19]} UTC"
