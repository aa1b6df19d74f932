"""Builds the sections of a results document from a run, and saves the document."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread

from loadcheck import __version__
from loadcheck.data.table import fingerprint
from loadcheck.documents import format_instant
from loadcheck.documents.document import read_content
from loadcheck.errors import ResultFileError, SaveError
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.record import Record, StepRecord
from loadcheck.result import PERCENTILES
from loadcheck.result.schema import SCHEMA, json_schema
from loadcheck.result.schema_others import capacity_schema
from loadcheck.scenario.model import ClosedLoad, FlowOfMix, OpenLoad, Scenario
from loadcheck.secrets import Redactor
from loadcheck.verify import Consistency
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.controls import ControlResult
from loadcheck.verify.evidence import Observation
from loadcheck.verify.figures import RunFigures
from loadcheck.verify.session import Verification, VerificationResult
from loadcheck.workflow.runtime.plan import Role, StepPlan


class ResultSink(Protocol):
    """Destination of a results document, a file or not."""

    @property
    def path(self) -> Path:
        """Path of the destination."""

    def save(self, document: dict[str, Any], *, durable: bool = True) -> None:
        """Save a document."""

    def close(self) -> None:
        """Release the destination to other writers."""


class ResultWriter:
    """The results document of a run, and the file that it is saved to.

    Attributes:
        file: Where it is saved.
        document: Its content so far.
        target_error: An error of the target; None if there was none.
        unsaved: Why the last save failed; None if it did not.
        failed_saves: Saves that failed while the load went on.
    """

    def __init__(self, file: ResultSink, intent: dict[str, Any], redactor: Redactor) -> None:
        self.file = file
        self.document: dict[str, Any] = redactor.document(intent, own_words())
        self.target_error: str | None = None
        self.unsaved: ResultFileError | None = None
        self.failed_saves = 0
        self._redactor = redactor

    def update(self, sections: dict[str, Any]) -> None:
        """Add sections, hiding secrets that might occur in words of the service."""
        clean = self._redactor.document(sections, own_words())
        self.document |= truncate_examples(clean)

    def hide(self, secrets: Iterable[str]) -> None:
        """Hide further secrets in the sections added from now on."""
        self._redactor |= secrets

    async def save(self, phase: str, *, durable: bool) -> None:
        """Save in a thread, so that the disk does not hold up the load.

        Raises:
            ResultFileError: The disk is full, or the file cannot be written.
        """
        self.document["run"]["phase"] = phase
        snapshot = dict(self.document)
        await anyio.to_thread.run_sync(lambda: self.file.save(snapshot, durable=durable))
        self.unsaved = None

    async def try_save(self, phase: str, *, durable: bool) -> None:
        """Save, and only note a failure: a full disk must not end a run that has begun."""
        try:
            await self.save(phase, durable=durable)
        except ResultFileError as error:
            self.unsaved = error
            self.failed_saves += 1

    async def save_intent(self) -> None:
        """Save before anything is sent.

        Raises:
            ResultFileError: It cannot be saved: nothing must be sent.
        """
        try:
            await self.save("intent", durable=True)
        except SaveError as error:
            raise ResultFileError(error.problems) from error


_PACKAGES = ("anyio", "hdrhistogram", "httptools", "httpx", "numpy", "orjson", "uvloop")
_EXAMPLE = 300
"""Characters kept of an example answer."""


def intent(compiled: CompiledScenario, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document as it stands before the first request."""
    scenario, run = compiled.scenario, compiled.run
    return {
        "schema": SCHEMA,
        "verdict": "unknown",
        "run": {
            "id": run.id,
            "phase": "intent",
            "seed": compiled.seed,
            "started_at": utc_now(),
            "ended_at": None,
            "interrupted": False,
            "aborted": None,
            "error": None,
            "load_began_at": None,
            "baseline": None,
            "start_day": run.start_day,
            "end_day": run.end_day,
            "copies": run.copies,
            "scenario_file": scenario.file,
            "profile": scenario.profile or None,
            **_files(scenario),
        },
        **_mix(scenario.part),
        **origin(compiled),
        "warnings": [*warnings],
    }


def origin(compiled: CompiledScenario) -> dict[str, Any]:
    """Return the sections about the scenario, the workflow and the machine."""
    scenario, observer = compiled.scenario, compiled.observer
    return {
        "labels": dict(scenario.labels),
        "scenario": {"name": scenario.name, **scenario.document},
        "workflow": {
            "name": scenario.workflow.name,
            "id": compiled.plan.workflow_id,
            "sha256": workflow_hash(scenario),
            "ingest": compiled.ingest.step_id,
            "observer": observer.step_id if observer else None,
        },
        "environment": environment(),
    }


