"""Every value of a scenario is used: a key that no code reads would be accepted and do nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[2] / "loadcheck"
MODEL = (ROOT / "scenario" / "model.py").read_text(encoding="utf-8")
BELOW = ("scenario", "data", "documents", "emulator")
"""The room that reads scenarios, and those that do not know the model."""
BY_NAME: Final[Mapping[str, str]] = {
    "Evidence": "verify/query_client.py",  # compiled as one, by dataclasses.asdict
    "ServiceLimits": "pipeline/plan.py",  # a planned figure carries the name of its limit
}
"""Classes whose fields are read by name instead, and the module that has the names."""


def fields(source: str) -> dict[str, dict[str, str]]:
    """Return the fields of each dataclass of a module, and their annotations."""
    return {
        made.name: {
            member.target.id: ast.unparse(member.annotation)
            for member in made.body
            if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name)
        }
        for made in ast.parse(source).body
        if isinstance(made, ast.ClassDef)
    }


def ways(model: Mapping[str, Mapping[str, str]], name: str) -> set[str]:
    """Return by which names code comes to a value of a class: its own, and fields that hold it."""
    return {name, name.lower()} | {
        field
        for members in model.values()
        for field, annotation in members.items()
        if re.search(rf"\b{name}\b", annotation)
    }


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Return all nodes of a module."""
    return tuple(ast.walk(ast.parse(source)))


def attributes(source: str) -> set[str]:
    """Return the names of the attributes that a module reads."""
    return {
        node.attr
        for node in nodes(source)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def names(source: str) -> set[str]:
    """Return the names that a module uses."""
    return {node.id for node in nodes(source) if isinstance(node, ast.Name)}


def texts(source: str) -> set[str]:
    """Return the string literals of a module."""
    return {
        node.value
        for node in nodes(source)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def unread(source: str, consumers: Mapping[str, str]) -> list[str]:
    """Return the fields of a model that no consumer reads, as CLASS.FIELD.

    An attribute of that name is read in a module that comes to a value of that class.

    Args:
        source: Source of the model.
        consumers: Path → source of the modules that may read it.
    """
    model = fields(source)
    read = {path: attributes(text) for path, text in consumers.items()}
    used = {path: read[path] | names(text) for path, text in consumers.items()}
    left = []
    for name, members in model.items():
        if name in BY_NAME:
            known = texts(consumers[BY_NAME[name]])
        else:
            by = ways(model, name)
            known = set().union(*(read[path] for path in read if used[path] & by))
        left += [f"{name}.{field}" for field in members if field not in known]
    return left


@pytest.fixture(scope="module")
def consumers() -> dict[str, str]:
    paths = [path.relative_to(ROOT) for path in ROOT.rglob("*.py")]
    return {
        path.as_posix(): (ROOT / path).read_text(encoding="utf-8")
        for path in paths
        if path.parts[0] not in BELOW
    }


def test_every_field_is_read_by_another_room(consumers: Mapping[str, str]) -> None:
    assert unread(MODEL, consumers) == []


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Retry", "unused"),
        ("Input", "env"),  # others have one, in modules that know no inputs
        *((name, "unused") for name in BY_NAME),
    ],
)
def test_a_field_that_is_not_read_is_found(
    name: str, field: str, consumers: Mapping[str, str]
) -> None:
    changed = MODEL.replace(f"\nclass {name}:\n", f"\nclass {name}:\n    {field}: int = 0\n", 1)
    assert unread(changed, consumers) == [f"{name}.{field}"]
