"""Finds where the level of figures changes over a history of runs: change points and significance.

``ruptures`` proposes where to split a history in two, or three; a permutation test says whether the
runs in random order would split as well by chance. A split is compared with the largest of any
figure in each permutation (Westfall and Young's maxT), so the chance of a false alarm is that of
the whole history, however many figures it has. The parts are split again, as in E-divisive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from loadcheck.compare.bootstrap import two_sided
from loadcheck.errors import InputError, Problem

Floats = npt.NDArray[np.float64]

SIGNIFICANCE = 0.02
"""The chance that a history without a change shows one in any of its figures."""
PERMUTATIONS, OF_LONG, LONG = 999, 299, 100
"""Number of permutations; the same for more than ``LONG`` runs, which take longer."""
FEWEST_RUNS = 10
"""With fewer, no split can be distinguished from chance."""
_SHORTEST = 3
"""Minimum number of runs on either side of a change."""
_OUTLIER = 5.0
"""A run more than this many standard deviations off its neighbours is not evidence of a level."""
_CONFIDENCE = 0.95
_NEAR = 15
"""Runs on either side of a change whose variation is considered."""
_ERRORS, _OWN = 4.85, 3.0
"""Minimum difference of levels in standard errors: by the pooled variation of nearby runs, and by
that of each side, which is uncertain with three runs."""
_ERRORS_ALONG = 3.5
"""``_ERRORS`` where another figure changes at the same run."""
_EVIDENCE = 5.0
"""Twice the logarithm of the Bayes factor by which a step must be likelier than a change of
variance: "positive" evidence (Kass and Raftery, 1995)."""
_FINEST = 6.0
"""A standard deviation is at least the tolerated change divided by this."""
_SPREAD = 5
"""Minimum number of runs with a variance of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureHistory:
    """A figure over the runs of a history.

    Attributes:
        values: One for each run, NaN where it is not known.
        logarithmic: Whether runs differ by factors rather than by sums.
        floor: Differences up to this count as none, in the figure's unit.
    """

    values: Floats
    logarithmic: bool
    floor: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """A change of level.

    Attributes:
        index: The first run after it.
        kind: A step, or a drift, whose ``index`` is the first run beyond the tolerance.
        before: The level before it.
        after: The level after it.
        p: The chance of such a split in a history without a change.
    """

    index: int
    kind: Literal["step", "drift"]
    before: float
    after: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureChanges:
    """The changes of a figure, and its present level.

    Attributes:
        points: Its changes, in order.
        outliers: Runs that are outliers, and were not used.
        level: The present level: the mean of the runs since the last step, or of all runs if
            there is none (a drift is not a step); None if unknown.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
    """

    points: Sequence[ChangePoint] = ()
    outliers: Sequence[int] = ()
    level: float | None = None
    low: float | None = None
    high: float | None = None


def find_changes(
    series: Mapping[str, FigureHistory], tolerance: float, seed: int = 0
) -> dict[str, FigureChanges]:
    """Return the changes of each figure of a history.

    Args:
        series: The figures, all of the same runs.
        tolerance: Changes up to this share count as none.
        seed: Seed of the permutations: the same history has the same changes.

    Raises:
        InputError: ``ruptures`` is not installed.
    """
    require_ruptures()
    search = _Search(series, tolerance, seed)
    edges = search.edges()
    return {key: search.changes(key, edges[key]) for key in series}


def require_ruptures() -> Any:
    """Return the library that proposes change points.

    Raises:
        InputError: It is not installed.
    """
    try:
        import ruptures  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra, and heavy
    except ImportError:
        problem = Problem(
            message="change points need the package ruptures, which is not installed",
            remedy='pip install "loadcheck[trend]"',
        )
        raise InputError(problem) from None
    return ruptures


