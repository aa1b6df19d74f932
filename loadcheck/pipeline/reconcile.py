"""Queries the service again about a stored run, from its results file alone.

The later answer goes into the stored result: findings, thresholds and the verdict.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import anyio
from pyroaring import BitMap

from loadcheck import scenario as scenarios
from loadcheck.data import Visits
from loadcheck.data.table import fingerprint
from loadcheck.documents import split_http_url
from loadcheck.emulator.process import KEY_VARIABLES, project_credentials
from loadcheck.errors import (
    InputError,
    Problem,
    ResultFileError,
    SaveError,
    TargetError,
    all_of,
    many,
)
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.routes import is_loopback
from loadcheck.measure import Ledger, array_of, bitmap
from loadcheck.pipeline import exported
from loadcheck.pipeline.once import SharedSteps
from loadcheck.pipeline.prepare import compile_scenario
from loadcheck.pipeline.target import Address, Destination, destinations, require_consent
from loadcheck.result import document as documents
from loadcheck.result.store import ResultFile, read
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import SHORTEST, cover, credentials, keep, redactor, too_short
from loadcheck.verify import (
    OWN_CHECKS,
    Consistency,
    Finding,
    SentCounts,
    Verdict,
    overall,
    worst,
)
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.controls import ControlResult
from loadcheck.verify.evidence import Observation
from loadcheck.verify.export import Compared
from loadcheck.verify.metrics import COUNTED, BoundedFigure, Metric
from loadcheck.verify.people import People
from loadcheck.verify.query_client import QueryChannel, Send
from loadcheck.verify.session import Verification, VerificationResult, moments
from loadcheck.verify.thresholds import ParsedThreshold
from loadcheck.verify.visibility import AckCurve, visibility
from loadcheck.workflow.identity import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterAnswer:
    """The service's later answer about a stored run.

    Attributes:
        sent: The counts of the ledger.
        verified: What the service's counts prove now.
        compared: What the export proves; None if it was not fetched.
    """

    sent: SentCounts
    verified: VerificationResult
    compared: Compared | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """A stored result with a later answer in it."""

    document: dict[str, Any]
    consistent: Verdict
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Counts:
    """Implements :class:`~loadcheck.verify.thresholds.Figures` for what is counted."""

    seen: Consistency
    compared: Compared | None

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        """Return the figure; None if there is none."""
        seen, exact = self.seen, self.compared
        found = seen.figure(metric.name)
        if exact is not None:
            figures = {
                "lost": _lost(exact, seen),
                "recovered": exact.recovered,
                "unexpected": _so_far(exact.unexpected_count, exact, seen),
                "duplicated": _so_far(exact.duplicated.total(), exact, seen),
            }
            found = figures.get(metric.name, found)
        return BoundedFigure.exactly(found)


def rejudge(
    document: Mapping[str, Any],
    settled: LaterAnswer,
    thresholds: Sequence[ParsedThreshold],
    *,
    now: str,
    unsaved: int,
    export: dict[str, Any] | None,
) -> Rejudged:
    """Return the stored result with the later answer in it, and its verdict.

    Args:
        document: The stored result.
        settled: The later answer.
        thresholds: The scenario's thresholds.
        now: The current time, in the form of the results file.
        unsaved: Number of copies that a killed run may have sent after its last save.
        export: The comparison event by event, in the form of the results file.
    """
    verified = settled.verified
    seen = verified.consistency
    findings = verified.findings
    if settled.compared is not None:
        findings = exact_findings(settled.compared, settled.sent, seen, export)
    consistent = worst(finding.verdict for finding in findings)
    kept = [f for f in document.get("findings", ()) if f["check"] in OWN_CHECKS]
    judged = _thresholds(document, thresholds, _Counts(seen, settled.compared))
    verdict = overall(consistent, (Verdict(entry["verdict"]) for entry in (*kept, *judged)))
    before = document.get("consistency", {})
    changed = dict(document) | {
        "verdict": verdict.value,
        "consistency": before
        | seen.to_json()
        | {
            "localized": verified.localized or before.get("localized"),
            "controls": verified.controlled.to_json(),
        },
        "thresholds": judged,
        "findings": [*(finding.to_json() for finding in findings), *kept],
        "reconciliations": [
            *document.get("reconciliations", ()),
            {
                "at": now,
                "verdict": verdict.value,
                "uniques": seen.uniques,
                "totals": seen.totals,
                "lost_at_least": seen.lost_at_least,
                "unsaved": unsaved,
                "export": export,
            },
        ],
    }
    return Rejudged(document=changed, consistent=consistent, verdict=verdict)


def _thresholds(
    document: Mapping[str, Any], thresholds: Sequence[ParsedThreshold], counts: _Counts
) -> list[dict[str, Any]]:
    """Judge thresholds on counts again; a killed run has no figures for the others."""
    stored = {entry["expression"]: entry for entry in document.get("thresholds", ())}
    judged = []
    for threshold in thresholds:
        if threshold.metric.name in COUNTED:
            judged.append(threshold.judge(counts).to_json())
        elif threshold.check in stored:
            judged.append(stored[threshold.check])
        else:
            judged.append(
                {
                    "expression": threshold.check,
                    "measured": None,
                    "low": None,
                    "high": None,
                    "unit": threshold.unit,
                    "verdict": Verdict.UNKNOWN.value,
                    "own_delay_ms": None,
                }
            )
    return judged


def _lost(found: Compared, seen: Consistency) -> int | None:
    """Return how many the export proves lost; None if it lacks users that queries count.

    Hours become ready to be exported one by one, later than they can be queried: an export that
    lacks more users than the count does is not complete, and proves no loss.
    """
    lost = len(found.lost)
    if (
        seen.lost_at_most is not None
        and lost > seen.lost_at_most
        and not seen.missing_events_at_most
    ):
        return None
    return lost


def _so_far(number: int, found: Compared, seen: Consistency) -> int | None:
    """Return a number found in the export; None if it is 0 in an incomplete export."""
    return number if number or _lost(found, seen) is not None else None


def _named(export: Mapping[str, Any] | None, copies: str) -> str:
    """Return in words the first of the users that the results file names; "" if it names none."""
    users = export[copies] if export else []
    if not users:
        return ""
    first = users[0]["user_id"]
    if len(users) == 1:
        return f": {first}"
    return f": {len(users):,} are named in the results file, the first {first}"


def exact_findings(
    found: Compared,
    sent: SentCounts,
    seen: Consistency,
    export: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Return the findings of the comparison event by event, which are exact.

    Args:
        found: The comparison.
        sent: The counts of the ledger.
        seen: What the service's counts prove, queried just before.
        export: The comparison in the form of the results file, with names.
    """
    lost = len(found.lost)
    events = found.duplicated.total()
    of, are = many(sent.acknowledged, "acknowledged users"), "is" if lost == 1 else "are"
    # what is not exported yet may be duplicated, altered or never sent
    if _lost(found, seen) is None:
        first = Finding(
            check="lost",
            verdict=Verdict.UNKNOWN,
            summary=f"{lost:,} of {of} {are} not in the export, "
            f"but no more than {seen.lost_at_most:,} are missing from the service's count: the "
            "export is not complete yet. Ask again in an hour.",
            evidence={"lost": lost, "lost_at_most": seen.lost_at_most},
        )
        none = Verdict.UNKNOWN
    else:
        none = Verdict.PASS
        first = _exact(
            "lost",
            lost,
            f"{lost:,} of {of} {are} missing from the export, or "
            f"some of their events are{_named(export, 'lost_copies')}.",
            f"{all_of(sent.acknowledged, 'acknowledged users are', start=True)} in the export "
            "with all events.",
        )
    findings = [
        first,
        _exact(
            "duplicated",
            events,
            f"{many(events, 'events are')} in the export beyond those sent, of "
            f"{many(len(found.duplicated), 'users')}{_named(export, 'duplicated_copies')}.",
            "No event is in the export twice.",
            none,
        ),
        _exact(
            "altered",
            found.altered_count,
            f"{found.altered_count:,} fields differ from what was sent"
            + (f", the first {found.altered[0].field}" if found.altered else "")
            + ": the results file has what was sent and what was found.",
            "Every field is as it was sent.",
            none,
        ),
        _exact(
            "unexpected",
            found.unexpected_count,
            f"{many(found.unexpected_count, 'events are')} in the export that were refused or "
            "never sent.",
            "No event is in the export that was not sent.",
            none,
        ),
    ]
    if sent.acknowledged == 0:
        findings.append(
            Finding(
                check="acknowledged",
                verdict=Verdict.UNKNOWN,
                summary="No copy was acknowledged, so there is nothing that could have been lost.",
                evidence={"started": sent.started},
            )
        )
    return findings


