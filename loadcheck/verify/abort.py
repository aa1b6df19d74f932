"""Stops a load early when a threshold that says so does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from loadcheck.measure.record import StageSpan
from loadcheck.verify.figures import RunFigures
from loadcheck.verify.thresholds import Figures, Judged, ParsedThreshold
from loadcheck.verify.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """A load that was stopped early.

    Attributes:
        judged: The threshold, and the figure for which the load was stopped.
        at_s: When, since the load began.
    """

    judged: Judged
    at_s: float

    def to_json(self) -> dict[str, Any]:
        """Return it as the results file holds it."""
        return {
            "threshold": self.judged.threshold.check,
            "measured": self.judged.value,
            "at_s": round(self.at_s, 3),
        }

    def finding(self) -> Finding:
        """Return what a reader must know: the load was not what the scenario asks for."""
        expression = self.judged.threshold.check
        return Finding(
            check="aborted",
            verdict=Verdict.FAIL,
            summary=f"The load was stopped after {self.at_s:.1f} s: {expression} did not hold "
            f"({_written(self.judged)}). What was sent until then was reconciled as ever.",
            evidence=self.to_json(),
        )


def _written(judged: Judged) -> str:
    value = judged.value
    if value is None:
        return "no answer yet"
    units = {"ms": f"{value:,.0f} ms", "ratio": f"{100 * value:.3g} %"}
    return units.get(judged.threshold.unit, f"{value:,.6g}")


class AbortPolicy(Protocol):
    """Says every second whether a load is to be stopped."""

    @property
    def watches(self) -> bool:
        """Whether there is anything to look at."""

    def look(self, figures: RunFigures, elapsed_s: float) -> Aborted | None:
        """Return why the load is to be stopped now; None if it is to go on."""


class ThresholdAbort:
    """Looks every second at the thresholds that abort, each from its grace period on.

    Args:
        thresholds: All of them.
        stages: The stages that they name.
    """

    def __init__(self, thresholds: Sequence[ParsedThreshold], stages: Sequence[StageSpan]) -> None:
        begins = {"": 0.0, **{stage.name: stage.begin_s for stage in stages}}
        self._since = [
            (threshold, begins[threshold.metric.stage] + threshold.grace_s)
            for threshold in thresholds
            if threshold.abort
        ]

    @property
    def watches(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._since)

    def look(self, figures: Figures, elapsed_s: float) -> Aborted | None:
        """Return why the load is to be stopped now; None if it is to go on."""
        for threshold, since_s in self._since:
            judged = threshold.give_up(figures) if elapsed_s >= since_s else None
            if judged is not None:
                return Aborted(judged=judged, at_s=elapsed_s)
        return None


def apply_abort(judged: Sequence[Judged], aborted: Aborted | None) -> list[Judged]:
    """Return the judgements, with the one that stopped the load as it was then.

    The answers that were still under way may have brought its figure back within the limit.
    """
    if aborted is None:
        return list(judged)
    return [
        aborted.judged
        if each.threshold is aborted.judged.threshold and each.verdict is not Verdict.FAIL
        else each
        for each in judged
    ]
