"""The shape of a comparison's file, as a JSON Schema (draft 2020-12)."""

from __future__ import annotations

import enum
from typing import Any

from loadcheck.result.shapes import (
    Shape,
    closed_object,
    labels,
    list_of,
    maybe,
    number,
    text,
    violations,
)


class Change(enum.Enum):
    """What is said of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNSURE = "unsure"


SCHEMA = "loadcheck.comparison/1"


_NUMBERS = {"type": ["number", "null"]}
_COLUMN = {"type": "array", "items": _NUMBERS}
_WORDS = [word.value for word in Change]


def comparison_schema() -> Shape:
    """Return the schema of a comparison."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loadcheck comparison",
        **closed_object(
            "One or more runs of a candidate beside one or more of a base.",
            schema={"const": SCHEMA, "description": "Name and version of this format."},
            created_at=text("UTC, ISO 8601."),
            loadcheck=text("The version that compared."),
            verdict={"enum": _WORDS, "description": "worse if any figure of the target is."},
            scenario=closed_object("The candidate's.", name=text("Its name.")),
            tolerance=number("A difference of this share of the base is as good as none."),
            confidence=number("Of the intervals."),
            forced=list_of("Why the runs cannot be compared, if it was asked for.", text("Why.")),
            differences=list_of(
                "In what runs differ from the first one of the base.",
                closed_object(
                    "One difference.",
                    file=text("The other run."),
                    key=text("What, as a dotted path."),
                    base={"description": "In the first run; null if not there."},
                    candidate={"description": "In the other one; null if not there."},
                    matters={"type": "boolean", "description": "They cannot be compared for it."},
                ),
            ),
            notes=list_of("What a reader should know.", text("A sentence.")),
            figures=list_of("Every figure.", _figure()),
            base=list_of("Runs, in the order given.", _run()),
            candidate=list_of("Runs, in the order given.", _run()),
        ),
    }


def _figure() -> Shape:
    return closed_object(
        "One figure, compared.",
        key=text("As thresholds name it."),
        group=text("What it is of."),
        name=text("Its name within the group."),
        unit={"enum": ["ms", "1/s", "ratio", "count"], "description": "Of all its values."},
        better={"enum": ["less", "more"], "description": "Which direction is."},
        about={
            "enum": ["target", "generator"],
            "description": "A generator that does worse is no regression.",
        },
        core={
            "type": "boolean",
            "description": "Whether the verdict is unsure if this figure is.",
        },
        base=maybe(number("The value; of several runs the mean, or of bounds the worst.")),
        candidate=maybe(number("The same.")),
        difference=maybe(number("Candidate less base.")),
        low=maybe(number("The least that the difference is, with the confidence.")),
        high=maybe(number("The most that it is.")),
        relative=closed_object(
            "The same three as shares of the base; null if that is 0.",
            difference=maybe(number("Candidate less base.")),
            low=maybe(number("The least.")),
            high=maybe(number("The most.")),
        ),
        margin=number("A difference no greater than this is as good as none."),
        method={
            "enum": ["intervals", "runs", "exact", "none"],
            "description": "What the interval comes from: the intervals of single runs, the "
            "differences between runs, a proof, or nothing.",
        },
        word={"enum": _WORDS, "description": "What it comes to."},
        why=text("Why there is no interval; empty if there is."),
    )


def _run() -> Shape:
    step = closed_object(
        "One step.",
        time={"enum": ["response_time", "service_time"], "description": "Which time it is."},
        percentiles=list_of("One value for each percentile, in ms.", _NUMBERS),
        intervals=closed_object("One value for each interval.", p50_ms=_COLUMN, p99_ms=_COLUMN),
    )
    return closed_object(
        "One run.",
        file=text("Where its results file stood."),
        id=text("The run's."),
        started_at=text("UTC, ISO 8601."),
        scenario=text("Its name."),
        verdict=text("The run's own."),
        copies={"type": "object", "description": "As in the results file."},
        load={"type": "object", "description": "As in the results file."},
        stages={"type": "array", "description": "As in the results file."},
        environment={"type": "object", "description": "As in the results file."},
        **{"labels?": labels()},
        curves=closed_object(
            "What can be drawn.",
            percentiles=list_of("The percentiles of every curve.", _NUMBERS),
            intervals=closed_object(
                "Intervals of the due time; empty if the file had none.",
                from_s=_COLUMN,
                to_s=_COLUMN,
                due=_COLUMN,
                acknowledged=_COLUMN,
            ),
            steps={
                "type": "object",
                "description": "By step id.",
                "additionalProperties": step,
            },
        ),
    )


def problems(document: Any) -> list[tuple[str, str]]:
    """Return where a document departs from the schema: dotted path and message, at most ten."""
    return violations(document, comparison_schema())
