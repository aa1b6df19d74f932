"""The profiles against the services themselves, where Debian has them; faults are a relay's."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import yaml

from loadcheck.scenario.layers import shipped
from tests.pipeline.services import PAGE, Answer, Call, Service, Store, relay
from tests.pipeline.test_services import check, check_export, exported, run

pytestmark = pytest.mark.long
PLANTED = [({"lost": 19}, 7), ({"duplicated": 15}, 1), ({}, 10)]
_STARTS_S = 60


def needed(name: str, *places: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", *places)))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def started(
    command: Sequence[str],
    folder: Path,
    answers: Callable[[], bool],
    user: str | None = None,
) -> Iterator[None]:
    """Start a server, wait until it answers, and end it."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            ["timeout", "300", *command],
            cwd=folder,
            stdout=log,
            stderr=log,
            user=user,
        )
        try:
            until = time.monotonic() + _STARTS_S
            while not answers():
                assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
                assert time.monotonic() < until, "it does not answer"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(30)


def asked(url: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send one request; status 0 if nobody listens."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, body or None)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def statement(name: str, begin: str) -> str:
    """Return the SQL that a profile's workflow tells its users to run first."""
    document = yaml.safe_load((shipped()[name] / "workflow.yml").read_text())
    text: str = document["info"]["description"]
    return text[text.index(begin) :].strip()


CLICKHOUSE = """
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <http_port>{port}</http_port><listen_host>127.0.0.1</listen_host>
  <path>./data/</path><tmp_path>./tmp/</tmp_path><users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>100000000</mark_cache_size>
</yandex>
"""
CLICKHOUSE_USERS = """
<yandex>
  <profiles><default>
    <output_format_json_quote_64bit_integers>{quoted}</output_format_json_quote_64bit_integers>
  </default></profiles>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota></default></users>
  <quotas><default></default></quotas>
</yandex>
"""


@contextmanager
def clickhouse(folder: Path, *, quoted: bool) -> Iterator[Service]:
    program, port = needed("clickhouse-server"), free_port()
    url = f"http://127.0.0.1:{port}"
    (folder / "config.xml").write_text(CLICKHOUSE.format(port=port))
    (folder / "users.xml").write_text(CLICKHOUSE_USERS.format(quoted=int(quoted)))
    command = [program, f"--config-file={folder / 'config.xml'}"]
    with started(command, folder, lambda: asked(url, "GET", "/")[0] == 200):
        made = asked(url, "POST", "/", statement("clickhouse", "CREATE TABLE").encode())
        assert made[0] == 200, made
        yield relay(url, (200, b""))


@pytest.mark.parametrize("quoted", [True, False], ids=["quoted", "plain"])
def test_clickhouse(tmp_path: Path, quoted: bool) -> None:
    with clickhouse(tmp_path, quoted=quoted) as service:
        for number, (planted, together) in enumerate(PLANTED):
            _check(tmp_path / str(number), "clickhouse", service, planted, together)


def test_clickhouse_exports_its_rows(tmp_path: Path) -> None:
    with clickhouse(tmp_path, quoted=True) as service:
        for number, (planted, _) in enumerate(PLANTED):
            folder = tmp_path / str(number)
            folder.mkdir()
            store = Store(lose=planted.get("lost", 0), twice=planted.get("duplicated", 0))
            _, asked = exported(folder, "clickhouse", store, service=service)
            check_export(asked, **planted)


INFLUXDB = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
"""


@contextmanager
def influxdb(folder: Path) -> Iterator[str]:
    """Start InfluxDB in a folder; yield its URL."""
    program, port = needed("influxd"), free_port()
    url = f"http://127.0.0.1:{port}"
    config = folder / "influxdb.conf"
    config.write_text(INFLUXDB.format(folder=folder, port=port, rpc=free_port()))
    command = [program, "run", "-config", str(config)]
    with started(command, folder, lambda: asked(url, "GET", "/ping")[0] == 204):
        made = asked(url, "POST", f"/query?q={quote('CREATE DATABASE loadcheck')}")
        assert made[0] == 200, made
        yield url


def again(body: bytes) -> bytes:
    """Make other points of the same users: the same ones count once."""
    return re.sub(rb"id=([\w-]+)", rb"id=\1-again", body)


def test_influxdb_1(tmp_path: Path) -> None:
    with influxdb(tmp_path) as url:
        for number, (planted, together) in enumerate(PLANTED):
            service = relay(url, (204, b""), again)
            _check(tmp_path / str(number), "influxdb", service, planted, together)
        # a point that is written twice is one
        _check(tmp_path / "same", "influxdb", relay(url, (204, b"")), {}, 1, twice=15)


def test_influxdb_1_exports_its_points(tmp_path: Path) -> None:
    with influxdb(tmp_path) as url:
        for number, (planted, _) in enumerate(PLANTED):
            (folder := tmp_path / str(number)).mkdir()
            store = Store(lose=planted.get("lost", 0), twice=planted.get("duplicated", 0))
            service = relay(url, (204, b""), again)
            _, compared = exported(folder, "influxdb", store, service=service)
            check_export(compared, **planted)


@contextmanager
def postgresql(folder: Path) -> Iterator[Callable[[str], str]]:
    """Start PostgreSQL in a folder; yield what runs SQL and returns its only value."""
    places = [str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")]
    initdb, server = needed("initdb", *places), ""
    server = str(Path(initdb).with_name("postgres"))
    psql, user = needed("psql"), "postgres" if os.geteuid() == 0 else None
    if user is not None:  # it does not run as root
        try:
            shutil.chown(folder, user)
        except LookupError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    name = user or pwd.getpwuid(os.geteuid()).pw_name
    subprocess.run(
        [initdb, "-D", str(folder / "data"), "-A", "trust", "-U", name, "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        user=user,
    )
    port = free_port()
    command = [server, "-D", str(folder / "data"), "-p", str(port), "-k", "", "-F"]
    command += ["-c", "listen_addresses=127.0.0.1"]

    def sql(text: str) -> str:
        client = [psql, "-h", "127.0.0.1", "-p", str(port), "-U", name, "-d", "postgres", "-qAtX"]
        done = subprocess.run(
            [*client, "-v", "ON_ERROR_STOP=1"],
            input=text,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise LookupError(done.stderr)
        return done.stdout.strip()

    def answers() -> bool:
        try:
            return sql("SELECT 1") == "1"
        except LookupError:
            return False

    with started(command, folder, answers, user=user):
        yield sql


def postgrest(sql: Callable[[str], str]) -> Service:
    """Answer as PostgREST does, by the statements that it makes of such requests."""

    def literal(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def answer(store: Store, call: Call) -> Answer:
        if call.path.startswith("/rpc/"):
            given = call.query.items()
            arguments = ", ".join(f"{name} => {literal(text)}" for name, text in given)
            function = call.path.removeprefix("/rpc/")
            rows = f"SELECT * FROM {function}({arguments})"
            return 200, sql(f"SELECT coalesce(json_agg(r), '[]') FROM ({rows}) r").encode()
        table, written = call.path.removeprefix("/"), []
        if call.method == "GET":
            query = call.query
            run, after = (query[name].split(".", 1)[1] for name in ("run", "insert_id"))
            where = f"run = {literal(run)} AND insert_id > {literal(after)}"
            order = f"ORDER BY {query['order']} LIMIT {min(PAGE, int(query['limit']))}"
            rows = f"SELECT {query['select']} FROM {table} WHERE {where} {order}"
            return 200, sql(f"SELECT coalesce(json_agg(r), '[]') FROM ({rows}) r").encode()
        for row in call.json:
            times = store.times() or 0
            written += [row, row | {"insert_id": f"{row['insert_id']}-again"}][:times]
        into = f"INSERT INTO {table} SELECT * FROM json_populate_recordset(null::{table}, "
        sql(f"{into}{literal(json.dumps(written))}) ON CONFLICT DO NOTHING")
        return 201, b""

    return answer


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """PostgreSQL with the table and the function of the profile."""
    with ExitStack() as stack:
        folder = tmp_path
        if os.geteuid() == 0:  # whose folders are closed to the user that the server runs as
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loadcheck-")))
        sql = stack.enter_context(postgresql(folder))
        sql(statement("postgrest", "CREATE TABLE"))
        yield sql


def test_postgresql_behind_a_stand_in_for_postgrest(
    tmp_path: Path, postgres: Callable[[str], str]
) -> None:
    for number, (planted, together) in enumerate(PLANTED):
        _check(tmp_path / str(number), "postgrest", postgrest(postgres), planted, together)


def test_postgresql_exports_its_rows(tmp_path: Path, postgres: Callable[[str], str]) -> None:
    for number, (planted, _) in enumerate(PLANTED):
        (folder := tmp_path / f"exported-{number}").mkdir()
        store = Store(lose=planted.get("lost", 0), twice=planted.get("duplicated", 0))
        _, asked = exported(folder, "postgrest", store, service=postgrest(postgres))
        check_export(asked, **planted)


def _check(
    folder: Path,
    name: str,
    service: Service,
    planted: dict[str, int],
    together: int,
    twice: int | None = None,
) -> None:
    folder.mkdir()
    again = planted.get("duplicated", 0) if twice is None else twice
    store = Store(lose=planted.get("lost", 0), twice=again)
    # a relay loses requests: with one copy each, so many copies
    together = together if not planted.get("lost") or name == "postgrest" else 1
    check(run(folder, name, store, together=together, service=service), **planted)
