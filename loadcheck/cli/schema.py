"""The command ``loadcheck schema``."""

from __future__ import annotations

import enum
import sys
from typing import Annotated

import typer


class Kind(enum.StrEnum):
    """The kinds of files that have a schema."""

    RESULT = "result"
    CAPACITY = "capacity"
    COMPARISON = "comparison"


def schema(
    kind: Annotated[
        Kind, typer.Argument(help="Which kind of file: of a run, a capacity search, a comparison.")
    ] = Kind.RESULT,
) -> None:
    """Print the JSON Schema of results files."""
    import orjson  # noqa: PLC0415  # keeps --help quick

    from loadcheck.result import capacity_schema, json_schema  # noqa: PLC0415
    from loadcheck.result.schema_comparison import comparison_schema  # noqa: PLC0415

    schemas = {
        Kind.RESULT: json_schema,
        Kind.CAPACITY: capacity_schema,
        Kind.COMPARISON: comparison_schema,
    }
    data = orjson.dumps(schemas[kind](), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(data)
