"""The README's pictures, made from the example result: ``python -m tests.pictures``.

The terminal as SVG; the report as PNG, by a headless Chromium, which has to be installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from loadcheck.report import terminal
from loadcheck.report.html import page
from loadcheck.result.store import read

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "results" / "example-burst.json"
PICTURES = ROOT / ".github" / "pictures"
COLUMNS = 92
PIXELS = "1280,1400"


def terminal_picture() -> str:
    """Return what a terminal shows of the example, as SVG."""
    shown = terminal.summary(
        read(EXAMPLE), color=True, width=COLUMNS, paths=[str(EXAMPLE.relative_to(ROOT))]
    )
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(shown))
    drawn = console.export_svg(title="loadcheck run scenarios/burst.toml", unique_id="loadcheck")
    # a picture loads nothing from elsewhere: the viewer's own monospaced font does
    return re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL).replace(
        "Fira Code", "monospace"
    )


def report_picture(target: Path, browser: str) -> None:
    """Have a browser draw the head of the example's report."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_bytes(page(read(EXAMPLE)))
        command = [browser, "--headless", "--no-sandbox", "--hide-scrollbars"]
        command += [f"--window-size={PIXELS}", f"--screenshot={target}", file.as_uri()]
        subprocess.run(command, check=True, capture_output=True)


def main() -> int:
    """Make both; say what could not be made."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "terminal.svg").write_text(terminal_picture(), encoding="utf-8")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.stderr.write("no chromium: the picture of the report was not made\n")
        return 1
    report_picture(PICTURES / "report.png", browser)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
