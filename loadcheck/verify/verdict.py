"""What a check says, and what several say together."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Verdict(enum.Enum):
    """Three-valued: what is not proven is unknown, never a pass."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNKNOWN = "unknown"


_RANK = {Verdict.PASS: 0, Verdict.UNKNOWN: 1, Verdict.FAIL: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts; of none at all, unknown."""
    return max(verdicts, key=_RANK.__getitem__, default=Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check says, in a sentence that a tired engineer understands.

    Attributes:
        check: Short name of the check, e.g. "lost".
        verdict: What it came to.
        summary: One sentence with the numbers and, where there is one, the next step.
        evidence: The numbers by name.
    """

    check: str
    verdict: Verdict
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as the results file holds it."""
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "evidence": dict(self.evidence),
        }
