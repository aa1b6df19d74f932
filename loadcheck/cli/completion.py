"""What the shell offers when a file is asked for: those that fit, and the way to them."""

from __future__ import annotations

from pathlib import Path


def scenario_files(incomplete: str) -> list[str]:
    """Return scenarios and workflow documents that begin as typed, and directories."""
    return _files(incomplete, (".toml", ".yml", ".yaml"), "scenarios")


def result_files(incomplete: str) -> list[str]:
    """Return results files that begin as typed, and directories."""
    return _files(incomplete, (".json",), "results")


def settings(incomplete: str) -> list[str]:
    """Return the keys of a scenario that begin as typed, with what they may be set to."""
    from loadcheck.scenario.schema import keys  # noqa: PLC0415  # keeps --help quick

    name, equals, value = incomplete.partition("=")
    if equals:
        shape = keys().get(name, {})
        words = ["true", "false"] if shape.get("type") == "boolean" else shape.get("enum", ())
        return [f"{name}={word}" for word in words if word.startswith(value)]
    depth = incomplete.count(".") + 1
    offered: dict[str, None] = {}
    for key, shape in keys().items():
        if key.startswith(incomplete) and not any(mark in key for mark in "[<"):
            parts = key.split(".")
            deeper = len(parts) > depth or "properties" in shape
            offered[".".join(parts[:depth]) + ("." if deeper else "=")] = None
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
