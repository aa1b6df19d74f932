"""Scenarios from recorded requests: what is found in them, and what never gets into a file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadcheck.draft import Draft, from_requests, write
from loadcheck.draft.choose import Wishes
from loadcheck.draft.curl import read_curl
from loadcheck.draft.recorded import RecordedRequest, path_of, read_har
from loadcheck.errors import DraftError
from loadcheck.secrets import Redactor

SECRETS = {
    "bearer-of-the-page": "Authorization",
    "cookie-of-the-page": "Cookie",
    "key-in-the-query": "api_key",
    "key-in-the-body": "writeKey",
    "key-in-a-header": "X-Api-Key",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": "context.identity",
    "5f2b8a9c1d3e4f5a6b7c8d9e0f1a2b3c4d5e6f70": "in the path",
}


def draft(recorded: list[RecordedRequest], into: Path, **wishes: str) -> Draft:
    return from_requests(recorded, "page.har", Wishes(**wishes), into=into, name="page")


def entry(method: str, url: str, **more: Any) -> dict[str, Any]:
    """Return an entry as Chrome writes it."""
    headers = {"User-Agent": "Mozilla/5.0", "sec-ch-ua": '"Chromium"', ":authority": "x"}
    headers |= more.get("headers", {})
    body, answer = more.get("body"), more.get("answer")
    request: dict[str, Any] = {
        "method": method,
        "url": url,
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "cookies": [{"name": "sid", "value": "cookie-of-the-page"}] if more.get("cookie") else [],
    }
    if body is not None:
        kind = more.get("kind", "application/json")
        request["postData"] = {"mimeType": kind, "text": json.dumps(body)}
    text = "" if answer is None else json.dumps(answer)
    content = {"mimeType": more.get("mime", "application/json"), "text": text}
    if more.get("coded"):
        content |= {"text": base64.b64encode(text.encode()).decode(), "encoding": "base64"}
    return {
        "_resourceType": more.get("type", "fetch"),
        "request": request,
        "response": {"status": more.get("status", 200), "content": content},
    }


def har(folder: Path, *entries: Any) -> Path:
    path = folder / "page.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return path


HOST = "http://127.0.0.1:9"
KEY = next(secret for secret, where in SECRETS.items() if where == "in the path")
JWT = next(secret for secret, where in SECRETS.items() if where == "context.identity")
EVENT = {
    "anonymousId": "7f0c3f6e-1111-4222-8333-944445555666",
    "event": "Signed Up",
    "messageId": "ajs-next-17000000",
    "writeKey": "key-in-the-body",
    "sentAt": "2026-11-26T03:00:00.000Z",
    "context": {"identity": JWT, "email": "somebody@example.org", "locale": "de", "ip": None},
}
PAGE = (
    entry("GET", f"{HOST}/", type="document", mime="text/html"),
    entry("GET", f"{HOST}/static/app.js?v=3", type="script", mime="text/javascript"),
    entry("GET", f"{HOST}/logo.png", type="image", mime="image/png"),
    entry("OPTIONS", f"{HOST}/v1/track", type="preflight", status=204),
    entry("GET", "ws://127.0.0.1:9/live", type="websocket", status=101),
    entry("POST", f"{HOST}/v1/track", body=EVENT, status=500),
    entry(
        "POST",
        f"{HOST}/v1/track/{KEY}?api_key=key-in-the-query&v=2",
        body=EVENT,
        kind="text/plain;charset=UTF-8",
        headers={"Authorization": "Bearer bearer-of-the-page", "X-Workspace": "blue"},
        cookie=True,
        answer={"success": True},
    ),
    entry(
        "GET",
        f"{HOST}/v1/report/users?event=Signed%20Up&from=2026-11-01",
        headers={"X-Api-Key": "key-in-a-header"},
        answer={"data": [{"users": 4711, "label": "secret customer"}], "took_ms": 3},
        coded=True,
    ),
    {"broken": True},
)


def test_a_page_that_was_recorded(tmp_path: Path) -> None:
    recorded = read_har(har(tmp_path, *PAGE))
    assert [path_of(each) for each in recorded] == [
        "POST /v1/track/{key}",
        "GET /v1/report/users",
    ]
    found = draft(recorded, tmp_path / "out")
    choice = found.choice
    assert choice is not None
    assert choice.run is not None
    assert (choice.user.at, choice.run[1].at) == ("body#/anonymousId", "query.event")
    assert choice.uniques == "$response.body#/data/0/users"
    shown = write(found, tmp_path / "out")
    body = json.loads(shown["first_request"]["body"])
    assert body["context"] == {"identity": "***", "email": "loadcheck@example.com", "locale": "de"}
    assert body["writeKey"] == "***"
    assert body["event"] in shown["first_query"]["url"]
    assert set(found.variables) == {
        *("PAGE_API_KEY", "PAGE_TOKEN", "PAGE_COOKIE", "PAGE_WRITE_KEY", "PAGE_IDENTITY"),
        *("PAGE_KEY", "PAGE_HEADER_X_API_KEY"),
    }


def test_no_secret_and_nobody_gets_into_a_file(tmp_path: Path) -> None:
    found = draft(read_har(har(tmp_path, *PAGE)), tmp_path / "out")
    everything = b"\n".join(found.files.values()).decode()
    assert Redactor(SECRETS).text(everything) == everything
    for personal in ("somebody@", EVENT["anonymousId"], "secret customer", "4711"):
        assert str(personal) not in everything
    planted = everything.replace("blue", "bearer-of-the-page")
    assert Redactor(SECRETS).text(planted) != planted  # the check itself can fail


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "page.har:1: is not JSON"),
        ("[]", "has no log.entries"),
        (
            '{"log": {"entries": [{}, 7, {"request": {"method": "GET"}}]}}',
            "has 3 entries, and none",
        ),
    ],
)
def test_what_is_no_recording(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "page.har").write_text(text)
    with pytest.raises(DraftError, match=says):
        read_har(tmp_path / "page.har")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            """curl -sS -XPOST -H'Content-Type: application/json' -d '{"user":1}' localhost:9/e""",
            ("POST", "http://localhost:9/e", '{"user":1}', "application/json"),
        ),
        (
            r"""curl 'http://h/e' \
  -H 'accept: */*' \
  --data-raw $'{"u":"\u00fc\'"}' \
  --compressed""",
            ("POST", "http://h/e", '{"u":"ü\'"}', "application/x-www-form-urlencoded"),
        ),
        (
            'curl --json "{\\"user\\": \\"a b\\"}" --url http://h/e -m 3 -o /dev/null',
            ("POST", "http://h/e", '{"user": "a b"}', "application/json"),
        ),
        (
            "curl -G http://h/c?x=1 -d a=1 --data-urlencode 'b=ü &' -k",
            ("GET", "http://h/c?x=1&a=1&b=%C3%BC%20%26", None, ""),
        ),
        (
            "curl http://h/e -d a=1 -d b=2 -X PUT",
            ("PUT", "http://h/e", "a=1&b=2", "application/x-www-form-urlencoded"),
        ),
        ("/usr/bin/curl http://h/c", ("GET", "http://h/c", None, "")),
    ],
)
def test_a_curl_line(line: str, expected: tuple[Any, ...]) -> None:
    found = read_curl(line)
    assert (found.method, found.url, found.body, found.content_type) == expected


def test_a_file_that_a_curl_line_names(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text('{"user_id":\n "u"}')
    assert read_curl(f"curl http://h/e -d @{tmp_path}/event.json").body == '{"user_id": "u"}'
    whole = read_curl(f"curl http://h/e --data-binary @{tmp_path}/event.json")
    assert whole.body == '{"user_id":\n "u"}'
    assert read_curl("curl http://h/e --data-raw @x").body == "@x"
    with pytest.raises(DraftError, match=r"none\.json: cannot be read: no such file"):
        read_curl(f"curl http://h/e -d @{tmp_path}/none.json")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("wget http://h", 'does not begin with "curl"'),
        ("curl", "has no URL"),
        ("curl http://h http://i", "has 2 URLs"),
        ("curl 'http://h", "a quote that is not closed"),
        ("curl http://h -d", "ends after -d"),
        ("curl http://h --heder x", 'the option "--heder" is not known; did you mean "--header"'),
        ("curl http://h -Z", 'the option "-Z" is not known'),
        ("curl http://h -F file=@x", "--form: multipart forms"),
        ('curl ^"http://h^" ^\r\n -d x', 'is quoted for cmd.exe; copy it "as cURL (bash)"'),
    ],
)
def test_a_curl_line_that_cannot_be_used(line: str, says: str) -> None:
    with pytest.raises(DraftError) as caught:
        read_curl(line)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("curl -u me:pass-word http://127.0.0.1:9/e -d user=u", "pass-word"),
        ("curl http://me:pass-word@127.0.0.1:9/e -d user=u", "pass-word"),
        ("curl http://127.0.0.1:9/e -d user=u -d access_token=t0ken-t0ken", "t0ken-t0ken"),
        ("curl http://127.0.0.1:9/e?key=AIzaSyA1234567 -d user=u", "AIzaSyA1234567"),
        ("curl http://127.0.0.1:9/e -H 'X-Signature: abcdefgh' -d user=u", "abcdefgh"),
        ("curl http://127.0.0.1:9/e --cookie 'a=b; sid=abcdefgh' --json '{\"uid\":1}'", "abcdefgh"),
    ],
)
def test_what_authorizes_a_curl_line_is_asked_for(tmp_path: Path, line: str, secret: str) -> None:
    found = draft([read_curl(line)], tmp_path / "out", count="none")
    everything = b"\n".join(found.files.values()).decode()
    assert Redactor({secret}).text(everything) == everything
    assert found.variables
    shown = write(found, tmp_path / "out")
    assert "***" in json.dumps(shown["first_request"])


def test_what_would_be_sent_in_clear_is_refused(tmp_path: Path) -> None:
    event = '{"user_id": "u", "comment": "hush-hush-hush"}'
    line = f"curl http://127.0.0.1:9/e -H 'Authorization: Bearer hush-hush-hush' -d '{event}'"
    with pytest.raises(DraftError, match="would hold something that authorizes requests"):
        draft([read_curl(line)], tmp_path / "out", count="none")


def test_two_servers_keep_their_own(tmp_path: Path) -> None:
    lines = [
        read_curl("""curl http://127.0.0.1:9/e -d '{"user":"u","tag":"t"}'"""),
        read_curl("curl http://127.0.0.1:10/count?tag=t"),
    ]
    found = draft(lines, tmp_path / "out", ingest="/e", count="/count", uniques="/n")
    shown = write(found, tmp_path / "out")
    assert shown["first_request"]["url"] == "http://127.0.0.1:9/e"
    assert shown["first_query"]["url"].startswith("http://127.0.0.1:10/count?tag=")
    text = yaml.safe_load(found.files["page.arazzo.yml"])
    assert text["workflows"][0]["steps"][1]["outputs"] == {"users": "$response.body#/n"}
