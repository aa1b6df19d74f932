"""The JSON Schemas (draft 2020-12) of the files of capacity searches, comparisons and trends."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from loadcheck.result import (
    VERDICT,
    Shape,
    choice,
    closed_object,
    count,
    finding,
    flag,
    histogram,
    labels,
    list_of,
    maybe,
    number,
    object_of,
    outcomes,
    schema_of,
    text,
    violations,
)

CAPACITY: Final = "loadcheck.capacity/1"
COMPARISON: Final = "loadcheck.comparison/1"
TREND: Final = "loadcheck.trend/1"


class Change(enum.Enum):
    """The judgement of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNSURE = "unsure"


_CHANGES = [word.value for word in Change]
_NUMBER: Shape = {"type": ["number", "null"]}
_COLUMN: Shape = {"type": "array", "items": _NUMBER}


def _named_figure() -> dict[str, Shape]:
    """Return the properties of a figure that comparisons and trends have in common."""
    return {
        "key": text("As thresholds name it."),
        "group": text("What it belongs to."),
        "name": text("Its name within the group."),
        "unit": choice("Of all its values.", "ms", "1/s", "ratio", "count"),
        "better": choice("Which direction is.", "less", "more"),
        "about": choice("A generator that does worse is not a regression.", "target", "generator"),
    }


_UNIT: Shape = choice("Of measured.", "", "ms", "ratio", "1/s", "count")


def _probe() -> Shape:
    return closed_object(
        "One rate, held for a while: a run of its own.",
        number=count("From 1."),
        run=text("Its run id, part of every user id."),
        started_at=text("UTC, ISO 8601."),
        rate=number("Copies per second asked for, warm-up included."),
        reached_rate=number("Copies per second started."),
        again=flag("Whether the rate had been probed before."),
        verdict=choice(
            "unproven: the fault was the generator's, or there is no evidence. cut: "
            "stopped by a signal or the end of the budget.",
            "held",
            "broke",
            "unproven",
            "cut",
        ),
        because=text("The threshold or check that decided; empty if the rate held."),
        measured=maybe(number("What that measured.")),
        unit=_UNIT,
        close=flag("Whether a repetition might say something else."),
        stopped_at_s=maybe(number("When it was stopped because it could no longer hold.")),
        load_s=number("How long copies were started."),
        took_s=number("From its beginning to its verdict."),
        copies=closed_object("Copies, those of the warm-up included.", **outcomes()),
        latency=closed_object(
            "The ingest step's response time (service time if it has none) after the warm-up.",
            **histogram(),
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
                verdict=VERDICT,
                own_delay_ms=maybe(number("The generator's own delay, where it spoils it.")),
            )
            | {"required": ["expression", "measured", "unit", "verdict", "own_delay_ms"]},
        },
        findings={
            "type": "array",
            "items": closed_object("What one check says.", **finding()),
        },
    )


def _answer() -> Shape:
    return {
        **closed_object(
            "What the probes say together; null before the first has ended.",
            rate=maybe(number("The highest rate that holds, copies per second; null: none.")),
            interval={
                **_COLUMN,
                "description": "The highest rate that holds, and the lowest that does not.",
                "minItems": 2,
                "maxItems": 2,
            },
            precise=flag("Whether the interval is as narrow as was asked for."),
            limited_by=choice(
                "What was in the way above the rate: the target, the generator, "
                "missing evidence; or why nothing higher was tried. null while it goes on.",
                "target",
                "generator",
                "evidence",
                "highest",
                "probes",
                "budget",
                "interrupted",
                None,
            ),
            because=text("What breaks at the upper end of the interval; empty if nothing does."),
            measured=maybe(number("What that measured there.")),
            unit=_UNIT,
            ending=choice(
                "Why the search is over; null while it is not.",
                "precise",
                "highest",
                "lowest",
                "probes",
                "budget",
                "interrupted",
                None,
            ),
        ),
        "type": ["object", "null"],
    }


def capacity_schema() -> Shape:
    """Return the schema of a capacity search's file."""
    return schema_of(
        "loadcheck capacity search",
        closed_object(
            "A search for the highest rate at which everything holds. Saved after every probe.",
            schema={"const": CAPACITY, "description": "Name and version of this format."},
            verdict={**VERDICT, "description": "pass: a rate holds. fail: not even the lowest."},
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
                rate=_COLUMN,
                p50_ms=_COLUMN,
                p99_ms=_COLUMN,
                error_rate=_COLUMN,
                visible_p95_s=_COLUMN,
                carried_rate=_COLUMN,
            ),
            probes=list_of("In order of time.", _probe()),
            **{"labels?": labels()},
            scenario=object_of("As given; secrets are not in it."),
            workflow=object_of("The document and its steps."),
            environment=object_of("Versions and machine."),
            warnings={"type": "array", "items": {"type": "string"}},
        ),
    )


def comparison_schema() -> Shape:
    """Return the schema of a comparison."""
    return schema_of(
        "loadcheck comparison",
        closed_object(
            "One or more runs of a candidate beside one or more of a base.",
            schema={"const": COMPARISON, "description": "Name and version of this format."},
            created_at=text("UTC, ISO 8601."),
            loadcheck=text("The version that compared."),
            verdict=choice("worse if any figure of the target is.", *_CHANGES),
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
                    matters=flag("They cannot be compared for it."),
                ),
            ),
            notes=list_of("What a reader should know.", text("A sentence.")),
            figures=list_of("Every figure.", _compared_figure()),
            base=list_of("Runs, in the order given.", _compared_run()),
            candidate=list_of("Runs, in the order given.", _compared_run()),
        ),
    )


