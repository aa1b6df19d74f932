"""A mapping, as a scenario's ``[target]`` or a file holds it, to an :class:`EmulatorConfig`."""

from __future__ import annotations

import secrets
import zoneinfo
from typing import TYPE_CHECKING, Any, Literal, cast

from loadcheck.emulator.config.delay import read_delay
from loadcheck.emulator.config.faults import read_faults
from loadcheck.emulator.config.limits import read_limits
from loadcheck.emulator.config.model import DelayDistribution, EmulatorConfig, Fault
from loadcheck.emulator.config.reader import ConfigError, Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = (
    "api_key",
    "secret_key",
    "seed",
    "visibility_delay",
    "time_zone",
    "limits",
    "cache",
    "short_ids",
    "empty_result",
    "blocked_event_types",
    "inactive_event_types",
    "custom_events",
    "silenced_devices",
    "export_lag",
    "block_bots",
    "capacity",
    "faults",
)


def parse(table: Mapping[str, Any]) -> EmulatorConfig:
    """Check a configuration and fill in what it leaves out.

    Raises:
        ConfigError: Something in it cannot be used; it holds every problem.
    """
    top = Reader(table)
    top.only(_KEYS)
    seed = top.integer("seed", 0)
    limits_name, httpapi, batch, queries, taxonomy = read_limits(top)
    default_cache = "documented" if limits_name.startswith("documented") else "off"
    config = EmulatorConfig(
        api_key=top.text("api_key", secrets.token_hex(16)),
        secret_key=top.text("secret_key", secrets.token_hex(16)),
        seed=seed,
        visibility=read_delay(top, "visibility_delay", DelayDistribution("fixed", 0.0)),
        time_zone=_time_zone(top),
        limits_name=limits_name,
        httpapi=httpapi,
        batch=batch,
        queries=queries,
        taxonomy=taxonomy,
        cache=top.choice("cache", ("documented", "off"), default_cache) == "documented",
        short_ids=cast(
            'Literal["strip", "refuse"]', top.choice("short_ids", ("strip", "refuse"), "strip")
        ),
        empty_result=cast(
            'Literal["zeros", "empty"]', top.choice("empty_result", ("zeros", "empty"), "zeros")
        ),
        blocked_event_types=frozenset(top.texts("blocked_event_types")),
        inactive_event_types=frozenset(top.texts("inactive_event_types")),
        custom_events=_custom_events(top),
        silenced_devices=frozenset(top.texts("silenced_devices")),
        export_lag_ms=top.duration_ms("export_lag", 2 * 3_600_000.0),  # [D] Export API
        block_bots=top.flag("block_bots", default=False),
        capacity=top.rate("capacity"),
        faults=read_faults(top, seed),
    )
    if top.problems:
        raise ConfigError(top.problems)
    return config


def parse_faults(table: Mapping[str, Any], seed: int) -> tuple[Fault, ...]:
    """Check a table of faults by itself, as the control endpoint takes it.

    Raises:
        ConfigError: Something in it cannot be used.
    """
    top = Reader({"faults": table})
    faults = read_faults(top, seed)
    if top.problems:
        raise ConfigError(top.problems)
    return faults


def _custom_events(top: Reader) -> dict[str, tuple[str, ...]]:
    table = top.sub("custom_events")
    return {} if table is None else {name: table.texts(name) for name in table.table}


def _time_zone(top: Reader) -> str:
    name = top.text("time_zone", "UTC")
    if name == "UTC":  # known even where the machine has no time zone database
        return name
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        top.problem("time_zone", f"found {name!r}", 'expected an IANA name such as "Europe/Berlin"')
        return "UTC"
    return name
