"""The commands over many results files: trend, prune and merge."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.compare import as_share
from loadcheck.cli.exits import Exit, print_problem
from loadcheck.cli.overrides import (
    AsJson,
    Force,
    Into,
    Json,
    Output,
    Outputs,
    Scenarios,
    Since,
    Tolerance,
    Verdicts,
    WithLabels,
    resolve_output,
    result_files,
)
from loadcheck.errors import InputError, Problem, ResultFileError, many


class HistoryFormat(enum.StrEnum):
    """The formats of a trend."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


def trend(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Results files, or directories of them.",
            metavar="[DIR|FILE]...",
            show_default="results",
            autocompletion=result_files,
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME[=VALUE]",
            help="NAME: order runs by this label, e.g. commit. NAME=VALUE: only runs with it.",
            show_default="in order of time",
        ),
    ] = None,
    names: Scenarios = None,
    since: Since = None,
    tolerance: Tolerance = "3%",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the permutations.", min=0)] = 0,
    fail_on_change: Annotated[
        bool,
        typer.Option(
            "--fail-on-change",
            help="Exit with 4 if the newest run is behind a change for the worse.",
        ),
    ] = False,
    kind: Annotated[
        HistoryFormat | None,
        typer.Option(
            "--format",
            "-f",
            help="Output format.",
            show_default="by the name of --output, else text",
        ),
    ] = None,
    as_json: AsJson = False,
    output: Into = None,
    force: Force = False,
) -> None:
    """Show how figures went over many runs, and since which run they are worse or better.

    Runs that compare would compare belong together. Unfinished runs, those with the verdict unknown
    and outliers are shown, not used; at least 10 others are needed.

    Exit codes: 0, 2 if no change could be found (too few runs, unreadable files), 4 with
    --fail-on-change if a figure's last change is for the worse.
    """
    from loadcheck.cli.outputs import format_of, laid_out, write_out  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.compare.history import read_history, result_paths  # noqa: PLC0415
    from loadcheck.compare.trend import trend as trend_of  # noqa: PLC0415
    from loadcheck.result.catalogue import wanted  # noqa: PLC0415
    from loadcheck.result.store import ResultFile  # noqa: PLC0415

    orders = [label for label in labels or () if "=" not in label]
    if len(orders) > 1:
        message = f"--label {orders[1]}: runs are already in order of {orders[0]}"
        raise ResultFileError(Problem(message=message, remedy="name one label without a value"))
    chosen = wanted([label for label in labels or () if "=" in label], names, since)
    share = as_share(tolerance)
    sources = places or [Path("results")]
    with ResultFile(output, replace=force) if output is not None else nullcontext() as place:
        every, problems = read_history(result_paths(sources))
        runs = [
            run
            for run in every
            if chosen.takes(run.started_at, run.scenario, run.verdict, run.labels)
        ]
        document = trend_of(runs, problems, label="".join(orders), tolerance=share, seed=seed)
        missing = [history["missing"] for history in document["histories"]]
        if not missing:
            reasons = [Problem(file=each.file, message=each.message) for each in problems]
            raise _nothing_to_show(sources, reasons, len(every), len(runs), orders)
        written = HistoryFormat.JSON if as_json else kind or format_of(output, HistoryFormat)
        write_out(laid_out(document, written, to_terminal=place is None), place)
    if all(missing):
        least = min(missing)
        more = f"{many(least, 'more runs')} needed to find a change"
        print_problem(Problem(message=f"too few runs that can be used: {more}"))
        raise typer.Exit(Exit.USAGE)
    worse = fail_on_change and document["verdict"] == "worse"
    raise typer.Exit(Exit.REGRESSION if worse else Exit.PASS)


def _nothing_to_show(
    sources: Sequence[Path], reasons: list[Problem], read: int, chosen: int, orders: Sequence[str]
) -> ResultFileError:
    """Return the error for when no run is left, with the reasons."""
    if read and not chosen:
        reasons.append(Problem(message=f"none of {read} runs is what options choose"))
    if orders and chosen:
        reasons.append(Problem(message=f'none of {chosen} runs has a label "{orders[0]}"'))
    where = ", ".join(map(str, sources))
    message = f"{where}: no run to look at; 10 that can be compared are needed"
    return ResultFileError([*reasons[:5], Problem(message=message)])


