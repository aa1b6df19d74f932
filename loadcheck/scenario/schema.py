"""The JSON Schema of a scenario, for editors, and its keys one by one, for the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loadcheck.scenario import grammar
from loadcheck.scenario.shapes import Keys, Shape

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OPEN, _CLOSED = {"const": "open"}, {"const": "closed"}


def json_schema(emulator: Keys) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of scenario files.

    It refuses what the reader refuses, key by key; what several keys or files together make wrong
    is for the reader alone.

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
        # a kind that is beneath, in what the scenario extends, is not known here
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
        # what is beneath may have them
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
    """Return every key by its path, in the order of the grammar, those of its tables after it.

    ``load.stages[].rate`` is of each table of an array, ``limits.<STEP>.rate`` of each table that
    the user names. What a profile or a flow repeats is left out.
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