def _compared_figure() -> Shape:
    return closed_object(
        "One figure, compared.",
        **_named_figure(),
        core=flag("Whether the verdict is unsure if this figure is."),
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
        method=choice(
            "What the interval comes from: the intervals of single runs, the "
            "differences between runs, a proof, or nothing.",
            "intervals",
            "runs",
            "exact",
            "none",
        ),
        word=choice("The conclusion.", *_CHANGES),
        why=text("Why there is no interval; empty if there is."),
    )


def _compared_run() -> Shape:
    step = closed_object(
        "One step.",
        time=choice("Which time it is.", "response_time", "service_time"),
        percentiles=list_of("One value for each percentile, in ms.", _NUMBER),
        intervals=closed_object("One value for each interval.", p50_ms=_COLUMN, p99_ms=_COLUMN),
    )
    return closed_object(
        "One run.",
        file=text("Path of its results file."),
        id=text("The run's."),
        started_at=text("UTC, ISO 8601."),
        scenario=text("Its name."),
        verdict=text("The run's own."),
        copies=object_of("As in the results file."),
        load=object_of("As in the results file."),
        stages={"type": "array", "description": "As in the results file."},
        environment=object_of("As in the results file."),
        **{"labels?": labels()},
        curves=closed_object(
            "What can be drawn.",
            percentiles=list_of("The percentiles of every curve.", _NUMBER),
            intervals=closed_object(
                "Intervals of the due time; empty if the file had none.",
                from_s=_COLUMN,
                to_s=_COLUMN,
                due=_COLUMN,
                acknowledged=_COLUMN,
            ),
            steps=object_of("By step id.", step),
        ),
    )


_TREND_WORD = choice(
    "Of the last change; same: there is none; unsure: too few runs to tell.",
    "worse",
    "better",
    "same",
    "unsure",
)


def ended(histories: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Return which histories have ended: another of their kind and name began after their last run.

    The verdict of an ended history says nothing about the newest run.
    """
    spans = []
    for history in histories:
        times = [run["started_at"] for run in history["runs"]]
        spans.append((history["kind"], history["name"], min(times), max(times)))
    return [any(other[:2] == one[:2] and other[2] > one[3] for other in spans) for one in spans]


def trend_schema() -> Shape:
    """Return the schema of a trend."""
    return schema_of(
        "loadcheck trend",
        closed_object(
            "Runs of the past by what makes them comparable, and where their figures changed.",
            schema={"const": TREND, "description": "Name and version of this format."},
            created_at=text("UTC, ISO 8601."),
            loadcheck=text("The version that looked."),
            verdict=_TREND_WORD,
            order=text("What runs are in order of: time, or the name of a label."),
            tolerance=number("A change of at most this share is as good as none."),
            significance=number("The chance that a history without a change shows one."),
            seed=count("Of the permutations."),
            skipped=list_of(
                "Files that could not be used.",
                closed_object("One of them.", file=text("Its name."), why=text("Why.")),
            ),
            histories=list_of("Each has comparable runs; the newest first.", _history()),
        ),
    )


def _history() -> Shape:
    return closed_object(
        "Runs that can be compared.",
        name=text("Of the scenario of its newest run."),
        kind=choice("Runs, or capacity searches.", "result", "capacity"),
        apart=list_of("In what its runs differ from those of others of the name.", text("What.")),
        verdict=_TREND_WORD,
        missing=count("How many more runs are needed before changes can be found."),
        runs=list_of(
            "In order.",
            closed_object(
                "One run.",
                file=text("Path of its results file."),
                id=text("Its id."),
                started_at=text("UTC, ISO 8601."),
                verdict=text("Its own."),
                labels=labels(),
                unused=text("Why it is not evidence of a level; empty if it is."),
            ),
        ),
        changes=list_of(
            "Where figures changed, in order.",
            closed_object(
                "One change.",
                run=count("The first run behind it, by its place in runs."),
                word=choice("worse if any figure is.", "worse", "better"),
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
        figures=list_of("Every figure that any of its runs has.", _history_figure()),
    )


def _history_figure() -> Shape:
    return closed_object(
        "One figure over the runs.",
        **_named_figure(),
        word=_TREND_WORD,
        values={**_COLUMN, "description": "One for each run; null if it lacks the figure."},
        low={**_COLUMN, "description": "The least that it is by the run's own samples, 95 %."},
        high={**_COLUMN, "description": "The most that it is."},
        outliers=list_of("Outliers, by place; not used.", count("A place.")),
        level=maybe(number("The mean of the runs since the last step; without one, of all.")),
        level_low=maybe(number("The least that it is, with 95 % confidence.")),
        level_high=maybe(number("The most that it is.")),
        changes=list_of(
            "In order.",
            closed_object(
                "One change.",
                run=count("The first run behind it, by its place in runs."),
                kind=choice("Of a drift, run is where it exceeds the tolerance.", "step", "drift"),
                before=number("The level before it; of a drift, where it began."),
                after=number("The level behind it; of a drift, where it is now."),
                relative=maybe(number("The difference as a share of before; null if that is 0.")),
                p=number("The chance of such a split in a history without a change."),
                word=choice("The conclusion.", "worse", "better"),
            ),
        ),
        core=flag("Whether it is the median time of a step that copies run."),
    )


SCHEMAS: Final[Mapping[str, Callable[[], Shape]]] = {
    CAPACITY: capacity_schema,
    COMPARISON: comparison_schema,
    TREND: trend_schema,
}
"""Functions that return the schema of a kind of file, by the value of its ``schema``."""


def problems(document: Any, kind: str) -> list[tuple[str, str]]:
    """Return where a document departs from a schema: dotted path and message, at most ten."""
    return violations(document, SCHEMAS[kind]())
