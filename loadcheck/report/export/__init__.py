"""A result in the formats of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loadcheck.report import markdown
from loadcheck.report import markdown as comparison
from loadcheck.report.export import csv as rows
from loadcheck.report.export import hgrm, hlog, junit
from loadcheck.report.export import junit as search

Format = Callable[[Mapping[str, Any]], str]
"""Turns a document into text."""

FORMATS: Mapping[str, Mapping[str, Format]] = {
    "result": {
        "hgrm": hgrm.text,
        "hlog": hlog.text,
        "csv": rows.text,
        "junit": junit.text,
        "markdown": markdown.text,
    },
    "capacity": {"csv": search.rows, "junit": search.junit, "markdown": search.markdown},
    "comparison": {"markdown": comparison.markdown},
}
"""The formats by name, for each kind of document."""

__all__ = ["FORMATS"]
