"""The JSON Schema (draft 2020-12) of a results file, and a check against it."""

from __future__ import annotations

from typing import Any

from loadcheck.measure import timeline
from loadcheck.result import (
    OUTCOMES,
    VERDICT,
    Shape,
    amount,
    choice,
    count,
    finding,
    flag,
    histogram,
    labels,
    list_of,
    maybe,
    number,
    object_of,
    open_object,
    outcomes,
    schema_of,
    text,
    violations,
)

SCHEMA = "loadcheck.result/1"


def _histogram(description: str) -> Shape:
    return open_object(description, histogram())


def _step() -> Shape:
    return open_object(
        "One step of the workflow.",
        {
            "role": choice(
                "What runs it, and how often. workflow: no step, but copies as a whole, "
                "where they have several steps: attempts are copies that came to an end, the "
                "response time goes from due to the end of the last step, without think time.",
                "per-copy",
                "observer",
                "workflow",
            ),
            "request": text("Method and URL."),
            "attempts": count("Requests, retries and those that could not be sent included."),
            "succeeded": count("Attempts whose success criteria held."),
            "answers": object_of(
                "Attempts by status code or kind of failure: "
                "connect, untrusted, local (never sent), timeout, lost, unreadable.",
                {"type": "integer"},
            ),
            "reasons": object_of("Failed attempts by reason.", {"type": "integer"}),
            "examples": object_of(
                "The beginning of the first failed answer's body, by status code.",
                {"type": "string"},
            ),
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


def _consistency() -> Shape:
    return open_object(
        "What the service counted against what was sent. null: not known.",
        {
            "checked?": flag("Whether that was to be found out: not with verify.enabled = false."),
            "uniques": {"type": ["integer", "null"], "description": "Users of this run counted."},
            "totals": maybe(count("Events of this run counted.")),
            "lower": count("Users acknowledged: the least that must be counted."),
            "upper": count("Users acknowledged or indeterminate: the most that can be counted."),
            "lost_at_least": maybe(count("Acknowledged users that are certainly missing.")),
            "lost_at_most?": maybe(count("Acknowledged users that can be missing.")),
            "recovered_at_most": maybe(count("Indeterminate copies that may have arrived.")),
            "unexpected": maybe(count("Users counted that were refused or never sent.")),
            "duplicated": maybe(count("Events counted beyond those that were sent.")),
            "missing_events?": maybe(count("Events of counted users certainly missing.")),
            "missing_events_at_most?": maybe(count("Events of counted users that can be missing.")),
            "settled": flag("Whether the count had come to rest."),
            "overtaken?": maybe(
                flag("Whether users are counted who were sent after the missing; null: not asked.")
            ),
            "waited_s": maybe(
                amount(
                    "From the last acknowledgement to the instant that the final count reflects."
                )
            ),
            "baseline": maybe(count("What the same query counted before the run.")),
            "isolation": choice(
                "How this run's users are distinguished from others.", "filter", "baseline"
            ),
            "lost?": maybe(count("Lost users; null where it is not known whether any are.")),
            "disappeared?": maybe(count("Users counted before and, at the end, not any more.")),
            "approximate?": amount("The error that the counts are declared to have, as a share."),
            "visibility?": _visibility(),
            "localized?": _localized(),
            "controls?": open_object(
                "Users whose fate is known. null: not asked.",
                {
                    "acknowledged": maybe(count("Control users acknowledged.")),
                    "visible": maybe(count("Those that were counted.")),
                    "unsent": maybe(count("Users counted of a run that never was.")),
                    "paired?": maybe(
                        count("Second events, under the ids of missing users, acknowledged.")
                    ),
                    "paired_visible?": maybe(count("Those that were counted.")),
                    "paired_copies?": list_of(
                        "Numbers of the copies whose users they are.", count("Its number.")
                    ),
                    "checked?": maybe(
                        count("Second events of users that were not missing, acknowledged.")
                    ),
                    "checked_visible?": maybe(count("Those that were counted.")),
                    "excess?": count("Most users of a kind counted beyond those sent."),
                    "share?": amount("Share of the acknowledged that was missing at that time."),
                    "unpaired?": text("Why no missing user was sent a second event; else empty."),
                },
            ),
            "observations": list_of(
                "Every answer to the observer step, in order.",
                open_object(
                    "One answer.",
                    {
                        "asked_s": number("Since the load began."),
                        "answered_s": number("Since the load began."),
                        "as_of_s": number(
                            "The instant whose state it reflects, since the load "
                            "began: earlier than asked_s if the answer came from a cache."
                        ),
                        "acknowledged": maybe(count("Copies acknowledged when it was asked.")),
                        "uniques": maybe(count("Users counted, as the service reported it.")),
                        "totals": maybe(count("Events counted.")),
                        "error": text("Why the answer is not evidence; empty if it is."),
                    },
                ),
            ),
        },
    )


def _intervals() -> Shape:
    def column(items: Shape) -> Shape:
        return list_of(items["description"], items)

    times = column(
        {
            "type": ["string", "null"],
            "description": "HdrHistogram V2 encoding, two significant digits, base64; the unit is "
            "1 µs, what is above an hour counts as an hour. null without samples.",
        }
    )
    return open_object(
        "Columns, a value for each interval of the load. An interval holds what belongs to the "
        "copies that fell due in it; a query of our own is in that in which it was sent. Ends of "
        "stages are ends of intervals.",
        {
            "from_s": column(amount("When it begins, since the load began.")),
            "to_s": column(amount("When it ends.")),
            **{
                name: column(count(f"Copies {text}."))
                for name, text in {
                    "due": "that fell due",
                    "started": "of those begun",
                    "skipped": "due, but not sent: too many in flight, or the generator paused",
                    "acknowledged": "acknowledged",
                    "rejected": "certainly without effect",
                    "indeterminate": "that may have taken effect",
                }.items()
            },
            "lateness": times,
            "steps": {
                "type": "object",
                "description": "By step id.",
                "additionalProperties": open_object(
                    "One step.",
                    {
                        "succeeded": column(count("Attempts whose success criteria held.")),
                        "failed": column(count("Attempts that failed.")),
                        "response_time": {**times, "type": ["array", "null"]},
                        "service_time": times,
                    },
                ),
            },
        },
    )


def _visibility() -> Shape:
    lags = {
        "p50_s": maybe(amount("The median; null if infinite or without samples.")),
        "p95_s": maybe(amount("The 95th percentile.")),
        "p99_s": maybe(amount("The 99th percentile.")),
        "max_s": maybe(amount("The longest.")),
    }
    return {
        "anyOf": [
            open_object(
                "From the acknowledgement of a user until it is counted: upper bounds, in seconds. "
                "Users never counted have an infinite lag, which is null; so is a bound that no "
                "answer gives.",
                {
                    **lags,
                    "lower": open_object("Lower bounds of the same.", lags),
                    "resolution_s": maybe(amount("Largest distance between the bounds.")),
                    "never": count("Acknowledged users not counted by the last observation."),
                    "samples": count("Acknowledged users."),
                },
            ),
            {"type": "null", "description": "No answer was evidence."},
        ]
    }


def _localized() -> Shape:
    copy = {
        "user_id": text("As $copy.userId gives it."),
        "copy": count("Its number."),
        "second": count("Since the load began, in which it was sent."),
        "sent_at": maybe(text("The same in UTC, ISO 8601, to the second.")),
    }

    def copies(description: str, **more: Shape) -> Shape:
        item = open_object("One copy.", {**copy, **more})
        return list_of(description, item)

    return {
        "anyOf": [
            open_object(
                "Users that are missing, counted twice, or counted although refused, named from "
                "counts by bucket. A user is listed only if it is provably affected.",
                {
                    "lost": copies("Acknowledged users that are certainly missing."),
                    "unexpected": copies("Refused users that were certainly counted."),
                    "duplicated": copies(
                        "Users with events too many.", events=count("How many too many.")
                    ),
                    "windows": list_of(
                        "Stretches of send order from which users are missing.",
                        open_object(
                            "One stretch, to the width of a bucket.",
                            {
                                "first_copy": count("The first copy."),
                                "last_copy": count("The last one."),
                                "from_s": count("When the first was sent, since the load began."),
                                "to_s": count("By when the last was sent."),
                                "from": maybe(text("from_s in UTC, ISO 8601.")),
                                "to": maybe(text("to_s in UTC, ISO 8601.")),
                                "lost": count("Users certainly missing from it."),
                                "sent": count("Acknowledged users in it."),
                            },
                        ),
                    ),
                    "ambiguous": open_object(
                        "What has no name: how many, among how many.",
                        {
                            "lost": count("Missing users without a name."),
                            "lost_suspects": count("Users who may be the missing ones."),
                            "duplicated": count("Surplus events not yet attributed to a user."),
                            "duplicated_suspects": count("Users to whom they may belong."),
                        },
                    ),
                    "recovered": count("Indeterminate copies that were certainly counted."),
                    "exact": flag("Whether the fate of every acknowledged user is known."),
                    "partitions": count("Partitions asked for, the one by send order included."),
                    "queries": count("Group-by queries asked."),
                    "cost": count("What they cost by the service's measure."),
                    "trouble": text("Why there are no names, or not all; empty if there are."),
                },
            ),
            {
                "type": "null",
                "description": "No user seemed to be missing, or no such query was possible.",
            },
        ]
    }


def _workers() -> dict[str, Any]:
    """Return the schema of the section about the processes that shared the load."""
    return open_object(
        "The processes that shared the load; absent if this one sent it.",
        {
            "engine": text("What started them: processes, or dask."),
            "lease_s": amount("A worker starts no copy after this time without a message."),
            "shards": list_of(
                "Them, in order: batch j of the run belongs to worker j mod N.",
                open_object(
                    "A worker.",
                    {
                        "index": count("From 0."),
                        "host": maybe(text("Where it ran.")),
                        "pid": maybe(count("Its process there.")),
                        "python": maybe(text("Version of Python.")),
                        "nice": maybe({"type": "integer", "description": "Its priority."}),
                        "clock_error_ms": maybe(
                            amount("How far its clock may be off ours, by which seconds join.")
                        ),
                        "drift_ppm": maybe(number("How fast its clock runs away.")),
                        "end": choice(
                            "Why it started no further copy.",
                            "planned",
                            "stopped",
                            "lease",
                            "lost",
                            None,
                        ),
                        "started": count("Copies it reported."),
                        "acknowledged": count("Of these, acknowledged."),
                        "lateness_p99_ms": maybe(amount("Of its first requests.")),
                        "loop_lag_p99_ms": maybe(amount("Of its event loop.")),
                        "cpu_s": amount("Processor time that it used."),
                        "watched_s": amount("How long it was watched."),
                    },
                ),
            ),
        },
    )


def _deletion() -> dict[str, Any]:
    """Return the schema of the section about the deletion of the run's users."""
    return open_object(
        "How far the deletion of the run's users is; absent if none was asked for.",
        {
            "phase": choice(
                "begun: not all batches are asked for. requested: they are. done: "
                "the service says that they are gone, and was asked for the count.",
                "begun",
                "requested",
                "done",
            ),
            "requested_at": text("UTC, ISO 8601: when the first batch was."),
            "ended_at": maybe(text("UTC, ISO 8601: when the count was asked for.")),
            "server": text("Where the users were."),
            "users": count("Users of the run, controls aside."),
            "batches": count("Requests in all."),
            "batch": count("Most ids in each; 0: by the mark of the run."),
            "done": count("Requests answered."),
            "jobs": list_of("Days of the service's jobs.", {"type": "string"}),
            "before": maybe(count("Users counted before.")),
            "after": maybe(count("Users still counted at the end.")),
            "error": maybe(text("Why the last request failed.")),
            "verdict": VERDICT,
        },
    )


def _run() -> Shape:
    return open_object(
        "The run itself.",
        {
            "id": text("12 characters, part of every user id."),
            "phase": choice(
                "How far the file got: a killed run stays at running.",
                "intent",
                "running",
                "complete",
            ),
            "seed": {"type": "integer", "description": "Seed of everything random."},
            "started_at": text("UTC, ISO 8601."),
            "ended_at": maybe(text("UTC, ISO 8601; null while it runs.")),
            "interrupted": flag("Whether it was stopped by a signal."),
            "in_progress?": flag(
                "True while its process still writes it; never in a file, only in "
                "what show --json prints."
            ),
            "aborted?": {
                **open_object(
                    "The threshold or the rule of [guard] that stopped the load early; "
                    "null if none did.",
                    {
                        "threshold": text("As written."),
                        "measured": maybe(number("The figure then.")),
                        "at_s": amount("Seconds since the load began."),
                    },
                ),
                "type": ["object", "null"],
            },
            "error": maybe(text("What ended the run early, if anything did.")),
            "load_began_at?": maybe(text("UTC, ISO 8601; null before the load.")),
            "baseline?": maybe(count("What was counted before the run.")),
            "start_day?": text("First day of the query window, YYYYMMDD."),
            "end_day?": text("Last day of it."),
            "copies?": maybe(count("Copies foreseen, which decide the buckets in send order.")),
            "scenario_file?": text("As the user named it."),
            "profile?": maybe(text("The one of its profiles; null for none.")),
            "workers?": _workers(),
            "merged?": list_of(
                "The runs that several people started by hand, if it was made of such.",
                open_object(
                    "One run.",
                    {
                        "file": text("Path of its results file."),
                        "id": text("Its id; its users have it in theirs."),
                        "began_s": number(
                            "How long after the first one its load began, by the "
                            "clocks of the machines."
                        ),
                        "started": count("Copies begun."),
                        "verdict": VERDICT,
                    },
                ),
            ),
            "data?": object_of(
                "Data files by name: length in bytes, a colon, and a "
                "hash (of a file above 32 MiB, over pieces of it).",
                {"type": "string"},
            ),
            "setup?": open_object(
                "The workflow that ran once before the load.",
                {
                    "workflow": text("Its workflowId."),
                    "outputs": list_of("Names of its outputs.", text("A name.")),
                    "runs": count("How often it succeeded: again before expiry."),
                    "failed": count("How often it failed."),
                },
            ),
            "teardown?": open_object(
                "The workflow that ran once when all was over.",
                {
                    "workflow": text("Its workflowId."),
                    "success": maybe(flag("Null if it has not run.")),
                    "error": maybe(text("Why it failed, or was cut short.")),
                },
            ),
        },
    )


def _copies() -> Shape:
    return open_object(
        "Copies of the workflow, one user each.",
        {
            "planned": maybe(
                count(
                    "In the whole schedule, also if a run was ended early; null if "
                    "time alone decides."
                )
            ),
            **outcomes(),
        },
    )


def _spent() -> Shape:
    return open_object(
        "What the service was sent and asked, so far; loadcheck plan predicts it.",
        {
            "users": count("Users of the copies that were begun."),
            "events": count("Their events."),
            "controls": count("Events of control users, sent because some are missing."),
            "queries": count("Questions asked by loadcheck itself."),
            "query_cost": count("What they cost together, by verify.budget."),
            "preflight?": open_object(
                "The same of the look at keys and servers before the run, on top.",
                {
                    "users": count("Control users sent: one, or none."),
                    "events": count("Their events."),
                    "queries": count("Questions asked."),
                    "query_cost": count("What they cost together."),
                },
            ),
        },
    )


def _load() -> Shape:
    return open_object(
        "Rates asked for and reached.",
        {
            "asked_rate": maybe(amount("Mean, copies/s; null for a closed load.")),
            "peak_rate": maybe(amount("The highest asked for, copies/s.")),
            "reached_rate": amount(
                "Copies started per second of load; a lower bound where a worker was lost."
            ),
            "reached_ratio": maybe(amount("Reached over asked, 1 is all.")),
            "duration_s": amount("How long copies were started."),
            "retries": count("Attempts beyond the first."),
            "stale_retries?": count(
                "Requests sent again by the transport: idle connections were closing."
            ),
            "resends?": count(
                "Requests of several copies sent again without those refused by name."
            ),
            "max_in_flight": count("The most copies under way at once."),
        },
    )


def _generator() -> Shape:
    return open_object(
        "How well the generator itself did.",
        {
            "lateness": _histogram("Due to sent of each copy's first request."),
            "dispatch_lag": _histogram("Due to started of each copy."),
            "loop_lag": _histogram("How much later than asked a task came to run."),
            "gc_pauses": _histogram("Passes of Python's garbage collector."),
            "unsent?": count("Rejected copies for which this machine had no port, file or memory."),
            "cpu_s": amount("Processor time of the generator while it was watched."),
            "watched_s": amount("How long it was watched."),
            "peak_memory_bytes": count("The most memory it held, resident."),
            "pauses?": list_of(
                "Pauses of 0.5 s or more: the process was stopped, suspended, or "
                "without a processor.",
                open_object(
                    "One pause.",
                    {
                        "at_s": number("When it began, since the load began."),
                        "length_s": amount("How long it lasted."),
                        "suspended": flag("Whether the whole machine slept."),
                    },
                ),
            ),
            "paused?": count("Copies skipped because they fell due in a pause; among the skipped."),
        },
    )


def _reconciliations() -> Shape:
    return list_of(
        "Each time the service was asked again about the run.",
        open_object(
            "One time.",
            {
                "at": text("UTC, ISO 8601."),
                "verdict": VERDICT,
                "uniques": {"type": ["integer", "null"]},
                "totals": {"type": ["integer", "null"]},
                "lost_at_least": maybe(count("Users certainly missing then.")),
                "unsaved": count(
                    "Copies that may have been sent after the last save of a run that "
                    "was killed; indeterminate."
                ),
                "export": {
                    "type": ["object", "null"],
                    "description": "What the comparison event by event found.",
                },
            },
        ),
    )


def _thresholds() -> Shape:
    return {
        "type": "array",
        "items": open_object(
            "One limit.",
            {
                "expression": text("As written."),
                "measured": maybe(number("null without samples, and if it has no end.")),
                "low?": maybe(
                    number(
                        "The least that it can be: without the generator's "
                        "own delay and pauses, or by the observations. The threshold is "
                        "broken if it does not hold anywhere from here to high."
                    )
                ),
                "high?": maybe(
                    number(
                        "The most that it can be; null if it has no end. "
                        "The threshold holds if it does from low to here."
                    )
                ),
                "unit": {"enum": ["ms", "ratio", "1/s", "count"]},
                "verdict": VERDICT,
                "own_delay_ms": maybe(
                    number("The generator's own delay, where it makes the figure no evidence.")
                ),
            },
        ),
    }


def _mix() -> Shape:
    return open_object(
        "Which flow of a mix the run is. Copy n of it is copy n × flows + place of the mix.",
        {
            "id?": text("Which run of the mix: the same in the files of its flows."),
            "name": text("What the mix is called."),
            "flow": text("What the flow is called."),
            "place": {"type": "integer", "description": "Among the flows, from 0."},
            "flows": {"type": "array", "description": "What all are called."},
            "limits?": {"type": "array", "description": "together.thresholds, as written."},
            "together?": object_of(
                "The verdict on all flows, the sums of their counts, copies a second, the response "
                "times of all their requests in one histogram, and together.thresholds as "
                "thresholds has those of the flow; there once all have ended."
            ),
        },
    )


def json_schema() -> dict[str, Any]:
    """Return the schema of a results file."""
    return schema_of(
        "loadcheck results file",
        open_object(
            "One run. Saved as intent before the first request, with the ledger every second while "
            "it runs, and with the verdict at its end.",
            {
                "schema": {"const": SCHEMA, "description": "Name and version of this format."},
                "verdict": VERDICT,
                "run": _run(),
                "copies": _copies(),
                "spent?": _spent(),
                "load?": _load(),
                "generator?": _generator(),
                "steps?": object_of("By step id.", _step()),
                "stages?": list_of(
                    "The stages of an open load that were begun, in order.",
                    open_object(
                        "One stage.",
                        {
                            "name": text("As the scenario names it."),
                            "from_s": amount("When it begins, since the load began."),
                            "to_s": amount("When it ends by the schedule."),
                            "rate": amount("Copies/s at its beginning."),
                            "end_rate": amount("Copies/s at its end."),
                        },
                    ),
                ),
                "intervals?": _intervals(),
                "consistency?": _consistency(),
                "reconciliations?": _reconciliations(),
                "deletion?": _deletion(),
                "thresholds?": _thresholds(),
                "findings?": {
                    "type": "array",
                    "items": open_object("What one check says.", finding()),
                },
                "warnings": list_of(
                    "What a reader should know before trusting the figures.", {"type": "string"}
                ),
                "timeline?": open_object(
                    "Columns, one value a second since the load began.",
                    {
                        name: {"type": "array", "items": {"type": ["number", "null"]}}
                        for name in (
                            "second",
                            *timeline.COUNTS,
                            *timeline.LEVELS,
                            *timeline.FIGURES,
                        )
                    },
                ),
                "ledger": open_object(
                    "Copy numbers by outcome: Roaring bitmaps, portable format, base64.",
                    {name: text("A set of copy numbers.") for name in OUTCOMES},
                ),
                "uploads?": open_object(
                    "The same of single uploads, where copies make several: the copy's number "
                    "times the most uploads of one, plus the upload's place among them.",
                    {name: text("A set of upload numbers.") for name in OUTCOMES},
                ),
                "scenario": object_of("As run; secrets are not in it."),
                "labels?": labels(),
                "mix?": _mix(),
                "workflow": object_of("The document and its steps."),
                "environment": object_of("Versions and machine."),
            },
        ),
    )


def problems(document: Any) -> list[tuple[str, str]]:
    """Return where a document departs from the schema: dotted path and message, at most ten."""
    return violations(document, json_schema())