def _exact(check: str, number: int, bad: str, good: str, none: Verdict = Verdict.PASS) -> Finding:
    so_far = "" if none is Verdict.PASS else "So far: "
    return Finding(
        check=check,
        verdict=Verdict.FAIL if number else none,
        summary=bad if number else f"{so_far}{good}",
        evidence={check: number},
    )


_NS_PER_S = 1_000_000_000
_RUN_ONE = "expected a run with verify.enabled = true"
_UNSAVED_SECONDS = 10
"""Seconds at its peak rate that a killed run of unknown length may have sent unsaved."""
_FASTEST = 1_000_000
"""Copies per second that no generator exceeds."""
_KEY, _SECRET = KEY_VARIABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOptions:
    """What a user gives besides the results file.

    Attributes:
        consent: The queries may leave this machine.
        server: Base URL that replaces all servers, with credentials in it if it needs its own.
        export: Download the events and compare them one by one.
        env: Environment variables in which credentials are looked up again.
    """

    consent: bool = False
    server: str | None = None
    export: bool = False
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileResult:
    """The result of a reconciliation.

    Attributes:
        document: The results document, as saved.
        path: Where it was saved.
        unsaved: Why the document is not on disk; None if it is.
        consistent: What the counts, or the events, prove.
        verdict: What everything together proves.
    """

    document: Mapping[str, Any]
    path: Path
    unsaved: ResultFileError | None
    consistent: Verdict
    verdict: Verdict


