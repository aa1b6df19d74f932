"""The commands that send load or query again: run, its worker shard, and reconcile."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.core import TyperCommand

from loadcheck.cli.overrides import (
    ANY_PORT,
    Asking,
    ChangeOptions,
    KeepGoing,
    Outputs,
    Result,
    ScenarioFile,
    Sending,
    Serving,
    Sharing,
    labelled,
    resolve_output,
)
from loadcheck.cli.plan import ForceLimits


class PortAfterWeb(TyperCommand):
    """Lets ``--web`` be given without a port: the next argument is one only if it is a number."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's context is click's
        """Add the port that was left out."""
        written: list[str] = []
        for place, arg in enumerate(args):
            follows = args[place + 1] if place + 1 < len(args) else ""
            written.append(
                f"--web={ANY_PORT}" if arg == "--web" and not follows.isdecimal() else arg
            )
        return super().parse_args(ctx, written)


def reconcile(
    result: Result,
    asking: Asking,
    export: Annotated[
        bool,
        typer.Option("--export", help="Download the events and compare them one by one (exact)."),
    ] = False,
    *,
    outputs: Outputs,
) -> None:
    """Query the service again about a stored run, even one that was killed; update its verdict.

    A mix, named as it was to --output, by its id or its folder, is asked about flow by flow, and
    judged again.
    """
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.outputs import Reports  # noqa: PLC0415
    from loadcheck.pipeline.reconcile import ReconcileOptions, reconcile_run  # noqa: PLC0415
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415

    options = ReconcileOptions(
        consent=asking.consent, server=asking.server, export=export, env=asking.environment
    )
    (result, *others) = run_files(result)
    if others:
        from loadcheck.cli.mix import reconcile_flows  # noqa: PLC0415

        reconcile_flows([result, *others], options, outputs)
    with Reports(outputs, result) as reports:
        asked = terminal.in_loop(reconcile_run, result, options)
        reports.conclude(asked)
    reports.check()
    raise typer.Exit(
        terminal.exit_of(consistent=asked.consistent, verdict=asked.verdict, interrupted=False)
    )


def shard() -> None:
    """Send a part of a load, as a run says over the standard streams."""
    from loadcheck.pipeline.shards.shard import main  # noqa: PLC0415  # keeps --help quick

    raise typer.Exit(main())


def run(
    scenario: ScenarioFile,
    changes: ChangeOptions,
    sharing: Sharing,
    keep_going: KeepGoing = False,
    *,
    sending: Sending,
    outputs: Outputs,
    serving: Serving,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="DIGEST",
            help="Run only what has this digest in loadcheck plan: what was approved.",
        ),
    ] = None,
    force_limits: ForceLimits = False,
) -> None:
    """Run a scenario: send its load, then verify that everything arrived."""
    from loadcheck import pipeline  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.cli.outputs import Reports  # noqa: PLC0415
    from loadcheck.cli.web import finish, live_page  # noqa: PLC0415
    from loadcheck.pipeline.shards import Workers  # noqa: PLC0415
    from loadcheck.pipeline.target import metrics_settings  # noqa: PLC0415
    from loadcheck.report import otel as telemetry  # noqa: PLC0415
    from loadcheck.verify.progress import ProgressView  # noqa: PLC0415

    labels = labelled(sending.labels)
    loaded = terminal.read(scenario, changes, *sharing.overrides(), *labels)
    directory, file = resolve_output(sending.output)
    approved, flown = plan, dict[str, int]()
    if sending.consent:
        approved, flown = terminal.approve(loaded, sending, digest=plan, forced=force_limits)
    options = pipeline.Options(
        results=directory,
        output=file,
        replace=outputs.force,
        seed=sending.seed,
        consent=sending.consent,
        workers=Workers(
            scheduler=sending.scheduler,
            keep_going=keep_going,
            environment=changes.environment,
        ),
        approved=approved,
        force_limits=force_limits,
        preflight=flown,
    )
    if loaded.flows:
        from loadcheck.cli.mix import run_flows  # noqa: PLC0415

        run_flows(loaded, options, outputs, serving)
    view: ProgressView
    if outputs.quiet:
        view = terminal.no_view
    elif terminal.is_drawable(sys.stderr):
        view = terminal.live_view
    else:
        view = terminal.line_view
    wanted = metrics_settings(os.environ)
    if wanted is not None:
        view = telemetry.with_metrics(view, wanted)
    with (
        Reports(outputs, file) as reports,
        live_page(serving, quiet=outputs.quiet) as served,
    ):
        if served is not None:
            view = served.with_page(view)
        finished = terminal.in_loop(pipeline.run, loaded, options, view)
        finish(served, finished.document)
        reports.conclude(finished)
    if finished.fault is not None:
        raise finished.fault
    reports.check()
    if finished.interrupted:
        terminal.print_later(
            finished.document,
            path=finished.path if finished.unsaved is None else None,
            live=sending.consent,
        )
    judgement = finished.judgement
    raise typer.Exit(
        terminal.exit_of(
            consistent=judgement.consistent,
            verdict=judgement.verdict,
            interrupted=finished.interrupted,
        )
    )
