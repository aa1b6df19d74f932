"""Deletes the users of a run from the service, and no others: by the ledger, in batches, resumably.

A user is deleted only if a copy of the run may have sent it: acknowledged or indeterminate by the
ledger, never skipped or rejected, under an id that no other run can have. The count of the run's
users shows that the keys are those of its own project. Progress is saved after every batch, so that
the next process can resume; requesting a batch twice does no harm.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import anyio
from pyroaring import BitMap

from loadcheck.errors import InputError, LoadcheckError, many
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.pipeline.exported import content_type, fill_body, fill_path, inputs_of
from loadcheck.pipeline.reconcile import ReconcileOptions, people_of, reopened, restored, set_up
from loadcheck.pipeline.session import CompletedRun
from loadcheck.report.words import clock
from loadcheck.result import document as documents
from loadcheck.result.store import ResultFile
from loadcheck.scenario.model import Deletion
from loadcheck.secrets import redactor
from loadcheck.verify import Verdict
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.controls import FRESH_RUN, PAIRED_RUNS, ControlResult, fresh_users
from loadcheck.verify.naming import UserNames
from loadcheck.verify.queries import CountQueries
from loadcheck.verify.query_client import QueryChannel, QueryClient, Send
from loadcheck.workflow.exchange import Exchange, Origin, Request, retry_after_s
from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.selectors import compile_jsonpath

_TRIES: Final = 8
"""How often a batch is requested before it is given up."""
_LEAST_WAIT_S, _MOST_WAIT_S = 0.5, 60.0
_DETAIL_CHARS: Final = 200
_OWN: Final = frozenset({"$copy.userUuid", "$copy.insertId", "$copy.insertUuid", "$run.id"})
"""Any of these in an id makes it one that no other run has."""
_UNKNOWN_KEYS: Final = (401, 403)
_ALLOWANCE: Final = timedelta(days=31)
"""How far ahead jobs are looked for if the service has named no day."""


class DeletionError(LoadcheckError):
    """The service refused to go on; what was done so far is in the results file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionOutline:
    """What is to be deleted, for the user to confirm.

    Attributes:
        run_id: The run's id.
        name: The name of its scenario.
        server: Where the requests go.
        acknowledged, indeterminate, controls: Number of users by what is known of them.
        unsaved: Of the indeterminate, those that a killed run may have sent after its last save.
        batches: Number of requests in all.
        done: Of these, those of an earlier attempt.
        batch: Most users in one request; 0: requests name the run, not users.
        every_s: Pause between two requests.
        ends: The ids of the first and the last copy.
        counted: Users of the run that the service counts now.
        first: The first request, secrets covered.
    """

    run_id: str
    name: str
    server: str
    acknowledged: int
    indeterminate: int
    controls: int
    unsaved: int
    batches: int
    done: int
    batch: int
    every_s: float
    ends: tuple[str, str]
    counted: int = 0
    first: str = ""

    @property
    def users(self) -> int:
        """Number of all users."""
        return self.acknowledged + self.indeterminate + self.controls


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """The outcome of a deletion.

    Attributes:
        section: Its section of the results file; None if nothing was requested.
        verdict: Pass: no user of the run is counted any more. Fail: some are, although the
            service says that it is done. Unknown: it is not done yet, or was not begun.
        says: The outcome in a sentence.
    """

    section: dict[str, Any] | None
    verdict: Verdict
    says: str


Ask = Callable[[DeletionOutline], bool]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialogue:
    """How a deletion interacts with its caller.

    Attributes:
        save: Saves the results document.
        ask: Returns whether to go on; called before anything is changed.
        on_progress: Called with batches done and in all.
        wait_s: How long to wait for the service's jobs.
    """

    save: Callable[[], None]
    ask: Ask = lambda _: True
    on_progress: OnProgress = lambda *_: None
    wait_s: float = 0.0


