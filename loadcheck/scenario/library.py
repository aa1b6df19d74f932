"""Which document and which profile ``workflow = …`` means."""

from __future__ import annotations

import tomllib
from pathlib import Path

from loadcheck.documents.document import Node
from loadcheck.documents.files import is_file
from loadcheck.documents.toml import nearest, nearest_file
from loadcheck.scenario import grammar
from loadcheck.scenario.model import Workflow
from loadcheck.scenario.reader import Report, Table, text

_LIBRARY = Path(__file__).resolve().parent.parent / "library"
SHIPPED = "shipped:"
"""Before the folder and name of a source description that comes with loadcheck."""
_DOCUMENT = "workflow.yml"
_PROFILE = "profile.toml"
_RELATIVE = "paths are relative to the scenario file"


def shipped() -> dict[str, Path]:
    """Return the workflows that come with the package: name → folder."""
    return {path.parent.name: path.parent for path in sorted(_LIBRARY.glob(f"*/{_PROFILE}"))}


def _workflow_of(home: Path) -> Path:
    """Return the document of a shipped workflow; of a variant, that of what its profile extends."""
    path = home / _DOCUMENT
    if path.is_file():
        return path
    beneath = tomllib.loads((home / _PROFILE).read_text(encoding="utf-8"))["extends"]
    return _workflow_of((home / beneath).resolve().parent)


def _own_sources(home: Path) -> dict[str, str]:
    """Return the source descriptions of a variant, each named as what it stands in for."""
    if (home / _DOCUMENT).is_file():
        return {}
    return {path.stem: str(path) for path in sorted(home.glob("*.yml"))}


def as_table(workflow: Node) -> Node:
    """Return ``workflow`` as a table: the short form is its document alone."""
    if isinstance(workflow.value, dict):
        return workflow
    return Node({"document": workflow}, workflow.place)


def find_profile(workflow: Node, folder: Path, report: Report) -> Path | None:
    """Return the path of the profile that ``workflow`` names, or that comes with its document.

    Args:
        workflow: The scenario's ``workflow`` as a table.
        folder: The scenario's own, which relative paths start from.
        report: Takes the problem of a profile that is named and not there.
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


def read_workflow(top: Table, folder: Path) -> Workflow | None:
    """Read ``workflow``; None if it was reported."""
    if not top.require("workflow", _expected()):
        return None
    table = Table(as_table(top["workflow"]), top.report, known=grammar.WORKFLOW)
    workflow_id, strict = table.text("id"), table.flag("strict")
    sources = _sources(table, folder)
    name = table.text("document") if table.require("document", _expected()) else None
    document = _document(table["document"], name, folder, top.report) if name else None
    if name is None or document is None:
        return None
    home = shipped().get(name)
    if home is not None:
        sources = _own_sources(home) | sources
    return Workflow(
        document=document,
        name=name,
        id=workflow_id,
        sources=sources,
        strict=bool(strict),
    )


def _document(node: Node, name: str, folder: Path, report: Report) -> Path | None:
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


def _sources(workflow: Table, folder: Path) -> dict[str, str]:
    table = workflow.table("sources", None)
    if table is None:
        return {}
    sources = {name: _source(node, folder, table.report) for name, node in table.entries.items()}
    return {name: source for name, source in sources.items() if source is not None}


def _source(node: Node, folder: Path, report: Report) -> str | None:
    """Return the URL or the path, which is relative to the scenario, that ``node`` holds."""
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
