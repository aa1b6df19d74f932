"""Every key of a scenario, table by table, with its meaning and limits.

This is the only definition: the reader, the JSON Schema and ``loadcheck explain`` all use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from loadcheck.data.cells import CELL_TYPES
from loadcheck.data.order import End, Order
from loadcheck.data.users import UserIds
from loadcheck.scenario.model import (
    Capacity,
    Deletion,
    Export,
    Following,
    Guard,
    Once,
    OpenLoad,
    Retry,
    Threshold,
    Timeouts,
    Verify,
)
from loadcheck.scenario.shapes import (
    Keys,
    Shape,
    anything,
    array,
    choice,
    duration,
    either,
    flag,
    named,
    properties,
    rate,
    table,
    text,
    whole,
)

MAX_COPIES = 1_000_000_000
MAX_IN_FLIGHT = 1_000_000
MAX_STAGES = 1000
MAX_WORKERS = 1000
MAX_ATTEMPTS = 100
MAX_PARTITIONS = 15
MAX_ROWS = 1_000_000
MAX_COST = 1_000_000_000
MAX_COUNT = 2**63 - 1
MAX_ERROR = 0.5
"""Largest declared error of approximate counts: one that is off by half proves nothing."""
MAX_EVENTS_PER_COPY = 1000
MAX_UPLOADS = 1000
MAX_FLOWS = 26
MAX_FLOW_NAME = 40
MAX_WEIGHT = 1_000_000
MAX_COPIES_PER_REQUEST = 10_000
MAX_SEED = 2**63 - 1
"""The largest integer that TOML guarantees."""
MAX_NAME_LENGTH = 80
MAX_PROBES = 1000
FINEST, COARSEST = 0.005, 0.5
"""Bounds of a search's precision: the width of the result's interval, relative to the result."""
GENTLEST, STEEPEST = 1.1, 10.0
"""Bounds of the factor between successive rates of a search's climb."""

MAX_LABELS = 64
MAX_IDS = 100_000
LABEL_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
LABEL = r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f\u2028\u2029]{1,512}$"
"""One line of text that is not blank."""
NAME = rf"^[A-Za-z0-9_-]{{1,{MAX_NAME_LENGTH}}}$"
_POINTER = r"(/([^~/]|~[01])*)*"  # RFC 6901 section 3
AT = rf"^(body#{_POINTER}|query\.[^#]+(#{_POINTER})?|(header|path|cookie)\.[^#]+)$"
PATH = r"^/"
EVENTS = rf"^body(#{_POINTER})?$"
BENEATH = rf"^{_POINTER}$"
USER = rf"^(body#{_POINTER}|\$inputs\.[^.#\s]+)$"
TAG = rf"{AT}|^\$inputs\.[^.#\s]+$"
RETRIED = r"^(timeout|connection|[1-5](xx|[0-9][0-9]))$"
USER_ID = r"\{(number(:0?[0-9]{1,2})?|uuid|digits)\}"
STAGE_NAME = r"^[A-Za-z0-9_-]+$"
_CLOCK = r"([01]?[0-9]|2[0-3]):([0-5][0-9])"
WINDOW = rf"^{_CLOCK}\s*-\s*{_CLOCK}$"
PERCENT = r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$"

_SHIPPED = ", ".join(
    f'"{path.parent.name}"'
    for path in sorted(Path(__file__).parents[1].glob("library/*/profile.toml"))
)
_PLACE = '"body#/json/pointer", "query.NAME", "header.NAME", "path.NAME" or "cookie.NAME".'
_VALUE = anything(
    "What to put there; strings may hold expressions, also deep inside.", example="$copy.insertId"
)
OBSERVER_EDIT: Keys = {
    "at": text(f"The place in the request: {_PLACE}", pattern=AT, example="query.i"),
    "value": _VALUE,
}
EDIT: Keys = {
    "step": text("The stepId of the request that is changed.", example="uploadEvents"),
    **OBSERVER_EDIT,
}
TAG_EDIT: Keys = {
    "at": text(
        f'The place in the request: {_PLACE[:-1]}; or "$inputs.NAME", an input to whose text the '
        "value is appended: for bodies that are not JSON.",
        pattern=TAG,
        example="body#/labels/{$partition}",
    ),
    "value": anything(
        "What to put there: $copy.{$partition} is the copy's bucket.", example="$copy.{$partition}"
    ),
}
FURTHER_EDIT: Keys = {
    "at": text("The place in the event, as a JSON Pointer.", pattern=BENEATH, example="/insert_id"),
    "value": _VALUE,
}


def _edits(says: str, keys: Keys = OBSERVER_EDIT) -> Shape:
    return array(says, table("", keys, required=tuple(keys)))


