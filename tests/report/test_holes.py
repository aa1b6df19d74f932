"""A results file in which something is missing is shown as far as it goes, or refused in words."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadcheck.errors import ResultFileError
from loadcheck.report import markdown, terminal
from loadcheck.report.html import page
from loadcheck.result.store import read
from tests.report.test_terminal import EXAMPLE

Place = tuple[str, ...]


def _places(value: Any, above: Place = ()) -> Iterator[Place]:
    if isinstance(value, dict) and len(above) < 3:
        for key, inner in value.items():
            yield (*above, key)
            yield from _places(inner, (*above, key))


WHOLE: dict[str, Any] = json.loads(EXAMPLE.read_bytes())
SHOWN = [place for place in _places(WHOLE) if place[0] in ("run", "workflow", "generator", "load")]


@pytest.mark.parametrize("place", SHOWN, ids=".".join)
def test_what_is_missing_ends_nothing(place: Place, tmp_path: Path) -> None:
    document = copy.deepcopy(WHOLE)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    file = tmp_path / "holes.json"
    file.write_text(json.dumps(document))
    try:
        left = read(file)
    except ResultFileError:
        return
    assert page(left)
    assert markdown.run_markdown(left)
    assert terminal.summary(left, color=False, width=80)