async def delete(
    path: Path, options: ReconcileOptions, ask: Ask, on_progress: OnProgress, *, wait_s: float = 0.0
) -> Deleted:
    """Delete the users of a stored run, or resume where that was left off.

    Args:
        path: Its results file.
        options: What the user gives besides it.
        ask: Returns whether to go on; called before anything is changed.
        on_progress: Called with batches done and in all.
        wait_s: How long to wait for the service's jobs.

    Raises:
        InputError: The deletion is not possible or not allowed; nothing was deleted.
        DeletionError: The service refused to go on.
    """
    with reopened(path) as (file, document):
        compiled = restored(path, document, options, what="requests to delete the run's users")

        def save() -> None:
            file.save(document)

        dialogue = _Dialogue(save=save, ask=ask, on_progress=on_progress, wait_s=wait_s)
        async with set_up(compiled):
            return await _remove(compiled, document, dialogue)


async def at_end(
    compiled: CompiledScenario,
    finished: CompletedRun,
    signals: AsyncIterator[signal.Signals],
    *,
    kept: bool,
) -> CompletedRun:
    """Delete the users of a run that has just ended; return it with the outcome.

    An error becomes a warning in the result; ``loadcheck delete`` resumes from there.

    Args:
        compiled: The run, compiled.
        finished: The run, completed.
        signals: The first of them ends the deletion.
        kept: Whether the run has a results file.
    """
    document = dict(finished.document)
    sys.stderr.write("Deleting the users of the run; Ctrl-C leaves the rest to loadcheck delete.\n")
    why = "it was interrupted"
    with contextlib.ExitStack() as stack:
        file: ResultFile | None = None

        def save() -> None:
            if file is not None:
                file.save(document)

        async with anyio.create_task_group() as around:
            with anyio.CancelScope() as scope:
                around.start_soon(_handle_signals, signals, scope)
                try:
                    if kept and finished.unsaved is None:
                        file = stack.enter_context(ResultFile(finished.path, replace=True))
                    # the tear-down may have ended the session that the set-up began
                    async with set_up(compiled):
                        await _remove(compiled, document, _Dialogue(save=save))
                    why = ""
                except LoadcheckError as error:
                    why = str(error)
            around.cancel_scope.cancel()
        if why:
            warning = redactor(compiled.secrets).text(
                f"The users of the run are not deleted: {why}."
            )
            document["warnings"] = [*document["warnings"], warning]
            with contextlib.suppress(InputError):
                save()
    return replace(finished, document=document)


