"""The command ``loadcheck compare``."""

from __future__ import annotations

import enum
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from loadcheck.cli.overrides import AsJson, Into, Tolerance, result_files


class Format(enum.StrEnum):
    """The formats of a comparison."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


class ManyAfterTo(TyperCommand):
    """Lets ``--to`` take every file up to the next option, as the shell's patterns give them."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's context is click's
        """Write the option again before each file after the first."""
        spread: list[str] = []
        taking = False
        for arg in args:
            if arg.startswith("-"):
                taking = arg == "--to"
                if not taking:
                    spread.append(arg)
            elif taking:
                spread += ["--to", arg]
            else:
                spread.append(arg)
        if args and args[-1] == "--to":
            spread.append("--to")
        return super().parse_args(ctx, spread)


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Results files: the base first, the candidate last.",
            metavar="BASE... CANDIDATE",
            show_default=False,
            autocompletion=result_files,
        ),
    ],
    to: Annotated[
        list[Path] | None,
        typer.Option(
            "--to",
            help="Results files of the candidate, one or more; all others are then the base.",
            metavar="CANDIDATE...",
            show_default=False,
            autocompletion=result_files,
        ),
    ] = None,
    baseline_from: Annotated[
        Path | None,
        typer.Option(
            "--baseline-from",
            help="Take the base from this directory: the comparable runs since the last change, at "
            "most 30. All files named are then the candidate.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    tolerance: Tolerance = "5%",
    kind: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="Output format; markdown for pull requests.",
            show_default="by the name of --output, else text",
        ),
    ] = None,
    as_json: AsJson = False,
    output: Into = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing-base",
            help="Exit with 0 if no base exists yet: for the first run of a CI job.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Compare runs that differ in scenario or target; overwrite existing files.",
        ),
    ] = False,
) -> None:
    """Find out whether runs are worse than earlier ones, and whether that is more than chance.

    Exit codes: 0 no figure is worse, 2 the runs cannot be compared, 3 inconclusive, 4 a figure
    is worse by more than the tolerance.
    """
    from loadcheck.cli.exits import Exit  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.outputs import format_of, laid_out, write_out  # noqa: PLC0415
    from loadcheck.compare import Stored  # noqa: PLC0415
    from loadcheck.compare import compare as compare_runs  # noqa: PLC0415
    from loadcheck.result.store import ResultFile, read  # noqa: PLC0415

    if baseline_from is not None:
        base, candidate = _baseline(baseline_from, [*files, *(to or [])], missing=allow_missing)
    else:
        base, candidate = _sides(files, to or [])
    share = as_share(tolerance)
    if allow_missing:
        base = [path for path in base if path.exists()]
    if output is not None:
        _spare(output, [*base, *candidate])
    with ResultFile(output, replace=force) if output is not None else nullcontext() as place:
        document = compare_runs(
            [Stored(file=str(path), document=read(path)) for path in base],
            [Stored(file=str(path), document=read(path)) for path in candidate],
            tolerance=share,
            force=force,
        )
        written = Format.JSON if as_json else kind or format_of(output, Format)
        write_out(laid_out(document, written, to_terminal=place is None), place)
    code = {"worse": Exit.REGRESSION, "unsure": Exit.UNKNOWN}.get(document["verdict"], Exit.PASS)
    if not base:
        code = Exit.PASS
    raise typer.Exit(code)


def _sides(files: list[Path], to: list[Path]) -> tuple[list[Path], list[Path]]:
    from loadcheck.errors import InputError, Problem  # noqa: PLC0415

    base, candidate = (files, to) if to else (files[:-1], files[-1:])
    if not base:
        message = f"nothing to compare {candidate[0]} with"
        raise InputError(Problem(message=message, remedy="name the base first, the candidate last"))
    return base, candidate


def _baseline(
    directory: Path, candidate: list[Path], *, missing: bool
) -> tuple[list[Path], list[Path]]:
    from loadcheck.compare.history import result_paths  # noqa: PLC0415  # keeps --help quick
    from loadcheck.compare.trend import baseline  # noqa: PLC0415
    from loadcheck.errors import ResultFileError  # noqa: PLC0415

    try:
        return baseline(directory, result_paths([directory]), candidate), candidate
    except ResultFileError:
        if missing:
            return [], candidate
        raise


def as_share(text: str) -> float:
    """Return a percentage, or a share of one, as a share of one."""
    from loadcheck.errors import InputError, Problem  # noqa: PLC0415

    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise InputError(
            Problem(
                key="--tolerance",
                message=f'"{text}" is no share from 0 % to below 100 %',
                remedy="e.g. --tolerance 5% or --tolerance 0.05",
            )
        )
    return share


def _spare(output: Path, inputs: list[Path]) -> None:
    """Refuse to write over what is compared, whatever ``--force`` says."""
    from loadcheck.cli.outputs import is_same  # noqa: PLC0415
    from loadcheck.errors import Problem, ResultFileError  # noqa: PLC0415

    if any(is_same(output, path) for path in inputs):
        message = "is one of the results compared, which are not written over"
        raise ResultFileError(
            Problem(file=str(output), message=message, remedy="choose another --output")
        )
