"""The results document of a run, and what becomes of it when the disk does not take it."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from loadcheck.errors import ResultFileError
from loadcheck.result.document import ResultWriter
from loadcheck.result.store import ResultFile
from loadcheck.secrets import Redactor

SECRET = "a-secret-key"
INTENT = {"run": {"id": "abc", "phase": "intent"}, "scenario": {"inputs": {"key": SECRET}}}


def book(folder: Path) -> ResultWriter:
    return ResultWriter(ResultFile(folder / "results" / "a.json"), INTENT, Redactor({SECRET}))


@pytest.mark.anyio
async def test_what_is_saved_is_what_is_known_with_its_phase(tmp_path: Path) -> None:
    kept = book(tmp_path)
    kept.update({"verdict": "pass"})
    await kept.save("done", durable=True)
    saved = orjson.loads(kept.file.path.read_bytes())
    assert saved == kept.document
    assert (saved["run"]["phase"], saved["verdict"]) == ("done", "pass")


@pytest.mark.anyio
async def test_no_secret_reaches_the_disk(tmp_path: Path) -> None:
    kept = book(tmp_path)
    kept.update({"warnings": [f"the service said: {SECRET} is no key"], SECRET: 1})
    await kept.save("done", durable=False)
    text = kept.file.path.read_text(encoding="utf-8")
    assert SECRET not in text
    assert "the service said: *** is no key" in text


@pytest.mark.anyio
async def test_a_save_that_fails_is_counted_and_the_next_one_heals_it(tmp_path: Path) -> None:
    kept = book(tmp_path)
    folder = kept.file.path.parent
    shutil.rmtree(folder)
    await kept.try_save("running", durable=False)
    await kept.try_save("running", durable=False)
    reason = kept.unsaved
    assert kept.failed_saves == 2
    assert isinstance(reason, ResultFileError)
    with pytest.raises(ResultFileError, match="cannot be written"):
        await kept.save("running", durable=False)
    folder.mkdir()
    await kept.try_save("running", durable=False)
    assert kept.unsaved is None
    assert kept.failed_saves == 2
    kept.file.close()
    assert list(folder.iterdir()) == [kept.file.path]
