"""How requests travel: TLS, proxies, compression, deadlines, connections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loadcheck.scenario import load
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Scenario, Tls

Loads = Callable[..., Scenario]
Problems = Callable[..., list[str]]

TOP = 'workflow = "w.yml"\n[load]\nmodel = "open"\nrate = 1\nduration = "1s"\n'
LIVE = TOP + '[target]\nkind = "live"\n'


def test_unless_said_otherwise(loads: Loads) -> None:
    scenario = loads(LIVE)
    assert scenario.target.tls == Tls()
    assert (scenario.target.compress, scenario.target.proxy) == ("none", None)
    assert not scenario.target.http2
    assert not scenario.target.redirects
    assert (scenario.timeouts.write_s, scenario.timeouts.read_s) == (None, None)
    assert isinstance(scenario.load, OpenLoad)
    assert (scenario.load.copies_per_request, scenario.load.preconnect) == (1, None)


def test_everything(loads: Loads, folder: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).touch()
    scenario = loads(
        LIVE + 'transport = "httpx"\ncompress = "gzip"\nproxy = "http://127.0.0.1:3128"\n'
        "http2 = true\nredirects = true\n"
        '[target.tls]\nca = "ca.pem"\ncert = "cert.pem"\nkey = "key.pem"\nserver_name = "a.b"\n'
        '[timeouts]\nconnect = "1s"\nwrite = "2s"\nread = "3s"\nrequest = "4s"\n'
    )
    target, timeouts = scenario.target, scenario.timeouts
    here = Path()
    assert target.tls == Tls(
        ca=here / "ca.pem", cert=here / "cert.pem", key=here / "key.pem", server_name="a.b"
    )
    assert (target.compress, target.proxy) == ("gzip", "http://127.0.0.1:3128")
    assert target.http2
    assert target.redirects
    assert (timeouts.connect_s, timeouts.write_s, timeouts.read_s, timeouts.request_s) == (
        1, 2, 3, 4,
    )  # fmt: skip


def test_files_are_beside_the_scenario_wherever_it_is_run(
    loads: Loads, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "ca.pem").touch()
    (folder / "sub" / "w.yml").touch()
    (folder / "sub" / "s.toml").write_text(LIVE + 'tls = { ca = "ca.pem" }')
    assert load("sub/s.toml", env={}).target.tls.ca == Path("sub/ca.pem")


def test_connections_of_a_closed_load(loads: Loads) -> None:
    text = 'workflow = "w.yml"\n[load]\nmodel = "closed"\nconcurrency = 50\ncopies = 9\n'
    closed = loads(text + "copies_per_request = 5\npreconnect = 0").load
    assert isinstance(closed, ClosedLoad)
    assert (closed.copies_per_request, closed.preconnect) == (5, 0)
    assert (closed.workers, closed.prefixes) == (None, ())
    shared = loads(text + "workers = 3\nprefixes = ['ssh a', 'nice']").load
    assert (shared.workers, shared.prefixes) == (3, ("ssh a", "nice"))
    assert loads(text + "workers = 'auto'").load.workers == 0


HTTPX = 'the wire transport cannot do that; set target.transport = "httpx" for '
EMULATED = 'it belongs to kind = "live": the embedded emulator is plain HTTP/1.1'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LIVE + "http2 = true", [f"8: target.http2: {HTTPX}http2"]),
        (LIVE + 'proxy = "http://127.0.0.1:1"', [f"8: target.proxy: {HTTPX}proxy"]),
        (LIVE + 'transport = "wire"\nredirects = true',
         [('9: target.redirects: contradicts target.transport (line 8); redirects needs '
          'transport = "httpx"')]),
        (LIVE + 'transport = "httpx"\nproxy = "http://me:hunter2@proxy:3128"',
         [("9: target.proxy: a URL with credentials in it; a proxy that asks who you are "
          "belongs in the environment: HTTPS_PROXY")]),
        (LIVE + 'compress = "zip"', [('8: target.compress: found the string "zip"; '
         'did you mean "gzip"?')]),
        (LIVE + 'tls = { ca = "cs.pem" }', [("8: target.tls.ca: no file at cs.pem; paths are "
         "relative to the scenario file")]),
        (LIVE + 'tls = { key = "w.yml" }', [('8: target.tls: "cert" is missing; expected the '
         "certificate that the key belongs to")]),
        (LIVE + 'tls = { verify = false, ca = "w.yml" }',
         [("8: target.tls.ca: contradicts target.tls.verify (line 8); nothing is checked with "
          "verify = false")]),
        (LIVE + "tls = { verfy = false }", [('8: target.tls.verfy: unknown key; did you mean '
         '"verify"?')]),
        (TOP + "[target]\nkind = 'emulator'\ntls = { verify = false }",
         [f"8: target.tls: contradicts target.kind (line 7); {EMULATED}"]),
        (TOP + "[target]\nhttp2 = true", [(f"7: target.http2: the target is the emulator; "
         f"{EMULATED}")]),
        (TOP + '[timeouts]\nread = "20s"', [("7: timeouts.read: is longer than timeouts.request "
         "(10s); it could never be reached: the whole request has less time")]),
        (TOP + '[timeouts]\nrequest = "2s"\nwrite = "3s"',
         [("8: timeouts.write: contradicts timeouts.request (line 7); it could never be reached: "
          "the whole request has less time")]),
        (TOP + "preconnect = -1", [("6: load.preconnect: found -1; expected a whole number "
         "from 0 to 1,000,000")]),
        (TOP + 'think_time = "0s"',
         [('6: load.think_time: found the string "0s"; expected a duration ("2s"), or a table '
          'such as { uniform = ["1s", "3s"] }')]),
        (TOP + "think_time = {}",
         [("6: load.think_time: draws from no distribution, or from several; expected one of "
          "{ uniform = [least, most] }, { normal = { mean, sd } } and { lognormal = { median, "
          "p99 } }")]),
        (TOP + 'think_time = { lognormal = { median = "2s", p99 = "1s" } }',
         [("6: load.think_time.lognormal.median: contradicts load.think_time.lognormal.p99 "
          "(line 6); half are below the median, and 99 of 100 below p99")]),
        (TOP + "think_time = { normal = { mean = 2, sd = 1 }, max = 0 }",
         ["6: load.think_time.max: found 0; expected min below max"]),
        (TOP + 'think_time = { uniform = ["3s", "1s"] }',
         [("6: load.think_time.uniform: the least is not below the most; expected "
          "[least, most]")]),
        (TOP + 'copies_per_request = 2\nthink_time = "1s"',
         [("7: load.think_time: contradicts load.copies_per_request (line 6); copies that share "
          "a request have one step: leave one of them out")]),
        (TOP + "workers = 0", [("6: load.workers: found 0; expected a whole number from 1 to "
         "1,000")]),
        (TOP + 'workers = "many"', [('6: load.workers: found the string "many"; expected a whole '
         'number from 1 to 1,000, or "auto"')]),
        (TOP + "prefixes = ['ssh \"h']", [("6: load.prefixes.0: no command: No closing quotation; "
         "close the quotes")]),
        (TOP + "prefixes = 'ssh h'", [('6: load.prefixes: found the string "ssh h"; expected an '
         'array of commands, such as ["ssh host1", "ssh host2"]')]),
        (TOP + "copies_per_request = 3000",
         [("6: load.copies_per_request: is more than max_in_flight (2,000); a request of 3,000 "
          "copies needs as many in flight: raise max_in_flight")]),
        (TOP + "max_in_flight = 2\ncopies_per_request = 3",
         [("7: load.copies_per_request: contradicts load.max_in_flight (line 6); a request of 3 "
          "copies needs as many in flight: raise max_in_flight")]),
        (TOP + '[verify.batch]\nrefused = "x"',
         [('6: verify.batch: "events" is missing; expected the array of events in the ingest '
          'step\'s request: "body#/json/pointer", or "body" for lines'),
          ('7: verify.batch.refused: found the string "x"; expected an array of runtime '
          "expressions")]),
        (TOP + '[verify.batch]\nevents = "/events"',
         [('7: verify.batch.events: found the string "/events"; expected the array of events in '
          'the ingest step\'s request: "body#/json/pointer", or "body" for lines')]),
    ],
)  # fmt: skip
def test_what_is_wrong(text: str, expected: list[str], problems: Problems) -> None:
    assert problems(text) == [f"s.toml:{line}" for line in expected]


REGIONS = """region = "{region}"
[target.regions.us]
a = "https://us.example.com"
b = "https://b.example.com"
[target.regions.eu]
a = "https://eu.example.com"
"""


def test_a_region_chooses_servers_and_servers_go_over_it(loads: Loads, problems: Problems) -> None:
    target = loads(LIVE + REGIONS.format(region="us")).target
    assert target.servers == {"a": "https://us.example.com", "b": "https://b.example.com"}
    own = 'servers = { b = "http://127.0.0.1:1" }\n'
    target = loads(LIVE + own + REGIONS.format(region="us")).target
    assert target.servers == {"a": "https://us.example.com", "b": "http://127.0.0.1:1"}
    (problem,) = problems(LIVE + REGIONS.format(region="uk"))
    assert 'target.region: no region the string "uk"; expected one of eu, us' in problem


def test_the_shipped_regions_of_amplitude(folder: Path) -> None:
    scenario = folder / "eu.toml"
    scenario.write_text(
        'workflow = "amplitude"\n[target]\nkind = "live"\nregion = "eu"\n'
        '[load]\nmodel = "open"\nrate = 1\nduration = "1s"\n',
        encoding="utf-8",
    )
    assert load(scenario).target.servers == {
        "httpV2Api": "https://api.eu.amplitude.com",
        "dashboardRestApi": "https://analytics.eu.amplitude.com",
    }
    assert load(scenario, overrides=["target={}"]).target.emulator == {}
    embedded = load(scenario, overrides=['target.kind="emulator"']).target
    assert (embedded.servers, embedded.emulator) == ({}, {"region": "eu"})
