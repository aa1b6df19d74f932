"""The command line: parses arguments, calls commands, prints and exits."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; never returns."""
    given = signal.getsignal(signal.SIGINT)
    if given is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from loadcheck.cli import exits  # noqa: PLC0415 - slow to import
    from loadcheck.cli.app import call  # noqa: PLC0415
    from loadcheck.cli.exits import Exit, interruptible, run_command  # noqa: PLC0415

    signal.signal(signal.SIGINT, given)
    exits.install()
    interruptible()
    sys.exit(run_command(call) or Exit.PASS)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Exit at once, without the traceback of an import: no command is running yet."""
    os._exit(_INTERRUPTED)
