"""Which way a request takes, and what of the environment decides it."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.errors import InputError
from loadcheck.load.transport.routes import LeavingError, Proxies, Routes, is_loopback

PROXY = "http://proxy.example:3128"


def through(host: str, no_proxy: str = "", port: int = 443, **more: str) -> str | None:
    environment = {"https_proxy": PROXY, "no_proxy": no_proxy, **more}
    proxy = Proxies(environment).of("https", host, port)
    return None if proxy is None else proxy.url


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert through(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.example.com",
        "localhost.example.com",
        "localhost.",
        "localhost\u3002",
        "\uff4cocalhost",
        "0.0.0.0",  # an address that is not this machine's alone
        "::",
        "10.0.0.0",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "①②⑦.0.0.1",
        "127.0.0.1\n",
        "127.0.0.1%2eexample.com",
        "::1%eth0",
        "::ffff:10.0.0.1",
        "api2.amplitude.com",
        "",
    ],
)
def test_not_certainly_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("variables", "scheme", "expected"),
    [
        ({"https_proxy": PROXY}, "https", PROXY),
        ({"HTTPS_PROXY": PROXY}, "https", PROXY),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": PROXY}, "https", "http://low:1"),
        ({"ALL_PROXY": PROXY}, "http", PROXY),
        ({"all_proxy": "http://all:1", "https_proxy": PROXY}, "https", PROXY),
        ({"http_proxy": PROXY}, "https", None),
        ({"HTTP_PROXY": PROXY}, "http", PROXY),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http", None),
        ({"https_proxy": "proxy.example:3128"}, "https", PROXY),
        ({"https_proxy": " "}, "https", None),
        ({"https_proxy": "HTTP://proxy.example:3128"}, "https", PROXY),
    ],
)
def test_which_variable_counts(
    variables: dict[str, str], scheme: str, expected: str | None
) -> None:
    proxy = Proxies(variables).of(scheme, "api.example", 443)
    assert (None if proxy is None else proxy.url) == expected


@pytest.mark.parametrize(
    ("host", "no_proxy"),
    [
        ("api.example", "api.example"),
        ("api.example", "example"),
        ("api.example", ".example"),
        ("api.example", "*.example"),
        ("API.example.", "api.EXAMPLE."),
        ("api.example", "x, api.example:443"),
        ("api.example", "a b api.example"),
        ("api.example", "https://api.example"),
        ("api.example", "*"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3:443"),
        ("fd00::5", "fd00::/8"),
        ("fd00::5", "fd00::5"),
        ("fd00::5", "[fd00::5]"),
        ("fd00::5", "[fd00::5]:443"),
        ("fd00::5", "[fd00::]/8"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
    ],
)
def test_whom_a_proxy_is_not_for(host: str, no_proxy: str) -> None:
    assert through(host) == PROXY
    assert through(host, no_proxy) is None
    assert Proxies({"NO_PROXY": no_proxy}).problems == []


@pytest.mark.parametrize(
    ("host", "no_proxy"),
    [
        ("api.example", "localhost,127.0.0.1,::1/128,[::1]"),
        ("api.example", "api.example:80"),
        ("notexample", "example"),
        ("11.1.2.3", "10.0.0.0/8"),
        ("fd00::5", "[fd00::5]:80"),
        ("fd00::5", "::1/128"),
    ],
)
def test_whom_it_is_for_all_the_same(host: str, no_proxy: str) -> None:
    assert through(host, no_proxy) == PROXY
    assert Proxies({"NO_PROXY": no_proxy}).problems == []


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/99", "[::1", "[::1]x", "a:b", "a:99999999", "a/b", "?"]
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_what_cannot_be_read_is_passed_over_and_told(entry: str, variable: str) -> None:
    proxies = Proxies({"https_proxy": PROXY, variable: f"{entry},good.example"})
    [problem] = proxies.problems
    assert problem.startswith(f'{variable}: "{entry}" is ignored: ')
    assert proxies.of("https", "good.example", 443) is None


@pytest.mark.parametrize("url", ["http://[::1", "http://", "http://h:99999", "http://h:x", "://"])
def test_a_proxy_that_is_no_url_is_told(url: str) -> None:
    proxies = Proxies({"HTTPS_PROXY": url})
    [problem] = proxies.problems
    assert problem.startswith("HTTPS_PROXY is ignored: ")
    assert proxies.of("https", "api.example", 443) is None


@pytest.mark.parametrize("url", ["socks://p:1", "socks5://p:1", "SOCKS5H://u:pw@p:1"])
def test_socks_is_refused_where_it_would_be_used(url: str) -> None:
    proxies = Proxies({"all_proxy": url})
    assert proxies.of("https", "127.0.0.1", 443) is None
    with pytest.raises(InputError, match="all_proxy: names a proxy .* that speaks socks") as raised:
        proxies.of("https", "api.example", 443)
    assert raised.value.problems[0].remedy


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=12))
def test_no_variable_is_a_crash(proxy: str, no_proxy: str, host: str) -> None:
    proxies = Proxies({"http_proxy": proxy, "no_proxy": no_proxy})
    try:
        proxies.of("http", host, 80)
    except InputError:
        return


def test_what_leaves_is_refused_whatever_leads_there() -> None:
    here, away = httpx.URL("http://127.0.0.1:1/"), httpx.URL("http://u:pw@away.example/x?k=v")
    for routes in (Routes(), Routes(proxy="http://127.0.0.1:3128")):
        assert routes.of(here) == (routes._proxy or "")
        with pytest.raises(LeavingError, match="away.example.* --live") as raised:
            routes.of(away)
        assert "pw" not in str(raised.value)
        assert "k=v" not in str(raised.value)
    assert Routes(consent=True).of(away) == ""
    environment = Proxies({"http_proxy": PROXY})
    assert Routes(proxies=environment, consent=True).of(away) == PROXY
    assert Routes(proxies=environment, consent=True).of(here) == ""
