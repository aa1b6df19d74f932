"""Every check is explained, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

import loadcheck
from loadcheck.verify import CHECKS, OWN_CHECKS, meaning

SOURCES = Path(loadcheck.__file__).parent


def test_every_check_is_explained_and_nothing_else() -> None:
    text = "\n".join(path.read_text() for path in SOURCES.rglob("*.py"))
    named = set(re.findall(r'\bcheck="([a-z_]+)"', text))
    # a check that breaks is named after its function, or the part of the run
    named |= set(re.findall(r"^def check_([a-z]+)\(evidence: ", text, re.MULTILINE))
    named |= set(re.findall(r'(?:broken|\.attempt|\.fail)\(\s*"([a-z]+)"', text))
    assert named
    assert set(CHECKS) == named


def test_what_is_found_beside_the_counts_is_of_the_run_itself() -> None:
    text = (SOURCES / "verify/judge.py").read_text()
    named = set(re.findall(r'\bcheck="([a-z_]+)"', text))
    named |= set(re.findall(r"^def check_([a-z]+)\(evidence: ", text, re.MULTILINE))
    # what is found when nothing was counted is all that there is to find of the counts
    assert {"shard", "shortage"} <= named - {"acknowledged"} <= OWN_CHECKS < set(CHECKS)


def test_a_check_of_another_version_is_none_of_ours() -> None:
    assert "does not know" in meaning("future")
    assert "acknowledged user" in meaning("lost")
