"""The timeline as comma-separated values: a row a second, a column a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from loadcheck.escaping import cell
from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.result import store as stored

_COLUMNS = (*COUNTS, *LEVELS, *FIGURES)


def text(document: Mapping[str, Any]) -> str:
    """Return the rows of a results document, with a header; times are UTC, ISO 8601.

    ``at`` is empty for files that do not say when the load began.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["second", "at", *_COLUMNS])
    timeline = stored.columns(document.get("timeline") or {"second": []}, "timeline")
    began_at = document["run"].get("load_began_at")
    began = stored.instant(began_at, "run.load_began_at") if began_at else None
    for place, second in enumerate(timeline["second"]):
        at = "" if began is None else _at(began + timedelta(seconds=second))
        # an older file may lack a column
        values = (timeline[name][place] if name in timeline else None for name in _COLUMNS)
        writer.writerow([cell(second), at, *("" if v is None else cell(v) for v in values)])
    return buffer.getvalue()


def _at(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
