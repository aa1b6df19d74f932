"""The command line: one file a command, each of which parses, calls, prints and exits."""

from __future__ import annotations

import sys

from loadcheck.cli import streams
from loadcheck.cli.app import call
from loadcheck.cli.exits import Exit, guarded, interruptible

__all__ = ["main"]


def main() -> None:
    """Run the command line; never returns."""
    streams.install()
    interruptible()
    sys.exit(guarded(call) or Exit.PASS)
