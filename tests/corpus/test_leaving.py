"""Forty ways to leave this machine without consent: none succeeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.commands import ROOT
from tests.corpus.leaving import CONTROL, ways

NAMESPACES = ["unshare", "--net", "--mount"]
REFUSED, UNKNOWN = 2, 3


def _why_not() -> str:
    """Return why no network namespace can be had; "" if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root, on Linux"
    probe = "ip addr add 192.0.2.1/32 dev lo"
    try:
        done = subprocess.run(
            [*NAMESPACES, *probe.split()], check=False, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    return done.stderr.strip() if done.returncode else ""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_nothing_leaves_unasked(tmp_path: Path) -> None:
    reason = _why_not()
    if reason:
        pytest.skip(f"no network namespace: {reason}")
    done = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.corpus.leaving", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) > 40
    assert results.pop(CONTROL)["came"]
    assert set(results) == {"", *ways("")}
    assert {name: each for name, each in results.items() if each["came"]} == {}
    # refused with the way out, or carried through without leaving: never a crash, never silence
    odd = {
        name: each
        for name, each in results.items()
        if each["code"] not in (0, 1, REFUSED, UNKNOWN)
        or (each["code"] == REFUSED and not each["said"])
    }
    assert odd == {}
    asked = [name for name, each in results.items() if "--live" in each["said"]]
    assert len(asked) >= 20, asked