async def reconcile_run(path: Path, options: ReconcileOptions) -> ReconcileResult:
    """Query the service again about a stored run, and add its answers to the results file.

    Raises:
        InputError: The file cannot be used, or the service cannot be reached any more.
    """
    with reopened(path) as (file, document):
        return await _again(path, document, file, options)


@contextlib.contextmanager
def reopened(path: Path) -> Iterator[tuple[ResultFile, dict[str, Any]]]:
    """Claim a stored result for the length of a block; yield its file and its document.

    Raises:
        ResultFileError: It cannot be read, or another process writes it.
    """
    read(path)  # first, because claiming would also work on what is not a results file
    with ResultFile(path, replace=True) as file:
        document = read(path)
        document["run"].pop("in_progress", None)  # this process writes it now
        yield file, document


def restored(
    path: Path, document: Mapping[str, Any], options: ReconcileOptions, *, what: str = "queries"
) -> CompiledScenario:
    """Return the scenario of a stored run, compiled again, so that its service can be queried.

    Args:
        path: The results file.
        document: Its content.
        options: What the user gives besides it.
        what: Name of what is sent, for messages.

    Raises:
        InputError: The file cannot be used, or queries would leave this machine without consent.
    """
    if document["run"].get("merged"):
        message = "is merged from several runs, each with users of its own"
        remedy = "name the results that it was made of; they can be merged again"
        raise InputError(_problem(path, "run.merged", message, remedy))
    scenario = _scenario(path, document, options.env)
    run, servers = _run(path, document, scenario, options)
    compiled = compile_scenario(
        scenario,
        run,
        Address(servers=servers),
        seed=document["run"]["seed"],
        consent=options.consent,
    )
    if compiled.verification is None:
        raise InputError(
            _problem(path, "scenario.verify.enabled", "the run was not verified", _RUN_ONE)
        )
    _require_consent(compiled, options, what)
    _require_same_rows(document, compiled)
    return compiled


def _require_same_rows(document: Mapping[str, Any], compiled: CompiledScenario) -> None:
    """Refuse a data file that has changed where it names users; warn where it does not.

    Raises:
        InputError: The queries would be about other users than were sent.
    """
    scenario, user = compiled.scenario, compiled.scenario.verify.user
    ingest = compiled.ingest.step_id
    uses = compiled.ingest.uses if user is None else compiled.plan.uses_at(ingest, user)
    for name, known in document["run"].get("data", {}).items():
        file = scenario.files.get(name)
        if file is None or fingerprint(file.path) == known:
            continue
        message = f"{file.shown} has changed since the run: its rows are not those that were sent"
        if any(word.startswith(f"$data.{name}.") for word in uses):
            remedy = "put the file back as it was: users are named by it"
            raise InputError(scenario.problem(f"data.{name}.file", message, remedy))
        sys.stderr.write(f"warning: {message}; users are not named by it, and count as before\n")


