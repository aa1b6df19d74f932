"""How numbers are written for people: the one place where units are chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST_FACT = 40

CHANGE_COLORS = {"better": "green", "same": "green", "worse": "red", "unsure": "yellow"}
CHANGE_MARKS = {"better": "✓", "same": "=", "worse": "✗", "unsure": "?"}
CHANGE_ROLES = {"better": "pass", "same": "pass", "worse": "fail", "unsure": "unknown"}
"""For each word of a comparison or a trend: its colour in a terminal, its mark, its role."""


def duration(milliseconds: float | None) -> str:
    """Return a duration of milliseconds with three significant digits and a fitting unit."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f} µs"
    if milliseconds < 100:
        return f"{milliseconds:.3g} ms" if milliseconds < 10 else f"{milliseconds:.1f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.2f} s"
    return clock(milliseconds / 1000)


def clock(seconds: float) -> str:
    """Return a length of time: ``16.0 s`` below a minute, ``1:05`` or ``2:00:05`` above."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(number: float | None) -> str:
    """Return a number with thousands set off."""
    return "–" if number is None else f"{number:,.0f}"


def in_unit(number: float | None, unit: str) -> str:
    """Return a figure of "ms", "1/s", "ratio" or "count" with its unit."""
    return {"ms": duration, "1/s": rate, "ratio": share, "count": count}[unit](number)


def shortened(text: str, most: int) -> str:
    """Return a text, cut to at most ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def fact(value: Any) -> str:
    """Return a setting as text, "none" for None, cut if it is long."""
    return "none" if value is None else shortened(str(value), _LONGEST_FACT)


def rate(per_second: float | None) -> str:
    """Return a rate per second."""
    if per_second is None:
        return "–"
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.3g}/s"


def share(ratio: float | None) -> str:
    """Return a share of one in percent."""
    return "–" if ratio is None else f"{100 * ratio:.4g} %"


def instant(utc: str) -> str:
    """Return an instant in ISO 8601 to the second: ``2026-11-23 09:16:25 UTC``."""
    return f"{utc[:19].replace('T', ' ')} UTC"


def labels(given: Mapping[str, str]) -> str:
    """Return labels in a line: commits abbreviated, without ``ci_url`` and ``dirty=false``.

    ``commit=1b2c3d4e5f6a branch=main env=staging``
    """
    shown = {
        name: value[:12] if name == "commit" else value
        for name, value in given.items()
        if name != "ci_url" and (name, value) != ("dirty", "false")
    }
    return "  ".join(f"{name}={value}" for name, value in shown.items())


def ending(run: Mapping[str, Any], what: str = "run") -> str:
    """Return how a run ended; "" if it ended by itself.

    Args:
        run: The section ``run`` of its document.
        what: The word for it.
    """
    if run.get("in_progress"):
        return "in progress"
    if run["phase"] != "complete":
        return f"the {what} was killed: {run['phase']}"
    return "interrupted" if run["interrupted"] else ""


_LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None]) -> str:
    """Return values as bars of eight heights; None and zero are blank."""
    most = max((value for value in values if value is not None), default=0) or 1
    return "".join(
        " " if not value else _LEVELS[min(7, max(0, math.ceil(8 * value / most) - 1))]
        for value in values
    )