WORKFLOW: Keys = {
    "document": text(
        f"A workflow that comes with loadcheck ({_SHIPPED}), or the path of an Arazzo document.",
        example="my-workflow.yml",
    ),
    "id": text("The workflowId, if the document has several workflows.", example="uploadAndCount"),
    "sources": named(
        "Where source descriptions are read from instead of the document's own url: name = file "
        "or URL.",
        "NAME",
        text(
            "The file or the URL of the source description; what comes with loadcheck is called "
            "shipped:amplitude/http-v2-api.yml."
        ),
        example={"ingestApi": "my-openapi.yml"},
    ),
    "strict": flag(
        "Refuse what the specification has otherwise, instead of accepting it with a warning.",
        default=False,
    ),
    "profile": text(
        "The service's profile, a TOML file beneath the scenario; by default the one that comes "
        'with a workflow of loadcheck\'s own. It may extend another: extends = "other.toml".',
        example="amplitude",
    ),
}
TLS: Keys = {
    "ca": text(
        "PEM file of the authorities that are trusted instead of the system's.", example="ca.pem"
    ),
    "cert": text("PEM file of the client certificate.", example="client.pem"),
    "key": text("PEM file of its private key, if that is not in cert.", example="client.key"),
    "server_name": text(
        "The name that the server's certificate must bear; by default the URL's host.",
        example="api.example.org",
    ),
    "verify": flag("Whether the server's certificate is checked at all.", default=True),
}
TARGET: Keys = {
    "kind": choice(
        'What receives the load. "emulator": an emulator of Amplitude that the run starts and '
        'stops; its own keys are added to this table. "live": the servers that the OpenAPI '
        "descriptions name, or those in servers.",
        "emulator",
        "live",
        default="emulator",
    ),
    "servers": named(
        'Base URLs to use instead of the described servers, by source description; "*" for all.',
        "SOURCE",
        text("An http:// or https:// URL.", pattern="^[Hh][Tt][Tt][Pp][Ss]?://"),
        example={"ingestApi": "http://127.0.0.1:8765"},
    ),
    "region": text(
        "Data centre of the project: which of the service's servers are meant. The service's "
        'profile knows them; Amplitude has "us" and "eu", and so has its emulator.',
        example="eu",
    ),
    "regions": named(
        "The servers of each region, by source description; servers go over them.",
        "REGION",
        named(
            "Base URLs by source description.",
            "SOURCE",
            text("An http:// or https:// URL.", pattern="^[Hh][Tt][Tt][Pp][Ss]?://"),
        ),
        example={"eu": {"ingestApi": "https://eu.example.com"}},
    ),
    "transport": choice(
        'How requests are sent. "wire" is the fast path; "httpx" knows proxies, redirects and '
        "HTTP/2.",
        "wire",
        "httpx",
        default="wire",
    ),
    "tls": table("How https servers are verified, and the client certificate.", TLS),
    "compress": choice("Coding of request bodies.", "none", "gzip", default="none"),
    "proxy": text(
        'URL of the proxy through which everything goes; needs transport = "httpx".',
        pattern="^[Hh][Tt][Tt][Pp][Ss]?://",
        example="http://proxy.example.org:3128",
    ),
    "http2": flag('Speak HTTP/2 where the server does; needs transport = "httpx".', default=False),
    "redirects": flag('Follow redirects; needs transport = "httpx".', default=False),
    "cookies": flag(
        "Each copy keeps the cookies that its answers set, and sends them.", default=False
    ),
}
LIVE_ONLY = ("http2", "proxy", "redirects", "servers", "tls")
"""Keys that have no effect on the embedded emulator."""
EMULATOR = frozenset(
    (  # noqa: SIM905  # a line each would take a page
        "api_key secret_key region projects seed visibility_delay time_zone limits cache short_ids"
        " empty_result blocked_event_types inactive_event_types custom_events silenced_devices"
        " export_lag deletion_after block_bots capacity preset faults"
    ).split()
)
"""Keys that configure the embedded emulator, which checks their values itself."""
FROM_ENVIRONMENT: Keys = {
    "env": text(
        "The name of the environment variable.",
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        example="API_KEY",
    ),
    "default": anything("The value if the variable is not set.", example="none"),
    "secret": flag(
        "Whether the value is kept out of everything shown. A default is only if this is written.",
        default=True,
    ),
}
BASIC: Keys = {
    name: either(
        f"The {name}: a string, or from the environment.",
        text(""),
        table("", FROM_ENVIRONMENT, required=("env",)),
        title="text, or { env }",
        example={"env": "API_KEY"},
    )
    for name in ("username", "password")
}
_INPUT: Shape = {
    "description": "Any value, { env = NAME }, or { basic = { username, password } }.",
    "if": {"type": "object", "required": ["env"]},
    "then": table("", FROM_ENVIRONMENT, required=("env",)),
    "else": {
        "if": {"type": "object", "required": ["basic"]},
        "then": table(
            "",
            {
                "basic": table(
                    "Credentials of HTTP Basic authentication.", BASIC, required=tuple(BASIC)
                )
            },
        ),
    },
}
_LONGEST = Once(workflow="")
_ONCE: Keys = {
    "workflow": text("The workflowId, in the scenario's Arazzo document.", example="login"),
    "inputs": named(
        "Its inputs. Those of [inputs] that it declares need not be repeated.",
        "NAME",
        _INPUT,
        example={"password": {"env": "PASSWORD"}},
    ),
    "timeout": duration("How long it may take in all.", default=_LONGEST.timeout_s),
}
SETUP: Keys = {
    **_ONCE,
    "every": duration(
        "How often its outputs are renewed while the run goes on, before they expire; the old ones "
        "are used until the new ones are there.",
        example="50m",
    ),
    "renew": text(
        "The workflowId that renews them, or those of them that it has; by default the same: one "
        "that also makes a project would make another.",
        example="refreshToken",
    ),
    "public": array(
        "Outputs that are not secret; all others are neither shown nor saved.",
        text(""),
        example=["projectId"],
    ),
}
TEARDOWN: Keys = {
    **_ONCE,
    "delete": flag(
        "Delete the run's users from the service at the very end, as loadcheck delete does; a "
        "run that is allowed to leave this machine is allowed to do this, too.",
        default=False,
    ),
}
WAIT_DRAWN: Keys = {
    "uniform": array(
        "Every length between two is as likely.",
        duration("The least, and the most.", zero=True),
        minItems=2,
        maxItems=2,
        example=["1s", "3s"],
    ),
    "normal": table(
        "A normal distribution; nothing below 0, or min.",
        {
            "mean": duration("Its mean.", example="2s"),
            "sd": duration("Its standard deviation.", zero=True, example="500ms"),
        },
        required=("mean", "sd"),
    ),
    "lognormal": table(
        "A lognormal distribution: as people are, mostly quick and now and then slow.",
        {
            "median": duration("Half are shorter.", example="2s"),
            "p99": duration("99 of 100 are shorter.", example="20s"),
        },
        required=("median", "p99"),
    ),
    "min": duration("The shortest; what is drawn below is taken for it.", zero=True, example="0s"),
    "max": duration("The longest; what is drawn above is taken for it.", example="1m"),
}


