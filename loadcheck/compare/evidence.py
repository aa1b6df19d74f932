"""What one results file says about each figure, and how precisely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadcheck.compare import figures
from loadcheck.compare.bootstrap import Counts, Floats, RandomVariation, percentiles
from loadcheck.compare.figures import Figure
from loadcheck.compare.intervals import NO_INTERVALS, Intervals
from loadcheck.errors import Problem, ResultFileError
from loadcheck.measure.histogram import layout
from loadcheck.measure.intervals import DIGITS
from loadcheck.result import Document

_US_PER_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure that varies from run to run.

    Attributes:
        value: In the figure's unit.
        spread: Its random variation, of the logarithm where ``logarithmic``; None if unknown.
        logarithmic: Whether runs differ by factors rather than by sums.
        generator_delay: How much of it may be the generator's own delay, in the same unit.
        trouble: Why there is no spread; "" if there is.
    """

    value: float
    spread: RandomVariation | None = None
    logarithmic: bool = True
    generator_delay: float = 0.0
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share: hits among trials.

    Attributes:
        hits: Number of hits.
        trials: Number of trials.
        effective: The effective sample size; less than ``trials`` if hits come in bursts.
    """

    hits: int
    trials: int
    effective: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Proven bounds of a figure.

    Attributes:
        lower: The lower bound.
        upper: The upper bound.
    """

    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A figure that a run does not contain.

    Attributes:
        trouble: Why.
    """

    trouble: str


Evidence = Measured | Share | Bounds | Unknown


def evidence(document: Document, intervals: Intervals) -> dict[Figure, Evidence]:
    """Return the evidence that a results document holds about each of its figures.

    Args:
        document: The document of a complete run.
        intervals: Those of the same document.

    Raises:
        ResultFileError: Its intervals are broken, or its counts contradict each other.
    """
    _require_sense(document, intervals.file)
    found: dict[Figure, Evidence] = {}
    for name, step in document["steps"].items():
        found |= dict(_times_of_step(name, step, document, intervals))
        found[figures.errors_of_step(name)] = _errors(name, step, intervals)
    found |= dict(_of_load(document, intervals))
    found |= dict(_of_count(document))
    found |= dict(_lateness(document, intervals))
    return found


def _require_sense(document: Document, file: str) -> None:
    """Refuse contradictions that a schema cannot detect.

    Raises:
        ResultFileError: More succeeded than were tried.
    """
    pairs = [("copies", document["copies"], "acknowledged", "started")]
    pairs += [
        (f"steps.{name}", step, "succeeded", "attempts") for name, step in document["steps"].items()
    ]
    problems = [
        Problem(
            file=file,
            key=f"{key}.{part}",
            message=f"is {numbers[part]:,}, more than {whole}: {numbers[whole]:,}",
            remedy="was it edited by hand?",
        )
        for key, numbers, part, whole in pairs
        if numbers[part] > numbers[whole]
    ]
    if problems:
        raise ResultFileError(problems)


def _times_of_step(
    name: str, step: Document, document: Document, intervals: Intervals
) -> Iterator[tuple[Figure, Evidence]]:
    generator = document["generator"]
    for time in ("response_time", "service_time"):
        whole = step["role"] == "workflow"
        if step[time] is None or (whole and time == "service_time"):
            continue
        counts = intervals.histograms(time, name)
        delays = [generator["loop_lag"], generator["dispatch_lag"]]
        headline = "service_time" if step["response_time"] is None else "response_time"
        found = _percentiles(step[time], counts, intervals, logarithmic=True)
        for percentile, measured in found:
            own = _generator_delay(delays, percentile)
            core = time == headline and percentile == "p50" and step["role"] == "per-copy"
            yield (
                figures.time_of_step(name, time, percentile, core=core),
                replace(measured, generator_delay=own)
                if isinstance(measured, Measured)
                else measured,
            )
        if time == headline and step["role"] == "per-copy" and counts is not None:
            yield from _times_of_stages(name, time, counts, delays, intervals)


def _generator_delay(delays: Sequence[Document], percentile: str) -> float:
    """Return how much of a percentile may be the generator's own delay, in ms.

    A generator that starts copies late reads their answers late, so both lags widen the service
    time, too. A machine that is too busy for every tenth copy also delays the median one.
    """
    seen = _SEEN_IN.get(percentile, percentile)
    return max((delay[f"{seen}_ms"] or 0.0) for delay in delays)


_SEEN_IN = {"p50": "p90", "p90": "p95"}


def _times_of_stages(
    step: str, time: str, counts: Counts, delays: Sequence[Document], intervals: Intervals
) -> Iterator[tuple[Figure, Evidence]]:
    """Yield the percentiles of each stage, to the precision of intervals."""
    if len(intervals.stages) < 2:  # noqa: PLR2004  # one stage is the whole
        return
    wanted = tuple(figures.PERCENTILES[name] for name in figures.OF_STAGE)
    buckets = layout(DIGITS)
    for number, stage in enumerate(intervals.stages):
        part = counts[intervals.strata == number]
        draws = intervals.draws.of_stage(number) if intervals.draws is not None else None
        everything = np.ones((1, part.shape[0]), dtype=np.float32)
        values = percentiles(part, buckets, wanted, everything)[0] / _US_PER_MS
        drawn = levels = np.zeros((0, len(wanted)))
        if draws is not None:
            drawn = np.log(np.maximum(percentiles(part, buckets, wanted, draws.weights), 1))
            levels = np.log(np.maximum(percentiles(part, buckets, wanted), 1))
        for column, (name, percentile) in enumerate(zip(figures.OF_STAGE, wanted, strict=True)):
            figure = figures.time_of_stage(stage, step, time, name)
            beyond = int(part.sum()) * (1 - percentile / 100)
            if round(beyond, 6) < figures.FEWEST_BEYOND:
                yield figure, Unknown(trouble=f"too few samples: {int(part.sum()):,}")
                continue
            spread = None
            if draws is not None:
                spread = draws.spread(drawn[:, column], levels[:, column])
            yield (
                figure,
                Measured(
                    value=float(values[column]),
                    spread=spread,
                    generator_delay=_generator_delay(delays, name),
                    trouble="" if spread is not None else "the stage was too short",
                ),
            )


def _percentiles(
    whole: Document, counts: Counts | None, intervals: Intervals, *, logarithmic: bool
) -> Iterator[tuple[str, Evidence]]:
    wanted = tuple(figures.PERCENTILES.values())
    draws = intervals.draws
    drawn = levels = np.zeros((0, len(wanted)))
    if counts is not None and draws is not None:
        buckets = layout(DIGITS)
        drawn = percentiles(counts, buckets, wanted, draws.weights)
        levels = percentiles(counts, buckets, wanted)
        if logarithmic:
            drawn, levels = np.log(np.maximum(drawn, 1)), np.log(np.maximum(levels, 1))
        else:
            drawn, levels = drawn / _US_PER_MS, levels / _US_PER_MS
    for column, (name, percentile) in enumerate(figures.PERCENTILES.items()):
        value = whole[f"{name}_ms"]
        if value is None:
            yield name, Unknown(trouble="no samples")
            continue
        beyond = whole["count"] * (1 - percentile / 100)
        if round(beyond, 6) < figures.FEWEST_BEYOND:
            yield name, Unknown(trouble=f"too few samples: {whole['count']:,}")
            continue
        trouble = intervals.trouble or ("" if counts is not None else NO_INTERVALS)
        spread = None
        if not trouble and draws is not None:
            spread = draws.spread(drawn[:, column], levels[:, column])
            trouble = "" if spread is not None else "too few intervals have samples"
        yield (
            name,
            Measured(
                value=value,
                spread=spread,
                logarithmic=logarithmic,
                trouble=trouble,
            ),
        )


def _errors(name: str, step: Document, intervals: Intervals) -> Evidence:
    hits, trials = step["attempts"] - step["succeeded"], step["attempts"]
    if not intervals.has(name):
        return _share(hits, trials, None, None, intervals)
    failed = intervals.column("failed", name)
    return _share(hits, trials, failed, failed + intervals.column("succeeded", name), intervals)


def _share(
    hits: int, trials: int, per_hits: Floats | None, per_trials: Floats | None, intervals: Intervals
) -> Evidence:
    """Return a share, with the effective sample size that its intervals show."""
    if not trials:
        return Unknown(trouble="nothing was tried")
    share, effective, draws = hits / trials, float(trials), intervals.draws
    if per_hits is not None and per_trials is not None and draws is not None and 0 < share < 1:
        all_trials = draws.weights @ per_trials
        if (all_trials > 0).all():
            drawn = (draws.weights @ per_hits) / all_trials
            level = np.divide(
                per_hits, per_trials, out=np.full(per_hits.size, np.nan), where=per_trials > 0
            )
            spread = draws.spread(drawn, level)
            deviation = spread.deviation() if spread is not None else 0.0
            if deviation > 0:
                effective = min(effective, share * (1 - share) / deviation / deviation)
    return Share(hits=hits, trials=trials, effective=max(effective, 1.0))


def _of_load(document: Document, intervals: Intervals) -> Iterator[tuple[Figure, Evidence]]:
    copies, rate = document["copies"], document["load"]["reached_rate"]
    draws = intervals.draws
    spread = None
    if draws is not None:
        started = intervals.column("started")
        drawn = (draws.weights @ started) / (draws.weights @ intervals.width_s)
        if (drawn > 0).all():
            level = started / intervals.width_s
            spread = draws.spread(np.log(drawn), np.log(np.maximum(level, 1e-9)))
    if rate > 0:
        yield (
            figures.RATE,
            Measured(value=rate, spread=spread, trouble=intervals.trouble),
        )
    whole = copies["started"], copies["started"] - copies["acknowledged"]
    due = copies["started"] + copies["skipped"]
    if intervals.number:
        started, skipped = intervals.column("started"), intervals.column("skipped")
        missing = started - intervals.column("acknowledged")
        yield figures.ERRORS, _share(whole[1], whole[0], missing, started, intervals)
        yield figures.SKIPPED, _share(copies["skipped"], due, skipped, started + skipped, intervals)
    else:
        yield figures.ERRORS, _share(whole[1], whole[0], None, None, intervals)
        yield figures.SKIPPED, _share(copies["skipped"], due, None, None, intervals)


def _of_count(document: Document) -> Iterator[tuple[Figure, Evidence]]:
    seen = document["consistency"]
    for name, (lower, upper) in figures.COUNTS.items():
        low = seen.get(lower)
        high = low if seen.get(upper) is None else seen[upper]
        figure = figures.counted(name)
        if low is None:
            yield figure, Unknown(trouble="not known")
        else:
            yield figure, Bounds(lower=low, upper=high)
    lag = seen.get("visibility")
    for name in figures.VISIBLE:
        upper_s = lag[f"{name}_s"] if lag else None
        if lag is None or upper_s is None:
            yield figures.visible(name), Unknown(trouble="not known")
            continue
        lower_s = lag["lower"][f"{name}_s"]
        yield (
            figures.visible(name),
            Bounds(lower=1e3 * (upper_s if lower_s is None else lower_s), upper=1e3 * upper_s),
        )


def _lateness(document: Document, intervals: Intervals) -> Iterator[tuple[Figure, Evidence]]:
    whole = document["generator"]["lateness"]
    counts = intervals.histograms("lateness")
    for percentile, measured in _percentiles(whole, counts, intervals, logarithmic=False):
        if percentile in ("p50", "p99"):
            yield figures.lateness(percentile), measured
