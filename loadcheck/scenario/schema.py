"""The JSON Schema of a scenario, for editors; its keys one by one, and samples, for the reference.

The samples of the tables that describe a user's own service are all for one service. It takes
``POST /v1/events`` with ``{"events": [{"user", "id", "run", "labels"}]}``, and answers
``{"accepted": 2, "rejected": [1]}``. ``GET /v1/count?run=…`` gives ``{"users": 9, "events": 9}``,
and with ``&by=LABEL`` also ``{"rows": [{"label", "users", "events"}], "truncated": false}``. ``POST
/v1/export`` with ``{"run", "cursor"}`` gives ``{"events": [{"user", "id", "run"}], "next": "…"}``.
A test runs them as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from loadcheck.scenario import grammar
from loadcheck.scenario.shapes import Keys, Shape


class Sample(NamedTuple):
    """A table that works, and what to know when writing one."""

    says: str
    toml: str


SERVICE: Final = (
    'The samples are of a service that takes POST /v1/events with {"events": [{"user", "id", '
    '"run", "labels"}]}, answers {"accepted": 2, "rejected": [1]}, and counts by GET '
    '/v1/count?run=…: {"users": 9, "events": 9}; with &by=LABEL also {"rows": [{"label", '
    '"users", "events"}], "truncated": false}. It hands events out by POST /v1/export with '
    '{"run", "cursor"}: {"events": [{"user", "id", "run"}], "next": "…"}. They belong into '
    "the scenario, or into a file that workflow.profile names."
)
SAMPLES: Final[Mapping[str, Sample]] = {
    "verify.totals": Sample(
        "The events of the same run, from the same answer or, with an overlay, from another query "
        "of the observer step. With it, a user who is missing cannot hide behind an event that was "
        "counted twice. select is what [verify.split] puts in place of {$count}.",
        """\
[verify.uniques]
value = "$response.body#/users"
select = "users"

[verify.totals]
value = "$response.body#/events"
select = "events"
""",
    ),
    "verify.evidence": Sample(
        "An answer that says that it left groups out, was estimated from a sample or came from a "
        "cache is not evidence: it is asked again, and the verdict is never built on it. Leave out "
        "what the service does not state.",
        """\
[verify.evidence]
pruned = "$response.body#/truncated"
""",
    ),
    "verify.split": Sample(
        "Names the missing and the duplicated. Each event carries a few labels, sequence and "
        "bucket1 to bucket5, each with one of 990 values; the service must store them, and count "
        "users by any one of them: at most 990 rows, so limit is 1,000. tag puts them on the event "
        "(one edit, made for every label), overlay makes the query group by one of them, labels "
        "and values read the rows. Where the body is text, not JSON, give the workflow an input "
        'and write at = "$inputs.labels", value = ",{$partition}={$copy.{$partition}}".',
        """\
[verify.split]
labels = "$.rows[*].label"
values = "$.rows[*].{$count}"
limit = 1000

[[verify.split.tag]]
at = "body#/events/0/labels/{$partition}"
value = "$copy.{$partition}"

[[verify.split.overlay]]
at = "query.by"
value = "{$partition}"
""",
    ),
    "verify.export": Sample(
        "Names lost, duplicated and altered users from the events themselves, without labels; "
        "loadcheck reconcile RESULT --export compares them. fields must have the user or the "
        "deduplication key. Pages are put together by after (a member that orders them), by next "
        "(each answer names the next) or by {$offset}; an answer that is cut, that repeats "
        "another, that is an error or has events of others proves nothing.",
        """\
[verify.export]
method = "POST"
path = "/v1/export"
body = { run = "{$run.id}", cursor = "{$token}" }
rows = "$.events"
next = { token = "/next" }
event = "body#/events/0"
run = "/run"
fields = { "/user" = "/user", "/id" = "/id" }
""",
    ),
    "verify.repeat": Sample(
        "load.events_per_copy above 1: further events of the same user in one request. value is "
        "the event, as in the workflow; the overlay's and the tag's edits of the first one are "
        "made to all. Each needs an id of its own.",
        """\
[verify.repeat]
event = "body#/events/0"
at = "body#/events/{$event}"
value = { user = "$inputs.userId", run = "$inputs.runId", labels = {} }

