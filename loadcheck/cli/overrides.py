"""Options that several commands share, their shell completions, and the overrides they become."""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from loadcheck.documents import with_scheme
from loadcheck.documents.files import is_folder
from loadcheck.errors import Problem, ScenarioError
from loadcheck.secrets import without_userinfo


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
    """Return the matching files; with nothing typed, also those of the usual folder."""
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


_URL = re.compile(r"https?://", re.IGNORECASE)
ANY_PORT = "any"
"""The value of ``--web`` without a port."""


def _value(*names: str, metavar: str, text: str, complete: Any = None) -> Any:
    """Return an option that takes a value and shows no default."""
    return typer.Option(
        *names, metavar=metavar, help=text, show_default=False, autocompletion=complete
    )


_Texts: TypeAlias = list[str] | None
_File: TypeAlias = Path | None

ScenarioFile = Annotated[
    Path,
    typer.Argument(help="Scenario file (TOML).", show_default=False, autocompletion=scenario_files),
]
Result = Annotated[
    Path, typer.Argument(help="Results file.", show_default=False, autocompletion=result_files)
]

EnvFile = Annotated[
    _File,
    _value(
        "--env-file",
        metavar="FILE",
        text="Read variables from a .env file; those of the environment go before.",
    ),
]
Sources = Annotated[
    _Texts,
    _value(
        "--source",
        metavar="NAME=FILE",
        text="Read this OpenAPI description from another file. Repeatable.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat specification warnings as errors.")]
Output = Annotated[
    str | None,  # a path drops the slash that makes a name a directory's
    typer.Option(
        "--output",
        "-o",
        help="Results file, or a directory for it.",
        metavar="PATH",
        show_default="results/",
        autocompletion=result_files,
    ),
]
Into = Annotated[
    _File,
    typer.Option("--output", "-o", help="Write to this file.", show_default="standard output"),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="With --live: do not ask whether the plan is approved.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Random seed.", min=0)]
Live = Annotated[
    bool, typer.Option("--live", help="Allow load to leave this machine: real events, real users.")
]
Fetching = Annotated[
    bool, typer.Option("--live", help="Allow descriptions to be read from other machines.")
]
Json = Annotated[bool, typer.Option("--json", "-j", help="Print the results document on stdout.")]
AsJson = Annotated[bool, typer.Option("--json", help="Same as --format json.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; a one-line verdict.")]
Tolerance = Annotated[
    str,
    typer.Option(
        "--tolerance",
        help="Relative changes up to this size count as no change.",
        metavar="PERCENT",
    ),
]
KeepGoing = Annotated[
    bool,
    typer.Option("--keep-going", help="Go on with the other workers when one is lost."),
]
Scenarios = Annotated[
    _Texts, _value("--scenario", metavar="NAME", text="Only those of this scenario. Repeatable.")
]
Since = Annotated[
    str | None,
    _value(
        "--since",
        metavar="TIME|AGE",
        text="Only those begun since 2026-11-26, 2026-11-26T08:00 (UTC), or 7d, 12h ago.",
    ),
]
Verdicts = Annotated[
    _Texts, _value("--verdict", metavar="WORD", text="Only those of this verdict. Repeatable.")
]
WithLabels = Annotated[
    _Texts,
    _value(
        "--label",
        metavar="NAME[=VALUE]",
        text="Only those with this label. Repeatable: all of them.",
    ),
]


class WithVariables:
    """Options that include ``--env-file``."""

    env_file: _File

    @functools.cached_property
    def environment(self) -> Mapping[str, str]:
        """The variables that a scenario may name; the file is read only once, as it may be a pipe.

        Raises:
            ScenarioError: The file of ``--env-file`` cannot be read.
        """
        from loadcheck.scenario import environment  # noqa: PLC0415  # keeps --help quick

        return environment(self.env_file)