def prune(
    directory: Annotated[Path, typer.Argument(help="Directory of results files.")] = Path(
        "results"
    ),
    age: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE|TIME",
            help="Those begun longer ago than 90d, 12w, or before 2026-11-26.",
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            help="All but the newest N of the runs that can be compared with each other.",
            min=0,
        ),
    ] = None,
    labels: WithLabels = None,
    names: Scenarios = None,
    verdicts: Verdicts = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove old results: those that are all that the options say.

    Kept whatever they say: examples (example*.json), what is being written, the runs that compare
    --baseline-from takes (since the last change, at most 30), and those that a comparison which
    stays names. Comparisons and trends go by age only; pages and other files are not touched.
    """
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.compare import prune as pruning  # noqa: PLC0415
    from loadcheck.result.catalogue import instant, wanted  # noqa: PLC0415

    if age is None and keep is None and not labels:
        remedy = "say --older-than AGE, --keep N or --label NAME=VALUE; --dry-run only shows"
        raise InputError(Problem(message="nothing says which results are old", remedy=remedy))
    criteria = pruning.Criteria(
        before="" if age is None else instant(age, "--older-than"),
        beyond=keep,
        takes=wanted(labels, names, None, verdicts).takes,
        labelled=bool(labels) or keep is not None,
    )
    found = pruning.plan(directory, criteria)
    for path in found.removed:
        sys.stdout.write(f"remove {terminal.shown_path(path)}\n")
    for path, why in found.kept.items():
        sys.stdout.write(f"keep   {terminal.shown_path(path)}: {why}\n")
    number = len(found.removed)
    size = sum(state.st_size for state in found.removed.values())
    what = f"{number} file{'' if number == 1 else 's'}, {size / 1e6:.1f} MB"
    if dry_run or not number:
        sys.stdout.write(f"{what} would be removed\n" if number else "nothing to remove\n")
        return
    sys.stdout.flush()
    if not yes and not sys.stdin.isatty():
        message = "cannot ask for confirmation: standard input is not a terminal"
        raise InputError(Problem(message=message, remedy="add --yes, or --dry-run"))
    if not yes and not terminal.agreed(f"Remove {what}?"):
        sys.stderr.write("nothing was removed\n")
        raise typer.Exit(Exit.PASS)
    gone, troubles = pruning.remove(found)
    sys.stdout.write(f"removed {len(gone)} of {what}\n")
    for trouble in troubles:
        print_problem(Problem(message=trouble, severity="warning"))


def merge(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Results files of one load, started by hand on several machines.",
            metavar="RESULT RESULT...",
            show_default=False,
            autocompletion=result_files,
        ),
    ],
    output: Output = None,
    as_json: Json = False,
    force: Force = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="A one-line verdict.")] = False,
) -> None:
    """Make one result of those of one load, and judge it as if one process had sent it.

    Times are added bucket by bucket, copies and what is proven of them too. Refused are the same
    run twice, runs that differ in scenario, workflow, target or data, and loads that do not
    overlap. Mixes, named as they were to --output or by their ids, are merged flow by flow.
    """
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.outputs import error_naming, spare  # noqa: PLC0415
    from loadcheck.pipeline.merge import Part  # noqa: PLC0415
    from loadcheck.pipeline.merge import merge as merged_of  # noqa: PLC0415
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415
    from loadcheck.result.store import ResultFile, default_name, read  # noqa: PLC0415

    outputs = Outputs(force=force, as_json=as_json, quiet=quiet)
    named = [run_files(path) for path in files]
    if any(len(each) > 1 for each in named):
        from loadcheck.cli.mix import merge_flows  # noqa: PLC0415

        merge_flows(named, output, outputs)
    parts = []
    for path in files:
        with error_naming(path):
            parts.append(Part(file=str(path), document=read(path)))
    merged = merged_of(parts)
    document = merged.document
    folder, file = resolve_output(output)
    if file is None:
        began = datetime.fromisoformat(document["run"]["started_at"])
        name = str(document["scenario"].get("name", "merged"))
        file = folder / default_name(name, began, document["run"]["id"])
    spare(file, files, "merged")
    with ResultFile(file, replace=force) as place:
        place.save(document)
    show = terminal.print_headline if quiet else terminal.print_summary
    show(document, paths=[file], stream=sys.stderr if as_json else sys.stdout)
    if as_json:
        terminal.write_json(document)
    raise typer.Exit(
        terminal.exit_of(
            consistent=merged.consistent,
            verdict=merged.verdict,
            interrupted=document["run"]["interrupted"],
        )
    )
