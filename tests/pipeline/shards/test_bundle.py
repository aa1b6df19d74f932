"""Workers on other machines have none of our files: they get them, or must have the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadcheck import scenario as scenarios
from loadcheck.errors import InputError
from loadcheck.load.slices import Slice
from loadcheck.pipeline.labels import new_run
from loadcheck.pipeline.shards.remote import Unframer, frame
from loadcheck.pipeline.shards.spec import MOST_BYTES, Bundle, ShardSpec, bundle, fingerprint
from loadcheck.pipeline.target import addressed

LIBRARY = Path(scenarios.__file__).parent.parent / "library"
SCENARIO = """
workflow = {{ document = "{document}", profile = "../service/profile.toml" }}
[target]
kind = "emulator"
[data.people]
file = "people.csv"
[inputs]
eventType = "probe"
[inputs.eventProperties]
country = "$data.people.country"
[load]
model = "closed"
concurrency = 8
copies = 20
"""
Make = Callable[..., ShardSpec]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(document: str = "../service/workflow.yml") -> ShardSpec:
        ours = tmp_path / "ours"
        (ours / "scenarios").mkdir(parents=True)
        shutil.copytree(LIBRARY / "amplitude", ours / "service")
        (ours / "scenarios" / "people.csv").write_text("country\nA\nB\n")
        path = ours / "scenarios" / "s.toml"
        path.write_text(SCENARIO.format(document=document.format(ours=ours)))
        scenario = scenarios.load(path)
        with addressed(scenario) as address:
            return ShardSpec(
                document=scenario.document,
                file=str(path),
                run=new_run(scenario, datetime.now(UTC), address.supplied, seed=1),
                servers=address.servers,
                seed=1,
                consent=False,
                part=Slice(index=1, of=2),
                environment={},
                marks={},
            )

    return made


def sent(files: Bundle) -> Bundle:
    """Return it as it comes out on the other machine."""
    (message,) = Unframer().feed(frame({"is": "spec", "files": files.message()}))
    return Bundle(**message["files"])


def test_a_worker_makes_the_same_load_of_the_files_that_it_is_sent(
    make: Make, tmp_path: Path
) -> None:
    spec = make()
    here = fingerprint(spec.compiled())
    files = bundle(spec, private=True)
    shutil.rmtree(tmp_path / "ours")
    with pytest.raises(InputError):
        spec.compiled()
    assert {Path(name).name for name in files.sent} >= {"people.csv", "workflow.yml"}
    assert not files.needed
    with sent(files).unpacked(spec) as there:
        compiled = there.compiled()
        folder = Path(there.file).parent
        assert (folder / "people.csv").exists()
    assert fingerprint(compiled) == here
    assert not folder.exists(), "they are there no longer than they are needed"


@pytest.mark.parametrize("why", ["others read it", "an absolute path", "too large"])
def test_what_cannot_be_sent_must_be_there(
    make: Make, tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = why == "an absolute path"
    spec = make("{ours}/service/workflow.yml" if absolute else "../service/workflow.yml")
    if why == "too large":
        monkeypatch.setattr("loadcheck.pipeline.shards.spec.MOST_BYTES", 100)
        assert MOST_BYTES > 1_000_000
    files = sent(bundle(spec, private=why != "others read it"))
    assert not files.sent
    with files.unpacked(spec) as there:
        assert there is spec
        there.compiled()
    people = tmp_path / "ours" / "scenarios" / "people.csv"
    # its first row, which the first request shows, is the same
    people.write_text("country\nA\nC\n")
    with pytest.raises(InputError, match=r"people\.csv: is another file than here"):
        files.unpacked(spec).__enter__()
    people.unlink()
    with pytest.raises(InputError, match=r"people\.csv: no such file"):
        files.unpacked(spec).__enter__()


def test_what_comes_with_loadcheck_is_not_sent(make: Make) -> None:
    spec = make("amplitude")
    assert {Path(name).name for name in bundle(spec, private=True).sent} == {"people.csv"}


def test_what_a_worker_finds_wrong_is_told_by_our_names(make: Make) -> None:
    spec = make()
    files = bundle(spec, private=True)
    broken = {
        name: b"{" if name.endswith("workflow.yml") else data for name, data in files.sent.items()
    }
    with pytest.raises(InputError) as told, replace(files, sent=broken).unpacked(spec) as there:
        there.compiled()
    assert "loadcheck-" not in str(told.value)
    assert "service/workflow.yml" in str(told.value)