def _mix(part: FlowOfMix | None) -> dict[str, Any]:
    """Return the ``mix`` section: which flow of a mix a run is; {} if it is not a flow."""
    if part is None:
        return {}
    names = {"id": part.id, "name": part.mix, "flow": part.flow, "place": part.place}
    return {"mix": {**names, "flows": [*part.flows], "limits": [*part.limits]}}


def _files(scenario: Scenario) -> dict[str, Any]:
    """Return fingerprints of data files, which show later whether a file was changed."""
    found = {name: fingerprint(file.path) for name, file in scenario.files.items()}
    return {"data": found} if found else {}


def workflow_hash(scenario: Scenario) -> str:
    """Return the SHA-256 of the workflow's document.

    Raises:
        WorkflowError: It cannot be read any more.
    """
    workflow = scenario.workflow
    return hashlib.sha256(read_content(workflow.document, workflow.name)).hexdigest()


def progress_sections(record: Record, planned: int | None) -> dict[str, Any]:
    """Return the sections that are saved again every second."""
    return {
        "copies": {
            "planned": planned,
            "started": record.started,
            "skipped": record.skipped,
            "acknowledged": record.acknowledged,
            "rejected": record.rejected,
            # copies in flight may or may not take effect; after a kill this is the final state
            "indeterminate": record.indeterminate + record.in_flight,
        },
        "ledger": record.ledger.to_json(),
        **({"uploads": record.uploads.to_json()} if record.most_uploads > 1 else {}),
        "timeline": record.timeline.to_json(),
    }


def load_sections(figures: RunFigures, steps: Sequence[StepPlan]) -> dict[str, Any]:
    """Return the sections that describe the load."""
    record, monitor, rates = figures.record, figures.monitor, figures.rates
    return {
        "load": {
            "asked_rate": rates.asked,
            "peak_rate": figures.pacer.peak_rate if figures.pacer else None,
            "reached_rate": rates.reached,
            "reached_ratio": rates.ratio,
            "duration_s": rates.duration_s,
            "retries": record.retries,
            "stale_retries": record.stale_retries,
            "resends": record.resends,
            "max_in_flight": record.max_in_flight,
        },
        "generator": {
            "lateness": histogram(record.lateness),
            "dispatch_lag": histogram(record.dispatch_lag),
            "loop_lag": histogram(monitor.loop_lag),
            "gc_pauses": histogram(monitor.gc_pauses),
            "unsent": len(record.unsent),
            "cpu_s": monitor.cpu_s,
            "watched_s": monitor.watched_s,
            "peak_memory_bytes": _peak_memory_bytes(),
            "pauses": record.pauses(),
            "paused": len(record.paused),
        },
        "steps": {
            measures.step_id: _step(measures, step)
            for step, measures in [*zip(steps, record.steps, strict=True), *_queries(record, steps)]
        }
        | _workflow(record, steps),
    }


def _workflow(record: Record, steps: Sequence[StepPlan]) -> dict[str, Any]:
    """Return the entry for copies as a whole, if they have several steps."""
    whole = record.workflow
    if whole is None:
        return {}
    own = [step for step in steps if step.role is Role.COPY]
    first = _step(whole, own[0])
    names = ", ".join(step.step_id for step in own)
    return {whole.step_id: {**first, "role": "workflow", "request": f"{len(own)} steps: {names}"}}


def _queries(record: Record, steps: Sequence[StepPlan]) -> list[tuple[StepPlan, StepRecord]]:
    """Return loadcheck's own queries of a step that copies also run, which are kept apart."""
    if record.queries is None:
        return []
    step_id = record.queries.step_id.removesuffix("@observer")
    return [(step, record.queries) for step in steps if step.step_id == step_id]


def consistency(
    seen: Consistency,
    verification: Verification | None,
    verified: VerificationResult | None,
    begin_ns: int,
) -> dict[str, Any]:
    """Return the section that holds the service's counts."""
    lag = verified.visibility if verified else None
    acknowledged_by = verification.acks.before if verification else None
    return {
        "checked": verification is not None,
        **seen.to_json(),
        "visibility": lag.to_json() if lag is not None else None,
        "localized": verified.localized if verified else None,
        "controls": (verified.controlled if verified else ControlResult()).to_json(),
        "observations": [
            observed(observation, begin_ns)
            | {
                "acknowledged": acknowledged_by(observation.asked_ns) if acknowledged_by else None,
            }
            for observation in (verification.observer.observations if verification else ())
        ],
    }


