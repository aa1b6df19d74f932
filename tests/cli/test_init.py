"""``loadcheck init``: from an API's description alone to a verdict."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import yaml

from tests.cli.conftest import Loadcheck
from tests.draft.shop import TOKEN, Shop, description
from tests.workflow.influxdb_server import serving

QUICK = [
    *("--set", "load.rate=100", "--set", "load.duration=1s"),
    *("--set", "verify.every=300ms", "--set", "verify.quiet=1s", "--set", "verify.deadline=3s"),
]


def _next_commands(stdout: str) -> list[str]:
    return [line.strip() for line in stdout.partition("\nnext\n")[2].splitlines()]


def test_from_a_description_alone_to_a_verdict(loadcheck: Loadcheck) -> None:
    shop = Shop(secured=True)
    with serving(shop.application()) as url:
        drafted = loadcheck("init", "--openapi", f"{url}/openapi.json")
        assert drafted.code == 0, drafted.stderr
        assert not shop.events
        assert not shop.refused
        *_, command = _next_commands(drafted.stdout)
        assert command == "loadcheck run shop/shop.toml"
        unset = loadcheck(*command.split()[1:])
        assert unset.code == 2
        assert "SHOP_TOKEN is not set" in unset.stderr
        for drop, code, verdict in ((0, 0, "pass"), (3, 1, "fail")):
            shop.drop = drop
            to = loadcheck.folder / "results" / f"{verdict}.json"
            ended = loadcheck(
                *command.split()[1:], *QUICK, "--output", to, env={"SHOP_TOKEN": TOKEN}
            )
            assert ended.code == code, ended.stdout + ended.stderr
            result = orjson.loads(to.read_bytes())
            assert result["verdict"] == verdict
            assert result["copies"]["acknowledged"] == 100
            seen = result["consistency"]
            assert (seen["uniques"], seen["totals"]) == (100 - drop, 100 - drop)
            assert seen["isolation"] == "filter"
    assert not shop.refused
    names = sorted(path.name for path in (loadcheck.folder / "shop").iterdir())
    assert names == [".env.example", "openapi.yml", "shop.arazzo.yml", "shop.toml"]
    assert (loadcheck.folder / "shop" / ".env.example").read_text().endswith("\nSHOP_TOKEN=\n")


def _shop_file(folder: Path) -> Path:
    api = description() | {"servers": [{"url": "http://127.0.0.1:9"}]}
    path = folder / "my api.yml"
    path.write_text(yaml.safe_dump(api))
    return path


def test_nothing_is_written_over(loadcheck: Loadcheck) -> None:
    _shop_file(loadcheck.folder)
    folder = loadcheck.folder / "shop"
    folder.mkdir()
    (folder / ".env.example").write_text("MINE=1\n")
    ended = loadcheck("init", "--openapi", "my api.yml")
    assert ended.code == 2
    assert "error: shop/.env.example: is there already" in ended.stderr
    assert "--into FOLDER" in ended.stderr
    assert [path.name for path in folder.iterdir()] == [".env.example"]
    assert (folder / ".env.example").read_text() == "MINE=1\n"
    assert sorted(path.name for path in loadcheck.folder.iterdir()) == ["my api.yml", "shop"]


@pytest.mark.parametrize("into", ["new/deep/folder", "there"])
def test_a_file_is_referred_to_where_it_is(loadcheck: Loadcheck, into: str) -> None:
    _shop_file(loadcheck.folder)
    (loadcheck.folder / "there").mkdir()
    ended = loadcheck("init", "--openapi", "my api.yml", "--into", into, "--name", "first")
    assert ended.code == 0, ended.stderr
    names = sorted(path.name for path in (loadcheck.folder / into).iterdir())
    assert names == [".env.example", "first.arazzo.yml", "first.toml"]
    checked = loadcheck("check", f"{into}/first.toml")
    assert checked.code == 0, checked.stderr
    assert "POST http://127.0.0.1:9/v1/events" in checked.stdout


def test_nothing_is_left_where_the_draft_cannot_be_used(loadcheck: Loadcheck) -> None:
    api = description() | {"servers": [{"url": "http://127.0.0.1:9"}]}
    api["paths"]["/v1/events"]["post"]["operationId"] = "same"
    api["paths"]["/v1/reports/users"]["get"]["parameters"].append({"$ref": "#/components/nowhere"})
    (loadcheck.folder / "api.yml").write_text(yaml.safe_dump(api))
    ended = loadcheck("init", "--openapi", "api.yml", "--into", "deep/er")
    assert ended.code == 2
    assert [path.name for path in loadcheck.folder.iterdir()] == ["api.yml"]


@pytest.mark.parametrize("into", ["file", "file/new", "file/new/deeper"])
def test_a_folder_that_cannot_be_is_told(loadcheck: Loadcheck, into: str) -> None:
    _shop_file(loadcheck.folder)
    (loadcheck.folder / "file").write_text("mine")
    ended = loadcheck("init", "--openapi", "my api.yml", "--into", into)
    assert ended.code == 2
    assert ended.stderr.startswith(f"error: {into}: ")
    assert "--into FOLDER" in ended.stderr
    assert (loadcheck.folder / "file").read_text() == "mine"


def test_another_machine_is_read_with_consent_only(loadcheck: Loadcheck) -> None:
    ended = loadcheck(
        "init", "--openapi", "http://user:pass-word@203.0.113.7/openapi.json?key=k3yk3y"
    )
    assert ended.code == 2
    assert "add --live to say that it may be, or save it and name the file" in ended.stderr
    assert "pass-word" not in ended.stderr
    assert list(loadcheck.folder.iterdir()) == []
