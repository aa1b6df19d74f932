"""Checks that keys, project and servers are the right ones, by sending one control user.

The user belongs to a run of its own, so that it disturbs no other. A problem is reported by its
cause: the side that refuses, the region, the clock, the ids.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import anyio

from loadcheck.errors import InputError
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.pipeline import Options, prepare_run, seed_of
from loadcheck.pipeline.once import SharedSteps
from loadcheck.pipeline.target import addressed, emulator_for
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import redactor
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.query_client import QueryChannel, QueryClient, QueryResult, Send, drive
from loadcheck.verify.session import VerificationSpec
from loadcheck.workflow.exchange import Exchange
from loadcheck.workflow.runtime import no_retry

_SUFFIX: Final = "preflight"
_SKEW_S: Final = 30.0
_PAUSE_S: Final = 0.25
_SHOWN: Final = 200
_SIDES: Final = 2
_REFUSED: Final = (401, 403)
_BAD, _THROTTLED, _SERVER = 400, 429, 500

State = Literal["ok", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of one check.

    Attributes:
        name: What was checked.
        state: The outcome.
        message: The outcome in words, and what to do.
    """

    name: str
    state: State
    message: str

    def to_json(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"name": self.name, "state": self.state, "told": self.message}


async def preflight(
    scenario: Scenario, options: Options, *, within_s: float | None = None, optional: bool = False
) -> dict[str, Any]:
    """Send one control user, query whether it is counted, and return the checks, as JSON.

    Args:
        scenario: The scenario; of a mix, its first flow is checked.
        options: Options of the command line.
        within_s: How long the control user may take to become visible; None: ``verify.deadline``.
        optional: Check nothing, instead of raising, if the scenario is not verified.

    Raises:
        InputError: Something in the input cannot be used; nothing was sent.
        TargetError: The embedded emulator did not start.
    """
    if scenario.flows:
        scenario = scenario.flows[0]
    seed = seed_of(scenario, options)
    with addressed(scenario) as address:
        compiled = prepare_run(scenario, address, seed, consent=options.consent, copies=lambda _: 1)
        spec = compiled.verification
        if spec is None:
            if optional:
                return {"state": "ok", "checks": [], "spent": {}}
            message = "cannot be tested by one control user"
            remedy = "a run is needed that asks the service: verify.enabled"
            raise InputError(scenario.problem("verify", message, remedy))
        async with (
            emulator_for(scenario, address, seed),
            httpx_transport(compiled.asking) as asking,
        ):
            limit_s = scenario.verify.deadline_s if within_s is None else within_s
            flight = _Flight(compiled, spec, asking.send, limit_s)
            checks = await _surrounded(compiled, flight)
    wrong = any(check.state == "wrong" for check in checks)
    state: State = "wrong" if wrong else "ok"
    document = {
        "state": state,
        "checks": [check.to_json() for check in checks],
        "spent": flight.spent(),
    }
    hidden: dict[str, Any] = redactor(compiled.secrets).document(
        document, {"wrong", "unknown", "ok", *(check.name for check in checks)}
    )
    return hidden


async def _surrounded(compiled: CompiledScenario, flight: _Flight) -> list[Checked]:
    """Run the set-up, the flight and the tear-down, as a run does."""
    if compiled.setup is None:
        return await flight.run()
    shared, checks = SharedSteps(compiled), list[Checked]()
    try:
        why = await shared.set_up()
        if why:
            checks.append(Checked("setup", "wrong", why))
        else:
            message = f"the set-up {compiled.setup.wanted.workflow} succeeded"
            checks += [
                Checked("setup", "ok", message),
                *await flight.run(),
            ]
    finally:
        with anyio.CancelScope(shield=True):
            await shared.tear_down()
    if shared.ended:
        checks.append(Checked("teardown", "wrong", shared.ended))
    return checks


