"""The commands ``loadcheck explain`` and ``loadcheck schema``."""

from __future__ import annotations

import enum
import sys
from typing import Annotated

import typer

from loadcheck.errors import InputError, Problem, nearest


class SchemaKind(enum.StrEnum):
    """The kinds of files that have a schema."""

    SCENARIO = "scenario"
    RESULT = "result"
    CAPACITY = "capacity"
    COMPARISON = "comparison"
    TREND = "trend"


def schema(
    kind: Annotated[
        SchemaKind,
        typer.Argument(
            help="Which kind of file: a scenario, or the result of a run, a search, a comparison, "
            "a trend."
        ),
    ] = SchemaKind.RESULT,
) -> None:
    """Print the JSON Schema of scenarios, for editors, or of results files.

    An editor with taplo (VS Code: Even Better TOML) completes and checks a scenario whose first
    line names the file: #:schema ./scenario.schema.json
    """
    import orjson  # noqa: PLC0415  # keeps --help quick

    from loadcheck.emulator.config import KEYS  # noqa: PLC0415
    from loadcheck.result.schema import json_schema  # noqa: PLC0415
    from loadcheck.result.schema_others import (  # noqa: PLC0415
        capacity_schema,
        comparison_schema,
        trend_schema,
    )
    from loadcheck.scenario.schema import json_schema as scenario_schema  # noqa: PLC0415

    schemas = {
        SchemaKind.SCENARIO: lambda: scenario_schema(KEYS),
        SchemaKind.RESULT: json_schema,
        SchemaKind.CAPACITY: capacity_schema,
        SchemaKind.COMPARISON: comparison_schema,
        SchemaKind.TREND: trend_schema,
    }
    data = orjson.dumps(schemas[kind](), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(data)


_WIDEST = 80


def _names(incomplete: str) -> list[str]:
    from loadcheck.cli.reference import words  # noqa: PLC0415  # only a shell asks for it

    return [word for word in words() if word.startswith(incomplete)]


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[KEY|METRIC|CHECK|CODE|TERM]",
            help="What to explain: load.rate, uploadEvents.p99, lost, 3, lateness …",
            show_default=False,
            autocompletion=_names,
        ),
    ] = "",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the whole reference in Markdown.")
    ] = False,
    grafana: Annotated[
        bool,
        typer.Option(
            "--grafana",
            help="Print a Grafana dashboard (JSON) of the metrics that runs serve or send.",
        ),
    ] = False,
) -> None:
    """Explain a key of a scenario, a threshold's metric, a check, an exit code or a term.

    Without a name, list all there is.
    """
    from loadcheck.cli import reference, terminal  # noqa: PLC0415  # keeps --help quick

    if grafana:
        from loadcheck.report.metrics import dashboard  # noqa: PLC0415

        sys.stdout.write(dashboard())
        return
    if markdown:
        sys.stdout.write(reference.markdown())
        return
    color, width = terminal.has_color(sys.stdout), min(terminal.width(), _WIDEST)
    if not name:
        sys.stdout.write(reference.names(width))
        return
    found = reference.find(name)
    if not found:
        remedy = nearest(name, reference.words()) or "see loadcheck explain"
        raise InputError(Problem(message=f'nothing is called "{name}"', remedy=remedy))
    texts = [reference.text(entry, color=color, width=width) for entry in found]
    sys.stdout.write("\n".join(texts))
