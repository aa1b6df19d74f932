"""The shape of a trend's file, as a JSON Schema (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadcheck.result.shapes import (
    Shape,
    closed_object,
    count,
    flag,
    labels,
    list_of,
    maybe,
    number,
    text,
    violations,
)

SCHEMA = "loadcheck.trend/1"

_WORDS = {
    "enum": ["worse", "better", "same", "unsure"],
    "description": "Of the last change; same: there is none; unsure: too few runs to tell.",
}
_COLUMN = {"type": "array", "items": {"type": ["number", "null"]}}


def trend_schema() -> Shape:
    """Return the schema of a trend."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loadcheck trend",
        **closed_object(
            "Runs of the past by what makes them comparable, and where their figures changed.",
            schema={"const": SCHEMA, "description": "Name and version of this format."},
            created_at=text("UTC, ISO 8601."),
            loadcheck=text("The version that looked."),
            verdict=_WORDS,
            order=text("What runs are in order of: time, or the name of a label."),
            tolerance=number("A change of at most this share is as good as none."),
            significance=number("The chance that a history without a change shows one."),
            seed=count("Of the permutations."),
            skipped=list_of(
                "Files that were of no use.",
                closed_object("One of them.", file=text("Its name."), why=text("Why.")),
            ),
            histories=list_of(
                "Each is of runs that can be compared, the newest first.", _history()
            ),
        ),
    }


def ended(histories: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Return which histories have ended: another of their name began after their last run.

    The verdict of such a one says nothing of the newest run.
    """
    spans = []
    for history in histories:
        times = [run["started_at"] for run in history["runs"]]
        spans.append((history["kind"], history["name"], min(times), max(times)))
    return [any(other[:2] == one[:2] and other[2] > one[3] for other in spans) for one in spans]


def _history() -> Shape:
    return closed_object(
        "Runs that can be compared.",
        name=text("Of the scenario of its newest run."),
        kind={"enum": ["result", "capacity"], "description": "Runs, or capacity searches."},
        apart=list_of("In what its runs differ from those of others of the name.", text("What.")),
        verdict=_WORDS,
        missing=count("How many more runs are needed before changes can be told."),
        runs=list_of(
            "In order.",
            closed_object(
                "One run.",
                file=text("Where its results file stood."),
                id=text("Its id."),
                started_at=text("UTC, ISO 8601."),
                verdict=text("Its own."),
                labels=labels(),
                unused=text("Why it is no evidence of a level; empty if it is."),
            ),
        ),
        changes=list_of(
            "Where figures changed, in order.",
            closed_object(
                "One change.",
                run=count("The first run behind it, by its place in runs."),
                word={"enum": ["worse", "better"], "description": "worse if any figure is."},
                figures=list_of("Keys of the figures that changed there.", text("A key.")),
                differences=list_of(
                    "What else became different there, beside the figures.",
                    closed_object(
                        "One difference.",
                        key=text("What, as a dotted path."),
                        before={"description": "In the run before; null if not there."},
                        after={"description": "In the first run behind; null if not there."},
                    ),
                ),
            ),
        ),
        figures=list_of("Every figure that any of its runs has.", _figure()),
    )


def _figure() -> Shape:
    return closed_object(
        "One figure over the runs.",
        key=text("As thresholds name it."),
        group=text("What it is of."),
        name=text("Its name within the group."),
        unit={"enum": ["ms", "1/s", "ratio", "count"], "description": "Of all its values."},
        better={"enum": ["less", "more"], "description": "Which direction is."},
        about={
            "enum": ["target", "generator"],
            "description": "A generator that does worse is no regression.",
        },
        word=_WORDS,
        values={**_COLUMN, "description": "One for each run; null if it has none."},
        low={**_COLUMN, "description": "The least that it is by the run's own samples, 95 %."},
        high={**_COLUMN, "description": "The most that it is."},
        outliers=list_of("Runs that stand alone, by place; not used.", count("A place.")),
        level=maybe(number("The mean since the last step.")),
        level_low=maybe(number("The least that it is, with 95 % confidence.")),
        level_high=maybe(number("The most that it is.")),
        changes=list_of(
            "In order.",
            closed_object(
                "One change.",
                run=count("The first run behind it, by its place in runs."),
                kind={
                    "enum": ["step", "drift"],
                    "description": "Of a drift, run is where it exceeds the tolerance.",
                },
                before=number("The level before it; of a drift, where it began."),
                after=number("The level behind it; of a drift, where it is now."),
                relative=maybe(number("The difference as a share of before; null if that is 0.")),
                p=number("The chance of such a split in a history without a change."),
                word={"enum": ["worse", "better"], "description": "What it comes to."},
            ),
        ),
        core=flag("Whether it is the median time of a step that copies run."),
    )


def problems(document: Any) -> list[tuple[str, str]]:
    """Return where a document departs from the schema: dotted path and message, at most ten."""
    return violations(document, trend_schema())
