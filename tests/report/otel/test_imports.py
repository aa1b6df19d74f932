"""OpenTelemetry is an extra: nobody who does not export needs it."""

from __future__ import annotations

import subprocess
import sys


def test_without_the_extra_everything_else_can_be_imported() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import loadcheck.report.otel, loadcheck.cli.run, loadcheck.pipeline"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
