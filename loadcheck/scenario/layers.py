"""The layers of a scenario: the one that it extends below, the profile of an environment above.

Values given on the command line (``--set load.rate=500``) override the merged document. The
document and the service profile that ``workflow = …`` names are found here, too.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from loadcheck.documents.document import Node, annotate, dotted, merge_tree
from loadcheck.documents.files import is_file
from loadcheck.documents.toml import (
    MAX_DEPTH,
    TooDeepError,
    locate,
    nearest_file,
    read,
    toml_remedy,
)
from loadcheck.errors import Location, Problem, ScenarioError, did_you_mean, nearest
from loadcheck.scenario import grammar
from loadcheck.scenario.model import WorkflowReference
from loadcheck.scenario.reader import ProblemReport, TableReader, text

_LIBRARY = Path(__file__).resolve().parent.parent / "library"
SHIPPED = "shipped:"
"""Prefix of the folder and name of a source description that comes with loadcheck."""
_DOCUMENT = "workflow.yml"
_PROFILE = "profile.toml"
_RELATIVE = "paths are relative to the scenario file"


def shipped() -> dict[str, Path]:
    """Return the workflows that come with the package: name → folder."""
    return {path.parent.name: path.parent for path in sorted(_LIBRARY.glob(f"*/{_PROFILE}"))}


def _workflow_of(home: Path) -> Path:
    """Return the document of a shipped workflow; for a variant, that of the one it extends."""
    path = home / _DOCUMENT
    if path.is_file():
        return path
    beneath = tomllib.loads((home / _PROFILE).read_text(encoding="utf-8"))["extends"]
    return _workflow_of((home / beneath).resolve().parent)


def _own_sources(home: Path) -> dict[str, str]:
    """Return the source descriptions of a variant, each by the name of the one it replaces."""
    if (home / _DOCUMENT).is_file():
        return {}
    return {path.stem: str(path) for path in sorted(home.glob("*.yml"))}


def as_table(workflow: Node) -> Node:
    """Return ``workflow`` as a table; the short form is a string that names the document."""
    if isinstance(workflow.value, dict):
        return workflow
    return Node({"document": workflow}, workflow.place)


def find_profile(workflow: Node, folder: Path, report: ProblemReport) -> Path | None:
    """Return the path of the profile that ``workflow`` names, or that comes with its document.

    Args:
        workflow: The scenario's ``workflow`` as a table.
        folder: The scenario's folder, which paths are relative to.
        report: Receives the problem if the named profile does not exist.
    """
    entries = workflow.value if isinstance(workflow.value, dict) else {}
    named = entries.get("profile")
    if named is not None:
        written = text(named, report)
        if written is None:
            return None
        home = shipped().get(written)
        path = home / _PROFILE if home else folder / written
        if is_file(path):
            return path
        report.add(named, f"no profile at {path}", nearest_file(path) or _RELATIVE)
        return None
    document = entries.get("document")
    home = shipped().get(document.value) if document and isinstance(document.value, str) else None
    return home / _PROFILE if home else None


def read_workflow(top: TableReader, folder: Path) -> WorkflowReference | None:
    """Read ``workflow``; None if it was reported."""
    if not top.require("workflow", _expected()):
        return None
    table = TableReader(as_table(top["workflow"]), top.report, known=grammar.WORKFLOW)
    workflow_id, strict = table.text("id"), table.flag("strict")
    sources = _sources(table, folder)
    name = table.text("document") if table.require("document", _expected()) else None
    document = _document(table["document"], name, folder, top.report) if name else None
    if name is None or document is None:
        return None
    home = shipped().get(name)
    if home is not None:
        sources = _own_sources(home) | sources
    return WorkflowReference(
        document=document,
        name=name,
        id=workflow_id,
        sources=sources,
        strict=bool(strict),
    )


def _document(node: Node, name: str, folder: Path, report: ProblemReport) -> Path | None:
    home = shipped().get(name)
    if home is not None:
        return _workflow_of(home)
    path = folder / name
    if is_file(path):
        return path
    report.add(
        node,
        f"no workflow document at {path}",
        nearest(name, shipped()) or nearest_file(path) or _expected(),
    )
    return None


def _sources(workflow: TableReader, folder: Path) -> dict[str, str]:
    table = workflow.section("sources", None)
    sources = {name: _source(node, folder, table.report) for name, node in table.entries.items()}
    return {name: source for name, source in sources.items() if source is not None}


def _source(node: Node, folder: Path, report: ProblemReport) -> str | None:
    """Return the URL or file path of a source description; None if it was reported."""
    written = text(node, report)
    if written is None or "://" in written:
        return written
    if written.startswith(SHIPPED):
        files = _LIBRARY.glob("*/*.yml")
        known = {f"{SHIPPED}{each.parent.name}/{each.name}": each for each in files}
        if written in known:
            return str(known[written])
        report.add(node, f"loadcheck comes with no {written}", nearest(written, known))
        return None
    path = folder / written
    if is_file(path):
        return str(path)
    report.add(node, f"no source description at {path}", nearest_file(path) or _RELATIVE)
    return None


def _expected() -> str:
    names = ", ".join(f'"{name}"' for name in shipped())
    return f"expected the path of an Arazzo document, or a shipped workflow: {names}"


_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_PATH = re.compile(rf"\s*{_KEY}(?:\s*\.\s*{_KEY})*\s*")
_PART = re.compile(_KEY)
_INDEX = re.compile(r"[0-9]{1,9}")
_EXPECTED = "expected PATH=VALUE, such as load.rate=500"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value that replaces another or is added.

    Attributes:
        source: The option as the user gave it, for messages; values that may be secret are elided.
        path: Keys from the top; array entries by number, from 0.
        value: The new value.
    """

    source: str
    path: tuple[str, ...]
    value: Any