class _Search:
    """Finds the changes of all figures of a history.

    The permutations of a stretch of runs are the same for every figure, and made once.
    """

    def __init__(self, series: Mapping[str, FigureHistory], tolerance: float, seed: int) -> None:
        self._series = series
        self._tolerance = tolerance
        self._seed = seed
        self._shown: dict[str, Floats] = {}
        self._outliers: dict[str, Sequence[int]] = {}
        self._null: dict[tuple[int, int, int], Floats] = {}
        for key, one in series.items():
            shown = np.log(np.maximum(one.values, 1e-12)) if one.logarithmic else one.values
            out = _outliers(shown)
            self._outliers[key] = out
            self._shown[key] = shown.copy()
            self._shown[key][list(out)] = np.nan

    def edges(self) -> dict[str, list[tuple[int, float]]]:
        """Return where each figure changes, and the p-value of each change.

        A run where one figure changes need not be searched for in the others: there, their levels
        only have to differ.
        """
        found = {
            key: sorted(self._splits(key, 0, shown.size))
            if np.isfinite(shown).sum() >= FEWEST_RUNS
            else []
            for key, shown in self._shown.items()
        }
        known = sorted({edge for edges in found.values() for edge, _ in edges})
        for key, own in found.items():
            for edge in known:
                if not any(abs(edge - at) < _SHORTEST for at, _ in own):
                    own.extend(self._along(key, edge, own))
                    own.sort()
        return found

    def _along(
        self, key: str, edge: int, edges: Sequence[tuple[int, float]]
    ) -> list[tuple[int, float]]:
        """Return the change of a figure at a run where another one changes, if there is one."""
        shown = self._shown[key]
        first = max((own for own, _ in edges if own < edge), default=0)
        last = min((own for own, _ in edges if own > edge), default=shown.size)
        left, right = (side[np.isfinite(side)] for side in (shown[first:edge], shown[edge:last]))
        if min(left.size, right.size) < _SHORTEST or left.size + right.size < FEWEST_RUNS:
            return []
        if not _apart(left, right, _ERRORS_ALONG):
            return []
        return [(edge, self._chance(key, first, last, 2))]

    def changes(self, key: str, edges: Sequence[tuple[int, float]]) -> FigureChanges:
        """Return the changes of one figure, given the runs at which it changes."""
        shown = self._shown[key]
        points = self._points(key, edges) if edges else []
        begin = points[-1].index if points and points[-1].kind == "step" else 0
        now = shown[begin:][np.isfinite(shown[begin:])]
        level = low = high = None
        if now.size:
            middle = float(now.mean())
            reach = 0.0
            if now.size > 1:
                reach = two_sided(_CONFIDENCE, now.size - 1) * float(now.std(ddof=1))
                reach /= float(np.sqrt(now.size))
            level, low, high = (
                self._value(key, each) for each in (middle, middle - reach, middle + reach)
            )
        return FigureChanges(
            points=points, outliers=self._outliers[key], level=level, low=low, high=high
        )

    def _value(self, key: str, shown: float) -> float:
        return float(np.exp(shown)) if self._series[key].logarithmic else shown

    def _splits(self, key: str, first: int, last: int) -> Iterator[tuple[int, float]]:
        """Yield where a stretch of runs splits, and the p-value of each split."""
        shown = self._shown[key][first:last]
        used = np.flatnonzero(np.isfinite(shown))
        values = shown[used]
        if values.size < 2 * _SHORTEST or not _varies(values):
            return
        for pieces in (2, 3):
            if values.size < pieces * _SHORTEST:
                return
            p = self._chance(key, first, last, pieces)
            if p > SIGNIFICANCE / 2:
                continue
            cuts = _proposed(values, pieces)
            sides = np.split(values, cuts)
            apart = all(_apart(left, right, _ERRORS) for left, right in pairwise(sides))
            if not apart or not _is_level(values, cuts, self._finest(key, values)):
                continue
            edges = [first, *(first + int(used[cut]) for cut in cuts), last]
            yield from ((edge, p) for edge in edges[1:-1])
            for begin, end in pairwise(edges):
                yield from self._splits(key, begin, end)
            return

    def _finest(self, key: str, values: Floats) -> float:
        """Return the least variance that a figure is assumed to have."""
        one = self._series[key]
        least = self._tolerance
        if not one.logarithmic:
            least = max(least * abs(float(np.median(values))), one.floor)
        return max((least / _FINEST) ** 2, 1e-12)

    def _chance(self, key: str, first: int, last: int, pieces: int) -> float:
        """Return the share of permutations in which any figure splits as clearly as this one."""
        at = first, last, pieces
        if at not in self._null:
            self._null[at] = self._permuted(*at)
        shown = self._shown[key][first:last]
        gain = _gains(shown[np.isfinite(shown)][None, :], pieces)[0]
        null = self._null[at]
        return float((1 + (null >= gain - 1e-12).sum()) / (1 + null.size))

    def _permuted(self, first: int, last: int, pieces: int) -> Floats:
        """Return the largest gain of any figure in each permutation."""
        random = np.random.default_rng([self._seed, first, last])
        number = OF_LONG if last - first > LONG else PERMUTATIONS
        most = np.zeros(number)
        orders: dict[bytes, npt.NDArray[np.int64]] = {}
        for shown in self._shown.values():
            known = np.isfinite(shown[first:last])
            values = shown[first:last][known]
            if values.size < pieces * _SHORTEST or not _varies(values):
                continue
            mask = known.tobytes()
            if mask not in orders:
                orders[mask] = np.argsort(random.random((number, values.size)), axis=1)
            np.maximum(most, _gains(values[orders[mask]], pieces), out=most)
        return most

    def _points(self, key: str, edges: Sequence[tuple[int, float]]) -> list[ChangePoint]:
        """Return the changes that are large enough, or the drift that explains them better."""
        shown, one = self._shown[key], self._series[key]
        edges = list(edges)
        while True:
            marks = [0, *(edge for edge, _ in edges), shown.size]
            means = [float(np.nanmean(shown[begin:end])) for begin, end in pairwise(marks)]
            levels = [self._value(key, mean) for mean in means]
            small = [
                number
                for number, (before, after) in enumerate(pairwise(levels))
                if not self._matters(before, after, one.floor)
            ]
            if not small:
                break
            least = min(small, key=lambda number: abs(means[number + 1] - means[number]))
            del edges[least]
        if not edges:
            return []
        drift = self._drift(key, marks, min(p for _, p in edges))
        if drift is not None:
            return [drift]
        return [
            ChangePoint(index=edge, kind="step", before=before, after=after, p=p)
            for (edge, p), before, after in zip(edges, levels, levels[1:], strict=False)
        ]

    def _matters(self, before: float, after: float, floor: float) -> bool:
        return abs(after - before) > max(self._tolerance * abs(before), floor)

    def _drift(self, key: str, marks: Sequence[int], p: float) -> ChangePoint | None:
        """Return the drift that explains a history better than its steps do; None if none does."""
        shown, floor = self._shown[key], self._series[key].floor
        at = np.flatnonzero(np.isfinite(shown))
        values = shown[at]
        slope, begin = np.polyfit(at, values, 1)
        line = begin + slope * at
        pieces = np.searchsorted(marks, at, side="right")
        stairs = np.array([values[pieces == piece].mean() for piece in pieces])
        errors = [float(((values - fit) ** 2).sum()) for fit in (line, stairs)]
        if errors[1] <= 0:
            return None
        size, steps = at.size, len(marks) - 2
        # Schwarz's criterion: a step has two parameters, position and height
        costs = [
            size * np.log(error / size) + numbers * np.log(size)
            for error, numbers in zip(errors, (2, 1 + 2 * steps), strict=True)
        ]
        if costs[0] >= costs[1]:
            return None
        levels = [self._value(key, float(each)) for each in line]
        if not self._matters(levels[0], levels[-1], floor):
            return None
        first = next(
            int(index)
            for index, level in zip(at, levels, strict=True)
            if self._matters(levels[0], level, floor)
        )
        return ChangePoint(index=first, kind="drift", before=levels[0], after=levels[-1], p=p)


