"""The command ``loadcheck compare``."""

from __future__ import annotations

import enum
import sys
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from typer.core import TyperCommand

from loadcheck.cli.exits import Exit
from loadcheck.cli.overrides import AsJson, Into, Tolerance, result_files
from loadcheck.documents.files import exists
from loadcheck.errors import InputError, Problem, ResultFileError

if TYPE_CHECKING:
    from loadcheck.compare import Stored


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

    A mix, named as it was to --output or by its id, is compared flow by flow, and together.

    Exit codes: 0 no figure is worse, 2 the runs cannot be compared, 3 inconclusive, 4 a figure
    is worse by more than the tolerance.
    """
    from loadcheck.cli.outputs import format_of, laid_out, write_out  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.compare import Stored  # noqa: PLC0415
    from loadcheck.compare import compare as compare_runs  # noqa: PLC0415
    from loadcheck.result.store import ResultFile, read  # noqa: PLC0415

    share = as_share(tolerance)
    written = Format.JSON if as_json else kind or format_of(output, Format)
    if mixes := _mixes([*files, *(to or [])]):
        sides = _sides(files, to or [], alone=baseline_from is not None)
        choice = _Choice(baseline_from, share, allow_missing=allow_missing, force=force)
        raise typer.Exit(_compare_mixes(_groups(mixes, sides, choice), choice, written, output))
    if baseline_from is not None:
        base, candidate = _baseline(baseline_from, [*files, *(to or [])], missing=allow_missing)
    else:
        base, candidate = _sides(files, to or [])
    if allow_missing:
        base = [path for path in base if exists(path)]
    if output is not None:
        _spare(output, [*base, *candidate])
    with ResultFile(output, replace=force) if output is not None else nullcontext() as place:
        document = compare_runs(
            [Stored(file=str(path), document=read(path)) for path in base],
            [Stored(file=str(path), document=read(path)) for path in candidate],
            tolerance=share,
            force=force,
        )
        write_out(laid_out(document, written, to_terminal=place is None), place)
    raise typer.Exit(_code(document["verdict"]) if base else Exit.PASS)


def _code(verdict: str) -> int:
    return {"worse": Exit.REGRESSION, "unsure": Exit.UNKNOWN}.get(verdict, Exit.PASS)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What options say of a comparison."""

    baseline_from: Path | None
    tolerance: float
    allow_missing: bool = field(kw_only=True)
    force: bool = field(kw_only=True)


def _mixes(named: list[Path]) -> dict[Path, list[Path]]:
    """Return the files of the flows of each mix; none if what is named are runs of one flow.

    Raises:
        ResultFileError: Only some of them are mixes.
    """
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415  # keeps --help quick

    found = {path: run_files(path) for path in named}
    alone = [path for path, files in found.items() if files == [path]]
    if len(alone) == len(found):
        return {}
    there = [path for path in alone if exists(path)]
    if there:
        message = "is of one flow, and a mix is compared with a mix"
        remedy = "name the mix, or the flow's own results file on both sides"
        raise ResultFileError(Problem(file=str(there[0]), message=message, remedy=remedy))
    return found


_Groups: TypeAlias = "dict[str, tuple[list[Stored], list[Stored]]]"
"""By the name of the flow, or "together", the runs of the base and those of the candidate."""