def parse_override(option: str) -> Override | Problem:
    """Read ``PATH=VALUE``: a dotted TOML key and a TOML value; a bare word is a string."""
    try:
        option.encode()
    except UnicodeEncodeError:  # Python maps bytes of an argument that are not UTF-8 to surrogates
        shown = option.encode("utf-8", "replace").decode()
        return Problem(message="is not UTF-8", file=f"--set {shown}", remedy=_EXPECTED)
    source = f"--set {option}"
    match = _PATH.match(option)
    path = _key_path(match[0]) if match and option.startswith("=", match.end()) else None
    if match is None or path is None:
        message = "the part before = is not a dotted key" if "=" in option else "there is no ="
        return Problem(message=message, file=source, remedy=_EXPECTED)
    text = option[match.end() + 1 :].strip()
    # users do pass credentials this way: do not repeat them in messages
    if path[0] == "inputs" or ("@" in text and path[0] in ("target", "workflow")):
        source = f"--set {match[0].strip()}=…"
    try:
        locate(f"value = {text}")
        read = tomllib.loads(f"value = {text}")
    except TooDeepError:
        message, remedy = "the value nests too deeply", f"expected at most {MAX_DEPTH} levels"
        return Problem(message=message, file=source, key=dotted(path), remedy=remedy)
    except ValueError as error:
        if text[:1] in ("[", "{", '"', "'"):
            reason = str(error).partition(" (at ")[0]
            message = f"the value is not TOML: {reason[:1].lower()}{reason[1:]}"
            remedy = toml_remedy(reason, "")
            return Problem(message=message, file=source, key=dotted(path), remedy=remedy)
        return Override(source=source, path=path, value=text)
    value = read["value"]
    if len(read) > 1 or isinstance(value, datetime | date | time):
        value = text
    return Override(source=source, path=path, value=value)


def _key_path(key: str) -> tuple[str, ...] | None:
    """Return the parts of a dotted key; None if it is not one, or has too many parts."""
    if len(_PART.findall(key)) > MAX_DEPTH:
        return None
    try:
        value: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return None
    path = []
    while isinstance(value, dict):
        [(part, value)] = value.items()
        path.append(part)
    return tuple(path)


_OF_FILES: Final = {
    "extends": "write it there, or run the file that it names",
    "profiles": "write it there, and choose one by --profile",
}


