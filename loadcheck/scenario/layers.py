"""The layers of a scenario: what it extends beneath it, the profile of an environment over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from loadcheck.documents.document import Node, merge_tree
from loadcheck.documents.files import is_file
from loadcheck.documents.toml import nearest_file, read
from loadcheck.errors import Problem, did_you_mean
from loadcheck.scenario import grammar
from loadcheck.scenario.library import SHIPPED, as_table, shipped
from loadcheck.scenario.reader import Report, Table, text

_RATES: Final = frozenset({"rate", "duration"})
_PATHS: Final = (
    ("workflow", "document"),
    ("workflow", "profile"),
    ("workflow", "sources", "*"),
    ("data", "*", "file"),
    ("target", "tls", "ca"),
    ("target", "tls", "cert"),
    ("target", "tls", "key"),
)
"""What is relative to the file that says it."""


def read_layers(file: str, profile: str, report: Report) -> Node:
    """Return the scenario in ``file`` over what it extends, with one of its profiles over both.

    Args:
        file: As the user named it.
        profile: The profile of the environment; "" for none.
        report: Takes the problems, except those of a file that cannot be read at all.

    Raises:
        ScenarioError: A file cannot be read, or is not TOML.
    """
    document = read_extended(file, report)
    if not isinstance(document.value, dict):
        return document
    entries = dict(document.value)
    profiles = entries.pop("profiles", None)
    document = Node(entries, document.place)
    tables: dict[str, Table] = {}
    if profiles is not None:
        each = Table(profiles, report, known=None)
        tables = {
            name: Table(node, report, known=grammar.PROFILE) for name, node in each.entries.items()
        }
    if not profile:
        return document
    if profile not in tables:
        remedy = did_you_mean(profile, tables) or f"the scenario has none: add [profiles.{profile}]"
        report.problems.append(
            Problem(message=f'no profile "{profile}"', file=file, key="--profile", remedy=remedy)
        )
        return document
    return laid_over(document, tables[profile].node)


def read_extended(file: str, report: Report) -> Node:
    """Return what ``file`` says over what it extends.

    Raises:
        ScenarioError: A file cannot be read, or is not TOML.
    """
    return _extended(Path(file), (file,), report)


def _extended(path: Path, chain: Sequence[str], report: Report) -> Node:
    """Return the scenario at ``path`` over what it extends.

    ``chain`` is how one came to it from the user's own file, which is the first; it is the last.
    """
    own = read(path, chain[-1])
    if not isinstance(own.value, dict) or "extends" not in own.value:
        return own
    entries = dict(own.value)
    node = entries.pop("extends")
    own = Node(entries, own.place)
    written = text(node, report)
    if written is None:
        return own
    lower = path.parent / written
    chain = [*chain, os.path.normpath(lower)]
    if not is_file(lower):
        remedy = nearest_file(lower) or "the path is relative to the file that says it"
        report.add(node, f"no scenario at {chain[-1]}", remedy)
        return own
    if any(Path(each).resolve() == lower.resolve() for each in chain[:-1]):
        remedy = "leave one of them out"
        report.add(node, f"the files extend each other: {' → '.join(chain)}", remedy)
        return own
    beneath = _extended(lower, chain, report)
    if isinstance(beneath.value, dict):
        rest = {name: each for name, each in beneath.value.items() if name != "name"}
        beneath = _moved(Node(rest, beneath.place), os.path.dirname(written))  # noqa: PTH120  # "" stays ""
    return laid_over(beneath, own)


def laid_over(lower: Node, upper: Node) -> Node:
    """Return ``upper`` over ``lower``: tables merge, what else ``upper`` says replaces.

    What says the same in another way makes room: ``stages`` for ``rate`` and ``duration``, a load
    of one model for one of the other, the servers of a live target for the emulator's keys.
    """
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    kept = dict(lower.value)
    for name, room in (("workflow", _workflow), ("load", _load), ("target", _target)):
        below, above = kept.get(name), upper.value.get(name)
        if below is not None and above is not None and isinstance(above.value, dict):
            kept[name] = room(below, above.value)
    return merge_tree(Node(kept, lower.place), upper)


def _workflow(below: Node, _: dict[str, Node]) -> Node:
    return as_table(below)


def _load(below: Node, above: dict[str, Node]) -> Node:
    if _changes(below, above, "model"):
        return _without(below, lambda _: True)
    if "stages" in above:
        return _without(below, _RATES.__contains__)
    if _RATES & above.keys():
        return _without(below, "stages".__eq__)
    return below


def _target(below: Node, above: dict[str, Node]) -> Node:
    if not _changes(below, above, "kind", default="emulator"):
        return below
    if above["kind"].value == "live":
        return _without(below, lambda name: name not in grammar.TARGET)
    return _without(below, grammar.LIVE_ONLY.__contains__)


def _changes(below: Node, above: dict[str, Node], name: str, default: str = "") -> bool:
    if name not in above or not isinstance(below.value, dict):
        return False
    given = below.value.get(name)
    return above[name].value != (default if given is None else given.value)


def _without(table: Node, dropped: Callable[[str], bool]) -> Node:
    if not isinstance(table.value, dict):
        return table
    return Node({n: e for n, e in table.value.items() if not dropped(n)}, table.place)


def _moved(document: Node, folder: str) -> Node:
    """Return a document of another folder with its paths as the scenario above it finds them."""
    if not folder:
        return document
    entries = dict(document.value) if isinstance(document.value, dict) else {}
    if "workflow" in entries:
        entries["workflow"] = as_table(entries["workflow"])
    moved = Node(entries, document.place)
    for path in _PATHS:
        moved = _at(moved, path, lambda node: _path(node, folder))
    for name in ("inputs", "overlay", "verify"):
        if name in entries:
            moved = _at(moved, (name,), lambda node: _files(node, folder))
    profiles = entries.get("profiles")
    if profiles is not None and isinstance(profiles.value, dict):
        tables = {name: _moved(node, folder) for name, node in profiles.value.items()}
        moved = _at(moved, ("profiles",), lambda _: Node(tables, profiles.place))
    return moved


def _at(node: Node, path: Sequence[str], change: Callable[[Node], Node]) -> Node:
    """Return ``node`` with what stands at ``path`` changed, if it is there; "*" is any key."""
    if not path:
        return change(node)
    if not isinstance(node.value, dict):
        return node
    name, *rest = path
    names = list(node.value) if name == "*" else [name] if name in node.value else []
    changed = {each: _at(node.value[each], rest, change) for each in names}
    return Node({**node.value, **changed}, node.place)


def _path(node: Node, folder: str) -> Node:
    written = node.value
    if not isinstance(written, str) or not written or "://" in written or written in shipped():
        return node
    if written.startswith(SHIPPED):
        return node
    return Node(os.path.join(folder, written), node.place)  # noqa: PTH118  # as it was written


def _files(node: Node, folder: str) -> Node:
    """Return a value with the paths of ``{ "$file" = … }`` in it moved."""
    match node.value:
        case dict() as table:
            parts = {name: _files(each, folder) for name, each in table.items()}
            if "$file" in parts:
                parts["$file"] = _path(parts["$file"], folder)
            return Node(parts, node.place)
        case list() as entries:
            return Node([_files(each, folder) for each in entries], node.place)
        case _:
            return node
