"""The configuration of the emulator: mappings (TOML, JSON) parsed into frozen values.

All keys, as they stand under ``[target]`` of a scenario or in the file of ``loadcheck emulate
--config``; every one may be left out. Durations are texts such as "500ms" or numbers of seconds.
A delay is a duration, ``{ min, max }`` (uniform) or ``{ median, p99 }`` (lognormal).

.. code-block:: toml

    api_key = "an-api-key"                  # drawn at random
    secret_key = "a-secret-key"             # drawn at random
    region = "us"                           # or "eu": whose data centre knows these keys
    projects = [{ api_key = "b", secret_key = "c", region = "eu" }]   # further ones: none
    seed = 7                                # of everything random: 0
    visibility_delay = { median = "2s", p99 = "30s" }   # 0
    time_zone = "Europe/Berlin"             # of the project's days: UTC
    cache = "documented"                    # or "off"; by default as the limits are
    short_ids = "strip"                     # or "refuse", as /2/httpapi was seen to
    empty_result = "zeros"                  # or "empty": no series
    export_lag = "2h"                       # until an hour can be exported
    deletion_after = "30d"                  # until users are gone that were asked to be deleted
    capacity = "4000/s"                     # uploads are served one by one, at this rate: no bound
    block_bots = false                      # discard events whose user_agent is no browser's
    blocked_event_types = ["noise"]         # acknowledged and discarded
    inactive_event_types = ["ping"]         # not counted by _active
    silenced_devices = ["device-9"]         # refused with 400
    custom_events = { Bought = ["buy", "subscribe"] }   # asked for as ce:Bought

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

The kinds of faults are :data:`~loadcheck.emulator.config.faults.KINDS`. Whom one hits is said by
``rate``, or ``count`` with ``among`` or ``first``, inside a window of ``after``, ``lasting`` and
``every``, counted from the first upload; without any of these it hits all.
"""

from __future__ import annotations

from loadcheck.emulator.config.faults import ConfigError, ConfigProblem
from loadcheck.emulator.config.keys import KEYS
from loadcheck.emulator.config.model import (
    DelayDistribution,
    EmulatorConfig,
    Fault,
    Selection,
)
from loadcheck.emulator.config.parse import parse, parse_faults

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
