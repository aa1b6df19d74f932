"""A result in the formats of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loadcheck.report.export import hgrm, hlog, junit, markdown, rows, search

FORMATS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "hgrm": hgrm.text,
    "hlog": hlog.text,
    "csv": rows.text,
    "junit": junit.text,
    "markdown": markdown.text,
}
"""What turns the results document of a run into text, by the name of the format."""

SEARCH_FORMATS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "csv": search.rows,
    "junit": search.junit,
    "markdown": search.markdown,
}
"""What turns the document of a capacity search into text."""

__all__ = ["FORMATS", "SEARCH_FORMATS"]