def _varies(values: Floats) -> bool:
    return bool(np.ptp(values) > 1e-9 * max(1.0, float(np.abs(values).max())))


def _outliers(shown: Floats) -> Sequence[int]:
    """Return the runs far above, or far below, all neighbours (up to two on either side).

    The newest run is never one: it may be the first after a change.
    """
    used = np.flatnonzero(np.isfinite(shown))
    if used.size < FEWEST_RUNS:
        return ()
    values = shown[used]
    steps = np.abs(np.diff(values))
    # from the differences between neighbours, of which a step affects only one
    deviation = 1.4826 * float(np.median(steps)) / np.sqrt(2)
    if deviation <= 0:
        return ()
    found = []
    for place in range(values.size - 1):
        near = values[max(place - 2, 0) : place].tolist() + values[place + 1 : place + 3].tolist()
        off = values[place] - np.array(near)
        alone = (off > 0).all() or (off < 0).all()
        if alone and np.abs(off).min() > _OUTLIER * deviation:
            found.append(int(used[place]))
    return found


def _proposed(values: Floats, pieces: int) -> list[int]:
    """Return where ``ruptures`` cuts a series into this many pieces of constant level."""
    ruptures = require_ruptures()
    search = ruptures.KernelCPD(kernel="linear", min_size=_SHORTEST).fit(values)
    return [int(cut) for cut in search.predict(n_bkps=pieces - 1)[:-1]]


