"""Plays many mixes and keeps count of what was true, what was said, and what was wrong."""

from __future__ import annotations

import contextlib
import ctypes
from collections import Counter
from collections.abc import Iterable, Iterator

from loadcheck.verify import Verdict
from tests.property.verdict_fuzz.mixes import mix
from tests.property.verdict_fuzz.oracle import contradictions, decides, truth_of, undecided
from tests.property.verdict_fuzz.play import Trial, play


def sit(seeds: Iterable[int]) -> Iterator[Trial]:
    """Play the mixes of some seeds."""
    for place, seed in enumerate(seeds):
        if place % 100 == 0:
            _give_back()
        yield play(mix(seed))


def _give_back() -> None:
    """Give freed memory back: the threads of thousands of runs would keep gigabytes of it."""
    with contextlib.suppress(OSError, AttributeError):  # it is glibc's
        ctypes.CDLL(None).malloc_trim(0)


def told(trial: Trial, wrong: Iterable[str]) -> str:
    """Return a trial in full: the mix, what was found, and what is wrong with it."""
    said = f"  said {trial.consistent.value}, exit {trial.code}"
    if trial.document:
        truth = truth_of(trial)
        said += f"; truth: {', '.join(truth.faults) or 'consistent'}"
        if trial.mix.undecidable:
            said += f"; undecidable: {trial.mix.undecidable}"
    lines = [trial.mix.told(), said, trial.findings(), trial.crash[-1500:]]
    lines += [f"  WRONG {text}" for text in wrong]
    return "\n".join(line for line in lines if line)


class Tally:
    """What many trials came to.

    Attributes:
        trials: How many there were.
        wrong: Trials in which something was said that is not so, by kind.
        decidable: Trials that evidence decides.
        open: Those of them that were left unknown, by the mix's name.
    """

    def __init__(self) -> None:
        self.trials = 0
        self.wrong: Counter[str] = Counter()
        self.decidable = 0
        self.open: Counter[str] = Counter()
        self._cells: Counter[tuple[str, str]] = Counter()

    def add(self, trial: Trial) -> list[str]:
        """Judge a trial, and return what is wrong with it."""
        self.trials += 1
        wrong = list(contradictions(trial))
        self.wrong.update({text.partition(":")[0] for text in wrong})
        if decides(trial):
            self.decidable += 1
            if undecided(trial):
                self.open[trial.mix.name] += 1
        true = "crash"
        if trial.document:
            faults = truth_of(trial).faults
            true = "consistent" if not faults else faults[0] if len(faults) == 1 else "several"
        self._cells[true, trial.consistent.value] += 1
        return wrong

    @property
    def share_open(self) -> float:
        """The share of the decidable trials that was left unknown."""
        return self.open.total() / self.decidable if self.decidable else 0.0

    def table(self) -> str:
        """Return what was true, down, and what was said, across."""
        verdicts = [verdict.value for verdict in Verdict]
        rows: list[tuple[str, ...]] = [("", *verdicts)]
        rows += [
            (true, *(str(self._cells[true, said]) for said in verdicts))
            for true in sorted({true for true, _ in self._cells})
        ]
        lines = ["".join(f"{cell:>16}" for cell in row) for row in rows]
        lines.append(f"{self.trials} mixes; wrong: {dict(self.wrong) or 'none'}")
        lines.append(
            f"{self.decidable} decidable, {self.open.total()} left unknown "
            f"({100 * self.share_open:.1f} %): {dict(self.open.most_common(12))}"
        )
        return "\n".join(lines)
