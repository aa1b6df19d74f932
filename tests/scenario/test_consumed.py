"""Every value of a scenario is used: a key that no code reads would be accepted and do nothing."""

from __future__ import annotations

import ast
from collections.abc import Mapping
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
"""Classes whose fields are read by name instead, and where their names stand."""


def fields(source: str) -> dict[str, list[str]]:
    """Return the fields of each dataclass of a module."""
    return {
        made.name: [
            member.target.id
            for member in made.body
            if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name)
        ]
        for made in ast.parse(source).body
        if isinstance(made, ast.ClassDef)
    }


def attributes(source: str) -> set[str]:
    """Return the names of the attributes that a module reads."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def texts(source: str) -> set[str]:
    """Return the string literals of a module."""
    return {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def unread(model: str, consumers: Mapping[str, str]) -> list[str]:
    """Return the fields of a model that no consumer reads, as CLASS.FIELD.

    Args:
        model: Source of the model.
        consumers: Path → source of the modules that may read it.
    """
    read = set().union(*map(attributes, consumers.values()))
    return [
        f"{name}.{field}"
        for name, members in fields(model).items()
        for field in members
        if field not in (texts(consumers[BY_NAME[name]]) if name in BY_NAME else read)
    ]


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


@pytest.mark.parametrize("name", ["Retry", *BY_NAME])
def test_a_field_that_is_not_read_is_found(name: str, consumers: Mapping[str, str]) -> None:
    line = next(line for line in MODEL.splitlines() if line.startswith(f"class {name}:"))
    changed = MODEL.replace(line, f"{line}\n    of_no_use: int = 0", 1)
    assert unread(changed, consumers) == [f"{name}.of_no_use"]