def people_of(document: Mapping[str, Any], compiled: CompiledScenario) -> tuple[People, BitMap]:
    """Return the users of a stored run, and the copies that a killed run may have sent unsaved.

    The users of the latter are indeterminate.
    """
    ledger, visits = Ledger.from_json(document["ledger"]), compiled.run.visits
    ledger.close()
    unsaved = _unsaved(document, ledger)
    ledger.indeterminate |= unsaved
    return People.behind(ledger, _uploads(document, ledger, visits), visits), unsaved


async def _again(
    path: Path, document: Mapping[str, Any], file: ResultFile, options: ReconcileOptions
) -> ReconcileResult:
    if document.get("deletion"):
        message = "its users have been deleted since: what is counted now proves nothing of the run"
        remedy = "loadcheck show prints what was counted, loadcheck delete how far the deletion is"
        raise InputError(_problem(path, "deletion", message, remedy))
    compiled = restored(path, document, options)
    if (document["run"].get("teardown") or {}).get("success"):
        workflow = document["run"]["teardown"]["workflow"]
        sys.stderr.write(
            f"warning: the run ended with its tear-down ({workflow}): what that took away cannot be"
            " counted any more\n"
        )
    people, unsaved = people_of(document, compiled)
    users = people.ledger
    sent = people.counts(
        SentCounts(
            started=len(users.started),
            acknowledged=len(users.acknowledged),
            indeterminate=len(users.indeterminate),
            rejected=len(users.rejected),
            events_per_copy=compiled.scenario.load.events_per_copy,
            sent_again=document.get("load", {}).get("stale_retries", 0),
        )
    )
    began_at = document["run"].get("load_began_at")
    due = moments(document["timeline"]["due"], began_at, compiled.run.visits)
    async with (
        set_up(compiled),
        httpx_transport(compiled.asking) as transport,
    ):
        assert compiled.verification is not None
        verification = Verification(compiled.verification, QueryChannel(send=transport.send))
        verification.baseline = _baseline(document)
        before = document.get("consistency", {})
        await verification.reask(
            sent,
            people,
            _controls(before),
            ago_s=_ago_s(document),
            shown=any(
                (entry["uniques"] or 0) > (verification.baseline or 0)
                for entry in before.get("observations", ())
            ),
        )
        compared = None
        if options.export:
            made = people.ledger if people.uploads is None else people.uploads
            compared = await _export(path, compiled, made, document, transport.send)
    verified = verification.conclude(sent, due)
    settled = rejudge(
        document,
        LaterAnswer(sent=sent, verified=verified, compared=compared),
        compiled.thresholds,
        now=documents.utc_now(),
        unsaved=len(unsaved),
        export=None
        if compared is None
        else exported.export_to_json(compared, verification.name, due),
    )
    _enter_observations(settled.document, verification, verified, began_at)
    _renew_lag(settled.document, verified)
    hidden = redactor(compiled.secrets)
    saved = hidden.document(settled.document, documents.own_words())
    unsaved_because = None
    try:
        file.save(saved)
    except SaveError as error:
        unsaved_because = error
    return ReconcileResult(
        document=saved,
        path=path,
        unsaved=unsaved_because,
        consistent=settled.consistent,
        verdict=settled.verdict,
    )


@contextlib.asynccontextmanager
async def set_up(compiled: CompiledScenario) -> AsyncIterator[None]:
    """Run the set-up and tear-down around a block: what the run was given may have expired since.

    Raises:
        TargetError: The set-up failed; the service was not queried.
    """
    shared = SharedSteps(compiled)
    try:
        why = await shared.set_up()
        if why:
            raise TargetError(f"{why}; the service was not asked")
        async with anyio.create_task_group() as background:
            background.start_soon(shared.keep_renewed)
            yield
            background.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None  # as it was raised in the block
    finally:
        with anyio.CancelScope(shield=True):
            await shared.tear_down()
        for note in shared.notes:
            sys.stderr.write(cover(f"warning: {note}\n"))


def _controls(stored: Mapping[str, Any]) -> ControlResult | None:
    """Return the control users that the run itself sent; None if it sent none."""
    found = ControlResult.read(stored.get("controls") or {})
    return None if found.acknowledged is None else found


def _ago_s(document: Mapping[str, Any]) -> float:
    """Return the seconds since the last acknowledgement, known to the second of the timeline."""
    began_at = document["run"].get("load_began_at")
    if began_at is None:
        return 0.0
    seconds = [
        index + 1 for index, number in enumerate(document["timeline"]["acknowledged"]) if number
    ]
    began = datetime.fromisoformat(began_at)
    return max(0.0, (datetime.now(UTC) - began).total_seconds() - max(seconds, default=0))


