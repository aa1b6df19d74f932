"""The shape of a results file, as a JSON Schema (draft 2020-12) and as a check against it."""

from __future__ import annotations

import itertools
from typing import Any

from loadcheck.measure import timeline

SCHEMA = "loadcheck.result/1"

_MAX_PROBLEMS = 10
_LONGEST, _END = 200, 80
"""Of a message, and of what is left of its end."""

_Schema = dict[str, Any]


def _object(
    description: str, properties: dict[str, _Schema], optional: tuple[str, ...] = ()
) -> _Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _number(description: str) -> _Schema:
    return {"type": "number", "minimum": 0, "description": description}


def _maybe(schema: _Schema) -> _Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _count(description: str) -> _Schema:
    return {"type": "integer", "minimum": 0, "description": description}


def _text(description: str) -> _Schema:
    return {"type": "string", "description": description}


def _flag(description: str) -> _Schema:
    return {"type": "boolean", "description": description}


_VERDICT = {"enum": ["pass", "fail", "unknown"], "description": "No evidence is unknown."}

_PERCENTILES = {
    f"{name}_ms": _maybe(_number(f"{text}, in milliseconds; null without samples"))
    for name, text in {
        "p50": "The median",
        "p90": "The 90th percentile",
        "p95": "The 95th percentile",
        "p99": "The 99th percentile",
        "p999": "The 99.9th percentile",
        "max": "The longest",
    }.items()
}


def _histogram(description: str) -> _Schema:
    return _object(
        description,
        {
            "count": _count("Samples."),
            **_PERCENTILES,
            "above_range": _count("Samples longer than the histogram's hour; in count and max."),
            "hdr": _text("HdrHistogram V2 encoding, compressed, base64; the unit is 1 µs."),
        },
    )


def _step() -> _Schema:
    return _object(
        "One step of the workflow.",
        {
            "role": {"enum": ["per-copy", "observer"], "description": "Who runs it, how often."},
            "request": _text("Method and URL."),
            "attempts": _count("Requests, retries and those that could not be sent included."),
            "succeeded": _count("Attempts whose success criteria held."),
            "answers": {
                "type": "object",
                "description": "Attempts by status code or kind of failure.",
                "additionalProperties": {"type": "integer"},
            },
            "reasons": {
                "type": "object",
                "description": "Failed attempts by reason.",
                "additionalProperties": {"type": "integer"},
            },
            "examples": {
                "type": "object",
                "description": "The beginning of the first failed answer's body, by status code.",
                "additionalProperties": {"type": "string"},
            },
            "response_time": {
                "anyOf": [
                    _histogram("Due to done of each success, retries spanned."),
                    {"type": "null", "description": "The step has no due time of its own."},
                ]
            },
            "service_time": _histogram("Sent to done of each successful attempt."),
            "failed": _histogram("Sent to done of failed attempts, 429 excepted."),
            "throttled": _histogram("Sent to done of attempts answered with 429."),
        },
    )


def _consistency() -> _Schema:
    return _object(
        "What the service counted against what was sent. null: not known.",
        {
            "uniques": {"type": ["integer", "null"], "description": "Users of this run counted."},
            "totals": _maybe(_count("Events of this run counted.")),
            "lower": _count("Users acknowledged: at least so many must be counted."),
            "upper": _count("Users acknowledged or indeterminate: at most so many can be."),
            "lost_at_least": _maybe(_count("Acknowledged users that are certainly missing.")),
            "lost_at_most": _maybe(_count("Acknowledged users that can be missing.")),
            "recovered_at_most": _maybe(_count("Indeterminate copies that may have arrived.")),
            "unexpected": _maybe(_count("Users counted that were refused or never sent.")),
            "duplicated": _maybe(_count("Events counted beyond those that were sent.")),
            "missing_events": _maybe(_count("Events of counted users certainly missing.")),
            "missing_events_at_most": _maybe(
                _count("Events of counted users that can be missing.")
            ),
            "settled": _flag("Whether the count had come to rest."),
            "overtaken": _maybe(
                _flag("Whether users are counted who were sent after the missing; null: not asked.")
            ),
            "waited_s": _maybe(_number("From the last acknowledgement to the final count.")),
            "baseline": _maybe(_count("What the same query counted before the run.")),
            "isolation": {
                "enum": ["filter", "baseline"],
                "description": "How this run's users are told from others'.",
            },
            "visibility": _visibility(),
            "localized": _localized(),
            "controls": _object(
                "Users whose fate is known. null: not asked.",
                {
                    "acknowledged": _maybe(_count("Control users acknowledged.")),
                    "visible": _maybe(_count("Those that were counted.")),
                    "unsent": _maybe(_count("Users counted of a run that never was.")),
                },
            ),
            "observations": {
                "type": "array",
                "description": "Every answer to the observer step, in order.",
                "items": _object(
                    "One answer.",
                    {
                        "asked_s": {"type": "number", "description": "Since the load began."},
                        "answered_s": {"type": "number", "description": "Since the load began."},
                        "as_of_s": {
                            "type": "number",
                            "description": "The instant whose state it tells, since the load began:"
                            " earlier than asked_s if the answer came from a cache.",
                        },
                        "acknowledged": _maybe(_count("Copies acknowledged when it was asked.")),
                        "uniques": _maybe(_count("Users counted, as the service told it.")),
                        "totals": _maybe(_count("Events counted.")),
                        "error": _text("Why the answer is no evidence; empty if it is."),
                    },
                ),
            },
        },
        optional=(
            "lost_at_most",
            "missing_events",
            "missing_events_at_most",
            "overtaken",
            "visibility",
            "localized",
            "controls",
        ),
    )


