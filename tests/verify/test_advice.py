"""What findings advise is what the scenario allows."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import loadcheck
from loadcheck.scenario import load
from loadcheck.scenario.layers import shipped
from loadcheck.verify import Advice, lasts
from tests.pipeline.services import KEYS

PACKAGE = Path(loadcheck.__file__).parent
ENVIRONMENT = KEYS | {"AMPLITUDE_API_KEY": "the-api-key", "AMPLITUDE_SECRET_KEY": "its-secret"}
VARIANTS = {
    "as it is": "",
    "without buckets": "localize = false",
    "approximate": 'approximate = "2%"',
}


def said(advice: Advice) -> list[str]:
    """Return all that can be advised."""
    troubles = (None, "", "the count by bucket1 is not evidence")
    return [
        advice.later(),
        advice.longer(),
        advice.delayed(),
        advice.list_events(),
        advice.name_users(),
        advice.name_by_export(),
        *map(advice.tell_apart, troubles),
    ]


@pytest.mark.parametrize(
    ("name", "kind", "variant"), list(product(sorted(shipped()), ("live", "emulator"), VARIANTS))
)
def test_a_scenario_can_follow_what_it_is_advised(
    tmp_path: Path, name: str, kind: str, variant: str
) -> None:
    (tmp_path / "s.toml").write_text(
        f'workflow = "{name}"\n[target]\nkind = "{kind}"\n[load]\nmodel = "closed"\n'
        f"concurrency = 1\ncopies = 1\n[verify]\n{VARIANTS[variant]}\n"
    )
    verify = load(tmp_path / "s.toml", env=ENVIRONMENT).verify
    advice = Advice.of(verify, lasting=lasts(kind))
    text = " ".join(said(advice))
    assert ("reconcile" in text) == (kind == "live")
    assert ("reconcile --export" in text) == (kind == "live" and verify.export is not None)
    assert ("verify.localize = true" in text) == (variant == "without buckets")
    assert all(one == "" or (one[-1] == "." and ".." not in one) for one in said(advice)), text


def test_what_is_missing_is_told_with_the_way_to_add_it() -> None:
    bare = Advice(exports=False, splits=False, localizes=False)
    assert "loadcheck explain verify.split" in bare.name_users()
    assert "loadcheck explain verify.export" in bare.list_events()
    assert "loadcheck explain verify.split" in bare.tell_apart(None)
    assert "reconcile" not in bare.tell_apart(None)
    assert not bare.name_by_export()


def test_an_export_names_whom_no_bucket_does() -> None:
    unmarked = Advice(splits=False, localizes=False)
    assert (unmarked.name_users(), unmarked.name_by_export()) == (
        "",
        "loadcheck reconcile --export names them.",
    )
    ended = Advice(lasting=False, splits=False, localizes=False)
    assert "verify.split" in ended.name_users()
    assert not ended.name_by_export()


def test_nobody_else_gives_this_advice() -> None:
    giving = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"reconcile (later|--export)|describe .* in \[verify", path.read_text())
    }
    assert giving <= {"verify/__init__.py", "cli/app.py", "cli/run.py"}, giving