def _scenario(path: Path, document: Mapping[str, Any], env: Mapping[str, str]) -> Scenario:
    if "timeline" not in document:
        raise InputError(
            _problem(
                path, "run.phase", "the run was killed before it sent anything", "run it again"
            )
        )
    file = document["run"].get("scenario_file") or str(path)
    return scenarios.restore(document["scenario"], file, env=env)


def _run(
    path: Path, document: Mapping[str, Any], scenario: Scenario, options: ReconcileOptions
) -> tuple[Run, dict[str, str]]:
    """Return the identity of the stored run, and the servers to query."""
    stored = document["run"]
    started = datetime.fromisoformat(stored["started_at"])
    target: dict[str, str] = {}
    servers: dict[str, str] = {}
    if options.server is not None:
        url, target = _server(options.server)
        servers = {"*": url, **dict.fromkeys(scenario.target.servers, url)}
    if scenario.target.kind == "emulator":
        if options.server is None:
            remedy = (
                "what it held is gone; a standalone one that kept the events (loadcheck emulate "
                "--data FILE) can be asked with --server URL"
            )
            message = "the run's embedded emulator ended with it"
            raise InputError(_problem(path, "scenario.target.kind", message, remedy))
        if not target:
            remedy = f"put them into the URL, http://KEY:SECRET@HOST, or into {_KEY} and {_SECRET}"
            raise InputError(Problem(key="--server", message="needs credentials", remedy=remedy))
    day = timedelta(days=1)
    return (
        Run(
            id=stored["id"],
            start_day=stored.get("start_day") or f"{started - day:%Y%m%d}",
            end_day=stored.get("end_day") or f"{started + day:%Y%m%d}",
            target=target,
            copies=stored.get("copies"),
        ),
        servers,
    )


def _server(server: str) -> tuple[str, dict[str, str]]:
    """Return the base URL without its credentials, and the inputs made of these."""
    keep(credentials(server))
    try:
        url = split_http_url(server)
    except ValueError as error:
        remedy = "expected an http:// or https:// URL"
        raise InputError(Problem(key="--server", message=str(error), remedy=remedy)) from None
    key = unquote(url.username or "") or os.environ.get(_KEY, "")
    secret = unquote(url.password or "") or os.environ.get(_SECRET, "")
    bare = urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2]))
    if not key or not secret:
        return bare, {}
    if too_short({key, secret}):
        message = f"a secret of fewer than {SHORTEST} characters cannot be kept out of texts"
        remedy = "use longer ones: loadcheck emulate --api-key KEY --secret-key SECRET"
        raise InputError(Problem(key="--server", message=message, remedy=remedy))
    return bare, project_credentials(key, secret)


def _require_consent(compiled: CompiledScenario, options: ReconcileOptions, what: str) -> None:
    scenario, observer = compiled.scenario, compiled.observer
    assert observer is not None
    steps = sum((part.plan.steps for part in compiled.once), (observer,))
    # a run that was sent to the embedded emulator is now queried at a server
    live = dataclasses.replace(scenario, target=dataclasses.replace(scenario.target, kind="live"))
    found = [
        dataclasses.replace(each, what=what, load=False) if each.load else each
        for each in destinations(live, steps, metrics=False)
    ]
    if options.export and scenario.verify.export is not None:
        asked = str(observer.origin)
        server = scenario.verify.export.server(asked)
        if server != asked:
            away = not is_loopback(urlsplit(server).hostname or "")
            found.append(Destination(origin=server, what="the export", away=away))
    require_consent(scenario, found, consent=options.consent, copies=None)


def _baseline(document: Mapping[str, Any]) -> int | None:
    stored = document.get("consistency", {}).get("baseline")
    baseline = document["run"].get("baseline") if stored is None else stored
    return None if baseline is None else int(baseline)


def _uploads(document: Mapping[str, Any], ledger: Ledger, visits: Visits | None) -> Ledger:
    """Return the uploads of copies that make several; those with unknown outcome included."""
    if visits is None or visits.most == 1:
        return Ledger()
    found = Ledger.from_json(document["uploads"])
    found.close()
    if document["run"]["phase"] != "complete":
        # copies in flight when the run was killed may have gone on
        begun = ledger.started | ledger.indeterminate
        found.indeterminate |= bitmap(visits.of_copies(array_of(begun)))
        found.indeterminate -= found.acknowledged | found.rejected
    return found