def _intervals() -> _Schema:
    def column(items: _Schema) -> _Schema:
        return {"type": "array", "description": items["description"], "items": items}

    times = column(
        {
            "type": ["string", "null"],
            "description": "HdrHistogram V2 encoding, two significant digits, base64; the unit is "
            "1 µs, what is above an hour counts as an hour. null without samples.",
        }
    )
    return _object(
        "Columns, a value for each interval of the load. An interval holds what belongs to the "
        "copies that fell due in it; a query of our own is in that in which it was sent. Ends of "
        "stages are ends of intervals.",
        {
            "from_s": column(_number("When it begins, since the load began.")),
            "to_s": column(_number("When it ends.")),
            **{
                name: column(_count(f"Copies {text}."))
                for name, text in {
                    "due": "that fell due",
                    "started": "of those begun",
                    "skipped": "not sent, because too many were in flight",
                    "acknowledged": "acknowledged",
                    "rejected": "certainly without effect",
                    "indeterminate": "that may have taken effect",
                }.items()
            },
            "lateness": times,
            "steps": {
                "type": "object",
                "description": "By step id.",
                "additionalProperties": _object(
                    "One step.",
                    {
                        "succeeded": column(_count("Attempts whose success criteria held.")),
                        "failed": column(_count("Attempts that failed.")),
                        "response_time": {**times, "type": ["array", "null"]},
                        "service_time": times,
                    },
                ),
            },
        },
    )


def _visibility() -> _Schema:
    lags = {
        "p50_s": _maybe(_number("The median; null if infinite or without samples.")),
        "p95_s": _maybe(_number("The 95th percentile.")),
        "p99_s": _maybe(_number("The 99th percentile.")),
        "max_s": _maybe(_number("The longest.")),
    }
    return {
        "anyOf": [
            _object(
                "From the acknowledgement of a user until it is counted: upper bounds, in seconds. "
                "Users never counted have an infinite lag, which is null.",
                {
                    **lags,
                    "lower": _object("Lower bounds of the same.", lags),
                    "resolution_s": _maybe(_number("How far the bounds lie apart at the most.")),
                    "never": _count("Acknowledged users not counted by the last observation."),
                    "samples": _count("Acknowledged users."),
                },
            ),
            {"type": "null", "description": "No answer was evidence."},
        ]
    }


