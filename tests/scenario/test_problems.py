"""What a user is told: literal tables of what is wrong and of the words for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Problems = Callable[..., list[str]]


WORKFLOW = 'workflow = "w.yml"\n'
LOAD = '[load]\nmodel = "open"\nrate = 1\nduration = "1s"\n'

DURATION = 'expected a duration such as "500ms", "5s", "2m" or "1h30m"'
POSITIVE = f"{DURATION}, more than 0s and at most 168h"
NOT_NEGATIVE = f"{DURATION}, 0s or more and at most 168h"
RATE = "expected a number of copies per second, greater than 0 and at most 1,000,000"
STAGE_RATE = "expected a number of copies per second, 0 or more and at most 1,000,000"
TEXT = "expected a string that is not empty"
NAME = "expected letters, digits, - and _, at most 80: it names the results file"
RETRIED = 'expected "timeout", "connection", a status code ("429") or a class ("5xx")'
AT = (
    'expected "body#/json/pointer", "query.NAME", "query.NAME#/json/pointer", "header.NAME", '
    '"path.NAME" or "cookie.NAME"'
)
URL = "expected an http:// or https:// URL with a host, and no more than a path"
MODELS = (
    'expected "open" (rate and duration, or stages) or "closed" (concurrency; copies or duration)'
)
DOCUMENT = (
    "expected the path of an Arazzo document, or a shipped workflow: "
    '"amplitude", "amplitude-batch", "clickhouse", "elasticsearch", "influxdb", "influxdb2", '
    '"mixpanel", "postgrest", "posthog", "segment"'
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nmae = 1", 'nmae: unknown key; did you mean "name"?'),
        ("rate = 1", "rate: unknown key; it belongs in [load]"),
        ("attempts = 1", "attempts: unknown key; it belongs in [retry]"),
        ('"a.b" = 1', ('"a.b": unknown key; expected one of capacity, data, delete, description, '
         "extends, guard, inputs, labels, limits, load, mix, name, overlay, profiles, retry, seed, "
         "service, sessions, setup, target, teardown, thresholds, timeouts, together, users, "
         "values, verify, workflow")),
        ("name = 5", f"name: found 5; {TEXT}"),
        ('name = ""', f"name: found an empty string; {TEXT}"),
        ('name = "a b"', f'name: found the string "a b"; {NAME}'),
        (f'name = "{"x" * 81}"', f'name: found the string "{"x" * 39}…"; {NAME}'),
        ("description = []", f"description: found an array; {TEXT}"),
        ("seed = true", ("seed: found the boolean true; "
         "expected a whole number from 0 to 9,223,372,036,854,775,807")),
        ("seed = 1.5", ("seed: found 1.5; "
         "expected a whole number from 0 to 9,223,372,036,854,775,807")),
        ("seed = -1", ("seed: found -1; "
         "expected a whole number from 0 to 9,223,372,036,854,775,807")),
        (f"seed = 0x{'f' * 9000}", ("seed: found a number of more than 64 bits; "
         "expected a whole number from 0 to 9,223,372,036,854,775,807")),
        ('thresholds = "lost == 0"', ('thresholds: found the string "lost == 0"; '
         "expected an array of strings, or tables { check, abort, grace }")),
        ('thresholds = ["a", 5]', f"thresholds.1: found 5; {TEXT}"),
        ('overlay = "x"', 'overlay: found the string "x"; expected an array of tables'),
        ("overlay = [5]", "overlay.0: found 5; expected a table"),
        ("inputs = 5", "inputs: found 5; expected a table"),
        ("target = []", "target: found an array; expected a table"),
        ("retry = 07:32:00", "retry: found a time of day; expected a table"),
        ("verify = 1979-05-27", "verify: found a date; expected a table"),
        ("timeouts = inf", "timeouts: found inf; expected a table"),
    ],
)  # fmt: skip
def test_the_top(line: str, expected: str, problems: Problems) -> None:
    (found, *rest) = problems(f"{WORKFLOW}{line}\n{LOAD}")
    assert found == f"s.toml:2: {expected}"
    assert all(": is missing" in other or "expected a table" in other for other in rest)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("rate = 1", [f'3: load: "model" is missing; {MODELS}']),
        ('model = "opne"', ['4: load.model: found the string "opne"; did you mean "open"?']),
        ('model = "x"', ['4: load.model: found the string "x"; expected one of "open", "closed"']),
        ("model = 5", ['4: load.model: found 5; expected one of "open", "closed"']),
        ('model = "open"', ['3: load: "rate" is missing; expected rate and duration, or stages']),
        ('model = "open"\nrate = 5',
         ['3: load: "duration" is missing; expected a duration such as "30s"']),
        ('model = "open"\nduration = 5',
         ['3: load: "rate" is missing; expected copies per second']),
        ('model = "open"\nduration = 5\nrte = 5',
         ['3: load: "rate" is missing; expected copies per second',
          '6: load.rte: unknown key; did you mean "rate"?']),
        ('model = "open"\nduration = 5\nrate = 1\nthresholds = []',
         ["7: load.thresholds: unknown key; it belongs at the top, above the first [table]"]),
        ('model = "open"\nduration = 5\nrate = 1\narrivals = "random"\nmax_in_flight = 0',
         ['7: load.arrivals: found the string "random"; expected one of "constant", "poisson"',
          "8: load.max_in_flight: found 0; expected a whole number from 1 to 1,000,000"]),
        ('model = "open"\nduration = "1d"\nrate = "fast"',
         [f'5: load.duration: found the string "1d"; {DURATION}',
          f'6: load.rate: found the string "fast"; {RATE}']),
        ('model = "open"\nduration = 1\nrate = 1\nstages = [{ duration = 1, rate = 1 }]',
         ["5: load.duration: contradicts load.stages (line 7); give rate and duration, or stages",
          "6: load.rate: contradicts load.stages (line 7); give rate and duration, or stages"]),
        ('model = "open"\nduration = 1\nrate = 1\nconcurrency = 1\ncopies = 1',
         [('7: load.concurrency: contradicts load.model (line 4); "concurrency" belongs to '
          'model = "closed"'),
          '8: load.copies: contradicts load.model (line 4); "copies" belongs to model = "closed"']),
        ('model = "closed"\nconcurrency = 1\ncopies = 1\nrate = 1\nmax_in_flight = 1',
         ['7: load.rate: contradicts load.model (line 4); "rate" belongs to model = "open"',
          ('8: load.max_in_flight: contradicts load.model (line 4); "max_in_flight" belongs to '
          'model = "open"')]),
        ('model = "closed"',
         ['3: load: "concurrency" is missing; expected how many copies are in flight',
          '3: load: "copies" is missing; expected copies, duration or both: whichever ends first']),
        ('model = "closed"\nconcurrency = 0\ncopies = -1\nduration = "-1s"',
         ["5: load.concurrency: found 0; expected a whole number from 1 to 1,000,000",
          "6: load.copies: found -1; expected a whole number from 1 to 1,000,000,000",
          f'7: load.duration: found the string "-1s"; {DURATION}']),
        ('model = "closed"\nconcurrency = 1.5\ncopies = 2e9',
         ["5: load.concurrency: found 1.5; expected a whole number from 1 to 1,000,000",
          "6: load.copies: found 2000000000.0; expected a whole number from 1 to 1,000,000,000"]),
        ('model = "open"\nrate = 1e6\nduration = "1h"',
         ["5: load.rate: starts 3,600,000,000 copies; expected at most 1,000,000,000"]),
    ],
)  # fmt: skip
def test_load(load: str, expected: list[str], problems: Problems) -> None:
    assert problems(f"{WORKFLOW}\n[load]\n{load}\n") == [f"s.toml:{line}" for line in expected]


@pytest.mark.parametrize("value", ["0", "-1", "-0.5", "nan", "inf", "-inf", "1e7", "true", "'1'"])
def test_a_rate(value: str, problems: Problems) -> None:
    (found,) = problems(f'{WORKFLOW}[load]\nmodel = "open"\nduration = 1\nrate = {value}\n')
    assert found.startswith("s.toml:5: load.rate: found ")
    assert found.endswith((f"; {RATE}", "starts no copy; expected a rate greater than 0"))


@pytest.mark.parametrize("value", ["0", "'0s'", "-1", "nan", "inf", "'8d'", "'169h'", "1e9", "[]"])
def test_a_duration(value: str, problems: Problems) -> None:
    (found,) = problems(f'{WORKFLOW}[load]\nmodel = "open"\nrate = 1\nduration = {value}\n')
    assert found.startswith("s.toml:5: load.duration: found ")
    assert DURATION in found


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("stages = []", ["4: load.stages: is empty; expected at least one stage"]),
        ("stages = 5", ["4: load.stages: found 5; expected an array of tables"]),
        ("stages = [5]", ["4: load.stages.0: found 5; expected a table"]),
        ('stages = [\n{ duration = 1 },\n{ duration = "1x", rate = -1, ramp_to = nan },\n]',
         ['5: load.stages.0: "rate" is missing; expected rate, ramp_to or both',
          f'6: load.stages.1.duration: found the string "1x"; {DURATION}',
          f"6: load.stages.1.rate: found -1; {STAGE_RATE}",
          f"6: load.stages.1.ramp_to: found nan; {STAGE_RATE}"]),
        ('[[load.stages]]\nname = "a"\nrate = 1\n[[load.stages]]\nname = "a"\nramp_two = 1\n',
         ['4: load.stages.0: "duration" is missing; expected a duration such as "30s"',
          '7: load.stages.1: "duration" is missing; expected a duration such as "30s"',
          '7: load.stages.1: "rate" is missing; expected rate, ramp_to or both',
          '8: load.stages.1.name: another stage is named "a"; names tell stages apart',
          '9: load.stages.1.ramp_two: unknown key; did you mean "ramp_to"?']),
        ('stages = [{ name = "stage-2", duration = 1, rate = 1 },\n{ duration = 1, rate = 1 }]',
         ['5: load.stages.1: another stage is named "stage-2"; names tell stages apart']),
        ('stages = [{ name = "a b", duration = 1, rate = 1 }]',
         ['4: load.stages.0.name: found the string "a b"; expected letters, digits, - and _']),
        ("stages = [{ duration = 1, rate = 0 }, { duration = 1, ramp_to = 0 }]",
         ["4: load.stages: starts no copy; expected a rate greater than 0"]),
        (f"stages = [{'{ duration = 1, rate = 1 },' * 1001}]",
         ["4: load.stages: has 1,001 stages; expected at most 1,000"]),
        (f"repeat = 2\nstages = [{'{ duration = 1, rate = 1 },' * 1001}]",
         ["5: load.stages: has 1,001 stages; expected at most 1,000"]),
        # read twice, said once
        ("repeat = 2\nstages = [{ duration = 1, rate = 1, ramp_two = 2 }, 3]",
         ['5: load.stages.0.ramp_two: unknown key; did you mean "ramp_to"?',
          "5: load.stages.1: found 3; expected a table"]),
    ],
)  # fmt: skip
def test_stages(stages: str, expected: list[str], problems: Problems) -> None:
    text = f'{WORKFLOW}[load]\nmodel = "open"\n{stages}\n'
    assert problems(text) == [f"s.toml:{line}" for line in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[retry]\nattempts = 0\nbackoff = -1\nmax_backoff = '1w'\non = '5xx'",
         ["7: retry.attempts: found 0; expected a whole number from 1 to 100",
          f"8: retry.backoff: found -1; {NOT_NEGATIVE}",
          f'9: retry.max_backoff: found the string "1w"; {DURATION}',
          '10: retry.on: found the string "5xx"; expected an array of strings']),
        ("[retry]\non = [\n'429',\n'6xx',\n429,\n'Timeout',\n'1000',\n]",
         [f'9: retry.on.1: found the string "6xx"; {RETRIED}',
          f"10: retry.on.2: found 429; {RETRIED}",
          f'11: retry.on.3: found the string "Timeout"; {RETRIED}',
          f'12: retry.on.4: found the string "1000"; {RETRIED}']),
        ("[retry]\nmax_backoff = 1\nbackoff = 2",
         [("8: retry.backoff: contradicts retry.max_backoff (line 7); the first wait is longer "
          "than the longest")]),
        ("[timeouts]\nconnect = 0\nrequest = false\ndrain = -1\nidle = 1",
         [f"7: timeouts.connect: found 0; {POSITIVE}",
          f"8: timeouts.request: found the boolean false; {DURATION}",
          f"9: timeouts.drain: found -1; {NOT_NEGATIVE}",
          '10: timeouts.idle: unknown key; did you mean "max_idle"?']),
        ("[verify]\nenabled = 1\nstep = 5\ncache = 'bypas'\nevery = 0\nevry = 1",
         ["7: verify.enabled: found 1; expected true or false",
          f"8: verify.step: found 5; {TEXT}",
          '9: verify.cache: found the string "bypas"; did you mean "bypass"?',
          f"10: verify.every: found 0; {POSITIVE}",
          '11: verify.evry: unknown key; did you mean "every"?']),
        ("[verify]\nuniques = []\ntotals = { valu = '' }\nbypass = { at = '' }",
         [("7: verify.uniques: found an array; expected a runtime expression, or a table of value "
          "and overlay"),
          '8: verify.totals.valu: unknown key; did you mean "value"?',
          '8: verify.totals: "value" is missing; expected a runtime expression',
          "9: verify.bypass: found a table; expected an array of tables"]),
        ("[verify]\nuniques = ''",
         [f"7: verify.uniques: found an empty string; {TEXT}"]),
        ("[verify]\nquiet = '1m'\ndeadline = '30s'",
         [("7: verify.quiet: contradicts verify.deadline (line 8); the count must be able to "
          "settle before the deadline")]),
        ("[[verify.bypass]]\nstep = 'x'\nat = 'querry.e'\nvalue = 1\n[[verify.bypass]]",
         ["7: verify.bypass.0.step: unknown key; it belongs in [verify]",
          f'8: verify.bypass.0.at: found the string "querry.e"; {AT}',
          f'10: verify.bypass.1: "at" is missing; {AT}',
          '10: verify.bypass.1: "value" is missing; expected what to put there']),
        ("[[overlay]]\nat = 'body/x'\nvalue = [\n1,\nnan,\n]",
         ['6: overlay.0: "step" is missing; expected the stepId of the request it changes',
          f'7: overlay.0.at: found the string "body/x"; {AT}',
          "10: overlay.0.value.1: found nan; expected a number that JSON can carry"]),
        ("[[overlay]]\nstep = ''\nat = 'body#/a~2'\nvalue = 1979-05-27\nif = 1",
         [f"7: overlay.0.step: found an empty string; {TEXT}",
          f'8: overlay.0.at: found the string "body#/a~2"; {AT}',
          "9: overlay.0.value: found a date; JSON has no dates: write it in quotes",
          "10: overlay.0.if: unknown key; expected one of at, step, value"]),
        (f"[inputs]\na = [\n1,\n{{ b = {2**64} }}]\nc = -inf",
         ["9: inputs.a.1.b: found a number of more than 64 bits; write it in quotes",
          "10: inputs.c: found -inf; expected a number that JSON can carry"]),
        ("[target]\nkind = 'emulater'\ntransport = 'http'\nservers = 5\ndelay = 07:00:00",
         ['7: target.kind: found the string "emulater"; did you mean "emulator"?',
          '8: target.transport: found the string "http"; did you mean "httpx"?',
          "9: target.servers: found 5; expected a table",
          "10: target.delay: found a time of day; JSON has no dates: write it in quotes"]),
        ("[target]\nservers = { api = 'http://localhost' }",
         [("7: target.servers: the target is the emulator; the embedded emulator has its own "
          'address; servers belong to kind = "live"')]),
        ("[target]\nkind = 'emulator'\nservers = {}",
         [("8: target.servers: contradicts target.kind (line 7); the embedded emulator has its "
           'own address; servers belong to kind = "live"')]),
        ("[target]\nkind = 'live'\ntransprt = 'httpx'\nvisibility_delay = '1s'",
         ['8: target.transprt: unknown key; did you mean "transport"?',
          ("9: target.visibility_delay: contradicts target.kind (line 7); it configures the "
          "embedded emulator")]),
        ("[target]\nkind = 'live'\nvisibilty_delay = '1s'\nfrobnicate = 3",
         ['8: target.visibilty_delay: unknown key; did you mean "visibility_delay"?',
          ("9: target.frobnicate: unknown key; expected one of compress, cookies, http2, kind, "
           "proxy, redirects, region, regions, servers, tls, transport")]),
        ("[target]\nkind = 'emulator'\ntransprt = 'httpx'",
         ['8: target.transprt: unknown key; did you mean "transport"?']),
    ],
)  # fmt: skip
def test_tables(text: str, expected: list[str], problems: Problems) -> None:
    assert problems(WORKFLOW + LOAD + text) == [f"s.toml:{line}" for line in expected]


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.com", "http://", "http://a:x", "http://a:99999",
     "https://a/?q=1", "https://a/#f", "http://[::1"],
)  # fmt: skip
def test_a_server(url: str, problems: Problems) -> None:
    target = f"[target]\nkind = 'live'\nservers = {{ api = '{url}' }}"
    found = f'the string "{url}"; {URL}' if url else f"an empty string; {TEXT}"
    assert problems(WORKFLOW + LOAD + target) == [f"s.toml:8: target.servers.api: found {found}"]


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("localhost:9001", "http://localhost:9001"),
        ("127.0.0.1/api", "http://127.0.0.1/api"),
        ("api.example.com", "https://api.example.com"),
    ],
)
def test_a_server_without_its_scheme(url: str, meant: str, problems: Problems) -> None:
    (told,) = problems(f"{WORKFLOW}{LOAD}[target]\nkind = 'live'\nservers = {{ api = '{url}' }}")
    assert told.endswith(f'found the string "{url}"; the scheme is missing: {meant}')


def test_credentials_in_a_server_are_not_repeated(problems: Problems) -> None:
    target = "[target]\nkind = 'live'\nservers = { '*' = 'https://me:hunter2@example.com' }"
    assert problems(WORKFLOW + LOAD + target) == [
        (
            's.toml:8: target.servers."*": a URL with credentials in it; credentials belong to '
            "[inputs], from the environment"
        )
    ]


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        ('workflow = "amplitud"',
         '1: workflow: no workflow document at amplitud; did you mean "amplitude"?'),
        ('workflow = "v.yml"',
         '1: workflow: no workflow document at v.yml; did you mean "w.yml"?'),
        ('workflow = "."', f"1: workflow: no workflow document at .; {DOCUMENT}"),
        (f'workflow = "{"x" * 300}"',
         f"1: workflow: no workflow document at {'x' * 300}; {DOCUMENT}"),
        ("workflow = 5", f"1: workflow: found 5; {TEXT}"),
        ("", f': "workflow" is missing; {DOCUMENT}'),
        ("[workflow]", f'1: workflow: "document" is missing; {DOCUMENT}'),
        ('[workflow]\ndocument = ""', f"2: workflow.document: found an empty string; {TEXT}"),
        ('[workflow]\ndocument = "w.yml"\nstrict = "no"',
         '3: workflow.strict: found the string "no"; expected true or false'),
        ('[workflow]\ndocument = "w.yml"\nid = 5', f"3: workflow.id: found 5; {TEXT}"),
        ('[workflow]\ndocument = "w.yml"\npath = "x"',
         "3: workflow.path: unknown key; expected one of document, id, profile, sources, strict"),
        ('[workflow]\ndocument = "w.yml"\nprofile = "no/p.toml"',
         "3: workflow.profile: no profile at no/p.toml; paths are relative to the scenario file"),
        ('[workflow]\ndocument = "w.yml"\nprofile = 5', f"3: workflow.profile: found 5; {TEXT}"),
        ('[workflow]\ndocument = "w.yml"\nsources = { api = "x.yml" }',
         '3: workflow.sources.api: no source description at x.yml; did you mean "w.yml"?'),
        ('[workflow]\ndocument = "w.yml"\nsources = "w.yml"',
         '3: workflow.sources: found the string "w.yml"; expected a table'),
    ],
)  # fmt: skip
def test_workflow(workflow: str, expected: str, problems: Problems) -> None:
    separator = ": " if expected.startswith(":") else ":"
    place = "s.toml" + (expected if separator == ": " else f":{expected}")
    assert problems(f"{workflow}\n{LOAD}") == [place]


def test_a_missing_load(problems: Problems) -> None:
    assert problems(WORKFLOW) == ['s.toml: "load" is missing; expected a table [load]']
    assert problems(f"{WORKFLOW}load = 5") == ["s.toml:2: load: found 5; expected a table"]


def test_overrides_are_named_as_they_were_given(problems: Problems) -> None:
    options = ["load.rte=500", "load.rate=-1", "retry.on=[9]", "lod.rate=1", "seed.x=1", "load"]
    assert sorted(problems(WORKFLOW + LOAD, *options)) == [
        "--set load.rate=-1: load.rate: found -1; " + RATE,
        '--set load.rte=500: load.rte: unknown key; did you mean "rate"?',
        "--set load: there is no =; expected PATH=VALUE, such as load.rate=500",
        '--set lod.rate=1: lod: unknown key; did you mean "load"?',
        f"--set retry.on=[9]: retry.on.0: found 9; {RETRIED}",
        (
            "--set seed.x=1: seed: found a table; expected a whole number from 0 to "
            "9,223,372,036,854,775,807"
        ),
    ]


def test_problems_of_overrides_are_told_beside_those_of_a_broken_file(problems: Problems) -> None:
    assert problems("a = \n", "seed") == [
        (
            "s.toml:1: is not TOML: invalid value, column 5; "
            "expected text in quotes, a number, true, false, an array or a table"
        ),
        "--set seed: there is no =; expected PATH=VALUE, such as load.rate=500",
    ]


def test_a_contradiction_across_files_names_both(problems: Problems, folder: Path) -> None:
    (folder / "p.toml").write_text('[load]\n\nmodel = "closed"\nconcurrency = 1\n')
    text = '[workflow]\ndocument = "w.yml"\nprofile = "p.toml"\n[load]\ncopies = 1\nrate = 1\n'
    assert problems(text) == [
        's.toml:6: load.rate: contradicts load.model (p.toml:3); "rate" belongs to model = "open"'
    ]
    assert problems(text.replace("rate = 1", ""), "load.arrivals=poisson") == [
        (
            "--set load.arrivals=poisson: load.arrivals: contradicts load.model (p.toml:3); "
            '"arrivals" belongs to model = "open"'
        )
    ]
    assert problems(WORKFLOW + LOAD, "load.model=closed")[1] == (
        "s.toml:4: load.rate: contradicts load.model (--set load.model=closed); "
        '"rate" belongs to model = "open"'
    )


def test_a_profile(problems: Problems, folder: Path) -> None:
    (folder / "p.toml").write_text(
        'name = "x"\nworkflow = "y"\n[verify]\nevry = 1\nevery = -1\n[[overlay]]\nat = "x"\n'
    )
    text = '[workflow]\ndocument = "w.yml"\nprofile = "p.toml"\n[[overlay]]\n' + LOAD
    assert problems(text) == [
        's.toml:4: overlay.0: "step" is missing; expected the stepId of the request it changes',
        f's.toml:4: overlay.0: "at" is missing; {AT}',
        's.toml:4: overlay.0: "value" is missing; expected what to put there',
        "p.toml:1: name: is not for a profile; it belongs to the scenario",
        "p.toml:2: workflow: is not for a profile; it belongs to the scenario",
        'p.toml:4: verify.evry: unknown key; did you mean "every"?',
        f"p.toml:5: verify.every: found -1; {POSITIVE}",
        'p.toml:6: overlay.0: "step" is missing; expected the stepId of the request it changes',
        'p.toml:6: overlay.0: "value" is missing; expected what to put there',
        f'p.toml:7: overlay.0.at: found the string "x"; {AT}',
    ]


def test_a_broken_profile(problems: Problems, folder: Path) -> None:
    (folder / "p.toml").write_text("a = \n")
    text = '[workflow]\ndocument = "w.yml"\nprofile = "p.toml"\nstrict = 5\n' + LOAD
    assert problems(text) == [
        "s.toml:4: workflow.strict: found 5; expected true or false",
        (
            "p.toml:1: is not TOML: invalid value, column 5; "
            "expected text in quotes, a number, true, false, an array or a table"
        ),
    ]


def test_everything_at_once(problems: Problems) -> None:
    found = problems(
        'nmae = "x"\nworkflow = "no"\n[inputs]\nkey = { env = "NO_KEY" }\n'
        'id = { env = "NO_ID" }\n[load]\nmodel = "open"\nrate = -5\nduration = "x"\n'
        "[retry]\nattempts = 0\n",
        "seed=x",
    )
    assert [problem.partition(" ")[0] for problem in found] == [
        "s.toml:1:", "s.toml:2:", "s.toml:4:", "s.toml:5:", "s.toml:8:", "s.toml:9:",
        "s.toml:11:", "--set",
    ]  # fmt: skip


_DECLARED = 'expected a percentage above 0 and up to 50, e.g. "1%"'
_ABSENT = "expected the count to assume if an answer has none: a whole number, e.g. 0"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("approximate = 0.01", f"0.01; {_DECLARED}"),
        ("approximate = '1'", f'the string "1"; {_DECLARED}'),
        ("approximate = true", f"the boolean true; {_DECLARED}"),
        ("approximate = '0%'", f'the string "0%"; {_DECLARED}'),
        ("approximate = '51%'", f'the string "51%"; {_DECLARED}'),
        ("approximate = '-1%'", f'the string "-1%"; {_DECLARED}'),
        ("absent = -1", f"-1; {_ABSENT}"),
        ("absent = 1.5", f"1.5; {_ABSENT}"),
        ("absent = true", f"the boolean true; {_ABSENT}"),
        ("absent = '0'", f'the string "0"; {_ABSENT}'),
    ],
)
def test_what_counts_mean(line: str, found: str, problems: Problems) -> None:
    key = line.split(" ", maxsplit=1)[0]
    expected = [f"s.toml:7: verify.{key}: found {found}"]
    assert problems(f"{WORKFLOW}{LOAD}[verify]\n{line}") == expected


def test_a_split_that_cannot_be(problems: Problems) -> None:
    text = """[verify]
