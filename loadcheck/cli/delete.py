"""The command ``loadcheck delete``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from loadcheck.cli.exits import Exit
from loadcheck.cli.overrides import Asking, Json, Result
from loadcheck.documents import parse_duration
from loadcheck.errors import InputError, Problem, many, printable


def delete(
    result: Result,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Delete without asking: where no terminal is.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be deleted; delete nothing.")
    ] = False,
    wait: Annotated[
        str,
        typer.Option(
            help="How long to wait for the service's own jobs, e.g. 10m; 0s asks once.",
            metavar="DURATION",
        ),
    ] = "0s",
    *,
    asking: Asking,
    as_json: Json = False,
) -> None:
    """Delete the users of a stored run from the service, and nobody else.

    Deleted are the users that the run may have created, by the ledger in its
    results file, under ids that no other run has. Progress is kept in that
    file: the same command goes on where it was left off, asks how far the
    service is, and counts in the end. What was deleted cannot be had back.
    Of a mix, named as it was to --output, by its id or its folder, flow by flow.
    """
    from loadcheck.cli.terminal import agreed, in_loop, width, write_json  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.pipeline import deletion  # noqa: PLC0415
    from loadcheck.pipeline.reconcile import ReconcileOptions  # noqa: PLC0415
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415
    from loadcheck.verify import Verdict, worst  # noqa: PLC0415

    try:
        wait_s = parse_duration(wait)
    except ValueError:
        remedy = 'expected a duration such as "30s" or "10m"'
        raise InputError(Problem(key="--wait", message=f"found {wait!r}", remedy=remedy)) from None
    env = asking.environment
    options = ReconcileOptions(consent=asking.consent, server=asking.server, env=env)

    def ask(outline: deletion.DeletionOutline) -> bool:
        would, users = (
            "Would delete" if dry_run else "About to delete",
            many(outline.users, "users"),
        )
        sys.stderr.write(f"{would} {users} of run {outline.run_id} ({outline.name})\n")
        for label, text in deletion.lines(outline):
            sys.stderr.writelines(_laid_out(label, text, width()))
        if dry_run:
            return False
        if yes:
            return True
        if not sys.stdin.isatty():
            message = "deleting cannot be undone, and there is no terminal to ask on"
            raise InputError(Problem(key="--yes", message=message, remedy="add --yes to confirm"))
        return agreed(f"Delete these {many(outline.users, 'users')}? This cannot be undone.")

    files = run_files(result)
    sections, verdicts = {}, []
    for file in files:
        work = partial(deletion.delete, file, options, ask, _show_progress, wait_s=wait_s)
        done = in_loop(work)
        sections[str(file)] = done.section or {}
        skipped = done.section is None and dry_run
        verdicts.append(Verdict.PASS if skipped else done.verdict)
        if not as_json:
            sys.stdout.write(f"{done.says}\n")
    if as_json:
        write_json(sections if len(files) > 1 else sections[str(files[0])])
    codes = {Verdict.PASS: Exit.PASS, Verdict.FAIL: Exit.INCONSISTENT}
    raise typer.Exit(codes.get(worst(verdicts), Exit.UNKNOWN))


def _show_progress(done: int, batches: int) -> None:
    """Print the progress of requests: in place on a terminal, about ten times elsewhere."""
    last = done == batches
    if sys.stderr.isatty():
        sys.stderr.write(
            f"\r{done:,} of {many(batches, 'requests')}\x1b[K{chr(10) if last else ''}"
        )
        sys.stderr.flush()
    elif last or done % max(1, batches // 10) == 0:
        sys.stderr.write(f"{done:,} of {many(batches, 'requests')}\n")


def _laid_out(label: str, text: str, width: int) -> Iterator[str]:
    for number, line in enumerate(text.split("\n")):
        shown = printable(line)
        room = max(20, width - 14)
        cut = f"{shown[: room - 1]}…" if len(shown) > room and number else shown
        yield f"  {label if not number else '':<11} {cut}\n"