[[verify.repeat.overlay]]
at = "/id"
value = "{$inputs.insertId}-{$event}"
""",
    ),
    "verify.batch": Sample(
        "load.copies_per_request above 1: copies share a request, and differ only in the array of "
        'events; "body#" is an array that is the whole body, "body" means JSON lines or another '
        "text of which each copy writes a line or more. refused are indexes that the answer names, "
        "statuses the status of each event: those users are rejected and not lost.",
        """\
[verify.batch]
events = "body#/events"
refused = ["$response.body#/rejected"]
""",
    ),
}


_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OPEN, _CLOSED = {"const": "open"}, {"const": "closed"}


def json_schema(emulator: Keys) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of scenario files.

    It refuses what the reader refuses in a single key; only the reader checks rules between keys or
    files.

    Args:
        emulator: The embedded emulator's own keys, as the emulator describes them.
    """
    top = dict(grammar.TOP)
    top["load"] = {
        **top["load"],
        "allOf": [
            _if({"model": _OPEN}, then=dict.fromkeys(grammar.CLOSED_ONLY, False)),
            _if({"model": _CLOSED}, then=dict.fromkeys(grammar.OPEN_ONLY, False)),
        ],
    }
    live, embedded = {"kind": {"const": "live"}}, dict.fromkeys(grammar.LIVE_ONLY, False)
    top["target"] = {
        **top["target"],
        "properties": {**emulator, **grammar.TARGET},
        "if": {"properties": live, "required": ["kind"]},
        "then": {"properties": dict.fromkeys(emulator, False)},
        # without kind, it may be set in the scenario that this one extends
        "else": {"if": {"required": ["kind"]}, "then": {"properties": embedded}},
    }
    profile = {name: top[name] for name in grammar.PROFILE}
    top["profiles"] = {
        **top["profiles"],
        "additionalProperties": {
            **top["profiles"]["additionalProperties"],
            "properties": profile,
        },
    }
    return {
        "$schema": _DIALECT,
        "title": "A scenario of loadcheck",
        "type": "object",
        "properties": top,
        "additionalProperties": False,
        # a lower layer or the flows may set the required keys
        "if": {
            "anyOf": [
                {"required": ["extends"]},
                {
                    "required": ["workflow"],
                    "properties": {"workflow": {"type": "object", "required": ["profile"]}},
                },
                {"required": ["mix"]},
            ]
        },
        "else": {
            "required": ["workflow", "load"],
            "properties": {"load": {"required": ["model"]}},
        },
    }


def _if(condition: Mapping[str, Any], *, then: Mapping[str, Any]) -> dict[str, Any]:
    required = list(condition)
    return {
        "if": {"properties": condition, "required": required},
        "then": {"properties": dict(then)},
    }


def keys(emulator: Keys | None = None) -> dict[str, Shape]:
    """Return the shape of every key by its path, in the order of the grammar, tables depth first.

    ``load.stages[].rate`` is a key of each table in an array, ``limits.<STEP>.rate`` of each table
    that the user names. Keys that a profile or a flow repeats are left out.
    """
    found = {}
    for name, shape in grammar.TOP.items():
        found[name] = shape
        if name == "mix":
            found |= {f"mix[].{key}": each for key, each in grammar.FLOW_ONLY.items()}
        elif name != "profiles":
            found |= dict(_below(name, shape))
        if name == "target":
            found |= {
                path: each
                for key, below in (emulator or {}).items()
                for path, each in ((f"target.{key}", below), *_below(f"target.{key}", below))
            }
    return found


def _below(path: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
    if "items" in shape:
        yield from _below(f"{path}[]", shape["items"])
    for part in shape.get("anyOf", ()):
        yield from _below(path, part)
    others = shape.get("additionalProperties")
    if isinstance(others, Mapping):
        yield from _below(f"{path}.<{shape['title']}>", others)
    if "if" in shape:
        for part in (shape.get("then", {}), shape.get("else", {})):
            yield from _below(path, part)
    for name, below in shape.get("properties", {}).items():
        yield f"{path}.{name}", below
        yield from _below(f"{path}.{name}", below)
