"""The command ``loadcheck schema``."""

from __future__ import annotations

import enum
import sys
from typing import Annotated

import typer


class Kind(enum.StrEnum):
    """The kinds of files that have a schema."""

    SCENARIO = "scenario"
    RESULT = "result"
    CAPACITY = "capacity"
    COMPARISON = "comparison"
    TREND = "trend"


def schema(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="Which kind of file: a scenario, or the result of a run, a search, a comparison, "
            "a trend."
        ),
    ] = Kind.RESULT,
) -> None:
    """Print the JSON Schema of scenarios, for editors, or of results files.

    An editor with taplo (VS Code: Even Better TOML) completes and checks a scenario whose first
    line names the file: #:schema ./scenario.schema.json
    """
    import orjson  # noqa: PLC0415  # keeps --help quick

    from loadcheck.emulator.config import KEYS  # noqa: PLC0415
    from loadcheck.result import capacity_schema, json_schema  # noqa: PLC0415
    from loadcheck.result.schema_comparison import comparison_schema  # noqa: PLC0415
    from loadcheck.result.schema_trend import trend_schema  # noqa: PLC0415
    from loadcheck.scenario.schema import json_schema as scenario_schema  # noqa: PLC0415

    schemas = {
        Kind.SCENARIO: lambda: scenario_schema(KEYS),
        Kind.RESULT: json_schema,
        Kind.CAPACITY: capacity_schema,
        Kind.COMPARISON: comparison_schema,
        Kind.TREND: trend_schema,
    }
    data = orjson.dumps(schemas[kind](), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(data)
