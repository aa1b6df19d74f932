"""Every key of the configuration as JSON Schema, with its meaning: for editors and references."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any

from loadcheck.emulator.config.faults import KINDS, PRESETS, SELECTION, WINDOW, Kind
from loadcheck.emulator.config.model import QueryLimits, TaxonomyLimits, UploadLimits, duration

_Shape = Mapping[str, Any]
Keys = Mapping[str, _Shape]


def _key(says: str, shape: _Shape, **more: Any) -> dict[str, Any]:
    rest = {name: value for name, value in more.items() if name != "example"}
    if "example" in more:
        rest["examples"] = [more["example"]]
    return {"description": says, **shape, **rest}


_TIME = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+\s*$"},
        {"type": "number", "minimum": 0},
    ]
}
_DURATION = {"title": "duration", **_TIME}
_DELAY = {
    "title": "duration, { min, max } or { median, p99 }",
    "anyOf": [
        *_TIME["anyOf"],
        {
            "type": "object",
            "properties": {
                "min": _key("The shortest; uniform up to max.", _DURATION, example="1s"),
                "max": _key("The longest.", _DURATION, example="5s"),
            },
            "minProperties": 1,
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "median": _key("The median of a lognormal delay.", _DURATION, example="2s"),
                "p99": _key("Its 99th percentile.", _DURATION, example="30s"),
            },
            "required": ["median"],
            "additionalProperties": False,
        },
    ],
}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 2**53}
_NAMES = {"type": "array", "items": {"type": "string"}}
_TEXT = {"type": "string", "minLength": 1}
_REGION = {"enum": ["us", "eu"]}
_DOCUMENTED = {"enum": ["documented", "off"]}


def _table(says: str, keys: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    shape = {"type": "object", "properties": keys, "additionalProperties": False}
    return _key(says, shape, **more)


def _attributes(kind: type) -> dict[str, str]:
    """Return the descriptions of the attributes in a class's docstring, by name."""
    _, _, said = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    parts = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", said, re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "") for name, text in parts}


def _limits_of(says: str, kind: type) -> dict[str, Any]:
    said = _attributes(kind)
    keys = {}
    for each in dataclasses.fields(kind):
        shape: _Shape = {"type": "integer", "minimum": 1, "maximum": 2**53}
        if each.name == "max_intervals":
            shape = {"type": "boolean"}
        elif each.name != "window_s":
            shape = {
                "anyOf": [shape, {"const": "off"}],
                "title": 'whole number, or "off"',
                "examples": ["off"],
            }
        names = each.name.replace("_", " ").capitalize()
        keys[each.name] = _key(said.get(each.name, f"{names} that a project has room for."), shape)
    return _table(says, keys)


_SELECTED: Keys = {
    "rate": _key(
        "Each with this probability.",
        {"type": "number", "minimum": 0, "maximum": 1, "title": "share"},
        example=0.01,
    ),
    "count": _key("This many of them.", _NUMBER, example=7),
    "among": _key(
        "With count: how many of the first to choose from, at random.", _NUMBER, example=20_000
    ),
    "first": _key("With count: in a row, from this number on, from 0.", _NUMBER, example=100),
    "after": _key("When the window begins, after the first upload.", _DURATION, example="2s"),
    "lasting": _key("How long the window lasts; by default for ever.", _DURATION, example="1s"),
    "every": _key("The window comes again at this interval.", _DURATION, example="10s"),
    "seed": _key("Makes its choice repeatable.", _NUMBER, example=3),
}


def _fault(kind: Kind) -> dict[str, Any]:
    selected = WINDOW if kind.subject == "time" else SELECTION
    keys = {name: shape for name, shape in _SELECTED.items() if name in {"seed", *selected}}
    if kind.on:
        sides = {"enum": ["uploads", "queries", "all"]}
        keys["on"] = _key("Which requests it hits.", sides, default=kind.on)
    if kind.status:
        status = {"type": "integer", "minimum": 400, "maximum": 599}
        keys["status"] = _key("The HTTP status it answers with.", status, default=kind.status)
    if kind.delay_ms is not None:
        keys["delay"] = _key("How long it holds up.", _DELAY, default=duration(kind.delay_ms))
    if kind.number is not None:
        says = f"{kind.number_key.replace('_', ' ').capitalize()}: how many."
        keys[kind.number_key] = _key(says, _NUMBER, default=kind.number)
    if kind.parted:
        keys["partition"] = _key(
            "Only this share of the users, by a hash of the id: a part of the service.",
            {"type": "number", "minimum": 0, "maximum": 1, "title": "share"},
            example=0.125,
        )
    one = _table("", keys)
    says = f"{kind.does[:1].upper()}{kind.does[1:]}."
    if kind.subject != "time":
        says += f" What it hits is chosen among {kind.subject}."
    return _key(
        says,
        {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]},
        title="table, or array of tables",
    )


