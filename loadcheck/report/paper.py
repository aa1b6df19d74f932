"""What text for a terminal is written on."""

from __future__ import annotations

import io

from rich.console import Console


class Paper:
    """Takes what would be printed and gives it back as text.

    Attributes:
        console: Print here.
    """

    __slots__ = ("_buffer", "console")

    def __init__(self, *, color: bool, width: int) -> None:
        self._buffer = io.StringIO()
        self.console = Console(
            file=self._buffer,
            width=width,
            force_terminal=color,
            no_color=not color,
            color_system="standard" if color else None,
            highlight=False,
            emoji=False,
            markup=False,
        )

    def text(self) -> str:
        """Return what was printed, without the blanks that fill lines up to the width."""
        return "".join(f"{line.rstrip()}\n" for line in self._buffer.getvalue().splitlines())