def observed(observation: Observation, begin_ns: int) -> dict[str, Any]:
    """Return one observation, its instants in seconds since the load began."""
    return {
        "asked_s": round((observation.asked_ns - begin_ns) / 1e9, 4),
        "answered_s": round((observation.answered_ns - begin_ns) / 1e9, 4),
        "as_of_s": round((observation.as_of_ns - begin_ns) / 1e9, 4),
        "uniques": observation.uniques,
        "totals": observation.totals,
        "error": observation.error,
    }


def histogram(times: Histogram) -> dict[str, Any]:
    """Return the percentiles of a histogram and the histogram itself."""
    return {
        "count": times.count,
        **dict(zip(PERCENTILES, times.percentiles_ms([*PERCENTILES.values()]), strict=True)),
        "above_range": times.above_range,
        "hdr": times.encode(),
    }


def _step(measures: StepRecord, step: StepPlan) -> dict[str, Any]:
    times = measures.response_time
    return {
        "role": step.role.value,
        "request": f"{step.method} {step.origin}{step.path}",
        "attempts": measures.attempts,
        "succeeded": measures.succeeded,
        "answers": {str(answer): count for answer, count in measures.answers.items()},
        "reasons": measures.main_reasons(),
        "examples": {str(status): body for status, body in measures.examples.items()},
        "response_time": histogram(times) if times is not None else None,
        "service_time": histogram(measures.service_time),
        "failed": histogram(measures.failed),
        "throttled": histogram(measures.throttled),
    }


def environment() -> dict[str, Any]:
    """Return versions and machine: what a figure depends on, and nothing that names a person."""
    return {
        "loadcheck": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def utc_now(in_ns: int = 0) -> str:
    """Return the time ``in_ns`` from now, in UTC, ISO 8601, to the millisecond."""
    at = datetime.now(UTC) + timedelta(microseconds=in_ns / 1000)
    return format_instant(at)


def truncate_examples(sections: dict[str, Any]) -> dict[str, Any]:
    """Return sections with examples of answers truncated, after secrets have been hidden."""
    steps = {
        name: {
            **step,
            "examples": {status: text[:_EXAMPLE] for status, text in step["examples"].items()},
        }
        for name, step in sections.get("steps", {}).items()
    }
    return {**sections, "steps": steps} if steps else sections


@cache
def own_words() -> frozenset[str]:
    """Return loadcheck's own words in documents: keys, and values that a schema lists."""
    return frozenset(word for shape in (json_schema(), capacity_schema()) for word in _words(shape))


def _words(shape: Any) -> Iterator[str]:
    """Yield the keys and the enumerated values of a schema."""
    if isinstance(shape, Mapping):
        yield from shape.get("properties", ())
        yield from (word for word in shape.get("enum", ()) if isinstance(word, str))
        yield from (word for word in (shape.get("const"),) if isinstance(word, str))
        for part in shape.values():
            yield from _words(part)
    elif isinstance(shape, list | tuple):
        for part in shape:
            yield from _words(part)


def _peak_memory_bytes() -> int:
    # getrusage's peak survives fork and exec: it may be that of the parent process
    with suppress(OSError), Path("/proc/self/status").open(encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def stages(load: OpenLoad | ClosedLoad, duration_s: float) -> list[dict[str, Any]]:
    """Return the stages of an open load that were begun; [] for a closed load.

    Args:
        load: The load.
        duration_s: For how long copies were started.
    """
    found: list[dict[str, Any]] = []
    begin_s = 0.0
    for stage in load.stages if isinstance(load, OpenLoad) else ():
        end_s = begin_s + stage.duration_s
        if found and begin_s >= duration_s:
            break
        found.append(
            {
                "name": stage.name,
                "from_s": begin_s,
                "to_s": end_s,
                "rate": stage.rate,
                "end_rate": stage.end_rate,
            }
        )
        begin_s = end_s
    return found


def intervals(record: Record) -> dict[str, Any]:
    """Return columns with a value for each interval of the load."""
    edges = record.grid.edges_s()
    number = max(len(edges) - 1, 0)
    beside = [each for each in (record.queries, record.workflow) if each is not None]
    steps = [*record.steps, *beside]
    return {
        "from_s": edges[:-1],
        "to_s": edges[1:],
        **record.outcomes().columns(),
        "lateness": record.delays.intervals().encode(number),
        "steps": {step.step_id: _interval_step(step, number) for step in steps},
    }


def _interval_step(step: StepRecord, number: int) -> dict[str, Any]:
    response = step.times.intervals("response_time")
    service = step.times.intervals("service_time")
    return {
        "succeeded": service.totals(number) if service is not None else [],
        "failed": step.failures.counts(number) if step.failures is not None else [],
        "response_time": response.encode(number) if response is not None else None,
        "service_time": service.encode(number) if service is not None else [],
    }
