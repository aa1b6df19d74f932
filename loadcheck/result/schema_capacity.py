"""The shape of a capacity search's file, as a JSON Schema (draft 2020-12)."""

from __future__ import annotations

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

SCHEMA = "loadcheck.capacity/1"

_VERDICT: Shape = {"enum": ["pass", "fail", "unknown"]}
_UNIT: Shape = {"enum": ["", "ms", "ratio", "1/s", "count"], "description": "Of measured."}
_NUMBERS: Shape = {"type": "array", "items": {"type": ["number", "null"]}}


def _percentiles() -> dict[str, Shape]:
    names = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
    return {name: maybe(number("Milliseconds; null without samples.")) for name in names}


def _probe() -> Shape:
    return closed_object(
        "One rate, held for a while: a run of its own.",
        number=count("From 1."),
        run=text("Its run id, part of every user id."),
        started_at=text("UTC, ISO 8601."),
        rate=number("Copies per second asked for, warm-up included."),
        reached_rate=number("Copies per second started."),
        again=flag("Whether the rate had been probed before."),
        verdict={
            "enum": ["held", "broke", "unproven", "cut"],
            "description": "unproven: the fault was the generator's, or there is no evidence. cut: "
            "stopped by a signal or the end of the budget.",
        },
        because=text("The threshold or check that decided; empty if the rate held."),
        measured=maybe(number("What that measured.")),
        unit=_UNIT,
        close=flag("Whether a repetition might say something else."),
        stopped_at_s=maybe(number("When it was stopped because it could no longer hold.")),
        load_s=number("How long copies were started."),
        took_s=number("From its beginning to its verdict."),
        copies=closed_object(
            "Copies, those of the warm-up included.",
            started=count("Begun."),
            skipped=count("Due while max_in_flight were under way; never sent."),
            acknowledged=count("The service said yes."),
            rejected=count("Certainly without effect."),
            indeterminate=count("May or may not have taken effect."),
        ),
        latency=closed_object(
            "The ingest step's response time (service time if it has none) after the warm-up.",
            count=count("Samples."),
            **_percentiles(),
            above_range=count("Samples longer than the histogram's hour; in count and max."),
            hdr=text("HdrHistogram V2 encoding, compressed, base64; the unit is 1 µs."),
        ),
        error_rate=maybe(number("Copies after the warm-up that were not acknowledged.")),
        carried_rate=maybe(
            number("Copies completed per second while there were more; null if there never were.")
        ),
        growth=maybe(number("Growth of the copies under way per second, as a share of the rate.")),
        visibility={
            "type": ["object", "null"],
            "description": "Acknowledged until counted, as in a results file.",
        },
        uniques=maybe(count("Users of this probe counted.")),
        lost_at_least=maybe(count("Acknowledged users that are certainly missing.")),
        duplicated=maybe(count("Events counted beyond those that were sent.")),
        generator=closed_object(
            "How well the generator itself did after the warm-up.",
            dispatch_lag_p99_ms=maybe(number("Due to started.")),
            loop_lag_p99_ms=maybe(number("How much later than asked a task came to run.")),
            cpu_share=maybe(number("Of a core.")),
        ),
        thresholds={
            "type": "array",
            "items": closed_object(
                "One limit.",
                expression=text("As written, or what is checked in every probe."),
                measured=maybe(number("null without samples.")),
                low=maybe(number("The least that it can be.")),
                high=maybe(number("The most that it can be.")),
                unit=_UNIT,
                verdict=_VERDICT,
                own_delay_ms=maybe(number("The generator's own delay, where it spoils it.")),
            )
            | {"required": ["expression", "measured", "unit", "verdict", "own_delay_ms"]},
        },
        findings={
            "type": "array",
            "items": closed_object(
                "What one check says.",
                check=text("Name of the check."),
                verdict=_VERDICT,
                summary=text("A sentence with the numbers."),
                evidence={"type": "object"},
            ),
        },
    )


def _answer() -> Shape:
    return {
        **closed_object(
            "What the probes say together; null before the first has ended.",
            rate=maybe(number("The highest rate that holds, copies per second; null: none.")),
            interval={
                **_NUMBERS,
                "description": "The highest rate that holds, and the lowest that does not.",
                "minItems": 2,
                "maxItems": 2,
            },
            precise=flag("Whether the interval is as narrow as was asked for."),
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
            because=text("What breaks at the upper end of the interval; empty if nothing does."),
            measured=maybe(number("What that measured there.")),
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


def capacity_schema() -> Shape:
    """Return the schema of a capacity search's file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loadcheck capacity search",
        **closed_object(
            "A search for the highest rate at which everything holds. Saved after every probe.",
            schema={"const": SCHEMA, "description": "Name and version of this format."},
            verdict={**_VERDICT, "description": "pass: a rate holds. fail: not even the lowest."},
            run=closed_object(
                "The search as a whole.",
                id=text("Part of the file's name."),
                phase={"enum": ["running", "complete"]},
                seed={"type": "integer", "description": "Seed of everything random."},
                started_at=text("UTC, ISO 8601."),
                ended_at=maybe(text("UTC, ISO 8601; null while it goes on.")),
                interrupted=flag("Whether it was stopped by a signal."),
                error=maybe(text("What ended it early, if anything did.")),
                scenario_file=text("As the user named it."),
            ),
            search=closed_object(
                "What was searched for, and what it took.",
                lowest=number("The rate it began with."),
                highest=number("The highest rate it might try."),
                precision=number("Width of the answer's interval, as a share of it."),
                climb=number("Each rate over the one before it, as long as all held."),
                probes=count("The most probes."),
                warmup_s=number("How long each rate is held before it is measured."),
                probe_s=number("How long it is measured, at least."),
                samples=count("Copies that it is measured by, at least."),
                recovery_s=number("Pause after a probe that held; others have twice as much."),
                budget_s=maybe(number("The most time it may take.")),
                budget_events=maybe(count("The most events it may send.")),
                took_s=number("Time it took until now."),
                events=count("Events it sent until now."),
            ),
            answer=_answer(),
            checks=list_of("What must hold in each probe, beside consistency.", {"type": "string"}),
            curve=closed_object(
                "Columns over the rates probed, ascending.",
                rate=_NUMBERS,
                p50_ms=_NUMBERS,
                p99_ms=_NUMBERS,
                error_rate=_NUMBERS,
                visible_p95_s=_NUMBERS,
                carried_rate=_NUMBERS,
            ),
            probes=list_of("In order of time.", _probe()),
            **{"labels?": labels()},
            scenario={"type": "object", "description": "As given; secrets are not in it."},
            workflow={"type": "object", "description": "The document and its steps."},
            environment={"type": "object", "description": "Versions and machine."},
            warnings={"type": "array", "items": {"type": "string"}},
        ),
    }


def problems(document: Any) -> list[tuple[str, str]]:
    """Return where a document departs from the schema: dotted path and message, at most ten."""
    return violations(document, capacity_schema())
