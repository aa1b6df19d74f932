"""A trend for a terminal: what changed, since which run, and every figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from rich.padding import Padding
from rich.text import Text

from loadcheck.errors import many, printable_document
from loadcheck.report import words
from loadcheck.report.terminal import CapturedConsole, print_headline
from loadcheck.report.words import CHANGE_COLORS, CHANGE_MARKS
from loadcheck.result import Document
from loadcheck.result.schema_others import ended

_BARS = "▁▂▃▄▅▆▇█"
_UNUSED, _NOTHING = "·", " "
_NARROWEST, _WIDEST = 12, 60
"""Minimum and maximum number of columns of a sparkline."""
_MOST_NAMED = 3
_MOST_SKIPPED = 5
_MOST_NUMBERED = 8


def text(document: Document, *, color: bool, width: int) -> str:
    """Return a trend as text.

    Args:
        document: A trend's document.
        color: Whether to use terminal colours.
        width: Columns of the terminal.
    """
    document = printable_document(document)
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    for number, history in enumerate(document["histories"]):
        if number:
            console.print()
        print_headline(
            console,
            badge=history["verdict"],
            color=CHANGE_COLORS[history["verdict"]],
            name=history["name"],
            cause=reason(history),
        )
        for line in about(history, document):
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))
        for event in _changes(history):
            console.print(event)
        console.print()
        for row in _table(history, width):
            console.print(row, soft_wrap=True)
    skipped = skipped_lines(document)
    if skipped:
        console.print()
        for said in skipped:
            console.print(Padding(Text(f"! {said}", style="yellow"), (0, 0, 0, 1)))
    return paper.text()


def cause(document: Document) -> str:
    """Return the reason for the verdict as a sentence without its full stop."""
    word, histories = document["verdict"], document["histories"]
    for history, over in zip(histories, ended(histories), strict=True):
        if history["verdict"] == word and not over:
            return reason(history)
    return "No run that can be used"


def reason(history: Document) -> str:
    """Return the reason for the verdict on a history as a sentence without its full stop."""
    if history["missing"]:
        missing = history["missing"]
        return f"{many(missing, 'more runs')} needed to find a change"
    word = history["verdict"]
    if word == "same":
        return "No change"
    last = [
        (figure["changes"][-1]["run"], figure)
        for figure in target(history)
        if figure["word"] == word
    ]
    first = max(run for run, _ in last)
    named = [name(figure) for run, figure in last if run == first]
    rest = len(last) - len(named[:_MOST_NAMED])
    more = f" and {rest} more" if rest else ""
    listed = ", ".join(named[:_MOST_NAMED])
    return f"{word.capitalize()} since {run_name(history, first)}: {listed}{more}"


def about(history: Document, document: Document) -> list[str]:
    """Return lines about a history: what distinguishes it, its runs, and the unused ones."""
    notes = [f"runs with {fact}" for fact in history["apart"]]
    histories = document["histories"]
    if ended(histories)[histories.index(history)]:
        notes.append("ended: later runs of this name differ from it, and it counts no more")
    every = history["runs"]
    what = many(len(every), "capacity searches" if history["kind"] == "capacity" else "runs")
    order = "" if document["order"] == "time" else f", by label {document['order']}"
    first, last = _day(every[0]), _day(every[-1])
    notes.append(f"{what}, {first}{'' if first == last else f' to {last}'}{order}")
    unused: dict[str, list[int]] = {}
    for place in range(len(every)):
        if why := why_unused(history, place):
            unused.setdefault(why, []).append(place + 1)
    notes += [f"not used: {_numbered(places)}, {why}" for why, places in unused.items()]
    return notes


def why_unused(history: Document, place: int) -> str:
    """Return why a run is not evidence, or of which target figures it is an outlier; else ""."""
    if history["runs"][place]["unused"]:
        return str(history["runs"][place]["unused"])
    out = [name(figure) for figure in target(history) if place in figure["outliers"]]
    more = f" and {len(out) - 1} more" if out[1:] else ""
    return f"outlier of {out[0]}{more}" if out else ""


def _numbered(places: Sequence[int]) -> str:
    rest = len(places) - _MOST_NUMBERED
    shown = ", ".join(f"#{place}" for place in places[:_MOST_NUMBERED])
    return f"{shown} and {rest} more" if rest > 0 else shown


def skipped_lines(document: Document) -> list[str]:
    """Return the files that could not be used, the first of them by name."""
    skipped = document["skipped"]
    lines = [f"{each['file']}: {each['why']}" for each in skipped[:_MOST_SKIPPED]]
    rest = len(skipped) - _MOST_SKIPPED
    return [*lines, f"and {rest} more files that cannot be used"] if rest > 0 else lines


def target(history: Document) -> list[Document]:
    """Return the figures of the target."""
    return [figure for figure in history["figures"] if figure["about"] == "target"]


def shown(history: Document) -> list[Document]:
    """Return the figures to show: not those that are always zero, except losses and errors."""
    return [
        figure
        for figure in history["figures"]
        if any(figure["values"]) or figure["key"] in ("lost", "duplicated", "error_rate")
    ]


def name(figure: Document) -> str:
    """Return a figure's name with its group, if that is more than a heading."""
    own, group = str(figure["name"]), str(figure["group"])
    return own if group.startswith("the ") else f"{group} {own}"


def runs(number: int) -> str:
    """Return a number of runs."""
    return many(number, "runs")