def wait(says: str) -> Shape:
    """Return the shape of a duration that is fixed or drawn for each copy."""
    return either(
        says,
        duration(""),
        table("", WAIT_DRAWN),
        title="duration, or { uniform | normal | lognormal }",
        example={"lognormal": {"median": "2s", "p99": "20s"}},
    )


UPLOADS_DRAWN: Keys = {
    "uniform": array(
        "Every number between two is as likely.",
        {"type": "integer", "minimum": 1, "maximum": MAX_UPLOADS},
        minItems=2,
        maxItems=2,
        example=[1, 9],
    ),
    "normal": table(
        "A normal distribution, rounded.",
        {
            "mean": rate("Its mean.", title="number", example=5),
            "sd": rate("Its standard deviation.", zero=True, title="number", example=2),
        },
        required=("mean", "sd"),
    ),
    "lognormal": table(
        "A lognormal distribution, rounded.",
        {
            "median": rate("Half make fewer.", title="number", example=3),
            "p99": rate("99 of 100 make fewer.", title="number", example=30),
        },
        required=("median", "p99"),
    ),
    "min": whole("The fewest; what is drawn below is taken for it.", 1, MAX_UPLOADS, example=1),
    "max": whole("The most; what is drawn above is taken for it.", 1, MAX_UPLOADS, example=50),
}
SESSIONS: Keys = {
    "uploads": either(
        "How many uploads a copy makes under its user id, each with a deduplication key and a row "
        "of data of its own.",
        {"type": "integer", "minimum": 1, "maximum": MAX_UPLOADS},
        table("", UPLOADS_DRAWN),
        title="whole number, or { uniform | normal | lognormal }",
        example=5,
    ),
    "gap": wait("How long it waits between them; by default load.think_time."),
    "returning": {
        "description": "The share of copies whose user is that of an earlier copy. Users are "
        "counted once, however often they come.",
        "title": "share",
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "examples": [0.3],
    },
}
_ANY = OpenLoad(stages=())
STAGE: Keys = {
    "name": text(
        "What thresholds and reports call the stage.", pattern=STAGE_NAME, example="burst"
    ),
    "duration": duration("How long the stage lasts.", example="30s"),
    "rate": rate(
        "Copies per second; by default where the stage before it ended.", zero=True, example=500
    ),
    "ramp_to": rate("The rate at the end of the stage, reached linearly.", zero=True, example=2500),
}
TRACE: Keys = {
    "file": text(
        "CSV or TSV file beside the scenario (.csv, .tsv, .txt, each also .gz), an instant a row, "
        "in order.",
        example="access.csv",
    ),
    "column": text(
        "The column of the instants; by default the only one, or one that is called time, "
        "timestamp, ts, datetime or date.",
        example="received_at",
    ),
    "unit": choice(
        "Unit of instants given as numbers; by default guessed from their size.",
        "s",
        "ms",
        "us",
        "ns",
        example="ms",
    ),
    "speed": rate("Times as fast as it was recorded.", example=2),
    "scale": rate("Copies for each row of it, in the mean; a fraction thins it out.", example=0.5),
}
SPIKES: Keys = {
    "every": duration("From the begin of one spike to that of the next.", example="30s"),
    "duration": duration("How long a spike lasts.", example="2s"),
    "rate": rate("Copies per second meanwhile.", example=2500),
}
RAMP: Keys = {
    "duration": duration("How long the stretch lasts.", example="30s"),
    "concurrency": whole(
        "Users at its end: they come or go evenly meanwhile.", 0, MAX_IN_FLIGHT, example=50
    ),
}
OPEN_ONLY = (
    *("arrivals", "max_in_flight", "rate", "rate_in", "repeat", "spikes", "stages", "trace"),
)
CLOSED_ONLY = ("concurrency", "copies", "ramp")
LOAD: Keys = {
    "model": choice(
        '"open": copies arrive on a schedule, whether or not earlier ones have been answered: '
        'rate and duration, or stages. "closed": a fixed number is in flight, the next starts '
        "when one ends: concurrency with copies, duration or both.",
        "open",
        "closed",
    ),
    "rate": rate("Copies per second of an open load.", example=500),
    "duration": duration("How long copies are started.", example="30s"),
    "stages": array(
        "Stretches of an open load, one after the other.",
        table("", STAGE, required=("duration",)),
        minItems=1,
        maxItems=MAX_STAGES,
        example=[{"name": "burst", "duration": "8s", "rate": 2500}],
    ),
    "repeat": whole(
        "How often the stages are gone through; their names are numbered then: burst-1, burst-2.",
        1,
        MAX_STAGES,
        default=1,
    ),
    "spikes": table(
        "Short stretches at another rate, over a load of rate and duration. Stages are named "
        "steady-1, spike-1, steady-2 and so on.",
        SPIKES,
        required=tuple(SPIKES),
    ),
    "trace": either(
        "Recorded arrivals that an open load follows, instead of rate and stages: a file, or a "
        "table that says more.",
        text(""),
        table("", TRACE, required=("file",)),
        title="file, or { file, column, unit, speed, scale }",
        example={"file": "access.csv", "speed": 2},
    ),
    "rate_in": choice(
        'What rates count: "copies" (users), or "events", of which a copy sends events_per_copy.',
        "copies",
        "events",
        default="copies",
    ),
    "arrivals": choice(
        'Gaps between the copies of an open load. "constant": evenly spaced. "poisson": '
        "independent and exponential.",
        "constant",
        "poisson",
        default=_ANY.arrivals,
    ),
    "max_in_flight": whole(
        "Copies of an open load that may be in flight; one that falls due beyond is skipped and "
        "counted.",
        1,
        MAX_IN_FLIGHT,
        default=_ANY.max_in_flight,
    ),
    "concurrency": whole("Copies in flight in a closed load.", 1, MAX_IN_FLIGHT, example=50),
    "ramp": array(
        "How the users of a closed load come and go, from none, instead of concurrency and "
        "duration: a user runs one copy after the other.",
        table("", RAMP, required=tuple(RAMP)),
        minItems=1,
        maxItems=MAX_STAGES,
        example=[{"duration": "30s", "concurrency": 50}, {"duration": "10s", "concurrency": 0}],
    ),
    "copies": whole("Copies of a closed load in all.", 1, MAX_COPIES, example=10_000),
    "events_per_copy": whole(
        "Events that each copy sends of its user.",
        1,
        MAX_EVENTS_PER_COPY,
        default=_ANY.events_per_copy,
    ),
    "copies_per_request": whole(
        "Copies whose events go into one request; they fall due together.",
        1,
        MAX_COPIES_PER_REQUEST,
        default=_ANY.copies_per_request,
    ),
    "think_time": wait(
        "How long a copy waits between its steps, like a person who reads. It is part of no "
        "latency; a copy that thinks holds no connection and does not count as in flight."
    ),
    "preconnect": whole(
        "Connections that are open before the first copy is due; by default as many as the load "
        "lets expect.",
        0,
        MAX_IN_FLIGHT,
        example=100,
    ),
    "workers": either(
        'Processes that share the load; "auto": as many as this machine, or the container, has '
        "cores to spare. By default one, or one for each of prefixes. Each flow of a mix has its "
        "own. They sleep between copies of an open load, which start some 0.05 ms after they are "
        "due, and together where they are less than 0.1 ms apart (0.25 ms where a worker has "
        "16,000 or more a second).",
        {"type": "integer", "minimum": 1, "maximum": MAX_WORKERS},
        {"const": "auto"},
        title=f'whole number from 1 to {MAX_WORKERS:,}, or "auto"',
        example=4,
    ),
    "prefixes": array(
        "Commands that run another command elsewhere; the workers are started behind them in turn.",
        text(""),
        example=["ssh host1", "ssh host2"],
    ),
}
_RETRY, _TIMEOUTS = Retry(), Timeouts()
RETRY: Keys = {
    "attempts": whole(
        "Attempts in all, the first included; 1 switches retries off.",
        1,
        MAX_ATTEMPTS,
        default=_RETRY.attempts,
    ),
    "backoff": duration(
        "Wait before the second attempt; doubled for each further one.",
        zero=True,
        default=_RETRY.backoff_s,
    ),
    "max_backoff": duration(
        "The longest wait. A Retry-After of the answer overrules it.",
        zero=True,
        default=_RETRY.max_backoff_s,
    ),
    "on": array(
        'What is retried: "timeout", "connection", status codes ("429") and classes ("5xx").',
        {"type": "string", "pattern": RETRIED},
        default=list(_RETRY.on),
    ),
    "stale": flag(
        "Whether a request that met an idle connection being closed is sent once more, if it "
        "carries $copy.insertId.",
        default=_RETRY.stale,
    ),
}
TIMEOUTS: Keys = {
    "connect": duration("To open a connection.", default=_TIMEOUTS.connect_s),
    "write": duration(
        "Until the system has taken all of the request; by default as long as request.",
        example="2s",
    ),
    "read": duration(
        "Between two pieces of an answer, and before the first; by default as long as request.",
        example="2s",
    ),
    "request": duration(
        "From the first byte written to the last byte read.", default=_TIMEOUTS.request_s
    ),
    "max_idle": duration(
        "How long a connection may have been idle to be used again; less, where the server's "
        "Keep-Alive says so.",
        default=_TIMEOUTS.max_idle_s,
    ),
    "drain": duration(
        "For the copies in flight when the last one has started; what is still out then is "
        "indeterminate.",
        zero=True,
        default=_TIMEOUTS.drain_s,
    ),
}
LIMIT: Keys = {
    "concurrency": whole("Requests of the step in flight at once.", 1, MAX_IN_FLIGHT, example=4),
    "rate": rate("Requests of the step per second.", example=5),
}
COUNT: Keys = {
    "value": text(
        "Runtime expression or JSONPath that gives the number.",
        example="$response.body#/data/users",
    ),
    "overlay": _edits("Edits of the query that this count needs and others do not."),
    "select": text(
        'What {$count} stands for in [verify.split]; by default "uniques" or "totals".',
        example="count(DISTINCT user_id)",
    ),
}
EVIDENCE: Keys = {
    "pruned": text(
        "Expression that is true if groups were left out.", example="$response.body#/pruned"
    ),
    "sample_rate": text(
        "The share of events that was counted, 1 if all.", example="$response.body#/sampleRate"
    ),
    "cached": text("Whether the answer came from a cache.", example="$response.body#/wasCached"),
    "age_ms": text("How long ago it was computed, in milliseconds.", example="$response.body#/age"),
}
SPLIT: Keys = {
    "labels": text("The labels of the rows.", example="$response.body#/data/labels"),
    "values": text(
        "Their counts, in the same order; {$count} as in overlay.", example="$.data.rows[*].value"
    ),
    "limit": whole("The most rows that the service returns.", 2, MAX_ROWS, example=1000),
    "tag": _edits(
        "Edits of the ingest step that put the buckets on its events; {$partition} stands for the "
        "name of a partition.",
        TAG_EDIT,
    ),
    "overlay": _edits(
        "Edits of the query that group its answer by {$partition}, after those of the count; "
        "{$count} stands for what is counted, users or events: see select of both."
    ),
}
BUDGET: Keys = {
    "cost": whole("What all queries of a window may cost together.", 1, MAX_COST, example=1000),
    "window": duration("The length of the window.", example="5m"),
    "plain": whole("What a query costs.", 0, MAX_COST, default=1),
    "split": whole("What a query costs that is grouped by a bucket.", 0, MAX_COST, default=1),
    "per_day": flag("Whether both are for each day of the range asked about.", default=False),
}
_FOLLOWING = Following(token="")
FOLLOWING: Keys = {
    "token": text(
        "Member of an answer that names the page after it, as a JSON Pointer: {$token} there.",
        example="/next_cursor",
    ),
    "ends": choice(
        'What the last page is without: "token", or "rows" if every answer has a token.',
        "token",
        "rows",
        default=_FOLLOWING.ends,
    ),
    "path": text("Path and query of further pages, if others.", pattern=PATH, example="/next"),
    "body": anything("Body of further pages, if another.", example={"cursor": "{$token}"}),
}
_EXPORT = Export(path="", run="")
EXPORT: Keys = {
    "path": text(
        "Path and query on the query's server, behind its base path. {$run.id} and {$inputs.NAME} "
        "have the same values as there, {$start} and {$end} for the first and the last hour "
        "(YYYYMMDDTHH, UTC; {$startTime}: ISO 8601, {$startMs}: milliseconds), {$offset} for the "
        "number of events in the pages before, {$last} and {$token} for where to go on (after, "
        "next). The answer may be in gzip or ZIP.",
        pattern=PATH,
        example="/api/2/export?start={$start}&end={$end}",
    ),
    "method": choice(
        "Its method; its credentials are the query's.", "GET", "POST", default=_EXPORT.method
    ),
    "body": anything(
        "Its body, with the placeholders of path: a text, or JSON in which a placeholder that is "
        "the whole value keeps its type.",
        example={"run": "{$run.id}", "offset": "{$offset}"},
    ),
    "headers": named(
        "Header fields besides and instead of the query's.",
        "NAME",
        text("The value; may have the placeholders of path."),
        example={"Accept": "application/csv"},
    ),
    "format": choice(
        '"json": lines, an array, or answers with rows; "csv": a header names the columns, which '
        "are pointed to as members.",
        "json",
        "csv",
        default=_EXPORT.format,
    ),
    "rows": text(
        "JSONPath to the array of events in an answer; without it each line, or each member of an "
        "array, is an event. An event may be an array itself.",
        example="$.hits.hits",
    ),
    "empty": text(
        "JSONPath to what an answer holds if it lacks the array at rows because there are no "
        "events. Without this key such an answer is an error.",
        example="$.results[0].statement_id",
    ),
    "errors": array(
        'JSONPaths to what is wrong with an answer: whatever is there but null, false, 0, "" or '
        "an empty array leaves the export without proof.",
        text(""),
        example=["$.error", "$.timed_out"],
    ),
    "after": text(
        "For an export in pages: member that events are ordered by, as a JSON Pointer. {$last} is "
        'its value in the last event of the page before, "" at first; the last page is empty.',
        example="/insert_id",
    ),
    "next": table("Pages of which each answer names the next.", FOLLOWING),
    "pages": whole(
        "Most pages to read. More of them, or a page that is repeated, are an error.",
        2,
        MAX_COUNT,
        default=_EXPORT.pages,
    ),
    "servers": named(
        "Where another server exports than the one that queries go to: the latter = the former.",
        "URL",
        text("The server that exports, as a URL without a path."),
        example={"https://example.org": "https://data.example.org"},
    ),
    "deduplicated": flag(
        "Whether the export, like the count, holds only one of several events with the same "
        "deduplication key; if not, a repeated key is not a duplicate.",
        default=True,
    ),
    "event": text(
        "Place of the event in the ingest step's request, unless every field is an input.",
        example="body#/events/0",
    ),
    "run": text(
        "Member that tells events of this run from others, as a JSON Pointer.",
        example="/event_properties/loadcheck_run",
    ),
    "fields": named(
        "What must come out as it went in: pointer into the exported event = pointer into the "
        "event sent, or $inputs.name, compared as text. The user and the deduplication key tell "
        "whose it is.",
        "POINTER",
        text("Pointer into the event sent, or $inputs.name."),
        example={"/user_id": "/user_id"},
    ),
}
REPEAT: Keys = {
    "event": text("Place of a copy's first event in the request.", example="body#/events/0"),
    "at": text(
        "Place of a further one; {$event} is its number, from 1.", example="body#/events/{$event}"
    ),
    "value": anything("The event, as in the workflow.", example={"user_id": "$inputs.userId"}),
    "overlay": _edits("Edits of a further event, after all others.", FURTHER_EDIT),
}
BATCH: Keys = {
    "events": text(
        'The array of events in the ingest step\'s request; "body" if copies write lines one '
        "under the other: JSON lines, line protocol.",
        pattern=EVENTS,
        example="body#/events",
    ),
    "refused": array(
        "Expressions for the indexes in it that an answer refuses.",
        text(""),
        example=["$response.body#/refused"],
    ),
    "statuses": text(
        "The HTTP status of each event, in their order, in a 2xx answer that took only some: 4xx "
        "is refused, 2xx taken.",
        example="$.items[*].index.status",
    ),
}
JOBS: Keys = {
    "job": text("JSONPath to the day of the job in the answer to a deletion.", example="$.day"),
    "path": text(
        "Where jobs are listed; {$start} and {$end} stand for the first and the last day wanted.",
        pattern=PATH,
        example="/jobs?start={$start}&end={$end}",
    ),
    "days": text("JSONPath to the days of the jobs listed.", example="$[*].day"),
    "states": text("JSONPath to their states.", example="$[*].status"),
    "done": text("The state that is the last.", example="done"),
}
_DELETION = Deletion()
DELETE: Keys = {
    "method": choice(
        "Method of the request, which goes to the server that counts, with the credentials of its "
        "query.",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        default=_DELETION.method,
    ),
    "endpoint": text(
        "Its path and query. {$users} stands for the ids of a batch, quoted and with commas, "
        "{$run.id} for the mark of the run, {$inputs.NAME} for an input that is not a copy's own.",
        pattern=PATH,
        example="/events?run=eq.{$run.id}&user=in.({$users})",
    ),
    "body": anything(
        'Its body: a text, or JSON in which "{$users}" is the array of the ids.',
        example={"user_ids": "{$users}"},
    ),
    "batch": whole("Most ids in a request.", 1, MAX_IDS, default=_DELETION.batch),
    "every": duration("Pause between two requests.", zero=True, default=_DELETION.every_s),
    "quote": choice("Quotation mark around each id in a text.", "'", '"', default=_DELETION.quote),
    "jobs": table("How far a deletion is that the service does in its own time.", JOBS),
    "impossible": text(
        "Why the service cannot delete users; said instead of trying.", example="append-only"
    ),
}
_VERIFY = Verify()