def override(document: Node, overrides: Sequence[Override]) -> tuple[Node, list[Problem]]:
    """Return ``document`` with overrides applied in order, and a problem for each that fails."""
    problems: list[Problem] = []
    for change in overrides:
        if change.path[0] in _OF_FILES:
            remedy = _OF_FILES[change.path[0]]
            problems += _misfit(change, "is read from the scenario's file only", remedy).problems
            continue
        try:
            document = _put(document, change, 0)
        except ScenarioError as misfit:
            problems.extend(misfit.problems)
    return document, problems


def _put(node: Node | None, change: Override, depth: int) -> Node:
    """Return ``node``, found at the first ``depth`` keys of the change's path, with the change."""
    if depth == len(change.path):
        return annotate(change.value, file=change.source, path=change.path)
    key, name = change.path[depth], dotted(change.path[:depth])
    if node is None:
        node = Node({}, Location(file=change.source, line=None, key=name))
    match node.value:
        case dict() as table:
            entry = _put(table.get(key), change, depth + 1)
            return Node({**table, key: entry}, node.place)
        case list() as array:
            if not _INDEX.fullmatch(key) or int(key) >= len(array):
                numbers = (
                    f"expected a number from 0 to {len(array) - 1}" if array else "it is empty"
                )
                raise _misfit(change, f'{name} has no entry "{key}"', numbers)
            entries = [*array]
            entries[int(key)] = _put(array[int(key)], change, depth + 1)
            return Node(entries, node.place)
        case _:
            remedy = f"leave out what follows {name}"
            raise _misfit(change, f"{name} is neither a table nor an array", remedy)


def _misfit(change: Override, message: str, remedy: str = "") -> ScenarioError:
    key = dotted(change.path)
    return ScenarioError(Problem(message=message, file=change.source, key=key, remedy=remedy))


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
"""Keys with paths that are relative to the file that they are written in."""


def read_layers(file: str, profile: str, report: ProblemReport) -> Node:
    """Return the scenario in ``file`` merged over the one it extends, and a profile over both.

    Args:
        file: The file as the user named it.
        profile: The profile of the environment; "" for none.
        report: Receives all problems except that a file cannot be read at all.

    Raises:
        ScenarioError: A file cannot be read, or is not TOML.
    """
    document = read_extended(file, report)
    if not isinstance(document.value, dict):
        return document
    entries = dict(document.value)
    profiles = entries.pop("profiles", None)
    document = Node(entries, document.place)
    tables: dict[str, TableReader] = {}
    if profiles is not None:
        each = TableReader(profiles, report, known=None)
        tables = {
            name: TableReader(node, report, known=grammar.PROFILE)
            for name, node in each.entries.items()
        }
    if not profile:
        return document
    if profile not in tables:
        remedy = did_you_mean(profile, tables) or f"it has no profiles: add [profiles.{profile}]"
        report.problems.append(
            Problem(message=f'no profile "{profile}"', file=file, key="--profile", remedy=remedy)
        )
        return document
    return laid_over(document, tables[profile].node)


def read_extended(file: str, report: ProblemReport) -> Node:
    """Return the document in ``file`` merged over the one that it extends.

    Raises:
        ScenarioError: A file cannot be read, or is not TOML.
    """
    return _extended(Path(file), (file,), report)


def _extended(path: Path, chain: Sequence[str], report: ProblemReport) -> Node:
    """Return the scenario at ``path`` merged over the one that it extends.

    ``chain`` lists the files from the user's own file to this one.
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
    """Return ``upper`` merged over ``lower``: tables merge, other values of ``upper`` replace.

    Keys of ``lower`` that would contradict ``upper`` are dropped: ``stages`` and ``rate`` or
    ``duration``, the load of another model, the keys of another kind of target.
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
    """Return a document from ``folder`` with its paths prefixed by the folder."""
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
    """Return ``node`` with ``change`` applied to the value at ``path``, if any; "*" is any key."""
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
    """Return a value with the paths of ``{ "$file" = … }`` in it prefixed by the folder."""
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
