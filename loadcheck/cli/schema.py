"""The command ``loadcheck schema``."""

from __future__ import annotations

import sys


def schema() -> None:
    """Print the JSON Schema of results files."""
    import orjson  # noqa: PLC0415  # keeps --help quick

    from loadcheck.result import json_schema  # noqa: PLC0415

    data = orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(data)
