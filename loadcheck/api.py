"""loadcheck from Python: run a scenario, read results, compare them.

::

    import asyncio
    import loadcheck

    result = asyncio.run(loadcheck.run("scenarios/burst.toml", set={"load.rate": 500}))
    assert result.passed, result.headline
    assert result.steps["uploadEvents"].response_time.p99_ms < 250

Bad input, for which the command line exits with code 2, raises :class:`InputError` or a subclass,
with every problem in ``problems``. A verdict raises nothing: it is in the result.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeAlias

import anyio
from anyio.from_thread import start_blocking_portal

from loadcheck import pipeline
from loadcheck import scenario as scenarios
from loadcheck.compare import Stored
from loadcheck.compare import compare as compare_documents
from loadcheck.documents.toml import as_toml
from loadcheck.errors import LoadcheckError
from loadcheck.pipeline.prepare import hide_passwords
from loadcheck.report import headline
from loadcheck.report.html import page
from loadcheck.result.store import read
from loadcheck.verify.progress import Progress

File: TypeAlias = "str | os.PathLike[str]"
Verdict: TypeAlias = Literal["pass", "fail", "unknown"]
_P = ParamSpec("_P")
_FAST: Final = {"use_uvloop": sys.platform != "win32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A distribution of times in milliseconds; None where there are no samples.

    Attributes:
        count: Number of samples.
        p50_ms, p90_ms, p95_ms, p99_ms, p999_ms: Percentiles.
        max_ms: Maximum.
    """

    count: int
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Time from the acknowledgement of a user until it is counted, in seconds.

    Upper bounds; None where that is infinite, because users were never counted.

    Attributes:
        p50_s, p95_s, p99_s: Percentiles.
        max_s: Maximum.
        never: Acknowledged users that the service's last response did not count.
    """

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None
    never: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was measured of a step of the workflow.

    Attributes:
        name: Its id.
        request: Method and URL.
        attempts: Requests sent, retries included.
        succeeded: Those whose success criteria held.
        answers: Number of attempts by status code or kind of failure.
        response_time: Times of successes, from when a copy was due; None for a step that has no due
            time of its own.
        service_time: Times of successes, from when the request was sent.
        failed: Times of failed attempts, except for 429.
        throttled: Times of attempts that got a 429.
    """

    name: str
    request: str
    attempts: int
    succeeded: int
    answers: Mapping[str, int]
    response_time: Latency | None
    service_time: Latency
    failed: Latency
    throttled: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold of the scenario, judged.

    Attributes:
        expression: As written in the scenario.
        verdict: Whether it held; ``unknown`` without evidence.
        measured: The figure; None without samples, or if it is infinite.
        low, high: Bounds between which the figure certainly lies; None if they are not known.
        unit: Unit of the three: ``ms``, ``ratio``, ``1/s`` or ``count``.
    """

    expression: str
    verdict: Verdict
    measured: float | None
    low: float | None
    high: float | None
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The finding of one check.

    Attributes:
        check: Name of the check.
        verdict: Its verdict.
        summary: A sentence with the numbers.
        evidence: The numbers.
    """

    check: str
    verdict: Verdict
    summary: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run sent, measured and proved.

    Numbers of users are None where they are not known: ``assert result.lost == 0`` fails for a run
    that proves nothing, as it should.

    Attributes:
        document: The whole results document: see ``loadcheck schema``.
        path: The results file; None if it could not be saved.
    """

    document: Mapping[str, Any]
    path: Path | None

    def __repr__(self) -> str:
        return f"<Result {self.headline}>"

    @property
    def verdict(self) -> Verdict:
        """``pass``, ``fail`` or ``unknown``; a run that goes on or was killed is ``unknown``."""
        verdict: Verdict = self.document["verdict"]
        return verdict

    @property
    def passed(self) -> bool:
        """Whether the verdict is ``pass`` and the run went to its end."""
        return headline.badge(self.document) == "pass"

    @property
    def headline(self) -> str:
        """The verdict and its cause in one line."""
        return headline.line(self.document)

    @property
    def id(self) -> str:
        """Id of the run."""
        return str(self.document["run"]["id"])

    @property
    def scenario(self) -> str:
        """Name of the scenario."""
        return str(self.document["scenario"].get("name", ""))

    @property
    def started(self) -> int:
        """Copies begun."""
        return self._copies("started")

    @property
    def skipped(self) -> int:
        """Copies that fell due and were never sent."""
        return self._copies("skipped")

    @property
    def acknowledged(self) -> int:
        """Copies that the service accepted."""
        return self._copies("acknowledged")

    @property
    def rejected(self) -> int:
        """Copies that certainly had no effect."""
        return self._copies("rejected")

    @property
    def indeterminate(self) -> int:
        """Copies that may or may not have taken effect."""
        return self._copies("indeterminate")

    @property
    def error_rate(self) -> float | None:
        """Share of the copies begun that were not acknowledged; None if none was begun."""
        return (self.started - self.acknowledged) / self.started if self.started else None

    @property
    def reached_rate(self) -> float | None:
        """Copies begun per second of load; None if the load did not end."""
        rate = self.document.get("load", {}).get("reached_rate")
        return None if rate is None else float(rate)

    @property
    def uniques(self) -> int | None:
        """Users of the run that the service counted."""
        return self._counted("uniques")

    @property
    def totals(self) -> int | None:
        """Events of the run that the service counted."""
        return self._counted("totals")

    @property
    def lost(self) -> int | None:
        """Acknowledged users that are missing for good."""
        return self._counted("lost")

    @property
    def lost_at_least(self) -> int | None:
        """Acknowledged users that are certainly missing."""
        return self._counted("lost_at_least")

    @property
    def lost_at_most(self) -> int | None:
        """Acknowledged users that can be missing."""
        return self._counted("lost_at_most")

    @property
    def late(self) -> int | None:
        """Users that were counted only when ``reconcile`` queried the service again."""
        if not self.document.get("reconciliations"):
            return 0 if self.lost == 0 else None
        if self.uniques is None:
            return None
        seen = self.document["consistency"]["observations"]
        in_time = [each["uniques"] or 0 for each in seen if each["asked_s"] <= self._lasted_s]
        return max(0, self.uniques - max(in_time, default=0))

    @property
    def duplicated(self) -> int | None:
        """Events counted beyond those that were sent."""
        return self._counted("duplicated")

    @property
    def unexpected(self) -> int | None:
        """Users counted that were refused, or never sent."""
        return self._counted("unexpected")

    @property
    def lost_users(self) -> tuple[str, ...]:
        """Ids of the users that are certainly missing, as far as they could be identified."""
        named = self.document.get("consistency", {}).get("localized") or {}
        return tuple(each["user_id"] for each in named.get("lost", ()))

    @property
    def visible(self) -> Lag | None:
        """How long it took until acknowledged users were counted; None without evidence."""
        lag = self.document.get("consistency", {}).get("visibility")
        if lag is None:
            return None
        return Lag(**{name: lag[name] for name in ("p50_s", "p95_s", "p99_s", "max_s", "never")})

    @cached_property
    def steps(self) -> Mapping[str, Step]:
        """What was measured of each step, by step id."""
        return {name: _step(name, each) for name, each in self.document.get("steps", {}).items()}

    @cached_property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The scenario's thresholds, in its order."""
        names = ("expression", "verdict", "measured", "low", "high", "unit")
        return tuple(
            Threshold(**{name: each.get(name) for name in names})
            for each in self.document.get("thresholds", ())
        )

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all checks."""
        return tuple(
            Finding(**{name: each[name] for name in ("check", "verdict", "summary", "evidence")})
            for each in self.document.get("findings", ())
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know before trusting the figures."""
        return tuple(self.document["warnings"])

    def html(self) -> bytes:
        """Return the page that ``loadcheck report`` writes: one file that needs no network."""
        return page(self.document)

    @property
    def _lasted_s(self) -> float:
        run = self.document["run"]
        begin, end = (
            datetime.fromisoformat(run.get(name) or run["started_at"])
            for name in ("load_began_at", "ended_at")
        )
        return (end - begin).total_seconds()

    def _copies(self, name: str) -> int:
        return int(self.document["copies"][name])

    def _counted(self, name: str) -> int | None:
        value = self.document.get("consistency", {}).get(name)
        return None if value is None else int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of two runs, compared.

    Attributes:
        key: Its name, as in thresholds.
        word: ``better``, ``worse``, ``same`` or ``unsure``.
        base, candidate: The values.
        difference: Candidate less base.
        low, high: Bounds of the difference, with 95 % confidence.
        unit: ``ms``, ``1/s``, ``ratio`` or ``count``.
    """

    key: str
    word: Literal["better", "worse", "same", "unsure"]
    base: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    unit: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs compared with earlier ones.

    Attributes:
        document: The whole comparison, as ``loadcheck compare --format json`` prints it.
    """

    document: Mapping[str, Any] = field(repr=False)

    @property
    def verdict(self) -> Literal["better", "worse", "same", "unsure"]:
        """``worse`` if any figure of the target is worse by more than the tolerance."""
        verdict: Literal["better", "worse", "same", "unsure"] = self.document["verdict"]
        return verdict

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """Every figure, by its key."""
        names = ("key", "word", "base", "candidate", "difference", "low", "high", "unit")
        return {
            each["key"]: Figure(**{name: each[name] for name in names})
            for each in self.document["figures"]
        }

    @property
    def worse(self) -> tuple[str, ...]:
        """Keys of the figures that are worse."""
        return tuple(key for key, figure in self.figures.items() if figure.word == "worse")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before trusting the comparison."""
        return tuple(self.document["notes"])


async def run(
    scenario: File,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as the command line has it
    servers: str | Mapping[str, str] | None = None,
    live: bool = False,
    seed: int | None = None,
    results: File = "results",
    output: File | None = None,
    plan: str | None = None,
    force_limits: bool = False,
) -> Result:
    """Run a scenario: send its load, query the service, and judge whether everything arrived.

    Runs on the asyncio event loop that it is called on, which is faster with uvloop; trio is not
    supported. Cancelling the task ends the load; the results file then holds what was saved last.
    Signals are left alone: the owner of the loop decides what Ctrl-C does.

    Args:
        scenario: A scenario file.
        set: Values to change: dotted key → value, e.g. ``{"load.rate": 500}``.
        servers: Base URL of all servers, or source description → base URL.
        live: The load may leave this machine.
        seed: Random seed; None: the scenario's.
        results: Directory of the results file.
        output: The results file itself; None: a new name in ``results``.
        plan: The digest that ``loadcheck plan`` shows with the same options; any other run is
            refused. None: any run is allowed.
        force_limits: Exceed limits that the service documents.

    Raises:
        InputError: Something in the input cannot be used, every problem reported; nothing was sent.
        TargetError: The embedded emulator did not start, or ended early.
        LoadcheckError: It is not called on an asyncio event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        message = "loadcheck.run needs an event loop of asyncio; elsewhere call loadcheck.run_sync"
        raise LoadcheckError(message) from None
    loaded = hide_passwords(
        scenarios.load(scenario, overrides=_overrides(set or {}, servers or {}))
    )
    options = pipeline.Options(
        results=Path(results),
        output=None if output is None else Path(output),
        seed=seed,
        consent=live,
        signals=False,
        approved=plan,
        force_limits=force_limits,
    )
    done = await pipeline.run(loaded, options, _unwatched)
    if done.fault is not None:
        raise done.fault
    return Result(document=done.document, path=done.path if done.unsaved is None else None)


