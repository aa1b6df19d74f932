"""What a run tells its page: pieces that come to the whole, and no secret among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from loadcheck import scenario as scenarios
from loadcheck.load.engine import LoadSpec
from loadcheck.measure import Outcome
from loadcheck.measure.record import Record
from loadcheck.secrets import keep
from loadcheck.verify.evidence import Observation
from loadcheck.verify.progress import Outline, Phase, Progress
from loadcheck.web import Feed
from loadcheck.web.state import State
from tests.compiled import compiled

SMOKE = Path(__file__).resolve().parents[2] / "scenarios" / "smoke.toml"
SECRET = "open-sesame-0815"
_S = 1_000_000_000


def progressing() -> tuple[Progress, Record]:
    made = compiled(scenarios.load(SMOKE))
    spec: LoadSpec = made.load
    record = spec.new_record(made.plan)
    progress = Progress(Outline(name="smoke", run_id="r1", planned=200), record)
    progress.document = {
        "schema": "loadcheck.result/1",
        "run": {"id": "r1", "started_at": "2026-11-26T08:00:00.000Z"},
        "scenario": {"name": "smoke", "load": {}},
        "workflow": {"name": "w", "id": "w", "ingest": "uploadEvents"},
        "environment": {},
        "warnings": [],
    }
    progress.phase = Phase.LOAD
    record.begin(_S)
    return progress, record


def pass_second(record: Record, second: int, copies: int) -> None:
    for _ in range(copies):
        number = record.started
        record.due += 1
        record.start(number)
        assert record.ingest.response_time is not None
        record.ingest.response_time.record(2_000_000)
        record.settle(number, Outcome.ACKNOWLEDGED)
    record.close_second(second)


def test_the_messages_come_to_the_record() -> None:
    progress, record = progressing()
    feed, state = Feed(progress, metrics=True), State()
    for second, copies in enumerate((3, 0, 5)):
        pass_second(record, second, copies)
        state.take(orjson.loads(orjson.dumps(feed.message())))
    (run,) = state.runs
    document = run.document()
    assert document["timeline"] == record.timeline.to_json()
    assert document["copies"]["acknowledged"] == 8
    scraped = state.scraped().decode()
    assert "loadcheck_copies_started_total 8\n" in scraped
    assert 'loadcheck_response_time_seconds_count{loadcheck_step="uploadEvents"} 8\n' in scraped
    assert 'le="0.001"} 0\n' in scraped
    assert 'le="0.0025"} 8\n' in scraped
    # nothing is told twice
    assert feed.message()["rows"]["second"] == []
    assert not any(feed.message()["heat"])


def test_no_secret_is_told() -> None:
    keep([SECRET])
    progress, record = progressing()
    pass_second(record, 0, 1)

    def asked(_: int) -> dict[str, Any]:
        return {"observations": [{"error": f"401: {SECRET}"}]}

    progress.asked = asked
    progress.notes.append(f"note {SECRET}")
    error = f"403: {SECRET}"
    progress.observation = Observation(asked_ns=1, answered_ns=2, as_of_ns=1, error=error)
    told = orjson.dumps(Feed(progress, metrics=True).message())
    assert b"401" in told
    assert b"403" in told
    assert SECRET.encode() not in told
