"""Bad input: exit 2, one message per problem that says where and what to do, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Loadcheck

GOOD = """\
workflow = "amplitude"
[target]
kind = "emulator"
[inputs]
eventType = "probe"
eventProperties = { a = 1 }
[load]
model = "open"
rate = 10
duration = "1s"
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("rate = 10", "rate = -1", ["bad.toml:9: load.rate:"]),
        ("rate = 10", "rte = 10", ["bad.toml:9: load.rte:", 'did you mean "rate"?']),
        ("rate = 10", 'rate = "fast"', ["bad.toml:9: load.rate:"]),
        ('"amplitude"', '"nowhere.yml"', ["bad.toml:1:", "nowhere.yml"]),
        (
            'eventType = "probe"',
            'eventType = { env = "LOADCHECK_TEST_UNSET" }',
            ["bad.toml:5:", "LOADCHECK_TEST_UNSET"],
        ),
        (
            "[target]",
            'thresholds = [\n  "lost == 0",\n  "los == 0",\n]\n[target]',
            ["bad.toml:4: thresholds.1", 'did you mean "lost"?'],
        ),
        (
            "[target]",
            'thresholds = ["uploadEvent.p99 < 1s"]\n[target]',
            ['"uploadEvents.p99"?'],
        ),
        (
            'kind = "emulator"',
            'kind = "emulator"\nvisibility_dely = "1s"',
            ["bad.toml:4: target.visibility_dely", '"visibility_delay"'],
        ),
        ("[load]", "[load", ["bad.toml:7"]),
        ('eventType = "probe"', "", ["eventType"]),
        ('eventType = "probe"', 'eventType = "probe"\nuserID = "x"', ["userID", '"userId"']),
        ("[load]", '[verify]\nstep = "segmentEvents"\n[load]', ["verify.step", '"segmentEvent"']),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_what_is_wrong_is_named_with_file_line_key_and_remedy(
    loadcheck: Loadcheck, tmp_path: Path, command: str, old: str, new: str, expected: list[str]
) -> None:
    assert old in GOOD
    Path(tmp_path, "bad.toml").write_text(GOOD.replace(old, new))
    ended = loadcheck(command, "bad.toml")
    assert ended.code == 2, ended.stderr
    for text in expected:
        assert text in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.results == []
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_the_good_one_is_good(loadcheck: Loadcheck, tmp_path: Path) -> None:
    Path(tmp_path, "good.toml").write_text(GOOD)
    assert loadcheck("check", "good.toml").code == 0


def test_every_problem_is_told_at_once(loadcheck: Loadcheck, tmp_path: Path) -> None:
    Path(tmp_path, "bad.toml").write_text(
        GOOD.replace("rate = 10", "rate = -1").replace("duration", "durtion")
    )
    ended = loadcheck("run", "bad.toml")
    assert len([line for line in ended.stderr.splitlines() if line.startswith("error: ")]) >= 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "missing.toml"],
        ["check", "missing.toml"],
        ["show", "missing.json"],
        ["run"],
        ["walk"],
        ["run", "--sed", "1", "x.toml"],
    ],
)
def test_usage(loadcheck: Loadcheck, arguments: list[str]) -> None:
    ended = loadcheck(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.stderr
    assert ended.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "loadcheck.result/99"}'])
def test_an_unreadable_result(loadcheck: Loadcheck, tmp_path: Path, text: str) -> None:
    Path(tmp_path, "result.json").write_text(text)
    ended = loadcheck("show", "result.json")
    assert ended.code == 2
    assert ended.stderr.startswith("error: result.json")


def test_an_override_that_does_not_fit_is_named_as_one(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "--set", "load.rte=5")
    assert ended.code == 2
    assert "--set load.rte=5" in ended.stderr
    assert '"rate"' in ended.stderr


def test_a_secret_appears_nowhere(loadcheck: Loadcheck, tmp_path: Path) -> None:
    secret = "s3cr3t-4f9a0c7e"
    env = {"KEY_OF_THIS": secret, "SECRET_OF_THIS": f"{secret}-2"}
    Path(tmp_path, "secret.toml").write_text(
        GOOD.replace("emulator", "live").replace(
            "[inputs]",
            'servers.httpV2Api = "http://127.0.0.1:9"\n'
            'servers.dashboardRestApi = "http://127.0.0.1:9"\n'
            '[inputs]\napiKey = { env = "KEY_OF_THIS" }\nbasicAuth = { basic = { username = '
            '{ env = "KEY_OF_THIS" }, password = { env = "SECRET_OF_THIS" } } }',
        )
        + '[retry]\nattempts = 1\n[verify]\ndeadline = "1s"\nquiet = "1s"\n'
    )
    checked = loadcheck("check", "secret.toml", env=env)
    assert checked.code == 0, checked.stderr
    ran = loadcheck("run", "secret.toml", env=env)
    assert ran.code == 3, ran.stderr
    broken = loadcheck("run", "secret.toml", "--set", "inputs.start=5", env=env)
    texts = [checked.stdout, ran.stdout, ran.stderr, broken.stdout, broken.stderr]
    texts += [path.read_text() for path in ran.results]
    assert len(ran.results) == 1
    import base64  # noqa: PLC0415

    encoded = base64.b64encode(f"{secret}:{secret}-2".encode()).decode()
    for text in texts:
        assert secret not in text
        assert encoded not in text


@pytest.mark.parametrize("name", ["9" * 5000, f"{'9' * 5000}.toml", f"{'9' * 5000}.yml"])
def test_a_name_too_long_for_a_file_is_told(loadcheck: Loadcheck, name: str) -> None:
    done = loadcheck("check", name)
    assert done.code == 2
    assert "Traceback" not in done.stderr
    assert "too long" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    ["show", "report", "export -f junit", "reconcile", "delete", "merge", "compare --to x.json"],
)
def test_nor_is_it_one_of_a_result(loadcheck: Loadcheck, command: str) -> None:
    done = loadcheck(*command.split(), "x" * 300, *(["x.json"] if command == "merge" else []))
    assert done.code == 2
    assert "bug in loadcheck" not in done.stderr


@pytest.mark.parametrize(
    "expression",
    [
        "$response.body#/a/0",
        "$response.header.x",
        "$statusCode",
        "$request.body#/a",
        "$url",
        "$method",
    ],
)
def test_an_input_that_nothing_can_give_yet_is_told(
    loadcheck: Loadcheck, smoke: Path, expression: str
) -> None:
    ended = loadcheck("check", smoke, "--set", f"inputs.eventType={expression}")
    assert ended.code in (0, 2)
    assert "bug in loadcheck" not in ended.stderr