def _compare_mixes(groups: _Groups, choice: _Choice, written: Format, output: Path | None) -> int:
    """Compare mixes flow by flow, and together; write it out and return the exit code."""
    from loadcheck.cli.outputs import laid_out  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.compare import compare as compare_runs  # noqa: PLC0415
    from loadcheck.result.store import (  # noqa: PLC0415
        ResultFile,
        encoded,
        of_flow,
    )

    if output is not None:
        for name, sides in groups.items():
            inputs = [Path(each.file) for side in sides for each in side]
            _spare(of_flow(output, name) if written is Format.JSON else output, inputs)
    made = {
        name: compare_runs(base, candidate, tolerance=choice.tolerance, force=choice.force)
        for name, (base, candidate) in groups.items()
    }
    verdicts = [each["verdict"] for name, each in made.items() if groups[name][0]]
    verdict = next((v for v in ("worse", "unsure", "better") if v in verdicts), "same")
    texts = {
        name: laid_out(each, written, to_terminal=output is None) for name, each in made.items()
    }
    if output is None:
        whole = {"verdict": verdict, "flows": made, "together": made.pop(_TOGETHER, None)}
        as_json = written is Format.JSON
        sys.stdout.buffer.write(encoded(whole) if as_json else b"\n".join(texts.values()))
        return _code(verdict)
    files = {of_flow(output, name): text for name, text in texts.items()}
    if written is not Format.JSON:
        files = {output: b"\n".join(texts.values())}
    with ExitStack() as stack:
        claimed = [stack.enter_context(ResultFile(f, replace=choice.force)) for f in files]
        for file, text in zip(claimed, files.values(), strict=True):
            file.write(text)
    return _code(verdict)


def _groups(
    mixes: dict[Path, list[Path]], sides: tuple[list[Path], list[Path]], choice: _Choice
) -> _Groups:
    """Return what is compared with what.

    Raises:
        ResultFileError: The mixes have not the same flows.
    """
    from loadcheck.compare import Stored  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.pipeline.merge import flows_together  # noqa: PLC0415
    from loadcheck.result.store import read  # noqa: PLC0415

    if choice.allow_missing:
        sides = [path for path in sides[0] if mixes[path] != [path]], sides[1]
    stored: dict[Path, dict[str, Stored]] = {}
    for path in (*sides[0], *sides[1]):
        flows = [Stored(file=str(file), document=read(file)) for file in mixes[path]]
        stored[path] = {str(each.document["mix"]["flow"]): each for each in flows}
    last = sides[1][-1]
    for path, found in stored.items():
        if found.keys() != stored[last].keys():
            message = f"has the flows {', '.join(found)}, but {last} {', '.join(stored[last])}"
            remedy = "compare the files of the flows that both have"
            raise ResultFileError(Problem(file=str(path), message=message, remedy=remedy))
    groups: _Groups = {
        name: ([stored[path][name] for path in sides[0]], [stored[path][name] for path in sides[1]])
        for name in stored[last]
    }
    if choice.baseline_from is not None:
        for name, (_, candidate) in groups.items():
            paths = [Path(each.file) for each in candidate]
            base, _ = _baseline(choice.baseline_from, paths, missing=choice.allow_missing)
            groups[name] = ([Stored(file=str(p), document=read(p)) for p in base], candidate)
        return groups

    def whole(path: Path) -> Stored:
        flows = [each.document for each in stored[path].values()]
        return Stored(file=str(path), document=flows_together(flows))

    return {**groups, _TOGETHER: ([*map(whole, sides[0])], [*map(whole, sides[1])])}


_TOGETHER = "together"


def _sides(
    files: list[Path], to: list[Path], *, alone: bool = False
) -> tuple[list[Path], list[Path]]:
    """Return the base and the candidate; all are the candidate if that stands alone."""
    if alone:
        return [], [*files, *to]
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

    try:
        return baseline(directory, result_paths([directory]), candidate), candidate
    except ResultFileError:
        if missing:
            return [], candidate
        raise


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
                message=f'"{text}" is no share from 0 % to below 100 %',
                remedy="e.g. --tolerance 5% or --tolerance 0.05",
            )
        )
    return share


def _spare(output: Path, inputs: list[Path]) -> None:
    """Refuse to write over what is compared, whatever ``--force`` says."""
    from loadcheck.cli.outputs import is_same  # noqa: PLC0415

    if any(is_same(output, path) for path in inputs):
        message = "is one of the results compared, which are not written over"
        raise ResultFileError(
            Problem(file=str(output), message=message, remedy="choose another --output")
        )
