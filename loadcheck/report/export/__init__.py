"""A result in the formats of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loadcheck.report.export import hgrm, hlog, junit, markdown, rows

FORMATS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "hgrm": hgrm.text,
    "hlog": hlog.text,
    "csv": rows.text,
    "junit": junit.text,
    "markdown": markdown.text,
}
"""What turns a results document into text, by the name of the format."""

__all__ = ["FORMATS"]