def _localized() -> _Schema:
    copy = {
        "user_id": _text("As $copy.userId gives it."),
        "copy": _count("Its number."),
        "second": _count("Since the load began, in which it was sent."),
        "sent_at": _maybe(_text("The same in UTC, ISO 8601, to the second.")),
    }

    def copies(description: str, **more: _Schema) -> _Schema:
        item = _object("One copy.", {**copy, **more})
        return {"type": "array", "description": description, "items": item}

    return {
        "anyOf": [
            _object(
                "Who is missing, was counted twice, or although refused: named from counts by "
                "bucket. Nobody is named who could be innocent.",
                {
                    "lost": copies("Acknowledged users that are certainly missing."),
                    "unexpected": copies("Refused users that were certainly counted."),
                    "duplicated": copies(
                        "Users with events too many.", events=_count("How many too many.")
                    ),
                    "windows": {
                        "type": "array",
                        "description": "Stretches of send order from which users are missing.",
                        "items": _object(
                            "One stretch, to the width of a bucket.",
                            {
                                "first_copy": _count("The first copy."),
                                "last_copy": _count("The last one."),
                                "from_s": _count("When the first was sent, since the load began."),
                                "to_s": _count("By when the last was sent."),
                                "from": _maybe(_text("from_s in UTC, ISO 8601.")),
                                "to": _maybe(_text("to_s in UTC, ISO 8601.")),
                                "lost": _count("Users certainly missing from it."),
                                "sent": _count("Acknowledged users in it."),
                            },
                        ),
                    },
                    "ambiguous": _object(
                        "What has no name: how many, among how many.",
                        {
                            "lost": _count("Missing users without a name."),
                            "lost_suspects": _count("Users of whom one cannot say it."),
                            "duplicated": _count("Events too many that belong to nobody yet."),
                            "duplicated_suspects": _count("Users to whom they may belong."),
                        },
                    ),
                    "recovered": _count("Indeterminate copies that were certainly counted."),
                    "exact": _flag("Whether the fate of every acknowledged user is known."),
                    "partitions": _count("Partitions asked for, the one by send order included."),
                    "queries": _count("Group-by queries asked."),
                    "cost": _count("What they cost by the service's measure."),
                    "trouble": _text("Why there are no names, or not all; empty if there are."),
                },
            ),
            {"type": "null", "description": "Nobody seemed to be missing, or nobody could ask."},
        ]
    }


