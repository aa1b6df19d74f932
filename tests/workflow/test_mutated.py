"""Documents that a careless editor made: told what is wrong, whatever it is, and soon."""

from __future__ import annotations

import copy
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadcheck.workflow.compile import lint
from tests.workflow.test_conformance import API, ROWS, document

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, "", "$", "$inputs", "$inputs.", "{$", "$steps.s.outputs.x", "$.a[",
    [], {}, [None], {"$ref": "#"}, {"$ref": "#/components"}, {"allOf": [{"$ref": "#"}]}, "//",
    {"context": "$response.body", "selector": "$.a", "type": "xpath"}, "ä\u202e\x00", "9" * 400,
    "(" * 300,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def changed(root: Any, chance: random.Random) -> Any:
    """Return a document with one to four of its values replaced, left out, doubled or swapped."""
    root = copy.deepcopy(root)
    for _ in range(chance.randint(1, 4)):
        every = [place for place in places(root) if place]
        if not every:
            return root
        *way, last = chance.choice(every)
        holder = root
        for key in way:
            holder = holder[key]
        kind = chance.randrange(4)
        if kind == 0:
            holder[last] = copy.deepcopy(chance.choice(ODD))
        elif kind == 1:
            del holder[last]
        elif kind == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        else:
            source: Any = root
            for key in chance.choice(every):
                if not isinstance(source, dict | list):
                    break
                source = source[key] if not isinstance(source, dict) or key in source else source
            holder[last] = copy.deepcopy(source)
    return root


def try_documents(folder: Path, seeds: range) -> None:
    (folder / "api.yaml").write_text(API, encoding="utf-8")
    roots = [yaml.safe_load(document(row)) for row in ROWS.values()]
    path = folder / "w.json"
    for seed in seeds:
        chance = random.Random(seed)
        text = json.dumps(changed(chance.choice(roots), chance))
        path.write_text(text[:200_000], encoding="utf-8")
        begin = time.monotonic()
        for problem in lint(path, name="w.json"):
            assert str(problem).startswith(("w.json", "api.yaml")), (seed, problem)
        assert time.monotonic() - begin < 10, seed


def test_mutated_documents_are_read_or_refused(tmp_path: Path) -> None:
    try_documents(tmp_path, range(150))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_thousand_mutated_documents(tmp_path: Path) -> None:
    try_documents(tmp_path, range(10_000))