def _count_of(says: str) -> Shape:
    return either(
        says,
        text(""),
        table("", COUNT),
        title="expression",
        example="$response.body#/data/users",
    )


VERIFY: Keys = {
    "enabled": flag(
        "false sends load only: no query is sent, and thresholds alone decide.", default=True
    ),
    "query": choice(
        '"after": loadcheck alone asks, for all copies. "each": every copy runs the query, too.',
        "after",
        "each",
        default=_VERIFY.query,
    ),
    "ingest": text(
        "The step whose outcome is the copy's; by default the workflow's only one.",
        example="uploadEvents",
    ),
    "step": text(
        "The step that asks for the count; by default the workflow's only one.",
        example="segmentEvent",
    ),
    "acknowledged": text(
        "A condition beyond the step's own success criteria without which an answer acknowledges "
        "nothing.",
        example="$response.body#/events_ingested == {$events}",
    ),
    "user": text(
        "Place of the user id that is counted: in the ingest step's request, or an input; by "
        "default it is $copy.userId.",
        pattern=USER,
        example="body#/events/0/user_id",
    ),
    "uniques": _count_of("Where in the answer the number of unique users is."),
    "totals": _count_of("Where in the answer the number of events is."),
    "evidence": table("What an answer says about itself that makes it no evidence.", EVIDENCE),
    "localize": flag(
        "Whether events carry buckets, so that the missing can be named; by default wherever the "
        "service's profile knows how.",
        example=False,
    ),
    "approximate": text(
        "The error that the service's counts may have; by default they are exact.",
        pattern=PERCENT,
        title="percentage",
        example="1%",
    ),
    "absent": whole(
        "The count to assume if an answer has none; by default such an answer is not evidence.",
        0,
        MAX_COUNT,
        example=0,
    ),
    "partitions": whole(
        "How many hashed buckets each event carries.", 1, MAX_PARTITIONS, default=_VERIFY.partitions
    ),
    "split": table("How events are marked with buckets, and counted by them.", SPLIT),
    "budget": table("What the service lets its users ask.", BUDGET),
    "export": table("Where the service hands out the events themselves.", EXPORT),
    "repeat": table("How a copy sends several events: load.events_per_copy.", REPEAT),
    "batch": table("How copies share a request: load.copies_per_request.", BATCH),
    "bypass": _edits("Edits that get a query past the service's result cache."),
    "cache": choice(
        'Whether queries go past the service\'s result cache ("bypass") or not ("respect").',
        "bypass",
        "respect",
        default=_VERIFY.cache,
    ),
    "every": duration("Pause between two queries of the count.", default=_VERIFY.every_s),
    "quiet": duration(
        "The count has settled when it has not moved for this long.", default=_VERIFY.quiet_s
    ),
    "deadline": duration(
        "How long after the last acknowledgement to wait for the missing.",
        default=_VERIFY.deadline_s,
    ),
    "timeout": duration("Deadline of one query.", default=_VERIFY.timeout_s),
}
THRESHOLD: Keys = {
    "check": text("What must hold.", example="error_rate < 5%"),
    "abort": flag("End the load when it does not hold.", default=False),
    "grace": duration(
        "How long after the beginning of the load, or of its stage, it is not looked at for that.",
        zero=True,
        default=Threshold(check="").grace_s,
    ),
}
_CAPACITY = Capacity()
_AMOUNTS = ({"type": "string", "pattern": r"^[0-9]"}, {"type": "integer", "minimum": 1})
CAPACITY: Keys = {
    "from": rate(
        "The rate to begin with; by default the lowest of the load's stages.", example=100
    ),
    "to": rate("The highest rate to try; by default as high as it goes.", example=20_000),
    "precision": either(
        "Width of the answer's interval, as a share of it.",
        {"type": "string", "pattern": PERCENT},
        {"type": "number", "minimum": FINEST, "maximum": COARSEST},
        title="percentage",
        default=f"{100 * _CAPACITY.precision:g}%",
    ),
    "climb": {
        "description": "Each rate over the one before it, as long as all hold.",
        "title": "factor",
        "type": "number",
        "minimum": GENTLEST,
        "maximum": STEEPEST,
        "default": _CAPACITY.climb,
    },
    "probe": duration("How long a rate is measured, at least.", default=_CAPACITY.probe_s),
    "warmup": duration("How long it is held before that.", zero=True, default=_CAPACITY.warmup_s),
    "recovery": duration(
        "Pause after a rate that held; twice as long after one that did not.",
        zero=True,
        default=_CAPACITY.recovery_s,
    ),
    "samples": whole(
        "Copies to measure at each rate, at least.", 1, MAX_COPIES, default=_CAPACITY.samples
    ),
    "probes": whole(
        "The most rates to try, repetitions included.", 1, MAX_PROBES, default=_CAPACITY.probes
    ),
    "budget": either(
        "The most time (a duration) and the most events (a number) that all may take.",
        *_AMOUNTS,
        {"type": "array", "items": {"anyOf": list(_AMOUNTS)}},
        title="duration, number of events, or both",
        example=["5m", 2_000_000],
    ),
}