@dataclass(frozen=True, kw_only=True)
class ChangeOptions(WithVariables):
    """Options that change a scenario, or say where its variables are read from."""

    sets: Annotated[
        _Texts,
        _value(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            text="Override a value, e.g. --set load.rate=500. Repeatable.",
            complete=scenario_keys,
        ),
    ] = None
    profile: Annotated[
        str,
        _value(
            "--profile",
            metavar="NAME",
            text="Lay \\[profiles.NAME] over the scenario: an environment's servers, secrets, "
            "rates.",
        ),
    ] = ""
    env_file: EnvFile = None
    sources: Sources = None
    servers: Annotated[
        _Texts,
        _value(
            "--server",
            metavar="[NAME=]URL",
            text="Send requests to this server: all, or those of one OpenAPI description. "
            "Repeatable.",
        ),
    ] = None
    strict: Strict = False

    def overrides(self) -> list[str]:
        """Return everything as overrides of a scenario, ``--set`` last.

        Raises:
            ScenarioError: An option is not of the form NAME=VALUE.
        """
        sources, given = named_sources(self.sources), self.servers or ()
        servers = _named("--server", [f"*={e}" if _URL.match(e) else e for e in given])
        return [
            *(f"workflow.sources.{n}={json.dumps(v)}" for n, v in sources.items()),
            *(f"target.servers.{json.dumps(n)}={json.dumps(v)}" for n, v in servers),
            *(["workflow.strict=true"] if self.strict else ()),
            *(self.sets or ()),
        ]