def _blocking(start: Callable[_P, Coroutine[Any, Any, Result]]) -> Callable[_P, Result]:
    def run_sync(*args: _P.args, **kwargs: _P.kwargs) -> Result:
        """Run a scenario from synchronous code; see :func:`run`.

        Uses an event loop of its own, with uvloop where available: the fastest way. If another loop
        is running, it blocks that loop and works in a separate thread.
        """
        call = partial(start, *args, **kwargs)
        try:
            return anyio.run(call, backend_options=_FAST)
        except RuntimeError as error:
            if not str(error).startswith("Already running"):
                raise
        with start_blocking_portal("asyncio", _FAST) as portal:
            result: Result = portal.call(call)
            return result

    return run_sync


run_sync = _blocking(run)


def load(path: File) -> Result:
    """Read the results file of a run, even of one that still goes on or was killed.

    Raises:
        ResultFileError: It is missing, truncated, not of a run, or of a later version.
    """
    return Result(document=read(Path(path)), path=Path(path))


Runs: TypeAlias = "Result | File | Sequence[Result | File]"


def compare(
    base: Runs, candidate: Runs, *, tolerance: float = 0.05, force: bool = False
) -> Comparison:
    """Compare runs with earlier ones: are they worse, and by more than chance explains?

    Args:
        base: A result, a results file, or several, to compare with.
        candidate: The new one, or several.
        tolerance: Relative changes up to this size count as no change.
        force: Compare runs even if they are not comparable.

    Raises:
        ResultFileError: Runs cannot be compared (each difference is reported), or read.
    """
    return Comparison(
        document=compare_documents(
            _stored(base), _stored(candidate), tolerance=tolerance, force=force
        )
    )


async def _unwatched(_: Progress) -> None:
    """Show nothing."""


def _stored(runs: Runs) -> list[Stored]:
    several = [runs] if isinstance(runs, Result | str | os.PathLike) else runs
    found = [each if isinstance(each, Result) else load(each) for each in several]
    return [Stored(file=str(each.path or each.id), document=each.document) for each in found]


def _step(name: str, document: Mapping[str, Any]) -> Step:
    response_time = document["response_time"]
    return Step(
        name=name,
        request=document["request"],
        attempts=document["attempts"],
        succeeded=document["succeeded"],
        answers=document["answers"],
        response_time=None if response_time is None else _latency(response_time),
        service_time=_latency(document["service_time"]),
        failed=_latency(document["failed"]),
        throttled=_latency(document["throttled"]),
    )


def _latency(document: Mapping[str, Any]) -> Latency:
    names = ("count", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
    return Latency(**{name: document[name] for name in names})


def _overrides(changes: Mapping[str, Any], servers: str | Mapping[str, str]) -> list[str]:
    named = {"*": servers} if isinstance(servers, str) else servers
    given = {f"target.servers.{as_toml(name)}": url for name, url in named.items()}
    return [f"{key}={as_toml(value)}" for key, value in {**given, **changes}.items()]
