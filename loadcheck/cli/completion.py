"""What the shell offers when a file is asked for: those that fit, and the way to them."""

from __future__ import annotations

import re
from pathlib import Path


def scenario_files(incomplete: str) -> list[str]:
    """Return scenarios and workflow documents that begin as typed, and directories."""
    return _files(incomplete, (".toml", ".yml", ".yaml"), "scenarios")


def result_files(incomplete: str) -> list[str]:
    """Return results files that begin as typed, and directories."""
    return _files(incomplete, (".json",), "results")


def scenario_keys(incomplete: str) -> list[str]:
    """Return the keys of a scenario that begin as typed, and the values that one may have.

    A key ends in an equals sign, a table in a dot. Entries of an array are numbered from 0; the
    names in a table such as inputs are the user's.
    """
    from loadcheck.scenario.schema import keys  # noqa: PLC0415  # only a shell asks for it

    known = {path.replace("[]", ".0"): shape for path, shape in keys().items()}
    name, equals, value = incomplete.partition("=")
    plain = re.sub(r"\.[0-9]+(?=\.|$)", ".0", name)
    if equals:
        shape = known.get(plain, {})
        words = ["true", "false"] if shape.get("type") == "boolean" else shape.get("enum", ())
        return [f"{name}={word}" for word in words if word.startswith(value)]
    depth = plain.count(".") + 1
    begun = name.rpartition(".")[0]
    offered: dict[str, None] = {}
    for path, shape in known.items():
        parts = path.split(".")
        if not path.startswith(plain) or "<" in ".".join(parts[:depth]):
            continue
        deeper = len(parts) > depth or shape.get("type") == "object"
        offered[".".join(filter(None, (begun, parts[depth - 1]))) + ("." if deeper else "=")] = None
    return list(offered)


def _files(incomplete: str, suffixes: tuple[str, ...], usual: str) -> list[str]:
    """Return what fits; with nothing typed, what lies where such files usually do."""
    typed, slash, begun = incomplete.rpartition("/")
    folder = Path(typed + slash) if slash else Path()
    found = _fitting(folder, typed + slash, begun, suffixes)
    if not incomplete and Path(usual).is_dir():
        found = [*_fitting(Path(usual), f"{usual}/", "", suffixes), *found]
    return found


def _fitting(folder: Path, prefix: str, begun: str, suffixes: tuple[str, ...]) -> list[str]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    names = [path for path in paths if path.name.startswith(begun) and path.name[0] != "."]
    return [
        *(f"{prefix}{path.name}" for path in names if path.suffix in suffixes and path.is_file()),
        *(f"{prefix}{path.name}/" for path in names if path.is_dir()),
    ]
