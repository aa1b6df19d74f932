"""The page of several results of one pipeline: what came of each, and each one's report below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadcheck.report import headline
from loadcheck.report.page import Cell, Page, Section, Table

_WORST_FIRST = ("fail", "unknown", "pass")


def several_page(pages: Sequence[Page], documents: Sequence[Mapping[str, Any]] = ()) -> Page:
    """Return one page of several, the verdict of which is the worst of theirs.

    Args:
        pages: In the order in which they are shown; at least two.
        documents: What they are made of: the flows of one mix are also told together.
    """
    titles = Counter(page.title for page in pages)
    parts = [
        replace(page, title=_told(page) if titles[page.title] > 1 else page.title).within(
            f"part-{number}"
        )
        for number, page in enumerate(pages, 1)
    ]
    worst = next((name for name in _WORST_FIRST if any(p.verdict == name for p in parts)), "pass")
    title, because = ", ".join(dict.fromkeys(page.title for page in pages)), _because(parts, worst)
    if _is_mix(documents):
        mix = documents[0]["mix"]
        title, worst = mix["name"], mix["together"]["verdict"]
        because += f" Together: {', '.join(headline.of_all(documents))}."
    return Page(
        verdict=worst,
        badge=worst,
        title=title,
        because=because,
        origin=[f"{len(parts)} results"],
        sections=[Section(name="overview", title="Overview", blocks=[_overview(parts)])],
        parts=parts,
    )


def _is_mix(documents: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether they are all flows of one run of a mix."""
    mixes = [each.get("mix") or {} for each in documents]
    if not mixes or any("together" not in mix for mix in mixes):
        return False
    together = {"name": mixes[0]["name"], "together": mixes[0]["together"]}
    return sorted(mix["flow"] for mix in mixes) == sorted(mixes[0]["flows"]) and all(
        {name: mix[name] for name in together} == together for mix in mixes
    )


def _told(page: Page) -> str:
    """Return what a page is called that has the title of another."""
    return f"{page.title}, {page.origin[0]}" if page.origin else page.title


def _because(parts: Sequence[Page], worst: str) -> str:
    passed = sum(part.verdict == "pass" for part in parts)
    if passed == len(parts):
        return f"All {passed} pass."
    said = " ".join(f"{part.title}: {part.because}" for part in parts if part.verdict == worst)
    return f"{passed} of {len(parts)} pass. {said}"


def _overview(parts: Sequence[Page]) -> Table:
    """Return a row for each, with the key figures that any of them has."""
    labels = list(dict.fromkeys(tile.label for part in parts for tile in part.tiles))
    rows: list[list[str | Cell]] = []
    for part in parts:
        figures = {tile.label: Cell(text=tile.value, role=tile.role) for tile in part.tiles}
        rows.append(
            [
                Cell(text=part.title, link=part.name),
                Cell(text=part.badge, role=part.verdict, strong=True),
                *(figures.get(label, Cell(text="–")) for label in labels),
                part.because,
            ]
        )
    return Table(columns=["result", "verdict", *labels, "because"], rows=rows, prose=True)