def _unsaved(document: Mapping[str, Any], ledger: Ledger) -> BitMap:
    """Return the copies that a killed run may have sent after its last save."""
    if document["run"]["phase"] == "complete":
        return BitMap()
    first = ledger.end
    planned = document["copies"]["planned"]
    workers = document["run"].get("workers")
    if planned is None:
        peak = max((int(copies or 0) for copies in document["timeline"]["due"]), default=0)
        # workers elsewhere go on until their lease has run out
        seconds = _UNSAVED_SECONDS + (0 if workers is None else math.ceil(workers["lease_s"]) + 1)
        # if it was killed before its first second was saved, its rate is unknown
        planned = first + seconds * (peak or _FASTEST)
    if workers is not None:
        # each worker goes through its own numbers, and one may be behind the others
        first = 0
    known = ledger.started | ledger.skipped | ledger.indeterminate
    return BitMap(range(first, max(first, planned))) - known


async def _export(
    path: Path,
    compiled: CompiledScenario,
    ledger: Ledger,
    document: Mapping[str, Any],
    send: Send,
) -> Compared:
    scenario = compiled.scenario
    if scenario.verify.export is None:
        message = "the workflow's profile does not say where events can be exported"
        raise InputError(_problem(path, "scenario.verify.export", message, "ask without --export"))
    begin = datetime.fromisoformat(document["run"]["started_at"])
    seconds = len(document["timeline"]["second"])
    end = begin + timedelta(seconds=seconds + scenario.timeouts.drain_s)
    with tempfile.TemporaryDirectory(prefix="loadcheck-") as folder:
        return await exported.compare(compiled, ledger, (begin, end), Path(folder), send)


def _enter_observations(
    document: dict[str, Any],
    verification: Verification,
    verified: VerificationResult,
    began_at: str | None,
) -> None:
    """Append the new observations, on the time scale of the old ones."""
    began = datetime.now(UTC) if began_at is None else datetime.fromisoformat(began_at)
    ago_ns = int((datetime.now(UTC) - began).total_seconds() * 1e9)
    begin_ns = time.monotonic_ns() - ago_ns
    section = document["consistency"]
    section["observations"] = [
        *section.get("observations", ()),
        *(
            documents.observed(observation, begin_ns) | {"acknowledged": verified.consistency.lower}
            for observation in verification.observations
        ),
    ]


def _renew_lag(document: dict[str, Any], verified: VerificationResult) -> None:
    """Update the lag in the result for users who have become visible since.

    Known percentiles stay; those that were unbounded may have a bound now. The instants of the
    acknowledgements are known to the second of the timeline.
    """
    seen, section = verified.consistency, document["consistency"]
    if seen.uniques is None or not verified.believed:
        return
    acks, timeline = AckCurve(), document["timeline"]
    totals = dict.fromkeys(("acknowledged", "started", "rejected", "skipped"), 0)
    # copies of a lost worker may have been sent at any time
    copies = document["copies"]
    ended = copies["acknowledged"] + copies["rejected"] + copies["indeterminate"]
    lost = max(0, ended - copies["started"])
    acks.add(0, 0)
    for second in range(len(timeline["second"])):
        for name in totals:
            totals[name] += timeline[name][second] or 0
        acks.add(
            (second + 1) * _NS_PER_S,
            totals["acknowledged"],
            lost + totals["started"] - totals["rejected"],
            lost + totals["started"] + totals["skipped"],
        )
    observations = [
        Observation(
            asked_ns=int(answer["asked_s"] * _NS_PER_S),
            answered_ns=int(answer["answered_s"] * _NS_PER_S),
            as_of_ns=int(answer["as_of_s"] * _NS_PER_S),
            uniques=answer["uniques"],
        )
        for answer in section["observations"]
    ]
    found = visibility(
        acks, observations, acknowledged=seen.lower, baseline=_baseline(document) or 0
    )
    if found is None:
        return
    lag, stored = found.to_json(), section.get("visibility")
    if stored is not None:
        for new, old in ((lag, stored), (lag["lower"], stored.get("lower") or {})):
            known = {name: old[name] for name in lag["lower"] if old.get(name) is not None}
            new.update(known)
    section["visibility"] = lag


def _problem(path: Path, key: str, message: str, remedy: str = "") -> Problem:
    return Problem(file=str(path), key=key, message=message, remedy=remedy)
