"""``loadcheck init``: from an API's description alone to a verdict."""

from __future__ import annotations

import os
import pty
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from loadcheck.cli.init import init
from loadcheck.errors import InputError
from loadcheck.pipeline.preview import preview
from loadcheck.scenario import load
from loadcheck.scenario.layers import shipped
from tests.asgi import serving
from tests.cli.conftest import ROOT, SCENARIOS, Loadcheck
from tests.draft.shop import TOKEN, Shop, description

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


class Init:
    """Calls the command in this process, in a folder of its own."""

    def __init__(self, folder: Path, said: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._said = said

    def __call__(self, **options: Any) -> str:
        """Return what it says."""
        init(**options)
        return self._said.readouterr().out

    def refused(self, **options: Any) -> str:
        """Return why it refuses."""
        with pytest.raises(InputError) as caught:
            init(**options)
        assert self._said.readouterr().out == ""
        return str(caught.value)

    def names(self, folder: str = ".") -> list[str]:
        return sorted(path.name for path in (self.folder / folder).iterdir())


@pytest.fixture
def begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Init:
    monkeypatch.chdir(tmp_path)
    return Init(tmp_path, capsys)


def _shop_file(folder: Path) -> Path:
    api = description() | {"servers": [{"url": "http://127.0.0.1:9"}]}
    path = folder / "my api.yml"
    path.write_text(yaml.safe_dump(api))
    return path


def test_nothing_is_written_over(begin: Init) -> None:
    _shop_file(begin.folder)
    folder = begin.folder / "shop"
    folder.mkdir()
    (folder / ".env.example").write_text("MINE=1\n")
    said = begin.refused(openapi="my api.yml")
    assert said.startswith("shop/.env.example: is there already; ")
    assert "--into FOLDER" in said
    assert begin.names("shop") == [".env.example"]
    assert (folder / ".env.example").read_text() == "MINE=1\n"
    assert begin.names() == ["my api.yml", "shop"]


@pytest.mark.parametrize("into", ["new/deep/folder", "there", ".", "there/..", "link"])
def test_a_file_is_referred_to_where_it_is(begin: Init, into: str) -> None:
    _shop_file(begin.folder)
    (begin.folder / "there").mkdir()
    (begin.folder / "link").symlink_to("there")
    said = begin(openapi="my api.yml", into=Path(into), name="first")
    assert said.endswith(f"loadcheck run {Path(into) / 'first.toml'}\n")
    written = {".env.example", "first.arazzo.yml", "first.toml"}
    assert set(begin.names(into)) - {"my api.yml", "there", "link"} == written
    shown = preview(load(Path(into) / "first.toml"))  # finds the description, too
    assert shown["first_request"]["url"] == "http://127.0.0.1:9/v1/events"


def test_nothing_is_left_where_the_draft_cannot_be_used(begin: Init) -> None:
    api = description() | {"servers": [{"url": "http://127.0.0.1:9"}]}
    api["paths"]["/v1/reports/users"]["get"]["parameters"].append({"$ref": "#/components/nowhere"})
    (begin.folder / "api.yml").write_text(yaml.safe_dump(api))
    begin.refused(openapi="api.yml", into=Path("deep/er"))
    begin.refused(openapi="api.yml", into=Path("deep/er"), uniques="not an expression")
    assert begin.names() == ["api.yml"]


def test_a_problem_of_the_draft_names_where_it_would_be(begin: Init) -> None:
    _shop_file(begin.folder)
    said = begin.refused(openapi="my api.yml", into=Path("x/y"), uniques="$response.bdy#/n")
    assert said.startswith("x/y/shop")
    assert begin.names() == ["my api.yml"]


@pytest.mark.parametrize("into", ["file", "file/new", "file/new/deeper"])
def test_a_folder_that_cannot_be_is_told(begin: Init, into: str) -> None:
    _shop_file(begin.folder)
    (begin.folder / "file").write_text("mine")
    said = begin.refused(openapi="my api.yml", into=Path(into))
    assert said.startswith(f"{into}: ")
    assert "--into FOLDER" in said
    assert (begin.folder / "file").read_text() == "mine"


def test_another_machine_is_read_with_consent_only(begin: Init) -> None:
    said = begin.refused(openapi="http://user:pass-word@203.0.113.7/openapi.json?key=k3yk3y")
    assert "add --live to allow it, or save it and name the file" in said
    assert "pass-word" not in said
    assert begin.names() == []


AWAY = ("amplitude", "amplitude-batch", "mixpanel", "posthog", "segment")


@pytest.mark.parametrize("profile", shipped())
def test_a_service_that_comes_with_loadcheck(begin: Init, profile: str) -> None:
    said = begin(profile=profile)
    scenario = begin.folder / profile / f"{profile}.toml"
    same = SCENARIOS / f"{'live' if profile == 'amplitude' else profile}.toml"
    assert tomllib.loads(scenario.read_text()) == tomllib.loads(same.read_text())
    assert str(same.relative_to(ROOT)) not in scenario.read_text()
    names = (begin.folder / profile / ".env.example").read_text()
    assert ("AMPLITUDE_SECRET_KEY=\n" in names) == profile.startswith("amplitude")
    assert said.endswith(f"{profile}.toml{' --live' * (profile in AWAY)}\n")


def test_every_service_that_comes_with_loadcheck_can_be_begun_with() -> None:
    library = ROOT / "loadcheck" / "library"
    assert {path.parent.name for path in library.glob("*/profile.toml")} == {
        path.parent.name for path in library.glob("*/init.toml")
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "nothing to start from; give one of --openapi FILE, --har FILE, --curl"),
        ({"profile": "x", "har": Path("y")}, "several sources; give one of"),
        ({"profile": "amplitud"}, 'there is no "amplitud"; did you mean "amplitude"?'),
        ({"har": Path("none.har")}, "none.har: cannot be read: no such file"),
        ({"curl": ["curl localhost:9/e -d user=u"]}, "--count none to measure without counting"),
    ],
)
def test_what_cannot_be_begun_with(begin: Init, options: dict[str, Any], says: str) -> None:
    assert says in begin.refused(**options)
    assert begin.names() == []