def placed(options: Iterable[str], sets: Sequence[str]) -> list[str]:
    """Return overrides in the order in which they take effect: ``--set`` last.

    But a ``--set`` of a whole table would silently drop an option's value for a key in it: such an
    option comes right after it.
    """
    ordered: list[list[str]] = [[], *([each] for each in sets)]
    for option in options:
        key = option.partition("=")[0]
        tables = [
            n for n, each in enumerate(sets, 1) if key.startswith(f"{each.partition('=')[0]}.")
        ]
        ordered[max(tables, default=0)].append(option)
    return [each for group in ordered for each in group]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Options for sharing the load among processes."""

    workers: Annotated[
        str | None,
        _value(
            "--workers",
            metavar="N|auto",
            text="Share the load among processes; auto: one for each core to spare.",
        ),
    ] = None
    prefixes: Annotated[
        _Texts,
        _value(
            "--prefix",
            metavar="COMMAND",
            text="Start workers behind a command, e.g. 'ssh host1'. Repeatable.",
        ),
    ] = None

    def overrides(self) -> list[str]:
        """Return everything as overrides of a scenario."""
        changes = [] if self.workers is None else [f"load.workers={self.workers}"]
        if self.prefixes:
            changes.append(f"load.prefixes={json.dumps(list(self.prefixes))}")
        return changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Options for sending load, in a run or a search, and for where the result goes."""

    scheduler: Annotated[
        str | None,
        _value(
            "--scheduler",
            metavar="ADDRESS",
            text="Run the workers on a Dask cluster: one process on each of its workers.",
        ),
    ] = None
    labels: Annotated[
        _Texts,
        _value(
            "--label",
            metavar="NAME=VALUE",
            text="Label the run, e.g. --label env=staging; git and CI facts are taken by "
            "themselves. Repeatable.",
        ),
    ] = None
    output: Output = None
    seed: Seed = None
    consent: Live = False
    yes: Yes = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Options for what is served while a run or a search goes on."""

    web: Annotated[
        str | None,
        typer.Option(
            "--web",
            metavar="[=PORT]",
            help="Show the run on a page while it goes on, and its report at the same address; "
            "without a port at any that is free.",
        ),
    ] = None
    opened: Annotated[bool, typer.Option("--open", help="Open that page in a browser.")] = False
    linger: Annotated[
        str | None,
        typer.Option(
            "--web-linger",
            metavar="TIME",
            help="How long to serve the finished report and the last metrics, e.g. 10m; "
            "0: end with the run. Ctrl-C ends it earlier.",
            show_default="until Ctrl-C on a terminal, else 0",
        ),
    ] = None
    metrics_port: Annotated[
        str | None,
        typer.Option(
            "--metrics-port",
            metavar="[HOST:]PORT",
            help="Serve metrics for Prometheus at /metrics while the run goes on, on loopback "
            "unless a host is named. Dashboard: loadcheck explain --grafana.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Options for what a command makes of its result, and how much it prints."""

    page: Annotated[
        _File, _value("--report", "-r", metavar="FILE", text="Also write an HTML page.")
    ] = None
    junit: Annotated[
        _File, _value("--junit", metavar="FILE", text="Also write the checks as JUnit XML.")
    ] = None
    markdown: Annotated[
        _File, _value("--markdown", metavar="FILE", text="Also write a summary in Markdown.")
    ] = None
    force: Force = False
    as_json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Asking(WithVariables):
    """Options for querying a service about a stored run."""

    consent: Annotated[
        bool, typer.Option("--live", help="Allow requests to leave this machine.")
    ] = False
    server: Annotated[
        str | None,
        _value(
            "--server",
            metavar="URL",
            text="Ask this server instead of the run's, e.g. http://KEY:SECRET@127.0.0.1:8765.",
        ),
    ] = None
    env_file: EnvFile = None


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with each parameter that is a dataclass replaced by its fields."""
    taken = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: each.annotation
        for name, each in taken.parameters.items()
        if is_dataclass(each.annotation)
    }
    fields = {
        name: inspect.signature(group, eval_str=True).parameters for name, group in groups.items()
    }

    @functools.wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in fields[name]})
        command(**given)

    flat = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in taken.parameters.items()
        for each in (fields[name].values() if name in groups else [parameter])
    ]
    called.__signature__ = taken.replace(parameters=flat)  # type: ignore[attr-defined]  # as PEP 362 has it
    return called


def labelled(labels: Sequence[str] | None) -> list[str]:
    """Return labels as overrides of a scenario.

    Raises:
        ScenarioError: One is not of the form NAME=VALUE, is not a line of text, or is given twice.
    """
    from loadcheck.scenario import label_trouble  # noqa: PLC0415  # keeps --help quick

    given, problems = dict[str, str](), []
    for entry in labels or ():
        name, equals, value = entry.partition("=")
        name, value = name.strip(), value.strip()
        trouble = label_trouble(name, value)
        if not equals:
            trouble = "there is no =", "expected NAME=VALUE, such as env=staging"
        elif trouble is None and name in given:
            trouble = "is given twice", "leave one out"
        if trouble:
            shown = without_userinfo(entry).encode("utf-8", "replace").decode()
            problems.append(
                Problem(file=f"--label {shown[:200]}", message=trouble[0], remedy=trouble[1])
            )
        given[name] = value
    if problems:
        raise ScenarioError(problems)
    return [f"labels.{n}={json.dumps(v, ensure_ascii=False)}" for n, v in given.items()]


def named_sources(sources: Sequence[str] | None) -> dict[str, str]:
    """Return source descriptions by name; files are relative to the working directory.

    Raises:
        ScenarioError: An option is not of the form NAME=VALUE.
    """
    named = dict(_named("--source", sources))
    return {
        name: value if "://" in value else str(Path(value).absolute())
        for name, value in named.items()
    }


def _named(option: str, entries: Sequence[str] | None) -> list[tuple[str, str]]:
    problems = []
    named = []
    for entry in entries or ():
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            remedy = "expected NAME=FILE"
            if option == "--server":
                remedy = with_scheme(entry) or "expected URL or NAME=URL"
            shown = without_userinfo(entry, bare=True)
            problems.append(Problem(message=f"{option} {shown}", remedy=remedy))
        named.append((name, value))
    if problems:
        raise ScenarioError(problems)
    return named


def resolve_output(output: str | None) -> tuple[Path, Path | None]:
    """Return the directory and the file that ``--output`` names; None: a default file name."""
    if output is None:
        return Path("results"), None
    path = Path(output)
    return (path, None) if output.endswith(os.sep) or is_folder(path) else (Path("results"), path)
