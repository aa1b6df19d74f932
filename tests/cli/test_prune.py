"""``loadcheck prune`` and what ``loadcheck list`` chooses: what goes, and what never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from loadcheck.cli.app import app
from loadcheck.compare import Stored, compare
from loadcheck.compare import prune as pruning
from loadcheck.errors import InputError
from loadcheck.result.store import ResultFile, read
from tests.benchmarks import synthetic
from tests.benchmarks.trend import save_runs

RUNS, FIRST = 16, 10


@pytest.fixture(scope="session")
def made() -> dict[str, Any]:
    return synthetic.result(seconds=3, copies=1500, seed=1)


@pytest.fixture
def folder(tmp_path: Path, made: dict[str, Any]) -> Path:
    levels = [1.0 + 0.01 * (day % 3) + (0.5 if day >= FIRST else 0) for day in range(RUNS)]
    save_runs(tmp_path / "results", levels, made)
    return tmp_path / "results"


def call(*words: str | Path, answer: str = "") -> Any:
    return CliRunner().invoke(app, [*map(str, words)], input=answer, env={"COLUMNS": "120"})


def days(folder: Path) -> list[int]:
    return sorted(int(path.name[-8:-5]) for path in folder.glob("nightly-*.json"))


def test_what_is_old_goes_and_the_baseline_stays(folder: Path) -> None:
    shown = call("prune", folder, "--older-than", "2026-02-01", "--dry-run")
    assert shown.exit_code == 0
    assert f"keep   {folder}/nightly-012.json: it belongs to the baseline" in shown.stdout
    assert f"{FIRST} files" in shown.stdout
    assert days(folder) == list(range(RUNS)), "it was only shown"
    done = call("prune", folder, "--older-than", "2026-02-01", "--yes")
    assert f"removed {FIRST} of {FIRST} files" in done.stdout
    assert days(folder) == list(range(FIRST, RUNS))
    assert call("prune", folder, "--older-than", "2026-02-01", "--yes").exit_code == 0
    assert days(folder) == list(range(FIRST, RUNS))


def test_number_age_and_labels_must_all_hold(folder: Path) -> None:
    for day in range(RUNS):
        path = folder / f"nightly-{day:03}.json"
        document = orjson.loads(path.read_bytes())
        document["labels"] = {"env": "a" if day % 2 else "b"}
        path.write_bytes(orjson.dumps(document))
    call("prune", folder, "--keep", "14", "--yes")
    assert days(folder) == list(range(2, RUNS))
    call("prune", folder, "--label", "env=a", "--older-than", "2026-01-06", "--yes")
    assert days(folder) == [2, 4, *range(5, RUNS)]
    call("prune", folder, "--label", "env=c", "--yes")
    call("prune", folder, "--older-than", "1w", "--scenario", "other", "--yes")
    call("prune", folder, "--older-than", "1w", "--verdict", "fail", "--yes")
    assert days(folder) == [2, 4, *range(5, RUNS)]


def test_examples_links_foreign_files_and_what_is_compared_stay(folder: Path) -> None:
    first, second, third = (folder / f"nightly-{day:03}.json" for day in range(3))
    example = first.rename(folder / "example-burst.json")
    (folder / "link.json").symlink_to(folder / "nightly-005.json")
    for name in ("mine.json", "page.html", ".hidden.json"):
        (folder / name).write_text("{}")
    sides = [[Stored(file=str(path), document=read(path))] for path in (second, third)]
    comparison = {**compare(*sides), "created_at": "2026-01-20T00:00:00.000Z"}
    (folder / "compared.json").write_bytes(orjson.dumps(comparison))
    with ResultFile(folder / "nightly-003.json", replace=True):
        done = call("prune", folder, "--older-than", "2026-01-10", "--yes")
    assert days(folder) == [1, 2, 3, *range(9, RUNS)]
    for why in ("an example", "being written", "a comparison names it"):
        assert why in done.stdout
    assert example.exists()
    for name in ("link.json", "mine.json", "page.html", ".hidden.json", "compared.json"):
        assert (folder / name).is_symlink() or (folder / name).exists(), name
    call("prune", folder, "--older-than", "2026-02-01", "--yes")
    assert not (folder / "compared.json").exists(), "it is old itself, and protects no more"
    assert days(folder) == list(range(FIRST, RUNS))


def test_it_asks_and_without_a_terminal_wants_to_be_told(folder: Path) -> None:
    refused = call("prune", folder, "--older-than", "1d")
    assert "--yes" in str(refused.exception)
    assert "nothing says" in str(call("prune", folder).exception)
    assert isinstance(call("prune", folder, "--older-than", "old").exception, InputError)
    assert "is not a directory" in str(call("prune", folder / "absent", "--keep", "1").exception)
    assert days(folder) == list(range(RUNS))


def test_what_was_written_since_it_was_looked_at_stays(folder: Path) -> None:
    criteria = pruning.Criteria(
        before="2026-01-03", beyond=None, takes=lambda *_: True, labelled=False
    )
    made = pruning.plan(folder, criteria)
    assert len(made.removed) == 2
    changed, gone = made.removed
    changed.write_bytes(changed.read_bytes() + b"\n")
    gone.unlink()
    removed, troubles = pruning.remove(made)
    assert removed == []
    assert "meanwhile" in troubles[0]
    assert changed.exists()
    assert not gone.exists()


def test_a_list_is_of_what_is_chosen_in_the_order_that_is_asked_for(folder: Path) -> None:
    path = folder / "nightly-003.json"
    document = orjson.loads(path.read_bytes())
    document |= {"verdict": "fail", "labels": {"env": "prod"}}
    path.write_bytes(orjson.dumps(document))
    (folder / "broken.json").write_text("{")

    def listed(*words: str) -> list[str]:
        rows = orjson.loads(call("list", folder, "--json", *words).stdout)
        return [row["file"].rpartition("/")[2] for row in rows]

    assert len(listed()) == RUNS + 1
    assert listed("--verdict", "fail") == listed("--label", "env=prod") == ["nightly-003.json"]
    assert listed("--label", "env", "--label", "commit") == listed(
        "--since", "2026-01-01", "--label", "commit"
    )
    assert len(listed("--since", "2026-01-11")) == 6
    assert listed("--scenario", "other") == []
    slowest = listed("--sort", "p99")
    assert int(slowest[0][8:11]) >= FIRST
    assert slowest[-1] == "broken.json"
    assert listed("--sort", "file")[:2] == ["broken.json", "nightly-000.json"]
    assert listed("--reverse")[0] == "nightly-000.json"
    assert "none of 17 files" in call("list", folder, "--scenario", "other").stderr


def test_a_mix_goes_as_a_whole_or_not_at_all(tmp_path: Path, made: dict[str, Any]) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    for id_, day in (("old", "2026-01-01"), ("older", "2026-01-02"), ("new", "2026-11-01")):
        for place, flow in enumerate(("buy", "look")):
            document = orjson.loads(orjson.dumps(made))
            document["mix"] = {"id": id_, "name": "shop", "flow": flow, "place": place}
            document["mix"]["flows"] = ["buy", "look"]
            document["scenario"]["name"] = f"shop-{flow}"
            document["labels"] = {"flow": flow, "old": "yes" if id_ != "new" else "no"}
            if (id_, flow) == ("older", "look"):
                document["labels"]["old"] = "no"
            document["run"] |= {"id": f"{id_}-{flow}", "started_at": f"{day}T00:00:00.000Z"}
            # no evidence of a level, so that none is of a baseline
            document["verdict"] = "unknown"
            with ResultFile(folder / f"{id_}-{flow}.json") as file:
                file.save(document)
    done = call("prune", folder, "--label", "old=yes", "--yes")
    assert done.exit_code == 0, done.output
    left = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
    assert left == ["new-buy.json", "new-look.json", "older-buy.json", "older-look.json"]
    assert "older-buy.json: another flow of its mix stays" in done.stdout