def _gains(rows: Floats, pieces: int) -> Floats:
    """Return the share of each row's variation that its best split into pieces explains.

    Of three pieces the outer two have one level, from which the middle one stands out.
    """
    number = rows.shape[1]
    centred = rows - rows.mean(axis=1, keepdims=True)
    whole = (centred**2).sum(axis=1)
    sums = np.concatenate([np.zeros((rows.shape[0], 1)), np.cumsum(centred, axis=1)], axis=1)
    best = np.zeros(rows.shape[0])
    if pieces == 2:  # noqa: PLR2004
        cuts = np.arange(_SHORTEST, number - _SHORTEST + 1)
        best = ((sums[:, cuts] ** 2) * (number / (cuts * (number - cuts)))).max(axis=1)
    else:
        length = _SHORTEST
        while length <= number - 2 * _SHORTEST:
            starts = np.arange(_SHORTEST, number - _SHORTEST - length + 1)
            inside = sums[:, starts + length] - sums[:, starts]
            gain = (inside**2).max(axis=1) * (number / (length * (number - length)))
            np.maximum(best, gain, out=best)
            length = max(length + 1, int(length * 1.2))
    shares: Floats = np.divide(best, whole, out=np.zeros_like(best), where=whole > 0)
    return shares


def _apart(left: Floats, right: Floats, errors: float) -> bool:
    """Return whether neighbouring stretches differ beyond what their variation explains.

    A permutation test assumes constant variation. Here each stretch is judged by its own, and both
    by the pooled variation of the nearby runs.
    """
    near = left[-_NEAR:], right[:_NEAR]
    sizes = [side.size for side in near]
    squares = [float(((side - side.mean()) ** 2).sum()) for side in near]
    pooled = sum(squares) / (sum(sizes) - 2) * sum(1 / size for size in sizes)
    own = sum(square / (size - 1) / size for square, size in zip(squares, sizes, strict=True))
    difference = abs(float(left.mean() - right.mean()))
    return difference > max(errors * float(np.sqrt(pooled)), _OWN * float(np.sqrt(own)))


def _is_level(values: Floats, cuts: Sequence[int], finest: float) -> bool:
    """Return whether the level changes at the cuts, rather than the variation alone.

    Where the variation grows, neighbouring runs differ by chance more often than a permutation test
    shows, for which all runs are alike. So steps must explain the values better, by Schwarz's
    criterion and positive evidence, than one level whose variance changes once. The variance around
    the steps may be constant, differ by stretch, or change once as well.
    """
    pieces = np.split(values, cuts)
    rest = np.concatenate([(piece - piece.mean()) ** 2 for piece in pieces])
    number = np.log(values.size)
    # position and height; of three pieces the outer two have one level
    steps = (2 if len(cuts) == 1 else 3) * number
    own = sum(piece.size * np.log(max(float(piece.var()), finest)) for piece in pieces)
    best = steps + min(
        values.size * np.log(max(float(rest.mean()), finest)),
        own + len(cuts) * number,
        _two_variances(rest, _SPREAD, finest) + 2 * number,
    )
    still = _two_variances((values - np.median(values)) ** 2, _SHORTEST, finest) + 2 * number
    return bool(best + _EVIDENCE <= still)


def _two_variances(squares: Floats, shortest: int, finest: float) -> float:
    """Return minus twice the log-likelihood of the best single change of variance."""
    size = squares.size
    if size < 2 * shortest:
        return size * float(np.log(max(float(squares.mean()), finest)))
    sums = np.cumsum(squares)
    cuts = np.arange(shortest, size - shortest + 1)
    left = np.maximum(sums[cuts - 1] / cuts, finest)
    right = np.maximum((sums[-1] - sums[cuts - 1]) / (size - cuts), finest)
    return float((cuts * np.log(left) + (size - cuts) * np.log(right)).min())
