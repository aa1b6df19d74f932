"""The files that CI takes from a run: written in one go, whatever the verdict."""

from __future__ import annotations

import resource
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest

from loadcheck.cli.exits import Exit
from tests.cli.conftest import ROOT, Loadcheck

ALL = ("--report", "page.html", "--junit", "out.xml", "--markdown", "out.md")
QUICK = (
    *("--set", "load.duration=500ms"),
    *("--set", "verify.enabled=false"),
    *("--set", 'thresholds=["error_rate < 1%"]'),
)


@pytest.mark.long
def test_one_run_leaves_the_same_files_as_the_commands_for_each(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    ended = loadcheck("run", smoke, *ALL)
    assert ended.code == Exit.PASS, ended.stderr
    (result,) = ended.results
    last = ended.stdout.splitlines()[-4:]
    assert last[:3] == ["  page.html", "  out.xml", "  out.md"]
    assert last[3] == ended.stdout.splitlines()[0]
    for name, kind in (("out.xml", "junit"), ("out.md", "markdown")):
        exported = loadcheck("export", result, "--format", kind).stdout
        assert (loadcheck.folder / name).read_text() == exported
    loadcheck("report", result, "--output", "again.html")
    page = loadcheck.folder / "page.html"
    assert page.read_bytes() == (loadcheck.folder / "again.html").read_bytes()


def test_they_are_written_when_the_verdict_is_not_pass(loadcheck: Loadcheck, smoke: Path) -> None:
    broken = ("--set", 'thresholds=["uploadEvents.p50 < 1us"]')
    ended = loadcheck("run", smoke, *ALL, *QUICK, *broken, "--quiet")
    assert ended.code == Exit.THRESHOLD, ended.stderr
    assert ended.stdout.split()[-3:] == ["page.html", "out.xml", "out.md"]
    assert "Threshold broken" in (loadcheck.folder / "page.html").read_text()
    assert (loadcheck.folder / "out.md").read_text().startswith("## ❌ FAIL")
    assert ET.parse(loadcheck.folder / "out.xml").getroot().attrib["failures"] == "1"


@pytest.mark.parametrize("command", ["run", "capacity"])
def test_a_place_that_cannot_be_had_is_told_before_anything_is_sent(
    loadcheck: Loadcheck, smoke: Path, command: str
) -> None:
    (loadcheck.folder / "page.html").write_text("mine")
    ended = loadcheck(command, smoke, "--report", "page.html")
    assert (ended.code, ended.results) == (Exit.USAGE, [])
    assert "page.html: exists already; choose another --report, or add --force" in ended.stderr
    assert (loadcheck.folder / "page.html").read_text() == "mine"
    ended = loadcheck(command, smoke, "--junit", "x", "--markdown", "x", "--output", "r.json")
    assert (ended.code, ended.results) == (Exit.USAGE, [])
    assert "x: is what both --junit and --markdown name" in ended.stderr
    assert not (loadcheck.folder / "x").exists()


def test_a_disk_without_room_for_one_is_told_and_keeps_no_other_from_it(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    limit = (40_000, 40_000)  # more than the result takes, less than the page does
    started = loadcheck.start(
        *("run", smoke, *ALL, *QUICK),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    stdout, stderr = started.communicate(timeout=60)
    assert started.returncode == Exit.UNSAVED, stderr
    assert "error: page.html: cannot be written: file too large" in stderr
    assert stdout.splitlines()[-3:-1] == ["  out.xml", "  out.md"]
    assert (loadcheck.folder / "out.md").read_text().startswith("## ✅ PASS")
    assert not (loadcheck.folder / "page.html").exists()
    assert len(loadcheck.results()) == 1


@pytest.mark.long
def test_reconcile_writes_them_too(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, *QUICK, "--output", "r.json")
    assert ended.code == Exit.PASS, ended.stderr
    again = loadcheck("reconcile", "r.json", "--report", "r.json")
    assert again.code == Exit.USAGE
    assert "r.json: is what both --output and --report name" in again.stderr


@pytest.mark.long
def test_a_comparison_without_a_baseline_yet_passes_if_it_may(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    ended = loadcheck("run", smoke, *QUICK, "--output", "new.json")
    assert ended.code == Exit.PASS, ended.stderr
    refused = loadcheck("compare", "base.json", "new.json")
    assert (refused.code, "base.json" in refused.stderr) == (Exit.USAGE, True)
    allowed = loadcheck("compare", "base.json", "new.json", "--allow-missing-base")
    assert allowed.code == Exit.PASS
    assert allowed.stdout.startswith(" NO BASELINE   smoke  No baseline yet")
    kept = ("--allow-missing-base", "--output")
    assert loadcheck("compare", "base-*.json", "--to", "new.json", *kept, "c.json").code == 0
    document = orjson.loads((loadcheck.folder / "c.json").read_bytes())
    assert (document["verdict"], document["base"]) == ("unsure", [])
    assert loadcheck("show", "c.json").stdout == allowed.stdout
    assert loadcheck("report", "c.json").code == Exit.PASS
    assert loadcheck("compare", "base.json", "new.json", *kept, "c.md").code == Exit.PASS
    assert "NO BASELINE" in (loadcheck.folder / "c.md").read_text()
    # a candidate is never missing, and a base that is there is compared with
    assert loadcheck("compare", "new.json", "gone.json", "--allow-missing-base").code == 2
    same = loadcheck("compare", "gone.json", "new.json", "--to", "new.json", kept[0])
    assert " base       new.json" in same.stdout


def test_several_results_are_one_page(loadcheck: Loadcheck, tmp_path: Path) -> None:
    early = ROOT / "tests" / "report" / "early.json"
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_bytes(early.read_bytes())
    ended = loadcheck("report", "a.json", "b.json")
    assert (ended.code, ended.stdout, ended.stderr) == (0, "report.html\n", "")
    page = (tmp_path / "report.html").read_text()
    assert page.count('<article class="part') == 2
    # none of them is written over, whatever is said, and nothing is written if one cannot be read
    refused = loadcheck("report", "a.json", "b.json", "-o", "b.json", "--force")
    assert refused.code == 2
    assert "b.json: is the result itself" in refused.stderr
    (tmp_path / "b.json").write_text("{")
    broken = loadcheck("report", "a.json", "b.json", "-o", "other.html")
    assert broken.code == 2
    assert broken.stderr.startswith("error: b.json:1: ")
    assert not (tmp_path / "other.html").exists()
