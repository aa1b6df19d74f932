"""The configuration of the emulator: mappings (TOML, JSON) parsed into frozen values.

All keys, as they stand under ``[target]`` of a scenario or in the file of ``loadcheck emulate
--config``; all are optional. Durations are strings such as "500ms" or numbers of seconds.
A delay is a duration, ``{ min, max }`` (uniform) or ``{ median, p99 }`` (lognormal).

.. code-block:: toml

    api_key = "an-api-key"                  # drawn at random
    secret_key = "a-secret-key"             # drawn at random
    region = "us"                           # or "eu": the data centre that knows these keys
    projects = [{ api_key = "b", secret_key = "c", region = "eu" }]   # further ones: none
    seed = 7                                # of everything random: 0
    visibility_delay = { median = "2s", p99 = "30s" }   # 0
    time_zone = "Europe/Berlin"             # of the project's days: UTC
    cache = "documented"                    # or "off"; by default as the limits are
    short_ids = "strip"                     # or "refuse", as /2/httpapi was seen to
    empty_result = "zeros"                  # or "empty": no series
    export_lag = "2h"                       # until an hour can be exported
    deletion_after = "30d"                  # from a deletion request until the users are gone
    capacity = "4000/s"                     # uploads served one at a time at this rate: no limit
    block_bots = false                      # discard events whose user_agent is not a browser's
    blocked_event_types = ["noise"]         # acknowledged and discarded
    inactive_event_types = ["ping"]         # not counted by _active
    silenced_devices = ["device-9"]         # refused with 400
    custom_events = { Bought = ["buy", "subscribe"] }   # queried as ce:Bought

    preset = "replica-lag"                  # or "partition-late", "compaction": no preset

    [limits]                                # or limits = "documented", or "off": the default
    base = "documented"                     # what is not changed below; "off" lifts one limit
    httpapi = { project_requests_per_s = "off", project_events_per_s = 5000 }
    batch = { max_bytes = 1_000_000, max_events = 10, user_events_per_s = 10, window_s = 30 }
    queries = { concurrent = 2, cost_per_5_minutes = 100, max_intervals = false }
    taxonomy = { event_types = 10 }

    [faults]                                # each a table, or a list of tables
    drop = { count = 7, among = 20_000 }    # exactly 7 of the first 20,000 users
    duplicate = { rate = 0.01, copies = 1 } # each with this probability
    late_visibility = { first = 100, count = 50, delay = "1m" }    # 50 in a row
    error_after_commit = { rate = 0.001, status = 500, seed = 3 }
    throttle = { after = "2s", lasting = "1s", every = "10s" }     # bursts
    slow = [{ rate = 0.1, delay = { median = "20ms", p99 = "1s" } }, { on = "queries" }]
    stall = { after = "5s", lasting = "2s" }

The kinds of faults are :data:`~loadcheck.emulator.config.faults.KINDS`. What a fault hits is chosen
by ``rate``, or ``count`` with ``among`` or ``first``, inside a window of ``after``, ``lasting`` and
``every``, counted from the first upload; without any of these it hits everything.
"""

from __future__ import annotations

import dataclasses
import secrets
import zoneinfo
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, cast

from loadcheck.emulator.config.keys import KEYS
from loadcheck.emulator.config.model import (
    DelayDistribution,
    EmulatorConfig,
    Fault,
    OtherProject,
    QueryLimits,
    Region,
    Selection,
    TaxonomyLimits,
    UploadLimits,
)
from loadcheck.emulator.config.reader import ConfigError, ConfigProblem, Reader, read_faults

# [D] HTTP V2 API and its FAQ. Whether MB is 10^6 or 2^20 is [U]; the smaller refuses more.
_HTTPAPI = UploadLimits(
    max_bytes=1_000_000,
    max_events=2000,
    user_events_per_s=30,
    window_s=30,  # "averaged over a recent window" [D]; its length is [U], batch's is used
    user_events_per_day=500_000,
    project_events_per_s=1000,
    project_requests_per_s=100,
    user_property_updates_per_hour=1800,
)
# [D] Batch Event Upload API; project ceiling: SDK Troubleshooting
_BATCH = UploadLimits(
    max_bytes=20_000_000,
    max_events=2000,
    user_events_per_s=1000,
    window_s=30,
    user_events_per_day=500_000,
    project_events_per_s=100_000,
    project_requests_per_s=None,
    user_property_updates_per_hour=None,
)
# [D] Dashboard REST API, "Rate limits"; deletions: User Privacy API
_QUERIES = QueryLimits(
    concurrent=5,
    cost_per_5_minutes=1000,
    cost_per_hour=108_000,
    user_concurrent=10,
    user_requests_per_hour=360,
    deletion_requests_per_s=1,
    deletion_concurrent=8,
    max_intervals=True,
)
# [D] Limits
_TAXONOMY = TaxonomyLimits(event_types=2000, event_properties=2000, user_properties=1000)

Limits = tuple[str, UploadLimits, UploadLimits, QueryLimits, TaxonomyLimits]
_Table = TypeVar("_Table", UploadLimits, QueryLimits, TaxonomyLimits)
_SIZES = ("max_bytes", "max_events", "window_s", "max_intervals")


