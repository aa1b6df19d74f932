"""The man page and the completions are those of the commands as they are.

``LOADCHECK_WRITE=1 pytest tests/packages/test_share.py`` writes them anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import loadcheck
from loadcheck.cli.manual import files, man_page

SHARE = Path(loadcheck.__file__).parent / "share"


def test_what_a_package_installs_is_fresh() -> None:
    wanted = files()
    if os.environ.get("LOADCHECK_WRITE"):
        for path, text in wanted.items():
            (SHARE / path).parent.mkdir(parents=True, exist_ok=True)
            (SHARE / path).write_text(text, encoding="utf-8")
    kept = {str(path.relative_to(SHARE)) for path in SHARE.rglob("*") if path.is_file()}
    assert kept == set(wanted)
    # the completions are typer's, and may differ in the next version of it
    page = "man/man1/loadcheck.1"
    assert (SHARE / page).read_text(encoding="utf-8") == wanted[page]


def test_bash_completes_commands(tmp_path: Path) -> None:
    (tmp_path / "loadcheck").write_text(f'#!/bin/sh\nexec {sys.executable} -m loadcheck "$@"\n')
    (tmp_path / "loadcheck").chmod(0o755)
    script = SHARE / "bash-completion/completions/loadcheck"
    asked = (
        f"PATH={tmp_path}:$PATH; source {script}; COMP_WORDS=(loadcheck rec); COMP_CWORD=1; "
        '_loadcheck_completion loadcheck; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", asked], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["reconcile"]


def test_every_command_and_option_is_in_the_man_page() -> None:
    page = man_page().replace("\\-", "-")
    help_ = subprocess.run(
        [sys.executable, "-m", "loadcheck", "run", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    options = {word for word in help_.stdout.split() if word.startswith("--") and word != "--help"}
    section = page.partition(".SS loadcheck run")[2].partition(".SS ")[0]
    assert options
    assert [option for option in sorted(options) if option not in section] == []


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_man_page_is_in_order() -> None:
    # preconv is what man itself puts before: the page is UTF-8
    done = subprocess.run(
        ["groff", "-k", "-man", "-ww", "-Tutf8", "-z"],
        input=man_page(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