KEYS: Keys = {
    "api_key": _key(
        "API key of the emulator's project; by default drawn at random.",
        _TEXT,
        example="an-api-key",
    ),
    "secret_key": _key(
        "Its secret key; by default drawn at random.", _TEXT, example="a-secret-key"
    ),
    "region": _key(
        "Data centre of the project: /us and /eu before a path are the two; a key of the other one "
        "is unknown there.",
        _REGION,
        default="us",
    ),
    "projects": _key(
        "Further projects, with data of their own and no faults.",
        {
            "type": "array",
            "items": _table(
                "",
                {
                    "api_key": _key("Its API key.", _TEXT, example="a-key"),
                    "secret_key": _key("Its secret key.", _TEXT, example="a-secret"),
                    "region": _key("Its data centre.", _REGION, default="us"),
                },
            ),
        },
        title="array of tables",
        example=[{"api_key": "another-key", "secret_key": "another-secret", "region": "eu"}],
    ),
    "seed": _key("Seed of everything random in the emulator.", _NUMBER, default=0),
    "visibility_delay": _key(
        "From the acknowledgement of an event until queries count it.", _DELAY, default="0s"
    ),
    "time_zone": _key(
        "IANA name of the project's time zone, which decides its days.",
        _TEXT,
        default="UTC",
    ),
    "limits": _key(
        'The limits that are enforced: Amplitude\'s own ("documented"), none, or a table of '
        "changes.",
        {
            "anyOf": [
                {"enum": ["off", "documented"]},
                _table(
                    "",
                    {
                        "base": _key("What is not changed.", _DOCUMENTED, default="documented"),
                        "httpapi": _limits_of("Limits of /2/httpapi.", UploadLimits),
                        "batch": _limits_of("Limits of /batch.", UploadLimits),
                        "queries": _limits_of("Limits of the query endpoints.", QueryLimits),
                        "taxonomy": _limits_of("Limits of the number of names.", TaxonomyLimits),
                    },
                ),
            ]
        },
        title='"off", "documented" or table',
        default="off",
    ),
    "cache": _key(
        "Whether results of queries are cached for the documented ages; by default as the limits "
        "are.",
        _DOCUMENTED,
        example="documented",
    ),
    "short_ids": _key(
        'User ids of fewer than five characters: "strip" as documented, or "refuse" as '
        "/2/httpapi was seen to.",
        {"enum": ["strip", "refuse"]},
        default="strip",
    ),
    "empty_result": _key(
        "What a query that finds nothing answers: a series of zeros, or no series.",
        {"enum": ["zeros", "empty"]},
        default="zeros",
    ),
    "blocked_event_types": _key(
        "Event types that are acknowledged, but not stored.", _NAMES, example=["noise"]
    ),
    "inactive_event_types": _key(
        "Event types that _active does not count.", _NAMES, example=["ping"]
    ),
    "custom_events": _key(
        "Name = the event types it stands for, asked for as ce:NAME.",
        {"type": "object", "title": "NAME", "additionalProperties": _NAMES},
        example={"Bought": ["buy", "subscribe"]},
    ),
    "silenced_devices": _key("Devices whose events are refused.", _NAMES, example=["device-9"]),
    "export_lag": _key("How long after its end an hour can be exported.", _DURATION, default="2h"),
    "deletion_after": _key(
        "From a request to delete users until it is done; until a tenth of that before, it can be "
        "revoked.",
        _DURATION,
        default="30d",
    ),
    "block_bots": _key(
        "Discard events whose user_agent is not a browser's.", {"type": "boolean"}, default=False
    ),
    "capacity": _key(
        "Uploads served in a second, one after the other; by default as fast as it can.",
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*[0-9][0-9_]*(\.[0-9]+)?\s*/\s*s\s*$"},
                {"type": "number", "exclusiveMinimum": 0},
            ]
        },
        title="rate",
        example="4000/s",
    ),
    "preset": _key(
        "Faults that together are what services are known to do, beside those in faults. "
        + " ".join(f'"{name}": {preset.does}.' for name, preset in PRESETS.items()),
        {"enum": list(PRESETS)},
        example="replica-lag",
    ),
    "faults": _table(
        "Ways to misbehave. What one hits is chosen by rate, or count with among or first, inside "
        "a window of after, lasting and every; without any of these it hits all.",
        {name: _fault(kind) for name, kind in KINDS.items()},
        example={"drop": {"count": 7, "among": 20_000}},
    ),
}
"""The keys allowed under ``[target]`` of a scenario and in the file of ``emulate --config``."""
