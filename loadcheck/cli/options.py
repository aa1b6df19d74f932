"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="The results file, or a directory for it.", show_default="results/"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write over a results file that is there.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.", min=0)]
Live = Annotated[
    bool, typer.Option("--live", help="The load may leave this machine: real events, real users.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the results document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; the answer in one line.")]


def placed(output: Path | None) -> tuple[Path, Path | None]:
    """Return the directory and the file that ``--output`` means; None: a file of any name."""
    if output is not None and (output.is_dir() or str(output).endswith("/")):
        return output, None
    return Path("results"), output