def json_schema() -> dict[str, Any]:
    """Return the schema of a results file."""
    numbers = {"type": ["number", "null"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loadcheck results file",
        **_object(
            "One run. Saved as intent before the first request, with the ledger every second while "
            "it runs, and with the verdict at its end.",
            {
                "schema": {"const": SCHEMA, "description": "Name and version of this format."},
                "verdict": _VERDICT,
                "run": _object(
                    "The run itself.",
                    {
                        "id": _text("12 characters, part of every user id."),
                        "phase": {
                            "enum": ["intent", "running", "complete"],
                            "description": "How far the file got: a killed run stays at running.",
                        },
                        "seed": {"type": "integer", "description": "Seed of everything random."},
                        "started_at": _text("UTC, ISO 8601."),
                        "ended_at": _maybe(_text("UTC, ISO 8601; null while it runs.")),
                        "interrupted": _flag("Whether it was stopped by a signal."),
                        "aborted": {
                            **_object(
                                "The threshold that stopped the load early; null if none did.",
                                {
                                    "threshold": _text("As written."),
                                    "measured": _maybe(
                                        {"type": "number", "description": "The figure then."}
                                    ),
                                    "at_s": _number("Seconds since the load began."),
                                },
                            ),
                            "type": ["object", "null"],
                        },
                        "error": _maybe(_text("What ended the run early, if anything did.")),
                        "load_began_at": _maybe(_text("UTC, ISO 8601; null before the load.")),
                        "baseline": _maybe(_count("What was counted before the run.")),
                        "start_day": _text("First day of the query window, YYYYMMDD."),
                        "end_day": _text("Last day of it."),
                        "copies": _maybe(
                            _count("Copies foreseen, which decide the buckets in send order.")
                        ),
                        "scenario_file": _text("As the user named it."),
                    },
                    optional=(
                        "aborted",
                        "load_began_at",
                        "baseline",
                        "start_day",
                        "end_day",
                        "copies",
                        "scenario_file",
                    ),
                ),
                "copies": _object(
                    "Copies of the workflow, one user each.",
                    {
                        "planned": _maybe(_count("By the schedule; null if time alone decides.")),
                        "started": _count("Begun."),
                        "skipped": _count("Due while max_in_flight were under way; never sent."),
                        "acknowledged": _count("The service said yes."),
                        "rejected": _count("Certainly without effect."),
                        "indeterminate": _count("May or may not have taken effect."),
                    },
                ),
                "load": _object(
                    "Rates asked for and reached.",
                    {
                        "asked_rate": _maybe(_number("Mean, copies/s; null for a closed load.")),
                        "peak_rate": _maybe(_number("The highest asked for, copies/s.")),
                        "reached_rate": _number("Copies started per second of load."),
                        "reached_ratio": _maybe(_number("Reached over asked, 1 is all.")),
                        "duration_s": _number("How long copies were started."),
                        "retries": _count("Attempts beyond the first."),
                        "stale_retries": _count(
                            "Requests sent again by the transport: the connection was closing."
                        ),
                        "resends": _count(
                            "Requests of several copies sent again without those refused by name."
                        ),
                        "max_in_flight": _count("The most copies under way at once."),
                    },
                    optional=("stale_retries", "resends"),
                ),
                "generator": _object(
                    "How well the generator itself did.",
                    {
                        "lateness": _histogram("Due to sent of each copy's first request."),
                        "dispatch_lag": _histogram("Due to started of each copy."),
                        "loop_lag": _histogram("How much later than asked a task came to run."),
                        "gc_pauses": _histogram("Passes of Python's garbage collector."),
                        "cpu_s": _number("Processor time of the generator while it was watched."),
                        "watched_s": _number("How long it was watched."),
                        "peak_memory_bytes": _count("The most memory it held, resident."),
                    },
                ),
                "steps": {
                    "type": "object",
                    "description": "By step id.",
                    "additionalProperties": _step(),
                },
                "stages": {
                    "type": "array",
                    "description": "The stages of an open load that were begun, in order.",
                    "items": _object(
                        "One stage.",
                        {
                            "name": _text("As the scenario names it."),
                            "from_s": _number("When it begins, since the load began."),
                            "to_s": _number("When it ends by the schedule."),
                            "rate": _number("Copies/s at its beginning."),
                            "end_rate": _number("Copies/s at its end."),
                        },
                    ),
                },
                "intervals": _intervals(),
                "consistency": _consistency(),
                "reconciliations": {
                    "type": "array",
                    "description": "Each time the service was asked again about the run.",
                    "items": _object(
                        "One time.",
                        {
                            "at": _text("UTC, ISO 8601."),
                            "verdict": _VERDICT,
                            "uniques": {"type": ["integer", "null"]},
                            "totals": {"type": ["integer", "null"]},
                            "lost_at_least": _maybe(_count("Users certainly missing then.")),
                            "unsaved": _count(
                                "Copies that may have been sent after the last save of a run that "
                                "was killed; indeterminate."
                            ),
                            "export": {
                                "type": ["object", "null"],
                                "description": "What the comparison event by event found.",
                            },
                        },
                    ),
                },
                "thresholds": {
                    "type": "array",
                    "items": _object(
                        "One limit.",
                        {
                            "expression": _text("As written."),
                            "measured": {**numbers, "description": "null without samples."},
                            "unit": {"enum": ["ms", "ratio", "1/s", "count"]},
                            "verdict": _VERDICT,
                            "own_delay_ms": {
                                **numbers,
                                "description": "The generator's own delay, where it makes the "
                                "figure no evidence.",
                            },
                        },
                    ),
                },
                "findings": {
                    "type": "array",
                    "items": _object(
                        "What one check says.",
                        {
                            "check": _text("Name of the check."),
                            "verdict": _VERDICT,
                            "summary": _text("A sentence with the numbers."),
                            "evidence": {"type": "object"},
                        },
                    ),
                },
                "warnings": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What a reader should know before trusting the figures.",
                },
                "timeline": _object(
                    "Columns, one value a second since the load began.",
                    {
                        name: {"type": "array", "items": numbers}
                        for name in (
                            "second",
                            *timeline.COUNTS,
                            *timeline.LEVELS,
                            *timeline.FIGURES,
                        )
                    },
                ),
                "ledger": _object(
                    "Copy numbers by outcome: Roaring bitmaps, portable format, base64.",
                    {
                        name: _text("A set of copy numbers.")
                        for name in (
                            "started",
                            "skipped",
                            "acknowledged",
                            "rejected",
                            "indeterminate",
                        )
                    },
                ),
                "scenario": {"type": "object", "description": "As run; secrets are not in it."},
                "workflow": {"type": "object", "description": "The document and its steps."},
                "environment": {"type": "object", "description": "Versions and machine."},
            },
            optional=(
                "load",
                "generator",
                "steps",
                "stages",
                "intervals",
                "consistency",
                "thresholds",
                "findings",
                "timeline",
                "reconciliations",
            ),
        ),
    }


def problems(document: Any) -> list[tuple[str, str]]:
    """Return where a document departs from the schema: dotted path and message, at most ten."""
    return departures(document, json_schema())


def departures(document: Any, schema: _Schema) -> list[tuple[str, str]]:
    """Return where a document departs from a schema: dotted path and message, at most ten."""
    from jsonschema_rs import Draft202012Validator  # noqa: PLC0415  # keeps --help quick

    errors = itertools.islice(Draft202012Validator(schema).iter_errors(document), _MAX_PROBLEMS)
    return sorted(
        (".".join(str(part) for part in error.instance_path), _shortened(error.message))
        for error in errors
    )


def _shortened(message: str) -> str:
    """Return a message of which the middle is left out if it quotes too much."""
    if len(message) <= _LONGEST:
        return message
    return f"{message[: _LONGEST - _END]}…{message[-_END:]}"