USERS: Keys = {
    "id": text(
        "Template of the ids: {number} is the copy's number ({number:07}: with seven digits), "
        "{uuid} and {digits} stand for the run and the number, {run} is the run's id.",
        pattern=USER_ID,
        example="user-{run}-{number}@example.org",
        default=UserIds().template,
    ),
    "type": choice(
        'What ids are in JSON; "integer" goes with {digits} or {number} alone.',
        "string",
        "integer",
        default="string",
    ),
}
DATA: Keys = {
    "file": text(
        "The data file, inside the scenario's folder: .csv, .tsv, .jsonl or .json, and .gz behind "
        "it if it is compressed.",
        example="users.csv",
    ),
    "order": choice(
        'Which row a copy gets. "sequential": the next one; "shuffle": the next of a shuffled '
        'file; "random": any, independently; "once": the next, and none twice.',
        *get_args(Order),
        default="sequential",
    ),
    "end": choice(
        'After the last row. "cycle": begin again; "stop": end the load; "error": refuse a file '
        "with fewer rows than copies. By default cycle, and error for once.",
        *get_args(End),
        example="stop",
    ),
    "separator": text(
        "The character between the cells of a table; by default a comma, a tab in .tsv.",
        pattern=r"^.$",
        example=";",
    ),
    "types": named(
        "The types of a table's columns; without one a cell is text. An empty cell is null then.",
        "COLUMN",
        choice("The type of the column's cells.", *CELL_TYPES),
        example={"age": "int"},
    ),
}