class _Flight:
    """Sends one control user, and checks what comes of it."""

    def __init__(
        self, compiled: CompiledScenario, spec: VerificationSpec, send: Send, within_s: float
    ) -> None:
        self._compiled = compiled
        self._send = send
        self._within_s = within_s
        self._plan, self._queries = spec.factory.sister(_SUFFIX)
        self._heard: list[tuple[Exchange, float]] = []
        self._channel = QueryChannel(send=self._listening)
        self._asker = QueryClient(
            self._channel, absent=spec.verify.absent, approximate=spec.verify.approximate
        )
        self._ingest = compiled.ingest
        self._filtered = spec.filtered
        self._uploads = 0
        self._queries_asked = (0, 0)
        # the same in both uploads: the time is part of what makes an event the same
        self._time_ms = time.time_ns() // 1_000_000

    async def run(self) -> list[Checked]:
        """Return the checks, in the order in which they were made."""
        regions = [*self._regions()]
        if any(check.state == "wrong" for check in regions):
            return regions
        if not self._filtered:
            # a control user would be counted as one of the run's, with no way to separate them
            message = (
                "not sent: the query has no $run.id, and would count a control user with the run"
            )
            unsent = Checked("upload", "unknown", message)
            answered = self._answered(await self._ask("uniques"))
            return [*regions, unsent, answered, self._clock(), self._days()]
        sent = await self._upload()
        if sent.state != "ok":
            asked = await self._ask("uniques")
            neither = self._neither()
            checks = [*regions, sent, self._answered(asked, alone=True)]
            checks += [] if neither is None else [neither]
        else:
            checks = [*regions, sent, *await self._look()]
        return [*checks, self._clock(), self._days()]

    def spent(self) -> dict[str, int]:
        """Return what was sent and queried, in the form of a run's ``spent``."""
        queries, cost = self._queries_asked
        return {
            "users": int(self._uploads > 0),
            "events": self._uploads * self._compiled.scenario.load.events_per_copy,
            "queries": queries,
            "query_cost": cost,
        }

    async def _listening(self, request: Any) -> Exchange:
        exchange = await self._send(request)
        self._heard.append((exchange, time.time()))
        return exchange

    async def _upload(self) -> Checked:
        """Send the user; a second call sends the same event again."""
        heard: list[Exchange] = []
        await drive(self._plan.copy(0, self._time_ms, no_retry), self._listening, heard.append)
        uploads = [each for each in heard if each.request.step == self._ingest.index]
        self._uploads += len(uploads)
        return self._taken(uploads[-1] if uploads else None)

    def _taken(self, exchange: Exchange | None) -> Checked:
        origin = str(self._ingest.origin)
        if exchange is None:
            message = f"{self._ingest.step_id} was not sent: a step before it failed"
            return Checked("upload", "wrong", message)
        if exchange.success:
            return Checked("upload", "ok", f"{origin} took the control user")
        return Checked("upload", "wrong", _why(exchange, origin, "API key"))

    def _neither(self) -> Checked | None:
        """Return a check if neither side knows the keys: they may be of another region."""
        regions = self._compiled.scenario.service.regions
        here = regions.get(self._ingest.origin.host.lower())
        others = sorted({name for name in regions.values() if name != here})
        unknown = {exchange.request.step for exchange, _ in self._heard if _is_unknown(exchange)}
        if here is None or not others or len(unknown) < _SIDES:
            return None
        message = f"neither side knows the keys, and both were asked in {here}: are they of "
        return Checked("region", "wrong", f"{message}{' or '.join(others)}?")

    def _regions(self) -> Iterator[Checked]:
        """Yield a check of whether all servers are in one region, if regions are known."""
        regions = self._compiled.scenario.service.regions
        hosts = sorted({step.origin.host.lower() for step in self._plan.steps})
        known = {host: regions[host] for host in hosts if host in regions}
        if not known:
            return
        if len(set(known.values())) > 1:
            message = ", ".join(f"{host} is in {region}" for host, region in known.items())
            remedy = "a project lives in one: set [target] servers"
            yield Checked("region", "wrong", f"{message}; {remedy}")
        else:
            message = f"all servers are in {next(iter(known.values()))}"
            yield Checked("region", "ok", message)

    async def _ask(self, name: Literal["uniques", "totals"]) -> QueryResult:
        counts = self._queries.counts
        query = counts.uniques if name == "uniques" else counts.totals
        assert query is not None
        queries, cost = self._queries_asked
        self._queries_asked = (queries + 1, cost + counts.cost)
        return await self._asker.ask(query, counts.cost)

    def _answered(self, reply: QueryResult, *, alone: bool = False) -> Checked:
        exchange = self._heard[-1][0]
        origin = str(self._compiled.observer.origin) if self._compiled.observer else ""
        if reply.count("uniques")[0] is not None:
            message = f"{origin} answers" + (": the other side is the wrong one" if alone else "")
            return Checked("query", "ok", message)
        if not exchange.success and exchange.reason:
            message = _why(exchange, origin, "credentials of the query")
        else:
            message = f"{origin}: {reply.count('uniques')[1]}"
        return Checked("query", "wrong", message)

    async def _look(self) -> list[Checked]:
        """Query until the user is counted, then send it again."""
        began = time.monotonic()
        while True:
            reply = await self._ask("uniques")
            answered = self._answered(reply)
            count = reply.count("uniques")[0]
            waited_s = time.monotonic() - began
            if answered.state == "wrong" and not reply.refused:
                return [answered]
            if count or waited_s >= self._within_s:
                break
            await anyio.sleep(_PAUSE_S)
        if answered.state == "wrong":
            return [answered]
        if not count:
            message = (
                f"the control user was taken, and is not counted after {waited_s:.1f} s: the keys "
                "of upload and query are of different projects, or the service is slower"
            )
            return [answered, Checked("project", "wrong", message)]
        message = f"the control user is counted after {waited_s:.1f} s: both sides are one project"
        found = Checked("project", "ok", message)
        return [answered, found, await self._repeated()]

    async def _repeated(self) -> Checked:
        """Send the same event again, and check that it counts once."""
        name = "deduplication"
        if self._queries.counts.totals is None:
            return Checked(name, "unknown", "the service counts no events")
        again = await self._upload()
        if again.state != "ok":
            return Checked(name, "unknown", f"sent again: {again.message}")
        end_s = time.monotonic() + min(1.0, self._within_s)
        events = None
        while time.monotonic() < end_s:
            events = (await self._ask("totals")).count("totals")[0]
            if events is not None and events > 1:
                message = f"the same event, sent twice, counts {events} times: retries would show"
                return Checked(name, "wrong", message)
            await anyio.sleep(_PAUSE_S)
        if events != 1:
            return Checked(name, "unknown", "no response says how many events there are")
        return Checked(name, "ok", "the same event, sent twice, counts once")

    def _clock(self) -> Checked:
        """Compare the clock of this machine with the ``Date`` of responses."""
        for exchange, heard_s in reversed(self._heard):
            date = exchange.header("date")
            try:
                date_s = parsedate_to_datetime(date).timestamp() if date else None
            except ValueError:
                date_s = None
            if date_s is None:
                continue
            skew_s = heard_s - date_s
            state: State = "ok" if abs(skew_s) <= _SKEW_S else "wrong"
            way = "ahead of" if skew_s > 0 else "behind"
            message = f"this machine's clock is {abs(skew_s):.0f} s {way} the service's"
            if state == "wrong":
                message += ": events would fall on other days, or be refused; set it (NTP)"
            return Checked("clock", state, message)
        return Checked("clock", "unknown", "no response has the time (Date)")

    def _days(self) -> Checked:
        run = self._compiled.run
        message = (
            f"no API returns the project's time zone: queries ask for {run.start_day} to "
            f"{run.end_day}, a day more on either side, which is right in every zone"
        )
        return Checked("days", "ok", message)


def _is_unknown(exchange: Exchange) -> bool:
    """Return whether a response means that credentials are not known."""
    return exchange.status in _REFUSED or (
        exchange.status == _BAD and b"key" in exchange.body.lower()
    )


def _why(exchange: Exchange, origin: str, what: str) -> str:
    """Return in words what a failed exchange means."""
    status = exchange.status
    body = " ".join(exchange.body.decode("utf-8", "replace").split())[:_SHOWN]
    low = body.lower()
    if not status:
        return f"{origin} cannot be reached: {exchange.reason}"
    if status == _BAD and "id length" in low:
        return f"{origin} refuses the user id as too short: lengthen [users] id ({body})"
    if _is_unknown(exchange):
        return f"{origin} does not know the {what} ({status})"
    if status == _THROTTLED:
        return f"{origin} has had too many requests (429): somebody else uses the project ({body})"
    if status >= _SERVER:
        return f"{origin} is out of order ({status}): try again later"
    return (
        f"{origin} answers {status}, which is not an API of this service: {body or exchange.reason}"
    )
