"""A result in the formats of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loadcheck.report import trend
from loadcheck.report.export.junit import capacity_junit, run_junit
from loadcheck.report.export.samples import capacity_csv, csv_rows, hgrm, hlog
from loadcheck.report.markdown import capacity_markdown, comparison_markdown, run_markdown

Format = Callable[[Mapping[str, Any]], str]
"""Turns a document into text."""

FORMATS: Mapping[str, Mapping[str, Format]] = {
    "result": {
        "hgrm": hgrm,
        "hlog": hlog,
        "csv": csv_rows,
        "junit": run_junit,
        "markdown": run_markdown,
    },
    "capacity": {"csv": capacity_csv, "junit": capacity_junit, "markdown": capacity_markdown},
    "comparison": {"markdown": comparison_markdown},
    "trend": {"markdown": trend.markdown},
}
"""The formats by name, for each kind of document."""
