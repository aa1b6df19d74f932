"""Checks: each turns evidence into findings, and one that breaks becomes a finding itself."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from loadcheck.verify.verdict import Finding, Verdict

_Evidence = TypeVar("_Evidence")
_Evidence_contra = TypeVar("_Evidence_contra", contravariant=True)
_MOST_FRAMES = 30


class Check(Protocol[_Evidence_contra]):
    """Says what evidence proves; pure, so that it can be asked again."""

    @property
    def __name__(self) -> str:
        """What it is called if it breaks, after ``check_``."""

    def __call__(self, evidence: _Evidence_contra, /) -> Iterable[Finding]:
        """Return the findings that follow."""


def compose(checks: Sequence[Check[_Evidence]]) -> Callable[[_Evidence], list[Finding]]:
    """Return a check that is all of these; one that breaks keeps the others from nothing."""

    def check_all(evidence: _Evidence, /) -> list[Finding]:
        findings: list[Finding] = []
        for check in checks:
            try:
                findings += check(evidence)
            except Exception as error:  # noqa: BLE001  # whatever it is, nothing is proven
                findings.append(broken(check.__name__.removeprefix("check_"), error))
        return findings

    return check_all


def broken(check: str, error: BaseException) -> Finding:
    """Return the finding that something of ours broke: what it was to prove is unknown."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    what = traceback.format_exception_only(error)[-1].strip()
    return Finding(
        check=check,
        verdict=Verdict.UNKNOWN,
        summary=f"Internal error in loadcheck: {what}. What this check would have shown is "
        "unknown; "
        "please report the trace in the results file.",
        evidence={"trace": trace(error)},
    )


def trace(error: BaseException) -> list[str]:
    """Return where an exception came from, without the paths of this machine."""
    lines = []
    for frame in traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]:
        parts = Path(frame.filename).parts
        begin = len(parts) - 1
        if "loadcheck" in parts:
            begin = len(parts) - 1 - parts[::-1].index("loadcheck")
        lines.append(f"{'/'.join(parts[begin:])}:{frame.lineno} in {frame.name}: {frame.line}")
    lines += "".join(traceback.format_exception_only(error)).splitlines()
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            lines += trace(inner)
    return lines
