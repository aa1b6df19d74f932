"""What the shell offers when a file is asked for: those that fit, and the way to them."""

from __future__ import annotations

from pathlib import Path


def scenario_files(incomplete: str) -> list[str]:
    """Return scenarios and workflow documents that begin as typed, and directories."""
    return _files(incomplete, (".toml", ".yml", ".yaml"), "scenarios")


def result_files(incomplete: str) -> list[str]:
    """Return results files that begin as typed, and directories."""
    return _files(incomplete, (".json",), "results")


def scenario_keys(incomplete: str) -> list[str]:
    """Return keys of a scenario that begin as typed, each with the equals sign; tables with a dot.

    Of the tables that are open, such as inputs, the names are the user's.
    """
    from loadcheck.scenario import grammar  # noqa: PLC0415  # only a shell asks for it

    tables = {
        "workflow": grammar.WORKFLOW,
        "target": grammar.TARGET,
        "target.tls": grammar.TLS,
        "load": grammar.LOAD,
        "load.stages.0": grammar.STAGE,
        "retry": grammar.RETRY,
        "timeouts": grammar.TIMEOUTS,
        "verify": grammar.VERIFY,
    }
    keys = {f"{name}." for name in (*tables, "inputs", "limits", "capacity")}
    keys |= {f"{table}.{name}=" for table, names in tables.items() for name in names}
    keys |= {f"{name}=" for name in grammar.TOP if f"{name}." not in keys}
    keys -= {f"{name[:-1]}=" for name in keys if name.endswith(".")}
    found = sorted(key for key in keys if key.startswith(incomplete) and key != incomplete)
    # a table's keys are offered once its name has been typed
    return [key for key in found if "." not in key[len(incomplete) :].rstrip(".")]


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