_MOST = MAX_COUNT
SERVICE_LIMITS: Keys = {
    "events_per_s": whole("Events per second, of all users together.", 1, _MOST, example=1000),
    "requests_per_s": whole("Requests with events per second.", 1, _MOST, example=100),
    "bytes_per_s": whole(
        "Bytes of their bodies per second, before these are compressed.",
        *(1, _MOST),
        example=33_333_333,
    ),
    "user_events_per_s": whole("Events per second of one user.", 1, _MOST, example=30),
    "user_events_per_day": whole("Events of one user in 24 hours.", 1, _MOST, example=500_000),
    "events_per_request": whole("Events in one request.", 1, _MOST, example=1999),
    "request_bytes": whole(
        "Length of a request's body, before it is compressed.", 1, _MOST, example=999_999
    ),
    "event_bytes": whole(
        "Length of one event, with its share of the request around it.", 1, _MOST, example=32_000
    ),
    "query_cost_per_hour": whole("Cost of all queries in an hour.", 1, _MOST, example=108_000),
    "export_bytes": whole("Size of what can be exported at once.", 1, _MOST, example=4_000_000_000),
}
SERVICE: Keys = {
    "name": text("What people call the service.", example="Amplitude"),
    "billed": text("What each new user counts as.", example="monthly tracked user"),
    "stays": text("What a run leaves behind.", example="events cannot be taken back"),
    "regions": named(
        "The data centre of a host.",
        "HOST",
        text("The region's name."),
        example={"api.eu.amplitude.com": "EU"},
    ),
    "limits": table(
        "What the service documents that it takes: loadcheck plan holds the load against it. What "
        "your contract says instead belongs into the scenario.",
        SERVICE_LIMITS,
    ),
    "advice": table(
        "What the service asks not to exceed, and takes all the same: loadcheck plan warns of it.",
        SERVICE_LIMITS,
    ),
}

