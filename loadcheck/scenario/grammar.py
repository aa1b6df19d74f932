"""Every key that a scenario may hold, table by table, and the limits of its numbers."""

from __future__ import annotations

TOP = frozenset(
    {
        "name",
        "description",
        "seed",
        "workflow",
        "target",
        "inputs",
        "data",
        "values",
        "users",
        "load",
        "retry",
        "timeouts",
        "verify",
        "thresholds",
        "overlay",
        "limits",
        "capacity",
    }
)
NOT_IN_A_PROFILE = frozenset({"name", "description", "workflow"})

WORKFLOW = frozenset({"document", "id", "sources", "strict", "profile"})
TARGET = frozenset(
    {
        "kind",
        "servers",
        "transport",
        "tls",
        "compress",
        "proxy",
        "http2",
        "redirects",
        "cookies",
    }
)
TLS = frozenset({"ca", "cert", "key", "server_name", "verify"})
ANY_LOAD = frozenset(
    {"duration", "events_per_copy", "copies_per_request", "preconnect", "workers", "prefixes"}
)
OPEN_LOAD = ANY_LOAD | {"rate", "stages", "arrivals", "max_in_flight"}
CLOSED_LOAD = ANY_LOAD | {"concurrency", "copies"}
LOAD = frozenset({"model"}) | OPEN_LOAD | CLOSED_LOAD
STAGE = frozenset({"name", "duration", "rate", "ramp_to"})
RETRY = frozenset({"attempts", "backoff", "max_backoff", "on", "stale"})
TIMEOUTS = frozenset({"connect", "write", "read", "request", "max_idle", "drain"})
VERIFY = frozenset(
    {
        "enabled",
        "query",
        "ingest",
        "step",
        "acknowledged",
        "user",
        "uniques",
        "totals",
        "bypass",
        "cache",
        "every",
        "quiet",
        "deadline",
        "timeout",
        "evidence",
        "localize",
        "approximate",
        "absent",
        "partitions",
        "split",
        "budget",
        "export",
        "repeat",
        "batch",
    }
)
EVIDENCE = frozenset({"pruned", "sample_rate", "cached", "age_ms"})
SPLIT = frozenset({"labels", "values", "limit", "tag", "overlay"})
BUDGET = frozenset({"cost", "window", "plain", "split", "per_day"})
EXPORT = frozenset({"path", "event", "run", "fields"})
REPEAT = frozenset({"event", "at", "value", "overlay"})
BATCH = frozenset({"events", "refused"})
LIMIT = frozenset({"concurrency", "rate"})
THRESHOLD = frozenset({"check", "abort", "grace"})
CAPACITY = frozenset(
    {
        "from",
        "to",
        "precision",
        "climb",
        "probe",
        "warmup",
        "recovery",
        "samples",
        "probes",
        "budget",
    }
)
COUNT = frozenset({"value", "overlay"})
EDIT = frozenset({"step", "at", "value"})
OBSERVER_EDIT = EDIT - {"step"}

TABLES = {
    "workflow": WORKFLOW,
    "target": TARGET,
    "load": LOAD,
    "retry": RETRY,
    "timeouts": TIMEOUTS,
    "verify": VERIFY,
    "capacity": CAPACITY,
}
"""The tables at the top whose keys are fixed."""

MAX_RATE = 1_000_000
"""Copies per second; ten times what one process can send."""
MAX_DURATION_S = 7 * 86_400.0
"""A week."""
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
"""Of counts that are estimates: what is off by half tells nothing."""
MAX_EVENTS_PER_COPY = 1000
MAX_COPIES_PER_REQUEST = 10_000
MAX_SEED = 2**63 - 1
"""The largest integer that TOML promises to carry."""
MAX_NAME_LENGTH = 80
MAX_PROBES = 1000
FINEST, COARSEST = 0.005, 0.5
"""Precision of a search: the width of the answer's interval, as a share of it."""
GENTLEST, STEEPEST = 1.1, 10.0
"""Each rate of a search's climb over the one before it."""
