"""What makes the copies of a run differ, as the scenario has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadcheck.data.order import End, Order
from loadcheck.data.table import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file, and how copies take its rows.

    Attributes:
        name: What the scenario calls it.
        path: Where it is.
        shown: As the scenario has it, for messages.
        layout: How it is read.
        order: Which row a copy takes.
        end: What happens when every row has been taken.
    """

    name: str
    path: Path
    shown: str
    layout: Layout
    order: Order = "sequential"
    end: End = "cycle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variety:
    """What makes the copies of a run differ, beside who they are. Pure data.

    Attributes:
        seed: Of rows taken at random and values drawn.
        files: The data files, by name.
        values: What ``$values`` gives, by name: tables that are drawn, or plain JSON.
    """

    seed: int = 0
    files: Mapping[str, DataFile] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
