"""The command ``loadcheck compare``."""

from __future__ import annotations

import enum
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from loadcheck.cli.exits import Exit
from loadcheck.cli.overrides import AsJson, Into, Tolerance, result_files
from loadcheck.documents.files import exists
from loadcheck.errors import InputError, Problem


class ComparisonFormat(enum.StrEnum):
    """The formats of a comparison."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


class ManyAfterTo(TyperCommand):
    """Lets ``--to`` take every file up to the next option, as shell patterns expand to them."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's context is click's
        """Repeat the option before each file after the first."""
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
        ),
    ] = None,
    tolerance: Tolerance = "5%",
    kind: Annotated[
        ComparisonFormat | None,
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

    A mix, named as it was to --output, by its id or its folder, is compared flow by flow, and
    together.

    Exit codes: 0 no figure is worse, 2 the runs cannot be compared, 3 inconclusive, 4 a figure
    is worse by more than the tolerance.
    """
    from loadcheck.cli.outputs import format_of, laid_out, spare, write_out  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.terminal import exit_of_comparison  # noqa: PLC0415
    from loadcheck.compare import Stored  # noqa: PLC0415
    from loadcheck.compare import compare as compare_runs  # noqa: PLC0415
    from loadcheck.compare.trend import baseline  # noqa: PLC0415
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415
    from loadcheck.result.store import ResultFile, read  # noqa: PLC0415

    share = as_share(tolerance)
    written = ComparisonFormat.JSON if as_json else kind or format_of(output, ComparisonFormat)
    named = {path: run_files(path) for path in (*files, *(to or ()))}
    base, candidate = _sides(files, to or [], alone=baseline_from is not None)
    if any(found != [path] for path, found in named.items()):
        from loadcheck.cli.mix import ComparisonOptions, compare_flows  # noqa: PLC0415

        choice = ComparisonOptions(
            tolerance=share,
            baseline_from=baseline_from,
            allow_missing=allow_missing,
            force=force,
            kind=written,
        )
        compare_flows(named, (base, candidate), choice, output)
    if baseline_from is not None:
        base = baseline(baseline_from, candidate, optional=allow_missing)
    if allow_missing:
        base = [path for path in base if exists(path)]
    if output is not None:
        spare(output, [*base, *candidate], "compared")
    with ResultFile(output, replace=force) if output is not None else nullcontext() as place:
        document = compare_runs(
            [Stored(file=str(path), document=read(path)) for path in base],
            [Stored(file=str(path), document=read(path)) for path in candidate],
            tolerance=share,
            force=force,
        )
        write_out(laid_out(document, written, to_terminal=place is None), place)
    raise typer.Exit(exit_of_comparison(document["verdict"]) if base else Exit.PASS)


def _sides(
    files: list[Path], to: list[Path], *, alone: bool = False
) -> tuple[list[Path], list[Path]]:
    """Return the base and the candidate; if ``alone``, all files are the candidate."""
    if alone:
        return [], [*files, *to]
    base, candidate = (files, to) if to else (files[:-1], files[-1:])
    if not base:
        message = f"nothing to compare {candidate[0]} with"
        raise InputError(Problem(message=message, remedy="name the base first, the candidate last"))
    return base, candidate


def as_share(text: str) -> float:
    """Return a percentage, or a share of one, as a share of one."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise InputError(
            Problem(
                key="--tolerance",
                message=f'"{text}" is not a share from 0 % to below 100 %',
                remedy="e.g. --tolerance 5% or --tolerance 0.05",
            )
        )
    return share
