"""What a compiled copy costs beside a hand-written one, and how fast a large document compiles.

    python -m tests.benchmarks.workflow [--json] [--seconds 5]

Both copies send the two steps of the shipped Amplitude workflow, one after the other, to a driver
that answers at once. They take turns in short stretches, so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import orjson

from loadcheck.documents.document import read_document
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.exchange import Exchange, Origin, Request, Wait
from loadcheck.workflow.identity import Run, insert_id
from tests.benchmarks.harness import ROOT, arguments, report
from tests.workflow.workbench import AMPLITUDE_INPUTS, AMPLITUDE_OVERLAY

AMPLITUDE = ROOT / "loadcheck" / "library" / "amplitude"
RUN = Run(
    id="benchmark000",
    start_day="20260101",
    end_day="20260103",
    target={"apiKey": "key", "basicAuth": "a2V5OnNlY3JldA=="},
)
ORIGIN = Origin("http", "127.0.0.1", 8080)
ANSWERS = (
    b'{"code":200,"events_ingested":1,"payload_size_bytes":210,"server_upload_time":1767225600000}',
    b'{"data":{"series":[[1]],"seriesLabels":[0],"seriesCollapsed":[[{"value":1}]],"xValues":["a"]}}',
)
STRETCH = 2_000
STEPS = 200

Copy = Callable[[int, int], Generator[Request | Wait, Exchange, bool]]


def compiled() -> Copy:
    plan = compile_plan(
        CompileSettings(
            document=AMPLITUDE / "workflow.yml",
            name="amplitude",
            run=RUN,
            servers={"*": str(ORIGIN)},
            inputs=AMPLITUDE_INPUTS,
            overlay=AMPLITUDE_OVERLAY,
            criteria={"uploadEvents": ["$response.body#/events_ingested == 1"]},
            query="each",
        )
    )
    return lambda number, time_ms: plan.copy(number, time_ms, give_up)


def give_up(_exchange: Exchange, _attempt: int, /) -> None:
    return None


def handwritten() -> Copy:
    """What somebody would write who knows this one workflow and wants it fast."""
    flow = compiled()(0, 0)
    first = next(flow)
    second = flow.send(answer(first))
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    upload_head, query_head = first.head, second.head

    def copy(number: int, time_ms: int) -> Generator[Request | Wait, Exchange, bool]:
        body = orjson.dumps(
            {
                "api_key": "key",
                "events": [
                    {
                        "user_id": RUN.user_id(number),
                        "event_type": "probe",
                        "event_properties": {"plan": "free", "loadcheck_run": RUN.id},
                        "insert_id": insert_id(RUN.id, number),
                        "time": time_ms,
                    }
                ],
            }
        )
        exchange = yield Request(0, ORIGIN, upload_head, body)
        if exchange.failure is not None or exchange.status != 200:
            exchange.reason = f"status {exchange.status}"
            return False
        if exchange.json().get("events_ingested") != 1:
            exchange.reason = "not ingested"
            return False
        exchange.success = True
        exchange = yield Request(1, ORIGIN, query_head, b"")
        if exchange.failure is not None or exchange.status != 200:
            exchange.reason = f"status {exchange.status}"
            return False
        exchange.success = True
        return True

    return copy


def answer(request: Request | Wait) -> Exchange:
    assert isinstance(request, Request)
    return Exchange(request, sent_ns=1, done_ns=2).answered(200, body=ANSWERS[request.step])


def stretch(copy: Copy) -> float:
    """Return the seconds that a copy takes, its driver included."""
    start = time.perf_counter()
    succeeded = 0
    for number in range(STRETCH):
        flow = copy(number, 1_767_225_600_000)
        try:
            request = next(flow)
            while True:
                request = flow.send(answer(request))
        except StopIteration as stop:
            succeeded += stop.value
    spent = time.perf_counter() - start
    assert succeeded == STRETCH
    return spent / STRETCH


def driver() -> float:
    """Return the seconds that the driver takes for the two requests of a copy."""
    requests = [Request(step, ORIGIN, b"", b"") for step in (0, 1)]
    start = time.perf_counter()
    for _ in range(STRETCH):
        for request in requests:
            answer(request)
    return (time.perf_counter() - start) / STRETCH


def turns(seconds: float) -> dict[str, float]:
    ours, theirs = compiled(), handwritten()
    times: dict[str, list[float]] = {"compiled": [], "handwritten": [], "driver": []}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times["driver"]:
        times["compiled"].append(stretch(ours))
        times["handwritten"].append(stretch(theirs))
        times["driver"].append(driver())
    pairs = zip(times["compiled"], times["handwritten"], strict=True)
    overhead = statistics.median(mine / other for mine, other in pairs) - 1
    medians = {f"{name}_us": statistics.median(values) * 1e6 for name, values in times.items()}
    return {**medians, "overhead": overhead}


def large_document() -> str:
    step = """
  - stepId: step{number}
    description: One of many, as long as steps are in real documents.
    operationId: $sourceDescriptions.api.create
    parameters:
    - name: user
      in: query
      value: $inputs.userId
    - name: X-Trace
      in: header
      value: trace-{{$inputs.userId}}
    requestBody:
      contentType: application/json
      payload:
        user: $inputs.userId
        items:
        - count: 1
          after: {after}
    successCriteria:
    - condition: $statusCode == 200
    outputs:
      id: $response.body#/id"""
    steps = "".join(
        step.format(number=number, after="$steps.step0.outputs.id" if number else "0")
        for number in range(STEPS)
    )
    return f"""arazzo: 1.0.1
info:
  title: Large
  version: '1'
sourceDescriptions:
- name: api
  url: api.yml
workflows:
- workflowId: large
  inputs:
    type: object
    properties:
      userId:
        type: string
  steps:{steps}
"""


DESCRIPTION = """openapi: 3.1.0
info:
  title: Api
  version: '1'
servers:
- url: http://127.0.0.1:8080
paths:
  /items:
    post:
      operationId: create
      requestBody: {content: {application/json: {}}}
      responses:
        '200':
          description: Made.
"""


def compile_large() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.yml")
        path.write_text(large_document(), encoding="utf-8")
        Path(folder, "api.yml").write_text(DESCRIPTION, encoding="utf-8")
        settings = CompileSettings(
            document=path, name="large.yml", run=RUN, inputs={"userId": "$copy.userId"}
        )
        whole, reading = [], []
        for _ in range(5):
            # processor time, which a busy machine stretches less than the clock on the wall
            start = time.process_time()
            plan = compile_plan(settings)
            whole.append(time.process_time() - start)
            start = time.process_time()
            read_document(path, "large.yml")
            reading.append(time.process_time() - start)
            assert len(plan.steps) == STEPS
        return {"compile_s": statistics.median(whole), "read_s": statistics.median(reading)}


def main() -> None:
    options = arguments(__doc__ or "", seconds=5.0)
    figures = {**turns(options.seconds), **compile_large()}
    report(
        figures,
        [
            ("what", "measured", "must reach"),
            ("compiled copy, two steps", f"{figures['compiled_us']:.2f} us", ""),
            ("hand-written copy", f"{figures['handwritten_us']:.2f} us", ""),
            ("of which the driver", f"{figures['driver_us']:.2f} us", ""),
            ("more per compiled copy", f"{figures['overhead']:+.1%}", "at most +25 %"),
            (f"document of {STEPS} steps", f"{figures['compile_s']:.3f} s", "under 0.2 s"),
            ("of which reading YAML", f"{figures['read_s']:.3f} s", ""),
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