localize = true
approximate = '1%'
[verify.split]
limit = 1000
labels = 'x'
values = 'y'
tag = [{ at = 'body#/b', value = '$copy.sequence' }]
overlay = []"""
    same = "is the same for every partition; write {$partition} where it"
    own = "every partition has a name of its own"
    assert problems(WORKFLOW + LOAD + text) == [
        (
            "s.toml:7: verify.localize: contradicts verify.approximate (line 8); leave one out: "
            "counts with an error cannot be compared bucket by bucket"
        ),
        f"s.toml:13: verify.split.tag: {same} puts the buckets on events: {own}",
        f"s.toml:14: verify.split.overlay: {same} groups the query by them: {own}",
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('path = "/x/{$run}"', ("verify.export.path: unknown placeholder {$run}; expected "
         "{$run.id}, {$start}, {$end}, {$startTime}, {$endTime}, {$startMs}, {$endMs}, {$last}, "
         "{$offset}, {$token} or {$inputs.NAME}")),
        ('path = "x"', 'verify.export.path: found the string "x"; expected "/path"'),
        ('path = "/x?after={$last}"', ("verify.export.path: {$last} of what?; "
         'say in after which member it is: after = "/id"')),
        ('path = "/x"\nservers = { "https://a" = "b" }', ('verify.export.servers."https://a": '
         'found the string "b" for https://a; expected "https://HOST" = "https://HOST", without '
         "a path")),
        ('path = "/x"\nafter = "/id"', ("verify.export.after: every page would be the first; "
         "put {$last} into path or body, or leave after out")),
        ('path = "/x"\nbody = { a = 1 }',
         'verify.export.body: a GET has no body; add method = "POST"'),
        ('path = "/x"\npages = 5', ("verify.export.pages: there is only one page; leave it out, or "
         "say how pages follow each other: after, next or {$offset}")),
        ('path = "/x"\nempty = "$.a"', ("verify.export.empty: is about answers that have rows; "
         "say in rows where in an answer the events are")),
        ('path = "/x"\nformat = "csv"\nrows = "$.a"',
         ("verify.export.format: contradicts verify.export.rows (line 11); leave it out: the "
          "columns of CSV are its header's")),
        ('path = "/x?c={$token}"', ("verify.export.path: {$token} of what?; "
         'say in which member it is: next.token = "/cursor"')),
        ('path = "/x"\nrows = "$.a"\nnext.token = "/c"', ("verify.export.next: every page would be "
         "the first; put {$token} into path or body, or leave next out")),
        (('path = "/x?l={$last}"\nrows = "$.a"\nafter = "/0"\n'
          'next = { token = "/c", path = "/y/{$token}" }'),
         ("verify.export.after: contradicts verify.export.next (line 12); leave one out: each "
          "says by itself where the next page begins")),
        (('path = "/x"\nrows = "$.a"\n'
          'next = { token = "/c", body = { a = "{$what}", b = "{$token}" } }'),
         ("verify.export.next.body.a: unknown placeholder {$what}; expected {$run.id}, {$start}, "
          "{$end}, {$startTime}, {$endTime}, {$startMs}, {$endMs}, {$last}, {$offset}, {$token} or "
          "{$inputs.NAME}")),
        ('path = "/x"\nrows = "$.a"\nnext = "/c"',
         'verify.export.next: found the string "/c"; expected a table'),
        ('path = "/x"\nmethod = "PUT"',
         'verify.export.method: found the string "PUT"; expected one of "GET", "POST"'),
    ],
)  # fmt: skip
def test_an_export_that_would_ask_for_something_else(
    problems: Problems, lines: str, expected: str
) -> None:
    text = f'{WORKFLOW}{LOAD}[verify.export]\nevent = "body#"\nrun = "/run"\n{lines}\n'
    text += '[verify.export.fields]\n"/a" = "/a"\n'
    (found,) = (each for each in problems(text) if "export" in each)
    assert found.split(": ", 1)[1] == expected


def test_what_is_compared_with_an_event_or_an_input(problems: Problems) -> None:
    export = '[verify.export]\npath = "/x"\nrun = "/run"\n'
    (found,) = problems(f"{WORKFLOW}{LOAD}{export}")
    assert found == (
        's.toml:6: verify.export: "fields" is missing; '
        "name the user and the deduplication key at least"
    )
    fields = 'fields = { "/a" = "/a", "/b" = "$inputs.b" }\n'
    (found,) = problems(f"{WORKFLOW}{LOAD}{export}{fields}")
    assert found == (
        's.toml:9: verify.export.fields."/a": points into an event; '
        "say in event where in a request it is, or write $inputs.NAME"
    )
