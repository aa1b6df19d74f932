"""A description with junk anywhere in it is drafted from, or refused in words."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.draft import from_description, read_api, write
from loadcheck.draft.choose import Wishes
from loadcheck.errors import InputError
from tests.draft.shop import description

JUNK: tuple[Any, ...] = (
    *(None, [], {}, "", 0, -1, True, "$x", "{$inputs.y}", ["a"], 1e300, "null", [[]], [{}]),
    *({"$ref": "#/nope"}, {"$ref": "#/components/schemas/Event"}, {"a": None}),
    *({"type": ["object", "null"]}, "x" * 5000, "a\nb", "'\"", "€\u2028"),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    parts = (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    )
    for key in parts:
        yield from _places(value[key], (*path, key))


def _mutated(random: Random) -> dict[str, Any]:
    api = copy.deepcopy(description(secured=True)) | {"servers": [{"url": "http://127.0.0.1:9"}]}
    for _ in range(random.choice((1, 1, 2, 4))):
        *way, last = random.choice(list(_places(api)))
        holder: Any = api
        for key in way:
            holder = holder[key]
        junk = copy.deepcopy(random.choice(JUNK))
        if isinstance(holder, dict) and random.random() < 0.2:
            del holder[last]
            last = str(junk)[:20]
        holder[last] = junk
    return api


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@given(st.randoms(use_true_random=False))
def test_junk_is_drafted_from_or_refused(folder: Path, random: Random) -> None:
    file, into = folder / "api.yml", folder / "out"
    file.write_text(yaml.safe_dump(_mutated(random), sort_keys=False))
    try:
        source = read_api(str(file), consent=False)
        write(from_description(source, "api.yml", Wishes(), into=into), into)
    except InputError:
        pass
    else:
        shutil.rmtree(into)
    assert [path.name for path in folder.iterdir()] == ["api.yml"]