_GUARD = Guard()
GUARD: Keys = {
    "max_users": whole(
        "Most users of the load, without the control users that a loss requires.",
        *(1, MAX_COUNT),
        example=1000,
    ),
    "max_events": whole("Most events of the load.", 1, MAX_COUNT, example=5000),
    "max_rate": rate("Most copies per second.", example=50),
    "hosts": array(
        "Hosts that may be reached, proxies and collectors of metrics among them; * stands for "
        "anything.",
        text(""),
        example=["*.amplitude.com"],
    ),
    "window": text(
        "Times of this machine's day between which it may send; a load that is still going on "
        "then is ended.",
        pattern=WINDOW,
        example="22:00-06:00",
    ),
    "stop_file": text(
        "The load ends when this file appears, and none begins while it is there: it may be "
        "shared by several runs. Relative to the scenario.",
        example="STOP",
    ),
    "max_error_rate": text(
        "Circuit breaker: the load ends when more attempts of the ingest step fail.",
        pattern=PERCENT,
        example="50%",
    ),
    "max_throttled": text(
        "The load ends when more attempts of the ingest step are answered with 429.",
        pattern=PERCENT,
        example="20%",
    ),
    "over": duration("The time over which both shares are taken.", default=_GUARD.over_s),
    "stop_on_throttled": flag(
        "End the load when the service's first refusal with a status names the users it throttles, "
        "in a member throttled_….",
        default=_GUARD.stop_on_throttled,
    ),
}


def _thresholds(description: str, example: list[str]) -> Shape:
    """Return the shape of an array of thresholds."""
    return array(
        description,
        either("", text(""), table("", THRESHOLD, required=("check",))),
        example=example,
    )


