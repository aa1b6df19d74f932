"""The shape of a capacity search's file, as a JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from loadcheck.result.schema import departures

SCHEMA = "loadcheck.capacity/1"

_Schema = dict[str, Any]


def _object(description: str, **properties: _Schema) -> _Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _number(description: str) -> _Schema:
    return {"type": "number", "description": description}


def _count(description: str) -> _Schema:
    return {"type": "integer", "minimum": 0, "description": description}


def _text(description: str) -> _Schema:
    return {"type": "string", "description": description}


def _flag(description: str) -> _Schema:
    return {"type": "boolean", "description": description}


def _maybe(schema: _Schema) -> _Schema:
    return {**schema, "type": [schema["type"], "null"]}


_VERDICT: _Schema = {"enum": ["pass", "fail", "unknown"]}
_UNIT: _Schema = {"enum": ["", "ms", "ratio", "1/s", "count"], "description": "Of measured."}
_NUMBERS: _Schema = {"type": "array", "items": {"type": ["number", "null"]}}


def _percentiles() -> dict[str, _Schema]:
    names = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
    return {name: _maybe(_number("Milliseconds; null without samples.")) for name in names}


def _probe() -> _Schema:
    return _object(
        "One rate, held for a while: a run of its own.",
        number=_count("From 1."),
        run=_text("Its run id, part of every user id."),
        started_at=_text("UTC, ISO 8601."),
        rate=_number("Copies per second asked for, warm-up included."),
        reached_rate=_number("Copies per second started."),
        again=_flag("Whether the rate had been probed before."),
        verdict={
            "enum": ["held", "broke", "unproven", "cut"],
            "description": "unproven: the fault was the generator's, or there is no evidence. cut: "
            "stopped by a signal or the end of the budget.",
        },
        because=_text("The threshold or check that decided; empty if the rate held."),
        measured=_maybe(_number("What that measured.")),
        unit=_UNIT,
        close=_flag("Whether a repetition might say something else."),
        stopped_at_s=_maybe(_number("When it was stopped because it could no longer hold.")),
        load_s=_number("How long copies were started."),
        took_s=_number("From its beginning to its verdict."),
        copies=_object(
            "Copies, those of the warm-up included.",
            started=_count("Begun."),
            skipped=_count("Due while max_in_flight were under way; never sent."),
            acknowledged=_count("The service said yes."),
            rejected=_count("Certainly without effect."),
            indeterminate=_count("May or may not have taken effect."),
        ),
        latency=_object(
            "The ingest step's response time (service time if it has none) after the warm-up.",
            count=_count("Samples."),
            **_percentiles(),
            above_range=_count("Samples longer than the histogram's hour; in count and max."),
            hdr=_text("HdrHistogram V2 encoding, compressed, base64; the unit is 1 µs."),
        ),
        error_rate=_maybe(_number("Copies after the warm-up that were not acknowledged.")),
        carried_rate=_maybe(
            _number("Copies completed per second while there were more; null if there never were.")
        ),
        growth=_maybe(
            _number("Growth of the copies under way per second, as a share of the rate.")
        ),
        visibility={
            "type": ["object", "null"],
            "description": "Acknowledged until counted, as in a results file.",
        },
        uniques=_maybe(_count("Users of this probe counted.")),
        lost_at_least=_maybe(_count("Acknowledged users that are certainly missing.")),
        duplicated=_maybe(_count("Events counted beyond those that were sent.")),
        generator=_object(
            "How well the generator itself did after the warm-up.",
            dispatch_lag_p99_ms=_maybe(_number("Due to started.")),
            loop_lag_p99_ms=_maybe(_number("How much later than asked a task came to run.")),
            cpu_share=_maybe(_number("Of a core.")),
        ),
        thresholds={
            "type": "array",
            "items": _object(
                "One limit.",
                expression=_text("As written, or what is checked in every probe."),
                measured=_maybe(_number("null without samples.")),
                unit=_UNIT,
                verdict=_VERDICT,
                own_delay_ms=_maybe(_number("The generator's own delay, where it spoils it.")),
            ),
        },
        findings={
            "type": "array",
            "items": _object(
                "What one check says.",
                check=_text("Name of the check."),
                verdict=_VERDICT,
                summary=_text("A sentence with the numbers."),
                evidence={"type": "object"},
            ),
        },
    )


def _answer() -> _Schema:
    return {
        **_object(
            "What the probes say together; null before the first has ended.",
            rate=_maybe(_number("The highest rate that holds, copies per second; null: none.")),
            interval={
                **_NUMBERS,
                "description": "The highest rate that holds, and the lowest that does not.",
                "minItems": 2,
                "maxItems": 2,
            },
            precise=_flag("Whether the interval is as narrow as was asked for."),
            limited_by={
                "enum": [
                    "target",
                    "generator",
                    "evidence",
                    "highest",
                    "probes",
                    "budget",
                    "interrupted",
                    None,
                ],
                "description": "What was in the way above the rate: the target, the generator, "
                "missing evidence; or why nothing higher was tried. null while it goes on.",
            },
            because=_text("What breaks at the upper end of the interval; empty if nothing does."),
            measured=_maybe(_number("What that measured there.")),
            unit=_UNIT,
            ending={
                "enum": [
                    "precise",
                    "highest",
                    "lowest",
                    "probes",
                    "budget",
                    "interrupted",
                    None,
                ],
                "description": "Why the search is over; null while it is not.",
            },
        ),
        "type": ["object", "null"],
    }


def capacity_schema() -> _Schema:
    """Return the schema of a capacity search's file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loadcheck capacity search",
        **_object(
            "A search for the highest rate at which everything holds. Saved after every probe.",
            schema={"const": SCHEMA, "description": "Name and version of this format."},
            verdict={**_VERDICT, "description": "pass: a rate holds. fail: not even the lowest."},
            run=_object(
                "The search as a whole.",
                id=_text("Part of the file's name."),
                phase={"enum": ["running", "complete"]},
                seed={"type": "integer", "description": "Seed of everything random."},
                started_at=_text("UTC, ISO 8601."),
                ended_at=_maybe(_text("UTC, ISO 8601; null while it goes on.")),
                interrupted=_flag("Whether it was stopped by a signal."),
                error=_maybe(_text("What ended it early, if anything did.")),
                scenario_file=_text("As the user named it."),
            ),
            search=_object(
                "What was searched for, and what it took.",
                lowest=_number("The rate it began with."),
                highest=_number("The highest rate it might try."),
                precision=_number("Width of the answer's interval, as a share of it."),
                climb=_number("Each rate over the one before it, as long as all held."),
                probes=_count("The most probes."),
                warmup_s=_number("How long each rate is held before it is measured."),
                probe_s=_number("How long it is measured, at least."),
                samples=_count("Copies that it is measured by, at least."),
                recovery_s=_number("Pause after a probe that held; others have twice as much."),
                budget_s=_maybe(_number("The most time it may take.")),
                budget_events=_maybe(_count("The most events it may send.")),
                took_s=_number("Time it took until now."),
                events=_count("Events it sent until now."),
            ),
            answer=_answer(),
            checks={
                "type": "array",
                "items": {"type": "string"},
                "description": "What must hold in each probe, beside consistency.",
            },
            curve=_object(
                "Columns over the rates probed, ascending.",
                rate=_NUMBERS,
                p50_ms=_NUMBERS,
                p99_ms=_NUMBERS,
                error_rate=_NUMBERS,
                visible_p95_s=_NUMBERS,
                carried_rate=_NUMBERS,
            ),
            probes={"type": "array", "items": _probe(), "description": "In order of time."},
            scenario={"type": "object", "description": "As given; secrets are not in it."},
            workflow={"type": "object", "description": "The document and its steps."},
            environment={"type": "object", "description": "Versions and machine."},
            warnings={"type": "array", "items": {"type": "string"}},
        ),
    }


def problems(document: Any) -> list[tuple[str, str]]:
    """Return where a document departs from the schema: dotted path and message, at most ten."""
    return departures(document, capacity_schema())
