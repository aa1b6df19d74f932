"""The command ``loadcheck check``."""

from __future__ import annotations

import enum
import itertools
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from loadcheck.cli.exits import Exit
from loadcheck.cli.overrides import AsJson, ChangeOptions, Fetching, named_sources, scenario_files
from loadcheck.documents.files import is_folder
from loadcheck.errors import InputError, Problem, WorkflowError, printable
from loadcheck.secrets import cover

_DOCUMENTS = (".yml", ".yaml", ".json")
_ARAZZO: Final = re.compile(rb"^[\"'{\s]*arazzo[\"']?\s*:", re.MULTILINE)
_LOOK_BYTES: Final = 65_536
"""The ``arazzo`` key is searched for in this many bytes of a file."""
_MOST_FILES: Final = 50_000
"""A folder with more files was hardly intended: they would be read for minutes, silently."""
_NOT_OURS: Final = frozenset({"node_modules", "__pycache__", "site-packages"})


class CheckFormat(enum.StrEnum):
    """How problems are printed."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def check(
    file: Annotated[
        Path,
        typer.Argument(
            help="Scenario (TOML), Arazzo document, or folder of Arazzo documents.",
            show_default=False,
            autocompletion=scenario_files,
        ),
    ],
    changes: ChangeOptions,
    consent: Fetching = False,
    as_json: AsJson = False,
    style: Annotated[
        CheckFormat,
        typer.Option(
            "--format",
            help="How to print problems: sarif for code scanning and editors, github to"
            " annotate the lines of a pull request.",
        ),
    ] = CheckFormat.TEXT,
) -> None:
    """Validate a scenario and show what it would send, without sending it.

    Given Arazzo documents instead, lint them: each problem with its line, path and the section of
    the specification. In a folder, every file with an "arazzo" key is checked.
    """
    style = CheckFormat.JSON if as_json else style
    if is_folder(file) or file.suffix in _DOCUMENTS:
        _lint(file, changes, consent=consent, style=style)
        return
    from loadcheck.cli.terminal import read, width, write_json  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.pipeline.prepare import thresholds_together  # noqa: PLC0415
    from loadcheck.pipeline.preview import preview  # noqa: PLC0415
    from loadcheck.report import preview as report  # noqa: PLC0415
    from loadcheck.report.preview import FORMATS  # noqa: PLC0415

    try:
        loaded = read(file, changes)
        previews = [preview(each, consent=consent) for each in loaded.flows or (loaded,)]
        together = [each.check for each in thresholds_together(loaded)]
    except InputError as error:
        if style in {CheckFormat.TEXT, CheckFormat.JSON}:
            raise
        sys.stdout.write(FORMATS[style](error.problems))
        raise typer.Exit(Exit.USAGE) from None
    if style is CheckFormat.JSON:
        flows = {each["scenario"]: each for each in previews}
        whole = {"scenario": loaded.name, "flows": flows, "together": {"thresholds": together}}
        write_json(whole if loaded.flows else previews[0])
    elif style is CheckFormat.TEXT:
        columns = width()
        sys.stdout.write("\n".join(report.text(each, width=columns) for each in previews))
        sys.stdout.write(report.together(together, width=columns))
    else:
        sys.stdout.write(FORMATS[style](()))


def _documents(folder: Path) -> list[Path]:
    """Return the Arazzo documents in a folder and below it, sorted by name.

    Hidden folders below it, and those of installed packages, are left out.

    Raises:
        InputError: There are more than 50,000 files.
    """
    found, paths, files = [], [], 0
    # files that disappear meanwhile, or cannot be read, are not linted
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name not in _NOT_OURS]
        paths += [Path(here) / name for name in names if Path(name).suffix in _DOCUMENTS]
        files += len(names)
        if files > _MOST_FILES:
            raise InputError(
                Problem(
                    message=f"the folder and those below it have more than {_MOST_FILES:,} files",
                    file=str(folder),
                    remedy="name the folder that holds the documents, or the documents themselves",
                )
            )
    for path in sorted(paths):
        with suppress(OSError):
            if path.is_file() and _ARAZZO.search(_head(path)):
                found.append(path)
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(_LOOK_BYTES)


def _lint(file: Path, changes: ChangeOptions, *, consent: bool, style: CheckFormat) -> None:
    from loadcheck.pipeline.prepare import fetch  # noqa: PLC0415
    from loadcheck.report.preview import FORMATS  # noqa: PLC0415
    from loadcheck.workflow.compile import lint  # noqa: PLC0415

    files = _documents(file) if is_folder(file) else [file]
    if not files:
        remedy = "one is a .yml, .yaml or .json file that says arazzo: 1.0.1 or the like"
        raise WorkflowError(
            Problem(message="no Arazzo document in the folder", file=str(file), remedy=remedy)
        )
    problems: list[Problem] = []
    for document in files:
        found = lint(
            document,
            name=str(document),
            sources=named_sources(changes.sources),
            strict=changes.strict,
            fetch=partial(fetch, consent=consent),
        )
        problems += found
        if style is CheckFormat.TEXT:
            line = printable(cover(f"{document}: {_counted(found)}"))
            sys.stdout.write(f"{FORMATS[style](found)}{line}\n")
    if style is not CheckFormat.TEXT:
        sys.stdout.write(FORMATS[style](problems))
    elif is_folder(file):
        sys.stdout.write(printable(f"{_number(len(files), 'document')}: {_counted(problems)}\n"))
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(Exit.USAGE)


def _counted(problems: Sequence[Problem]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    counts = ((errors, "error"), (len(problems) - errors, "warning"))
    return ", ".join(itertools.starmap(_number, counts))


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
