"""A comparison for a terminal: the verdict, then every figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from loadcheck.errors import printable_document
from loadcheck.report import words
from loadcheck.report.terminal import CapturedConsole, print_headline
from loadcheck.report.words import CHANGE_COLORS, CHANGE_MARKS
from loadcheck.result import Document

_MOST_NAMED = 2
_MOST_RUNS = 5
_MOST_DIFFERENCES = 8
_GAP = "  "


def text(document: Document, *, color: bool, width: int) -> str:
    """Return a comparison as text.

    Args:
        document: A comparison's document.
        color: Whether to use terminal colours.
        width: Columns of the terminal.
    """
    document = printable_document(document)
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    _verdict(document, console)
    for why in document["forced"]:
        console.print(Padding(Text(f"! {why}", style="yellow"), (0, 0, 0, 2)))
    console.print()
    for side in ("base", "candidate"):
        runs = document[side]
        for run in runs if len(runs) <= _MOST_RUNS else runs[: _MOST_RUNS - 1]:
            for line in _run(side, run):
                console.print(line, soft_wrap=True)
        if len(runs) > _MOST_RUNS:
            more = f" {side:<9}  and {len(runs) - _MOST_RUNS + 1} more"
            console.print(Text(more, style="dim"))
    if document["figures"]:
        console.print()
        for line in _table(document, width):
            console.print(line, soft_wrap=True)
    remarks = [*also_different(document), *document["notes"]]
    if remarks:
        console.print()
    for remark in remarks:
        console.print(Padding(Text(f"! {remark}", style="yellow"), (0, 0, 0, 1)))
    console.print()
    _verdict(document, console)
    return paper.text()


def _verdict(document: Document, console: Console) -> None:
    print_headline(
        console,
        badge=badge(document),
        color=CHANGE_COLORS[document["verdict"]],
        name=str(document["scenario"].get("name", "")),
        cause=cause(document),
    )


def cause(document: Document) -> str:
    """Return the reason for the verdict as a sentence without its full stop."""
    reason = _reason(document)
    return f"{reason[:1].upper()}{reason[1:]}"


def badge(document: Document) -> str:
    """Return the verdict, or "no baseline"."""
    return str(document["verdict"]) if document["base"] else "no baseline"


def _reason(document: Document) -> str:
    """Return the reason for the verdict, in a few words."""
    if not document["base"]:
        return "no baseline yet: nothing to compare with"
    target = [figure for figure in document["figures"] if figure["about"] == "target"]
    tolerance = percent(document["tolerance"])
    for word in ("worse", "better"):
        found = [figure for figure in target if figure["word"] == word]
        if found and word == document["verdict"]:
            groups = [
                f"{group} {', '.join(figure['name'] for figure in members)}"
                for group, members in groupby(found, key=lambda figure: figure["group"])
            ]
            more = "; and more" if len(groups) > _MOST_NAMED else ""
            return f"{word} by more than {tolerance}: {'; '.join(groups[:_MOST_NAMED])}{more}"
    unsure = sum(figure["word"] == "unsure" and is_shown(figure) for figure in target)
    if document["verdict"] == "same":
        rest = f"; {unsure} figures are unsure" if unsure > 1 else ""
        rest = rest or ("; one figure is unsure" if unsure else "")
        return f"no significant change beyond {tolerance}{rest}"
    core = [figure for figure in target if figure["core"] and figure["word"] == "unsure"]
    named = ", ".join(f"{figure['group']} {figure['name']}" for figure in core[:_MOST_NAMED])
    return f"chance alone may explain or hide a difference: {named}".rstrip(": ")


def _run(side: str, run: Document) -> Iterator[Text]:
    line = Text()
    line.append(f" {side:<9}  ", style="dim")
    line.append(run["file"], style="bold")
    started, load = words.count(run["copies"]["started"]), run["load"]
    yield line
    about = (
        f"{words.instant(run['started_at'])}  {started} copies, {words.rate(load['reached_rate'])}"
    )
    yield Text(f"{'':<12}{about}", style="dim")
    if run.get("labels"):
        yield Text(f"{'':<12}{words.labels(run['labels'])}", style="dim", overflow="ellipsis")


def _table(document: Document, width: int) -> Iterator[Text]:
    figures = [figure for figure in document["figures"] if is_shown(figure)]
    titles = ("base", "candidate", "difference", f"{percent(document['confidence'])} interval")
    cells = [row(figure) for figure in figures]
    names = [f"  {figure['name']}" for figure in figures]
    first = max(len(name) for name in (*names, " " * 18))
    widths = [max(len(each[i]) for each in (titles, *cells)) for i in range(len(titles))]
    last = max(len(figure["word"]) + 2 for figure in figures)
    gap = _GAP
    if 1 + first + sum(widths) + len(gap) * 5 + last > width:
        gap = " "
    if 1 + first + sum(widths) + len(gap) * 5 + last > width:
        # omitted in a narrow terminal; the words are based on the intervals anyway
        widths.pop()
    head = " ".ljust(first + 1)
    head += "".join(gap + name.rjust(wide) for name, wide in zip(titles, widths, strict=False))
    yield Text(head, style="dim")
    rows = list(zip(figures, names, cells, strict=True))
    for group, members in groupby(rows, key=lambda each: each[0]["group"]):
        yield Text(f" {group}")
        for figure, name, values in members:
            word = figure["word"]
            line = Text()
            line.append(f" {name}".ljust(first + 1), style="dim")
            for index, (value, wide) in enumerate(zip(values, widths, strict=False)):
                loud = index > 1 and word in ("better", "worse")
                line.append(gap + value.rjust(wide), style=CHANGE_COLORS[word] if loud else "")
            style = CHANGE_COLORS[word] + (" bold" if word in ("better", "worse") else "")
            line.append(
                f"{gap}{CHANGE_MARKS[word]} {word}", style="dim" if word == "same" else style
            )
            yield line


def is_shown(figure: Document) -> bool:
    """Return whether a figure is informative: unknown values and expected zeros are not."""
    if figure["base"] is None and figure["candidate"] is None:
        return False
    quiet = not figure["base"] and not figure["candidate"] and figure["word"] == "same"
    return not quiet or figure["key"] in ("lost", "duplicated", "error_rate")


def row(figure: Document) -> tuple[str, str, str, str]:
    """Return base, candidate, difference and interval of a figure as text."""
    low, high = figure["low"], figure["high"]
    if low is None:
        interval = figure["why"]
    elif figure["unit"] == "count" and low == high:
        interval = "exact"
    else:
        interval = _span(figure)
    return (
        words.in_unit(figure["base"], figure["unit"]),
        words.in_unit(figure["candidate"], figure["unit"]),
        _difference(figure),
        interval,
    )


def _is_relative(figure: Document) -> bool:
    relative = figure["relative"]["difference"] is not None
    return relative and figure["unit"] in ("ms", "1/s") and figure["about"] == "target"


def _difference(figure: Document) -> str:
    if figure["difference"] is None:
        return "–"
    if _is_relative(figure):
        return f"{_signed(100 * figure['relative']['difference'])} %"
    return _absolute(figure, figure["difference"])


def _span(figure: Document) -> str:
    if _is_relative(figure):
        low, high = (100 * figure["relative"][end] for end in ("low", "high"))
        return f"{_signed(low)} … {_signed(high)} %"
    if figure["unit"] == "ratio":
        return f"{_signed(100 * figure['low'])} … {_signed(100 * figure['high'])} pt"
    return f"{_absolute(figure, figure['low'])} … {_absolute(figure, figure['high'])}"


def _absolute(figure: Document, difference: float) -> str:
    if figure["unit"] == "ratio":
        return f"{_signed(100 * difference)} pt"
    sign = "" if not difference else ("+" if difference > 0 else "−")
    return sign + words.in_unit(abs(difference), figure["unit"])


def _signed(number: float) -> str:
    """Return a number with its sign and two or three significant digits."""
    digits = 0 if abs(number) >= 99.5 else 1 if abs(number) >= 0.95 else 2  # noqa: PLR2004
    rounded = round(number, digits)
    if rounded == 0:
        return "0"
    return f"{rounded:+,.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """Return a share of one as a percentage without needless digits."""
    return f"{100 * share:g} %"


def also_different(document: Document) -> list[str]:
    """Return a sentence on what else differs between the runs; [] if nothing does."""
    seen: dict[str, Document] = {}
    for difference in document["differences"]:
        if not difference["matters"]:
            seen.setdefault(difference["key"], difference)
    if not seen:
        return []
    named = [
        f"{key} ({words.fact(one['base'])} → {words.fact(one['candidate'])})"
        for key, one in seen.items()
    ]
    rest = len(named) - _MOST_DIFFERENCES
    more = [f"{rest} more"] if rest > 0 else []
    return [f"Also different: {', '.join([*named[:_MOST_DIFFERENCES], *more])}."]


def shown(document: Document) -> Sequence[Document]:
    """Return the informative figures."""
    return [figure for figure in document["figures"] if is_shown(figure)]