def _on_a_terminal(loadcheck: Loadcheck, *arguments: str, typed: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    ends: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    command = loadcheck.start("init", *arguments, **ends)
    os.close(theirs)
    os.write(ours, typed.encode())
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that nobody holds the other end any more
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    return command.wait(), said.decode()


@pytest.mark.long
def test_on_a_terminal_it_asks(loadcheck: Loadcheck) -> None:
    api = description() | {"servers": [{"url": "http://127.0.0.1:9"}]}
    api["paths"]["/v2/events"] = {
        "post": api["paths"]["/v1/events"]["post"] | {"operationId": "createEvent2"}
    }
    (loadcheck.folder / "api.yml").write_text(yaml.safe_dump(api))
    code, said = _on_a_terminal(loadcheck, typed="api.yml\n7\n2\n")
    assert code == 0, said
    assert "2 operations may take the data" in said
    text = (loadcheck.folder / "shop" / "shop.arazzo.yml").read_text()
    assert "operationId: createEvent2" in text


@pytest.mark.long
def test_on_a_terminal_it_takes_curl_lines(loadcheck: Loadcheck) -> None:
    lines = (
        "",
        "curl localhost:9/e \\",
        """ --json '{"user_id": "u", "tag": "t"}'""",
        "curl localhost:9/count?tag=t",
        "",
    )
    code, said = _on_a_terminal(loadcheck, "--uniques", "/n", typed="\n".join(lines))
    assert code == 0, said
    assert "by query.tag" in said
    assert (loadcheck.folder / "my-api" / "my-api.toml").exists()


@pytest.mark.long
def test_who_names_nothing_when_asked_is_told_what_could_be_named(loadcheck: Loadcheck) -> None:
    code, said = _on_a_terminal(loadcheck, typed="\n\n\n")
    assert code == 2, said
    assert "nothing to start from" in said