async def _handle_signals(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


async def _remove(
    compiled: CompiledScenario, document: dict[str, Any], dialogue: _Dialogue
) -> Deleted:
    """Do what :func:`delete` does, for a run that is compiled already."""
    deletion = check(compiled)
    parts = _parts(compiled, deletion, document)
    async with httpx_transport(compiled.asking) as transport:
        work = _DeletionRequests(compiled, deletion, parts, transport.send)
        try:
            return await _with_consent(work, document, dialogue)
        except LoadcheckError as error:  # raised below, not within a group
            failed = error
    raise failed


async def _with_consent(
    work: _DeletionRequests, document: dict[str, Any], dialogue: _Dialogue
) -> Deleted:
    compiled, parts = work.compiled, work.parts
    deletion, hidden = work.deletion, redactor(compiled.secrets)
    section = _section(document, parts, deletion)
    counted = await work.count()
    await work.read_inputs()
    if section["phase"] == "done" and counted:  # some came back, or were never found
        section |= {"phase": "begun", "done": 0, "jobs": [], "after": None, "ended_at": None}
    started = section["phase"] != "new"
    _see_that_it_is_there(compiled, counted, document, started=started)
    section["server"] = work.same_server(section["server"])
    outline = _outline(compiled, document, parts, section)
    outline = replace(outline, counted=counted or 0, first=hidden.text(work.example()))
    if section["phase"] in ("new", "begun") and not dialogue.ask(outline):
        return Deleted(section=None, verdict=Verdict.UNKNOWN, says="Nothing was deleted.")
    if not started:
        section |= {"phase": "begun", "requested_at": documents.utc_now(), "before": counted}
    document["deletion"] = section

    def keep() -> None:
        document["deletion"] = section | hidden.document(
            {"error": section["error"]}, documents.own_words()
        )
        dialogue.save()

    keep()
    if section["phase"] == "begun":
        await work.request_all(section, keep, dialogue.on_progress)
    await work.conclude(section, dialogue.wait_s)
    keep()
    return Deleted(section=section, verdict=Verdict(section["verdict"]), says=_sentence(section))


def check(compiled: CompiledScenario) -> Deletion:
    """Return how the users of a run, past or to come, are deleted.

    Raises:
        InputError: They cannot, or must not, be deleted.
    """
    scenario, deletion = compiled.scenario, compiled.scenario.deletion
    if deletion is None:
        message = "neither the scenario nor the service's profile says how users are deleted"
        remedy = "say it in [delete] (loadcheck explain delete), and run again"
        raise InputError(scenario.problem("delete", message, remedy))
    if deletion.impossible:
        message = f"this service cannot delete users: {deletion.impossible}"
        raise InputError(scenario.problem("delete.impossible", message))
    if compiled.isolation != "filter":
        message = "the count does not separate this run from others, so nothing could prove whose"
        remedy = "mark the run's events, [[overlay]] with $run.id, and filter the count by it"
        raise InputError(scenario.problem("verify.step", f"{message} users these are", remedy))
    for name in ("job", "days", "states") if deletion.jobs is not None else ():
        try:
            compile_jsonpath(getattr(deletion.jobs, name))
        except ExpressionError as error:
            raise InputError(scenario.problem(f"delete.jobs.{name}", str(error))) from None
    why = "" if deletion.by_run else _shared(compiled)
    if why:
        remedy = 'with [users] id = "lc-{run}-{number}" they would be the run\'s alone'
        raise InputError(
            scenario.problem("users.id", f"the ids are not this run's alone: {why}", remedy)
        )
    return deletion


def _shared(compiled: CompiledScenario) -> str:
    """Return why another run's users may have the same ids; "" if they cannot."""
    place, template = compiled.scenario.verify.user, compiled.scenario.user_ids.template
    uses = compiled.ingest.uses
    if place is not None:
        uses = compiled.plan.uses_at(compiled.ingest.step_id, place)
    if uses & _OWN and place is not None:
        return ""
    if "$copy.userId" in uses:
        if "{run}" in template or "{uuid}" in template:
            return ""
        if "{digits}" in template:
            return f"{template} draws from 9 million stretches of numbers, and others may be in it"
        return f"{template} gives every run the same"
    found = sorted(word for word in uses if word.startswith(("$data.", "$values.", "$copy.")))
    return f"they are made of {', '.join(found) or 'what every run has'}"


class _Part:
    """Users that are deleted together: those of the run, or of one of its controls.

    Args:
        run_id: Run id with which their events are marked.
        name: Returns a user's id by number.
        numbers: The numbers of their copies.
        size: Ids in a request; 0: one request, by run id alone.
        counts: Queries that count them; None: they are counted with others.
    """

    def __init__(
        self,
        run_id: str,
        name: Callable[[int], str],
        numbers: BitMap,
        size: int,
        counts: CountQueries | None = None,
    ) -> None:
        self.run_id = run_id
        self.name = name
        self.numbers = numbers
        self.counts = counts
        self._size = size

    @property
    def batches(self) -> int:
        """Number of requests that they take."""
        return -(-len(self.numbers) // self._size) if self._size else int(bool(self.numbers))

    def ids(self, batch: int) -> list[str]:
        """Return the ids of a batch."""
        if not self._size:
            return []
        within = self.numbers[batch * self._size : (batch + 1) * self._size]
        return [self.name(number) for number in within]


def _parts(
    compiled: CompiledScenario, deletion: Deletion, document: dict[str, Any]
) -> Sequence[_Part]:
    """Return the users that the run sent, by the ledger, and those of its controls."""
    people, _ = people_of(document, compiled)
    ledger = people.ledger
    size = deletion.batch if deletion.by_user else 0
    names = UserNames(compiled.plan, compiled.ingest, compiled.scenario.verify.user)
    if size and not names.known:
        message = "is the place of the user id, and there is no value there"
        raise InputError(compiled.scenario.problem("verify.user", message))
    # none of these was skipped: each copy is in only one of the ledger's sets
    wanted = ledger.acknowledged | ledger.indeterminate
    parts = [_Part(compiled.run.id, names.of, wanted, size)]
    stored = document.get("consistency", {}).get("controls") or {}
    controls = ControlResult.read(stored)
    spec = compiled.verification
    assert spec is not None
    if controls.acknowledged is not None:
        plan, asked = spec.factory.sister(FRESH_RUN)
        numbers = BitMap(range(ledger.end, ledger.end + fresh_users(controls.share)))
        fresh = names.of_plan(plan).of
        parts.append(_Part(f"{compiled.run.id}{FRESH_RUN}", fresh, numbers, size, asked.counts))
    if controls.paired is not None and deletion.by_run:
        for suffix in PAIRED_RUNS:
            _, asked = spec.factory.sister(suffix, paired=True)
            parts.append(_Part(f"{compiled.run.id}{suffix}", names.of, wanted, size, asked.counts))
    if not wanted:
        message = "no copy was acknowledged or indeterminate: the run left no users behind"
        raise InputError(compiled.scenario.problem("load", message))
    return parts


def _section(
    document: dict[str, Any], parts: Sequence[_Part], deletion: Deletion
) -> dict[str, Any]:
    """Return the deletion's section; a new one if none was begun, or with other batches."""
    new: dict[str, Any] = {
        "phase": "new",
        "requested_at": None,
        "ended_at": None,
        "server": None,
        "users": len(parts[0].numbers),
        "batches": sum(part.batches for part in parts),
        "batch": deletion.batch if deletion.by_user else 0,
        "done": 0,
        "jobs": [],
        "before": None,
        "after": None,
        "error": None,
        "verdict": Verdict.UNKNOWN.value,
    }
    stored = document.get("deletion")
    same = stored and all(stored[name] == new[name] for name in ("users", "batches", "batch"))
    if not stored or not same:
        return new if not stored else new | {"server": stored["server"]}
    return {**new, **stored}


def _see_that_it_is_there(
    compiled: CompiledScenario, counted: int | None, document: dict[str, Any], *, started: bool
) -> None:
    """Refuse keys of another project, in which no user of the run is counted.

    Raises:
        InputError: No user is counted, and nothing was deleted yet.
    """
    if started or counted:
        return
    seen = document.get("consistency", {}).get("uniques")
    known = f"; {seen:,} were counted after the run" if seen else ""
    message = f"none of the run's users is in the project that these keys open{known}"
    remedy = (
        "use the keys and the region that the run had; if the users were deleted otherwise, there "
        "is nothing left to do"
    )
    raise InputError(compiled.scenario.problem("inputs", message, remedy))


def _outline(
    compiled: CompiledScenario,
    document: dict[str, Any],
    parts: Sequence[_Part],
    section: dict[str, Any],
) -> DeletionOutline:
    people, unsaved = people_of(document, compiled)
    deletion, numbers = compiled.scenario.deletion, parts[0].numbers
    assert deletion is not None
    fresh = [part for part in parts[1:] if part.run_id.endswith(FRESH_RUN)]
    return DeletionOutline(
        run_id=compiled.run.id,
        name=compiled.scenario.name,
        server=section["server"],
        acknowledged=len(people.ledger.acknowledged & numbers),
        indeterminate=len(people.ledger.indeterminate & numbers),
        controls=sum(len(part.numbers) for part in fresh),
        unsaved=len(unsaved),
        batches=section["batches"],
        done=section["done"],
        batch=section["batch"],
        every_s=deletion.every_s,
        ends=(parts[0].name(numbers.min()), parts[0].name(numbers.max())),
    )


class _DeletionRequests:
    """Sends the requests of one deletion."""

    def __init__(
        self,
        compiled: CompiledScenario,
        deletion: Deletion,
        parts: Sequence[_Part],
        send: Send,
    ) -> None:
        spec = compiled.verification
        assert spec is not None
        self.compiled = compiled
        self._scenario = compiled.scenario
        self.deletion = deletion
        self._send = send
        self._spec = spec
        self._integer = compiled.scenario.user_ids.integer
        self._inputs: dict[str, str] = {}
        self._client = QueryClient(
            QueryChannel(send=self._asked),
            absent=spec.verify.absent,
            approximate=spec.verify.approximate,
        )
        # responses in a cache belong to earlier query numbers, which began at 1
        self._client.queries = time.time_ns() // 1_000_000 % 1_000_000_000
        self._last: Request | None = None
        self._answer: Exchange | None = None
        self.parts = parts
        more = (part.counts for part in parts if part.counts is not None)
        self._questions = [spec.queries.counts, *more]

    async def _asked(self, request: Request) -> Exchange:
        self._last = request
        self._answer = exchange = await self._send(request)
        return exchange

    async def count(self) -> int | None:
        """Return how many users of the run the service counts; None if it has no number.

        Raises:
            InputError: The query was refused, or its response cannot be used.
        """
        return await self._count(self._spec.queries.counts)

    async def read_inputs(self) -> None:
        """Look up the inputs that a request to delete names, the workflow's own included.

        Raises:
            InputError: An input has no value, so the request would not be the intended one.
        """
        texts = [self.deletion.endpoint, self.deletion.body]
        self._inputs = await inputs_of(self.compiled, texts, self._client, "delete")

    async def _count(self, queries: CountQueries) -> int | None:
        reply = await self._client.ask(queries.uniques, queries.cost)
        for attempt in range(_TRIES - 1):
            if not reply.refused:
                break
            await anyio.sleep(_wait_s(attempt))
            reply = await self._client.ask(queries.uniques, queries.cost)
        found, why = reply.count("uniques")
        if found is not None or (not reply.error and reply.values.get("uniques") is None):
            return found
        assert self._last is not None
        refused = "" if self._answer is None else _refusal(self._answer)
        message = f"{self._last.origin} does not return the count of users: {refused or why}"
        remedy = "ask again later"
        if self._answer is not None and self._answer.status in _UNKNOWN_KEYS:
            remedy = (
                "the keys must be those of the run's project, and the server that of its region"
            )
        raise InputError(self._scenario.problem("verify.step", message, remedy))

    def same_server(self, before: str | None) -> str:
        """Return the server that was queried.

        Raises:
            InputError: The deletion was begun at another server.
        """
        assert self._last is not None
        server = str(self._last.origin)
        if before is not None and before != server:
            message = f"the deletion was begun at {before}, this is {server}"
            remedy = "go on there: with the same --server, or without"
            raise InputError(self._scenario.problem("target.servers", message, remedy))
        return server

    def example(self) -> str:
        """Return the first request as text for the user."""
        request = self._request(self.parts[0], 0)
        body = request.body.decode("utf-8", "replace")
        return f"{request.method} {request.url}\n{body}".rstrip()

    async def request_all(
        self, section: dict[str, Any], keep: Callable[[], None], on_progress: OnProgress
    ) -> None:
        """Request every batch that was not requested yet.

        Raises:
            DeletionError: A batch was refused.
        """
        due = [(part, batch) for part in self.parts for batch in range(part.batches)]
        on_progress(section["done"], len(due))
        for number, (part, batch) in enumerate(due[section["done"] :], section["done"] + 1):
            exchange = await self._ask_for(part, batch)
            why = _refusal(exchange)
            if why:
                section["error"] = why
                keep()
                raise DeletionError(
                    f"request {number:,} of {len(due):,} to delete users was refused: {why}; "
                    f"{section['done']:,} are done, and the same command goes on from there"
                )
            job = self._job(exchange)
            if job is not None and job not in section["jobs"]:
                section["jobs"].append(job)
            section |= {"done": number, "error": None}
            keep()
            on_progress(number, len(due))
            if number < len(due):
                await anyio.sleep(self.deletion.every_s)
        section["phase"] = "requested"

    async def _ask_for(self, part: _Part, batch: int) -> Exchange:
        """Request a batch, repeatedly where that may help: it does no harm."""
        request = self._request(part, batch)
        exchange = await self._send(request)
        for attempt in range(_TRIES - 1):
            passing = exchange.failure is not None or exchange.status == 429  # noqa: PLR2004
            if not passing and exchange.status < 500:  # noqa: PLR2004
                break
            asked_s = retry_after_s(exchange) or 0.0
            await anyio.sleep(max(asked_s, self.deletion.every_s, _wait_s(attempt)))
            exchange = await self._send(request)
        return exchange

    def _job(self, exchange: Exchange) -> str | None:
        jobs = self.deletion.jobs
        if jobs is None:
            return None
        found = _at(jobs.job, exchange)
        return str(found[0]) if found else None

    async def conclude(self, section: dict[str, Any], wait_s: float) -> None:
        """Find out whether the deletion is done, and if so, whether users are still counted."""
        if self.deletion.jobs is not None and section["phase"] == "requested":
            until = time.monotonic() + wait_s
            while not (finished := await self._finished(section)):
                left_s = until - time.monotonic()
                if left_s <= 0:
                    break
                await anyio.sleep(min(left_s, _MOST_WAIT_S, max(1.0, wait_s / 20)))
            if not finished:
                return
        section["phase"] = "done"
        section["after"] = await self._settled()
        gone = section["after"] == 0
        section["verdict"] = (Verdict.PASS if gone else Verdict.FAIL).value
        section["ended_at"] = documents.utc_now()

    async def _finished(self, section: dict[str, Any]) -> bool:
        """Return whether every job has ended; False if the service does not say."""
        jobs, days = self.deletion.jobs, sorted(section["jobs"])
        assert jobs is not None
        today = datetime.now(UTC)
        start = days[0] if days else f"{today:%Y-%m-%d}"
        end = days[-1] if days else f"{today + _ALLOWANCE:%Y-%m-%d}"
        path = jobs.path.replace("{$start}", start).replace("{$end}", end)
        exchange = await self._send(self._made("GET", path, None))
        section["error"] = _refusal(exchange) or None
        if section["error"]:
            return False
        listed = map(str, _at(jobs.days, exchange))
        return all_done(zip(listed, _at(jobs.states, exchange), strict=False), days, jobs.done)

    async def _settled(self) -> int:
        """Return how many users are still counted: 0 as soon as none is, else at the deadline."""
        until = time.monotonic() + self._spec.verify.deadline_s
        while True:
            left = sum([await self._count(each) or 0 for each in self._questions])
            if not left or time.monotonic() > until:
                return left
            await anyio.sleep(self._spec.verify.every_s)

    def _request(self, part: _Part, batch: int) -> Request:
        ids = part.ids(batch)
        users = Ids(map(int, ids)) if self._integer else Ids(ids, self.deletion.quote)
        values = {**self._inputs, "run.id": part.run_id, "users": users}
        path = fill_path(self.deletion.endpoint, values)
        body = self.deletion.body
        content = None if body is None else fill_body(body, values)
        return self._made(self.deletion.method, path, content)

    def _made(self, method: str, path: str, body: bytes | None) -> Request:
        """Return a request to the server of the count, with the headers of its query."""
        asked = self._last
        assert asked is not None
        leave = {"content-type", "content-length", "transfer-encoding", "host"}
        headers = [(name, value) for name, value in asked.headers if name.lower() not in leave]
        if body is not None:
            headers += [("Content-Type", content_type(body)), ("Content-Length", str(len(body)))]
        path = f"{self.compiled.plan.steps[asked.step].base}{path}"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {_host(asked)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        head = "\r\n".join(lines) + "\r\n"
        return Request(asked.step, asked.origin, head.encode("latin-1"), body or b"")


class Ids(list[Any]):
    """Users' ids: an array in JSON; quoted and separated by commas within a text.

    Args:
        ids: The ids.
        mark: Quotation mark around each id in a text.
    """

    def __init__(self, ids: Iterable[str | int], mark: str = "") -> None:
        super().__init__(ids)
        self._mark = mark

    def __str__(self) -> str:
        """Return them quoted and separated by commas."""
        return ",".join(map(self._quoted, self))

    def _quoted(self, value: str | int) -> str:
        text = str(value).replace("\\", "\\\\")
        return f"{self._mark}{text.replace(self._mark or chr(0), chr(92) + self._mark)}{self._mark}"


def _host(request: Request) -> str:
    named = [value for name, value in request.headers if name.lower() == "host"]
    origin: Origin = request.origin
    return named[0] if named else f"{origin.host}:{origin.port}"


def all_done(states: Iterable[tuple[str, Any]], days: Collection[str], done: str) -> bool:
    """Return whether each job of some days is done, and each day has one.

    Args:
        states: Day and state of each job.
        days: Those that matter; empty: all that have jobs.
        done: The state that a job ends in.
    """
    known = list(states)
    ours = [state for day, state in known if day in days or not days]
    return {day for day, _ in known} >= set(days) and all(state == done for state in ours)


def _at(query: str, exchange: Exchange) -> list[Any]:
    """Return what a JSONPath finds in a response; nothing if that is not JSON."""
    try:
        return compile_jsonpath(query)(exchange.json())
    except ValueError:
        return []


def _wait_s(attempt: int) -> float:
    return float(min(_LEAST_WAIT_S * 2**attempt, _MOST_WAIT_S))


def _refusal(exchange: Exchange) -> str:
    """Return why a request failed or was refused; "" if it was accepted."""
    if exchange.failure is not None:
        return exchange.detail or exchange.failure.value
    if 200 <= exchange.status < 300:  # noqa: PLR2004
        return ""
    said = exchange.body[:_DETAIL_CHARS].decode("utf-8", "replace")
    hint = " (keys unknown, or not allowed to)" if exchange.status in _UNKNOWN_KEYS else ""
    return f"status {exchange.status}{hint}: {said}".rstrip(": ")


def _sentence(section: dict[str, Any]) -> str:
    """Return the progress of a deletion as a sentence."""
    users = many(section["users"], "users")
    if section["phase"] == "requested":
        when = f" by {max(section['jobs'])}" if section["jobs"] else ""
        why = f" ({section['error']})" if section["error"] else ""
        return (
            f"The deletion of {users} is requested; the service does it{when}{why}. The same "
            "command asks how far it is, and counts when it is done."
        )
    if section["after"]:
        return f"{section['after']:,} of {users} are still counted, although they were deleted."
    return f"{users} are deleted: the service counts none of them any more."


def lines(outline: DeletionOutline) -> Iterator[tuple[str, str]]:
    """Yield what the user should know before confirming, as label and text."""
    each = f"{outline.acknowledged:,} acknowledged, {outline.indeterminate:,} indeterminate"
    if outline.unsaved:
        each += f" ({outline.unsaved:,} that a killed run may have sent unsaved)"
    if outline.controls:
        each += f", {outline.controls:,} sent as controls"
    yield "users", f"{each}; none that was skipped or rejected"
    yield "ids", " … ".join(dict.fromkeys(outline.ends))
    yield "counted", f"{outline.counted:,} of them by the service now"
    left = outline.batches - outline.done
    size = f" of up to {many(outline.batch, 'ids')}" if outline.batch else " by the mark of the run"
    pace = f", about {clock(left * outline.every_s)}" if left * outline.every_s > 1 else ""
    yield "requests", f"{left:,}{size}{pace} to {outline.server}"
    if outline.done:
        yield "resumed", f"{outline.done:,} of {outline.batches:,} were done before"
    yield "the first", outline.first
