"""The command ``loadcheck shard``, which a run starts: not for people."""

from __future__ import annotations

import typer


def shard() -> None:
    """Send a part of a load, as a run says over the standard streams."""
    from loadcheck.pipeline.shards.shard import main  # noqa: PLC0415  # keeps --help quick

    raise typer.Exit(main())
