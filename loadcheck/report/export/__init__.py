"""A result in the formats of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loadcheck.report import markdown
from loadcheck.report import markdown as comparison
from loadcheck.report.export import junit
from loadcheck.report.export import junit as search
from loadcheck.report.export.samples import csv_rows, hgrm, hlog

Format = Callable[[Mapping[str, Any]], str]
"""Turns a document into text."""

FORMATS: Mapping[str, Mapping[str, Format]] = {
    "result": {
        "hgrm": hgrm,
        "hlog": hlog,
        "csv": csv_rows,
        "junit": junit.text,
        "markdown": markdown.text,
    },
    "capacity": {"csv": search.rows, "junit": search.junit, "markdown": search.markdown},
    "comparison": {"markdown": comparison.markdown},
}
"""The formats by name, for each kind of document."""

__all__ = ["FORMATS"]
