"""Typical mistakes of a first day: each message names the cause, the place and what to do.

The messages are kept in ``mistakes.txt``, to be read by people. After a change of words, write it
anew with ``LOADCHECK_WRITE=1 pytest tests/corpus/test_mistakes.py``, and read what has changed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from loadcheck.cli.app import call
from loadcheck.cli.exits import Exit, run_command

KEPT = Path(__file__).with_name("mistakes.txt")

SCENARIO = """\
workflow = "amplitude"
thresholds = [
    "uploadEvents.p99 < 250ms",
    "lost == 0",
]
[target]
kind = "emulator"
visibility_delay = "100ms"
[inputs]
eventType = "probe"
eventProperties = { plan = "free" }
[load]
model = "open"
max_in_flight = 200
[[load.stages]]
name = "burst"
duration = "2s"
rate = 50
[verify]
every = "500ms"
quiet = "2s"
deadline = "10s"
"""

_TARGET = re.compile(r'kind(.|\n)*?"100ms"')

EDITS: dict[str, tuple[str | re.Pattern[str], str]] = {
    "a key misspelled": ("visibility_delay", "visiblity_delay"),
    "a key of load misspelled": ("max_in_flight", "max_inflight"),
    "a key of a stage misspelled": ("rate = 50", "rps = 50"),
    "a table misspelled": ("[verify]", "[verfy]"),
    "a key in the wrong table": ("[verify]", "[verify]\nattempts = 3"),
    "a key at the top that belongs in a table": ("thresholds", "rate = 5\nthresholds"),
    "a top key below a table": ("[load]", "seed = 5\n[load]"),
    "a duration without unit in quotes": ('"2s"\nrate', '"2"\nrate'),
    "a duration with a space": ('"10s"', '"10 s"'),
    "a duration in words": ('"10s"', '"ten seconds"'),
    "a duration without quotes": ('duration = "2s"', "duration = 2s"),
    "a rate in quotes": ("rate = 50", 'rate = "50/s"'),
    "a rate of zero": ("rate = 50", "rate = 0"),
    "a negative rate": ("rate = 50", "rate = -50"),
    "a rate far too high": ("rate = 50", "rate = 50_000_000"),
    "no rate": ("rate = 50\n", ""),
    "no duration": ('duration = "2s"\n', ""),
    "no load": (re.compile(r"\[load\](.|\n)*?(?=\[verify\])"), ""),
    "no model": ('model = "open"\n', ""),
    "a model that is none": ('"open"', '"opened"'),
    "concurrency in an open load": ("max_in_flight = 200", "concurrency = 20"),
    "a rate beside stages": ("max_in_flight = 200", "rate = 20"),
    "two stages of one name": (
        "[verify]",
        '[[load.stages]]\nname = "burst"\nduration = "1s"\n[verify]',
    ),
    "a stage with a space in its name": ('name = "burst"', 'name = "the burst"'),
    "no workflow": ('workflow = "amplitude"\n', ""),
    "a workflow misspelled": ('"amplitude"', '"amplitud"'),
    "a workflow file that is not there": ('"amplitude"', '"my-workflow.yml"'),
    "a threshold with an unknown metric": ("lost == 0", "losses == 0"),
    "a threshold with a step misspelled": ("uploadEvents.p99", "uploadEvent.p99"),
    "a threshold without unit": ("250ms", "250"),
    "a threshold of an unknown stage": ('"lost == 0"', '"brust: error_rate < 1%"'),
    "a threshold of a stage that is for the run": ('"lost == 0"', '"burst: lost == 0"'),
    "a threshold without a limit": ('"lost == 0"', '"lost"'),
    "a threshold with one equals sign": ('"lost == 0"', '"lost = 0"'),
    "thresholds as text": (re.compile(r"thresholds = \[(.|\n)*?\]"), 'thresholds = "lost == 0"'),
    "grace without abort": ('"lost == 0"', '{ check = "lost == 0", grace = "5s" }'),
    "a variable that is not set": ('"probe"', '{ env = "LOADCHECK_NO_SUCH" }'),
    "a secret where its variable belongs": ('"probe"', '{ env = "sk-live-0123456789" }'),
    "an input misspelled": ("eventType", "eventTyp"),
    "servers of an emulator": (
        'visibility_delay = "100ms"',
        'servers = { "*" = "http://127.0.0.1" }',
    ),
    "a kind that is none": ('"emulator"', '"production"'),
    "emulator keys of a live target": ('"emulator"', '"live"'),
    "a server without scheme": (_TARGET, 'kind = "live"\nservers = { "*" = "localhost:9001" }'),
    "a password in a URL": (
        _TARGET,
        'kind = "live"\nservers = { "*" = "http://me:pass@localhost" }',
    ),
    "a fault misspelled": ('"100ms"', '"100ms"\nfaults = { drp = { count = 3 } }'),
    "among without count": ('"100ms"', '"100ms"\nfaults = { drop = { among = 3 } }'),
    "quiet longer than the deadline": ('quiet = "2s"', 'quiet = "1m"'),
    "a read timeout beyond the request's": (
        "[verify]", '[timeouts]\nrequest = "1s"\nread = "2s"\n[verify]',
    ),
    "a flag in quotes": ("[verify]", '[verify]\nenabled = "false"'),
    "a status that is none": ("[verify]", '[retry]\non = ["6xx"]\n[verify]'),
    "an overlay of no step": ("[verify]", '[[overlay]]\nat = "query.a"\nvalue = 1\n[verify]'),
    "an overlay of an unknown step": (
        "[verify]",
        '[[overlay]]\nstep = "upload"\nat = "query.a"\nvalue = 1\n[verify]',
    ),
    "an overlay of an unknown place": (
        "[verify]",
        '[[overlay]]\nstep = "uploadEvents"\nat = "body.a"\nvalue = 1\n[verify]',
    ),
    "an observer misspelled": ("[verify]", '[verify]\nstep = "segmentEvents"'),
    "a limit of an unknown step": ("[verify]", "[limits.upload]\nrate = 5\n[verify]"),
    "a key twice": ('quiet = "2s"', 'quiet = "2s"\nquiet = "3s"'),
    "a bracket that is open": ('    "lost == 0",\n]', '    "lost == 0",'),
    "a quotation mark that is open": ('"probe"', '"probe'),
    "a word without quotes": ('kind = "emulator"', "kind = emulator"),
    "a file beneath that is not there": ("thresholds", 'extends = "bse.toml"\nthresholds'),
    "a number of percent": ("[verify]", "[verify]\napproximate = 0.01"),
}  # fmt: skip

COMMANDS = {
    "a scenario by its short name": ["check", "burst"],
    "a scenario misspelled": ["check", "scenarios/brust.toml"],
    "a profile that is none": ["check", "scenarios/burst.toml", "--profile", "staging"],
    "--set without equals sign": ["check", "scenarios/burst.toml", "--set", "load.rate"],
    "--set of an unknown key": ["check", "scenarios/burst.toml", "--set", "laod.rate=5"],
    "--set of a stage that is not there": [
        "check", "scenarios/burst.toml", "--set", "load.stages.7.rate=5",
    ],
    "--server without scheme": ["check", "scenarios/burst.toml", "--server", "localhost:9001"],
    "an environment file that is not there": [
        "check", "scenarios/burst.toml", "--env-file", ".env",
    ],
    "an option misspelled": ["check", "scenarios/burst.toml", "--sett", "a=1"],
    "something that has no explanation": ["explain", "deadlin"],
}  # fmt: skip


def edited(old: str | re.Pattern[str], new: str) -> str:
    if isinstance(old, str):
        assert old in SCENARIO, old
        return SCENARIO.replace(old, new, 1)
    return old.sub(lambda _: new, SCENARIO, count=1)


def test_every_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOADCHECK_NO_SUCH", raising=False)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "burst.toml").write_text(SCENARIO)
    told = []
    commands = {name: ["check", "s.toml"] for name in EDITS} | COMMANDS
    assert len(commands) >= 60
    for name, command in commands.items():
        if name in EDITS:
            (tmp_path / "s.toml").write_text(edited(*EDITS[name]))
        monkeypatch.setattr("sys.argv", ["loadcheck", *command])
        code = run_command(call)
        said = capsys.readouterr()
        assert code == Exit.USAGE, (name, code, said.out, said.err)
        assert said.out == ""
        assert "Traceback" not in said.err
        assert "0123456789" not in said.err
        assert "pass@" not in said.err
        told.append(f"# {name}\n{said.err.replace(str(tmp_path), '.')}")
    text = "\n".join(told)
    if os.environ.get("LOADCHECK_WRITE"):
        KEPT.write_text(text, encoding="utf-8")
    assert text == KEPT.read_text(encoding="utf-8")
    for block in told:
        for line in block.splitlines()[1:]:
            assert re.match(r"error: (\S+:\d+: \S+|\S+:\d+: |--?\w|\S+: |no such|nothing)", line), (
                line
            )
            assert ";" in line, line  # the remedy
