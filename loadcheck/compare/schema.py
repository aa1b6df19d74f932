"""The shape of a comparison's file, as a JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from loadcheck.compare.comparison import SCHEMA
from loadcheck.compare.figures import Word
from loadcheck.result.schema import departures

_Schema = dict[str, Any]


def _object(description: str, **properties: _Schema) -> _Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(description: str) -> _Schema:
    return {"type": "string", "description": description}


def _number(description: str) -> _Schema:
    return {"type": "number", "description": description}


def _maybe(description: str) -> _Schema:
    return {"type": ["number", "null"], "description": description}


def _list(description: str, items: _Schema) -> _Schema:
    return {"type": "array", "description": description, "items": items}


_NUMBERS = {"type": ["number", "null"]}
_COLUMN = {"type": "array", "items": _NUMBERS}
_WORDS = [word.value for word in Word]


def comparison_schema() -> _Schema:
    """Return the schema of a comparison."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loadcheck comparison",
        **_object(
            "One or more runs of a candidate beside one or more of a base.",
            schema={"const": SCHEMA, "description": "Name and version of this format."},
            created_at=_text("UTC, ISO 8601."),
            loadcheck=_text("The version that compared."),
            verdict={"enum": _WORDS, "description": "worse if any figure of the target is."},
            scenario=_object("The candidate's.", name=_text("Its name.")),
            tolerance=_number("A difference of this share of the base is as good as none."),
            confidence=_number("Of the intervals."),
            forced=_list("Why the runs cannot be compared, if it was asked for.", _text("Why.")),
            differences=_list(
                "In what runs differ from the first one of the base.",
                _object(
                    "One difference.",
                    file=_text("The other run."),
                    key=_text("What, as a dotted path."),
                    base={"description": "In the first run; null if not there."},
                    candidate={"description": "In the other one; null if not there."},
                    matters={"type": "boolean", "description": "They cannot be compared for it."},
                ),
            ),
            notes=_list("What a reader should know.", _text("A sentence.")),
            figures=_list("Every figure.", _figure()),
            base=_list("Runs, in the order given.", _run()),
            candidate=_list("Runs, in the order given.", _run()),
        ),
    }


def _figure() -> _Schema:
    return _object(
        "One figure, compared.",
        key=_text("As thresholds name it."),
        group=_text("What it is of."),
        name=_text("Its name within the group."),
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
        base=_maybe("The value; of several runs the mean, or of bounds the worst."),
        candidate=_maybe("The same."),
        difference=_maybe("Candidate less base."),
        low=_maybe("The least that the difference is, with the confidence."),
        high=_maybe("The most that it is."),
        relative=_object(
            "The same three as shares of the base; null if that is 0.",
            difference=_maybe("Candidate less base."),
            low=_maybe("The least."),
            high=_maybe("The most."),
        ),
        margin=_number("A difference no greater than this is as good as none."),
        method={
            "enum": ["intervals", "runs", "exact", "none"],
            "description": "What the interval comes from: the intervals of single runs, the "
            "differences between runs, a proof, or nothing.",
        },
        word={"enum": _WORDS, "description": "What it comes to."},
        why=_text("Why there is no interval; empty if there is."),
    )


def _run() -> _Schema:
    step = _object(
        "One step.",
        time={"enum": ["response_time", "service_time"], "description": "Which time it is."},
        percentiles=_list("One value for each percentile, in ms.", _NUMBERS),
        intervals=_object("One value for each interval.", p50_ms=_COLUMN, p99_ms=_COLUMN),
    )
    return _object(
        "One run.",
        file=_text("Where its results file stood."),
        id=_text("The run's."),
        started_at=_text("UTC, ISO 8601."),
        scenario=_text("Its name."),
        verdict=_text("The run's own."),
        copies={"type": "object", "description": "As in the results file."},
        load={"type": "object", "description": "As in the results file."},
        stages={"type": "array", "description": "As in the results file."},
        environment={"type": "object", "description": "As in the results file."},
        curves=_object(
            "What can be drawn.",
            percentiles=_list("The percentiles of every curve.", _NUMBERS),
            intervals=_object(
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
    return departures(document, comparison_schema())
