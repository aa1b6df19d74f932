"""What services are known to do, and what a run says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck.emulator.config.faults import PRESETS
from tests.cli.conftest import Loadcheck

VERDICTS = {
    # nobody is lost, but seen late
    "replica-lag": (5, {"lost": "pass"}, {"visible.p95 < 1s": "fail", "error_rate == 0%": "pass"}),
    # controls of the same part are missing, too: it may be late
    "partition-late": (3, {"lost": "unknown", "controls": "unknown"}, {}),
    # responses take as long as it stands still
    "compaction": (5, {"lost": "pass"}, {"uploadEvents.p95 < 250ms": "fail"}),
}


@pytest.mark.long
@pytest.mark.parametrize("preset", PRESETS)
def test_the_verdict_it_leads_to(loadcheck: Loadcheck, smoke: Path, preset: str) -> None:
    code, findings, thresholds = VERDICTS[preset]
    ended = loadcheck(
        *("run", smoke, "--set", f"target.preset={preset}", "--set", "load.rate=200"),
        *("--set", "verify.deadline=8s", "--set", "verify.quiet=2s", "--set", "load.duration=4s"),
        *("--set", f"thresholds={[*thresholds]}"),
    )
    assert ended.code == code, ended.stdout
    told = {finding["check"]: finding["verdict"] for finding in ended.result["findings"]}
    assert {name: told[name] for name in findings} == findings
    judged = {each["expression"]: each["verdict"] for each in ended.result["thresholds"]}
    assert judged == thresholds


def test_an_unknown_preset_is_refused_with_the_nearest(loadcheck: Loadcheck) -> None:
    ended = loadcheck("emulate", "--fault", "replica-lags")
    assert ended.code == 2
    assert 'did you mean "replica-lag"?' in ended.stderr