def event_lines(history: Document, event: Document) -> Iterator[str]:
    """Yield which figures changed at a run and by how much, and what else did."""
    wanted = set(event["figures"])
    for figure in history["figures"]:
        for one in figure["changes"] if figure["key"] in wanted else ():
            if one["run"] == event["run"]:
                yield f"{one['word']}: {name(figure)} {size(figure, one)}, p {one['p']:.3f}"
    if event["differences"]:
        others = ", ".join(
            f"{each['key']} {words.fact(each['before'])} → {words.fact(each['after'])}"
            for each in event["differences"]
        )
        yield f"also different: {others}"


def size(figure: Document, one: Document) -> str:
    """Return how large a change is: the levels, and their difference as a share."""
    before, after = (value(figure, one[side]) for side in ("before", "after"))
    share = "" if one["relative"] is None else f" ({_percent(one['relative'])})"
    drift = " by drift" if one["kind"] == "drift" else ""
    return f"{before} → {after}{share}{drift}"


def value(figure: Document, number: float | None) -> str:
    """Return a value with its unit."""
    return words.in_unit(number, figure["unit"])


def level(figure: Document) -> str:
    """Return the present level of a figure."""
    return value(figure, figure["level"])


def interval(figure: Document) -> str:
    """Return the 95 % confidence interval of the present level; "" if unknown."""
    if figure["level_low"] is None:
        return ""
    low, high = value(figure, figure["level_low"]), value(figure, figure["level_high"])
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number if unit and high.endswith(f' {unit}') else low}…{high}"


def change(figure: Document) -> str:
    """Return the last change of a figure in a few words; "" if there is none."""
    if not figure["changes"]:
        return ""
    one = figure["changes"][-1]
    share = value(figure, one["after"]) if one["relative"] is None else _percent(one["relative"])
    kind = "drift from" if one["kind"] == "drift" else "since"
    return f"{share} {kind} #{one['run'] + 1}"


def used_values(history: Document, figure: Document) -> list[float | None]:
    """Return a figure's value of each run; None for a run that was not used."""
    out = set(figure["outliers"])
    return [
        None if run["unused"] or place in out else value
        for place, (run, value) in enumerate(zip(history["runs"], figure["values"], strict=True))
    ]


def sparkline(history: Document, figure: Document, room: int) -> str:
    """Return the values of a figure as bars; a dot is a run that was not used."""
    cells = used_values(history, figure)
    marks = [_UNUSED if number is not None else _NOTHING for number in figure["values"]]
    if len(cells) > room:
        edges = [round(place * len(cells) / room) for place in range(room + 1)]
        parts = [cells[a:b] for a, b in pairwise(edges)]
        known = [[each for each in part if each is not None] for part in parts]
        cells = [sum(part) / len(part) if part else None for part in known]
        marks = [_UNUSED] * room
    numbers = [each for each in cells if each is not None]
    if not numbers:
        return "".join(marks)
    low, high = min(numbers), max(numbers)
    # small variations are not exaggerated
    least = 0.1 * abs(high)
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    span = (high - low) or 1.0
    return "".join(
        mark
        if number is None
        else _BARS[min(int((number - low) / span * len(_BARS)), len(_BARS) - 1)]
        for number, mark in zip(cells, marks, strict=True)
    )


def _changes(history: Document) -> Iterator[Padding]:
    for event in history["changes"]:
        color = CHANGE_COLORS[event["word"]]
        head = Text(f"{CHANGE_MARKS[event['word']]} {run_name(history, event['run'])}", style=color)
        yield Padding(head, (0, 0, 0, 2))
        for line in event_lines(history, event):
            yield Padding(Text(line, style="dim"), (0, 0, 0, 4))


def _table(history: Document, width: int) -> Iterator[Text]:
    figures = shown(history)
    if not figures:
        return
    names = [str(figure["name"]) for figure in figures]
    levels = [level(figure) for figure in figures]
    changes = [change(figure) for figure in figures]
    first = max(map(len, names)) + 3
    middle = max(*map(len, levels), len("level"))
    last = max(map(len, changes))
    between = [interval(figure) for figure in figures]
    room = width - first - middle - last - 9
    side = max(*map(len, between), len("95 %")) + 2
    if room - side < _NARROWEST:  # a narrow terminal has no place for it
        side, between = 0, [""] * len(figures)
    room = min(max(room - side, _NARROWEST), _WIDEST, max(len(history["runs"]), len("trend")))
    head = f"{'':<{first}} {'trend':<{room}}  {'level':>{middle}}"
    head += f"{'95 %':>{side}}  change" if side else "  change"
    yield Text(head.rstrip(), style="dim")
    rows = list(zip(figures, names, levels, between, changes, strict=True))
    for group, members in groupby(rows, key=lambda row: row[0]["group"]):
        yield Text(f" {group}")
        for figure, own, now, ends, said in members:
            word = figure["word"]
            line = Text(f"   {own}".ljust(first), style="dim")
            bars = sparkline(history, figure, room).ljust(room)
            line.append(f" {bars}  ", style="not dim")
            line.append(f"{now:>{middle}}", style="not dim")
            line.append(f"{ends:>{side}}  ")
            style = CHANGE_COLORS[word] if word in ("worse", "better") else "dim"
            line.append(f"{CHANGE_MARKS[word]} {said or word}", style=f"not dim {style}")
            yield line


def run_name(history: Document, index: int) -> str:
    """Return a run's name: its number, when it began, its file and commit."""
    run = history["runs"][index]
    commit = run["labels"].get("commit", "")
    line = f"#{index + 1} {words.instant(run['started_at'])} {run['file']}"
    return f"{line} commit {commit[:12]}" if commit else line


def _day(run: Document) -> str:
    return str(run["started_at"])[:10]


def _percent(share: float) -> str:
    digits = 0 if abs(share) >= 0.995 else 1  # noqa: PLR2004
    return f"{100 * share:+,.{digits}f} %".replace("-", "−")