def _limits(top: Reader) -> Limits:
    """Read ``limits``: a word, or a table with that word as ``base`` and changes to it.

    "off" lifts the limits on rates, costs and names. Request sizes and query windows are part of
    the API itself and stay, unless a table changes them.
    """
    if not isinstance(top.table.get("limits"), Mapping):
        word = top.choice("limits")
        return (word, *_base(word))
    table = top.sub("limits")
    assert table is not None
    word = table.choice("base")
    httpapi, batch, queries, taxonomy = _base(word)
    return (
        f"{word}, with changes",
        _changed(table, "httpapi", httpapi),
        _changed(table, "batch", batch),
        _changed(table, "queries", queries),
        _changed(table, "taxonomy", taxonomy),
    )


def _base(word: str) -> tuple[UploadLimits, UploadLimits, QueryLimits, TaxonomyLimits]:
    documented = (_HTTPAPI, _BATCH, _QUERIES, _TAXONOMY)
    if word == "documented":
        return documented
    return (_lifted(_HTTPAPI), _lifted(_BATCH), _lifted(_QUERIES), _lifted(_TAXONOMY))


def _lifted(limits: _Table) -> _Table:
    names = [entry.name for entry in dataclasses.fields(limits) if entry.name not in _SIZES]
    changes: dict[str, Any] = dict.fromkeys(names)
    return dataclasses.replace(limits, **changes)


def _changed(top: Reader, key: str, limits: _Table) -> _Table:
    table = top.sub(key)
    if table is None:
        return limits
    changes: dict[str, Any] = {}
    for name, value in table.table.items():
        shape = table.keys[name]
        if shape.get("type") == "boolean":
            changes[name] = table.flag(name)
        elif value == "off" and "anyOf" in shape:
            changes[name] = None
        else:
            changes[name] = table.integer(name)
    return dataclasses.replace(limits, **changes)


def parse(table: Mapping[str, Any]) -> EmulatorConfig:
    """Check a configuration and fill in what it leaves out.

    Raises:
        ConfigError: It is invalid; the error holds every problem.
    """
    top = Reader(table)
    seed = top.integer("seed")
    limits_name, httpapi, batch, queries, taxonomy = _limits(top)
    cache = top.choice("cache") or limits_name.partition(",")[0]
    custom = top.sub("custom_events")
    config = EmulatorConfig(
        api_key=top.text("api_key") or secrets.token_hex(16),
        secret_key=top.text("secret_key") or secrets.token_hex(16),
        seed=seed,
        visibility=top.delay("visibility_delay"),
        time_zone=_time_zone(top),
        limits_name=limits_name,
        httpapi=httpapi,
        batch=batch,
        queries=queries,
        taxonomy=taxonomy,
        cache=cache == "documented",
        short_ids=cast('Literal["strip", "refuse"]', top.choice("short_ids")),
        empty_result=cast('Literal["zeros", "empty"]', top.choice("empty_result")),
        blocked_event_types=frozenset(top.texts("blocked_event_types")),
        inactive_event_types=frozenset(top.texts("inactive_event_types")),
        custom_events={} if custom is None else {name: custom.texts(name) for name in custom.table},
        silenced_devices=frozenset(top.texts("silenced_devices")),
        export_lag_ms=top.duration_ms("export_lag"),  # its default: [D] Export API
        deletion_after_ms=top.duration_ms("deletion_after"),  # its default: [D]
        block_bots=top.flag("block_bots"),
        capacity=top.rate("capacity"),
        faults=read_faults(top, seed),
        region=cast("Region", top.choice("region")),
        projects=_projects(top),
    )
    if config.api_key in {project.api_key for project in config.projects}:
        top.problem("projects", "has the API key of the first project", "expected one of its own")
    if top.problems:
        raise ConfigError(top.problems)
    return config


def _projects(top: Reader) -> tuple[OtherProject, ...]:
    found: list[OtherProject] = []
    for table in top.subs("projects"):
        found.append(
            OtherProject(
                api_key=table.text("api_key") or secrets.token_hex(16),
                secret_key=table.text("secret_key") or secrets.token_hex(16),
                region=cast("Region", table.choice("region")),
            )
        )
        if found[-1].api_key in {project.api_key for project in found[:-1]}:
            table.problem("api_key", "two projects have it", "expected one of its own")
    return tuple(found)


def parse_faults(table: Mapping[str, Any], seed: int) -> tuple[Fault, ...]:
    """Check a table of faults on its own, as the control endpoint receives it.

    Raises:
        ConfigError: It is invalid; the error holds every problem.
    """
    top = Reader({"faults": table})
    faults = read_faults(top, seed)
    if top.problems:
        raise ConfigError(top.problems)
    return faults


def _time_zone(top: Reader) -> str:
    name = top.text("time_zone")
    if name == "UTC":  # known even where the machine has no time zone database
        return name
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        top.problem("time_zone", f"found {name!r}", 'expected an IANA name such as "Europe/Berlin"')
        return "UTC"
    return name


__all__ = [
    "KEYS",
    "ConfigError",
    "ConfigProblem",
    "DelayDistribution",
    "EmulatorConfig",
    "Fault",
    "Selection",
    "parse",
    "parse_faults",
]
