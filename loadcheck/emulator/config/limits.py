"""``limits``: the documented numbers, none, or either with changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from loadcheck.emulator.config.model import QueryLimits, TaxonomyLimits, UploadLimits

if TYPE_CHECKING:
    from loadcheck.emulator.config.reader import Reader

# [D] HTTP V2 API and its FAQ. Whether MB is 10^6 or 2^20 is [U]; the smaller refuses more.
_HTTPAPI = UploadLimits(
    max_bytes=1_000_000,
    max_events=2000,
    user_events_per_s=30,
    window_s=30,  # "averaged over a recent window" [D]; its length [U], that of batch taken
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


def read_limits(top: Reader) -> Limits:
    """Read ``limits``: a word, or a table whose ``base`` is that word and the rest changes.

    "off" lifts rates, budgets and room for names. Sizes of a request and windows of a query are
    part of what the API is and stay, unless a table changes them.
    """
    value = top.table.get("limits", "off")
    if not isinstance(value, Mapping):
        word = top.choice("limits", ("off", "documented"), "off")
        return (word, *_base(word))
    table = top.sub("limits")
    assert table is not None
    table.only({"base", "httpapi", "batch", "queries", "taxonomy"})
    word = table.choice("base", ("documented", "off"), "documented")
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
    names = [entry.name for entry in dataclasses.fields(limits)]
    table.only(names)
    changes: dict[str, Any] = {}
    for name in names:
        if name not in table.table:
            continue
        if name == "max_intervals":
            changes[name] = table.flag(name, default=True)
        elif table.table[name] == "off" and name != "window_s":
            changes[name] = None
        else:
            changes[name] = table.integer(name, 1, least=1)
    return dataclasses.replace(limits, **changes)
