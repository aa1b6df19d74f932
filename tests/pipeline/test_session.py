"""Whatever breaks, a run that has begun is judged and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from loadcheck import scenario as scenarios
from loadcheck.emulator.config import parse
from loadcheck.emulator.service import Emulator
from loadcheck.emulator.standalone import serving
from loadcheck.load.runner import Runner
from loadcheck.pipeline import execute
from loadcheck.pipeline.session import CompletedRun, RunContext, RunSession
from loadcheck.result.store import ResultFile, read
from loadcheck.verify import Verdict
from loadcheck.verify.people import People
from loadcheck.verify.queries import Observer
from loadcheck.verify.session import Verification
from tests.compiled import compiled
from tests.pipeline.in_process_run import no_signals, nobody_watches

KEY, SECRET = "k-1234", "s-1234"
SCENARIO = """\
name = "broken"
workflow = "amplitude"
thresholds = ["error_rate < 1%"]
[target]
kind = "live"
servers = {{ httpV2Api = "{url}", dashboardRestApi = "{url}" }}
[inputs]
apiKey = {{ env = "PROBE_KEY" }}
basicAuth = {{ basic = {{ username = {{ env = "PROBE_KEY" }}, password = "{secret}" }} }}
eventType = "probe"
eventProperties = {{ scenario = "broken", plan = "free" }}
[load]
model = "open"
rate = 100
duration = "0.5s"
[verify]
every = "100ms"
quiet = "300ms"
deadline = "2s"
"""


async def run(
    folder: Path, watch: Callable[[Any], Any] = nobody_watches, scenario: str = SCENARIO
) -> CompletedRun:
    """Run the scenario; what is returned is what was saved."""
    emulator = Emulator(parse({"api_key": KEY, "secret_key": SECRET}))
    async with serving(emulator, "127.0.0.1", 0) as url:
        file = folder / "broken.toml"
        file.write_text(scenario.format(url=url, secret=SECRET))
        context = RunContext(emulator=None, signals=no_signals())
        made = compiled(scenarios.load(file, env={"PROBE_KEY": KEY}))
        finished = await execute(made, ResultFile(folder / "saved.json"), watch, context)
    saved = read(folder / "saved.json")
    assert saved == orjson.loads(orjson.dumps(finished.document, option=orjson.OPT_NON_STR_KEYS))
    return finished


def breaks(error: Exception) -> Callable[..., Any]:
    async def broken(*_: Any, **__: Any) -> None:
        await anyio.sleep(0.2)
        raise error

    return broken


def breaks_at_once(error: Exception) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    return broken


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("where", "broken", "check"),
    [
        ((Verification, "ask_baseline"), breaks(OverflowError("1e300 " + KEY)), "asking"),
        ((Observer, "poll"), breaks(OverflowError("1e300 " + KEY)), "asking"),
        ((Verification, "settle_and_localize"), breaks(OverflowError("1e300 " + KEY)), "asking"),
        ((Verification, "conclude"), breaks_at_once(KeyError(KEY)), "consistency"),
    ],
)
async def test_a_fault_in_asking_or_checking_is_unknown(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: tuple[type, str],
    broken: Callable[..., Any],
    check: str,
) -> None:
    monkeypatch.setattr(*where, broken)
    finished = await run(tmp_path)
    document = finished.document
    assert finished.judgement.verdict is Verdict.UNKNOWN
    assert finished.fault is None
    assert document["run"]["phase"] == "complete"
    assert document["copies"]["acknowledged"] == 50
    assert document["thresholds"][0]["verdict"] == "pass"
    (finding,) = (f for f in document["findings"] if f["check"] == check)
    assert finding["verdict"] == "unknown"
    assert finding["evidence"]["trace"]
    assert KEY not in orjson.dumps(document["findings"]).decode()


@pytest.mark.anyio
async def test_a_fault_in_the_load_is_saved_and_raised_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, error = Runner.ended, RuntimeError("a fault of ours")

    def ended(runner: Runner, copy: Any) -> None:
        if copy.number == 20:
            raise error
        settle(runner, copy)

    monkeypatch.setattr(Runner, "ended", ended)
    finished = await run(tmp_path)
    document = finished.document
    assert finished.fault is not None
    assert document["verdict"] == "unknown"
    assert document["run"]["phase"] == "complete"
    assert document["copies"]["acknowledged"] >= 20
    (finding,) = (f for f in document["findings"] if f["check"] == "load")
    assert "a fault of ours" in finding["evidence"]["trace"][-1]


@pytest.mark.anyio
async def test_a_view_that_breaks_harms_nothing(tmp_path: Path) -> None:
    finished = await run(tmp_path, breaks(BrokenPipeError("nobody reads")))
    assert finished.judgement.verdict is Verdict.PASS
    assert any("BrokenPipeError" in warning for warning in finished.document["warnings"])


@pytest.mark.anyio
async def test_what_is_saved_each_second_takes_no_look_at_all_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving: list[dict[str, Any]] = []
    looks: list[int] = []
    save, behind = RunSession._save, People.behind

    async def saved(session: RunSession) -> None:
        looks.clear()
        await save(session)
        spent = session._writer.document["spent"]
        saving.append({**spent, "looks": len(looks)})

    def looking(*given: Any) -> People:
        looks.append(1)
        return behind(*given)

    monkeypatch.setattr(RunSession, "_save", saved)
    monkeypatch.setattr(People, "behind", looking)
    more = "[sessions]\nreturning = 0.5\n"
    finished = await run(tmp_path, scenario=SCENARIO.replace("0.5s", "1.5s") + more)
    assert saving
    assert [each["looks"] for each in saving] == [0] * len(saving)
    users = [*(each["users"] for each in saving), finished.document["spent"]["users"]]
    assert users == sorted(users)
    assert finished.document["spent"]["users"] == finished.document["consistency"]["uniques"]
    assert finished.document["spent"]["users"] < finished.document["spent"]["events"] == 150