TOGETHER: Keys = {
    "thresholds": _thresholds(
        "What must hold of all flows together, by the sums of their counts and the times of all "
        "their requests in one histogram: p99 (also service_time.p99, failed.p99), workflow.p99, "
        "error_rate, rate, lost and every other figure of a run. No stages, and no steps.",
        ["p99 < 250ms", "error_rate < 1%", "lost == 0"],
    )
}
_TOP: Keys = {
    "name": text(
        "Short name, part of the results file's name; by default the file's.",
        pattern=NAME,
        example="nightly",
    ),
    "description": text("One line for people.", example="A burst and the recovery from it"),
    "labels": named(
        "Distinguish the run later, in list, trend and exports; --label adds to them. "
        "Commit, branch and CI run are taken from git and the environment where not given.",
        "NAME",
        text("Anything that fits in a line.", pattern=LABEL),
        example={"env": "staging"},
        propertyNames={"pattern": LABEL_NAME},
        maxProperties=MAX_LABELS,
    ),
    "seed": whole(
        "Seed of everything random; by default drawn, and recorded.", 0, MAX_SEED, example=7
    ),
    "workflow": either(
        f"A workflow that comes with loadcheck ({_SHIPPED}), the path of an Arazzo document, or a "
        "table.",
        text(""),
        table("", WORKFLOW),
        title="name, path or table",
        example="amplitude",
    ),
    "target": table("The service that receives the load.", TARGET),
    "inputs": named("The workflow's inputs.", "NAME", _INPUT, example={"plan": "free"}),
    "data": named(
        "Data files; $data.NAME.COLUMN is a cell of the copy's row.",
        "NAME",
        table("", DATA),
        example={"users": {"file": "users.csv"}},
    ),
    "users": table("What users are called: $copy.userId.", USERS, required=("id",)),
    "sessions": table("Users that upload more than once, or return.", SESSIONS),
    "values": named(
        "Values that are drawn for each copy, or plain ones: $values.NAME.",
        "NAME",
        anything("What is drawn, such as { int = [1, 100] }, or any value."),
        example={"country": {"choice": ["DE", "FR"], "weights": [3, 1]}},
    ),
    "setup": table(
        "A workflow that runs once before the load: a login, a project to be made. Its outputs are "
        "$setup.outputs.NAME in inputs and overlays, for copies, queries, controls and reconcile. "
        "It is part of no latency. A failure ends the run before the load. In a mix it runs once "
        "for all flows that want the same of it, with $run.id as that of the first.",
        SETUP,
        required=("workflow",),
    ),
    "teardown": table(
        "What is done once when all is over, also after Ctrl-C, an abort or an error: a workflow "
        "runs, the run's users are deleted.",
        TEARDOWN,
    ),
    "overlay": _edits(
        "What to put into a step's request that the document leaves out. Those of the service's "
        "profile apply first.",
        EDIT,
    ),
    "load": table("How many copies, and when.", LOAD),
    "retry": table("What is done about an attempt that failed.", RETRY),
    "timeouts": table("Deadlines of one attempt and of the end of the load.", TIMEOUTS),
    "limits": named(
        "What a step that all copies run may ask of the service.",
        "STEP",
        table("", LIMIT, minProperties=1),
        example={"lookup": {"concurrency": 4, "rate": 5}},
    ),
    "verify": table("How the service is asked what arrived.", VERIFY),
    "delete": table(
        "How loadcheck delete RESULT removes the users of a run; the profiles of services know.",
        DELETE,
    ),
    "thresholds": _thresholds(
        "What must hold: [STAGE:] METRIC OPERATOR VALUE, or a table that says more. Of a mix: of "
        "each flow.",
        ["uploadEvents.p99 < 250ms", "lost == 0"],
    ),
    "together": table("What all flows of a [[mix]] are judged by together.", TOGETHER),
    "guard": table(
        "What a run may not do, whatever else is asked of it: checked before it starts, and every "
        "second while it sends. Ends a load as a threshold with abort = true does.",
        GUARD,
    ),
    "service": table("What the service is known for, beyond its API.", SERVICE),
    "capacity": table("How loadcheck capacity searches for the highest rate that holds.", CAPACITY),
}
FLOW_ONLY: Keys = {
    "name": text(
        "Name of the flow, in results, reports and messages; by default that of its "
        "workflow. The name together means all flows.",
        pattern=STAGE_NAME,
        maxLength=MAX_FLOW_NAME,
        example="checkout",
    ),
    "weight": {
        "description": "Its share of the load, beside the weights of the others.",
        "title": "number",
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": MAX_WEIGHT,
        "default": 1,
    },
    "rate": rate("Instead of a weight: its copies per second, for load.duration.", example=50),
    "stages": array(
        "Instead of a weight: stretches of its own, as in load.stages.",
        table("", STAGE, required=("duration",)),
        minItems=1,
        maxItems=MAX_STAGES,
        example=[{"name": "burst", "duration": "8s", "rate": 2500}],
    ),
}
_IN_NO_FLOW = frozenset({"name", "description", "seed", "target", "capacity", "together"})
FLOW: Keys = {**FLOW_ONLY, **{n: s for n, s in _TOP.items() if n not in _IN_NO_FLOW}}
TOP: Keys = {
    "extends": text(
        "A scenario beneath this one, relative to it: tables merge, other values replace, "
        "overlays of both apply. Its name is not taken over.",
        example="base.toml",
    ),
    **_TOP,
    "mix": array(
        "Several workflows in one run, each with its share of the load. What is at the top "
        "applies to every flow; any table of it, such as data, inputs, sessions or thresholds, may "
        "be repeated in a flow and takes precedence there. Each flow is counted, judged and saved "
        "on its own, and all together.",
        table("", FLOW),
        minItems=1,
        maxItems=MAX_FLOWS,
        example=[
            {"workflow": "amplitude", "weight": 3},
            {"name": "seldom", "workflow": "amplitude", "thresholds": ["lost == 0"]},
        ],
    ),
    "profiles": named(
        "What one environment has otherwise, laid over the rest by --profile NAME.",
        "NAME",
        table("The same keys as at the top.", {n: s for n, s in _TOP.items() if n != "name"}),
        example={"staging": {"load": {"rate": 50}}},
    ),
}
PROFILE: Keys = properties(TOP["profiles"]["additionalProperties"])
NOT_IN_A_PROFILE = frozenset({"name", "description", "workflow", "extends", "profiles"})
"""Keys that the profile of a service may not have."""

TABLES: Mapping[str, Keys] = {
    name: WORKFLOW if name == "workflow" else properties(shape)
    for name, shape in TOP.items()
    if name == "workflow" or ("properties" in shape)
}
"""Top-level tables whose keys are fixed, by name."""
